//! Values that are cheap to compute again: on a tape that recomputes, operations do not keep them.
//!
//! A norm or an activation such as GELU keeps its own input for the backward pass anyway. Its output is needed once
//! more, by the matrix product that follows. Such an output carries a recipe, and an operation that would have kept the
//! value keeps the recipe. The backward pass runs the same kernel on the same numbers, so the bits are the same.

use gradus_tensor::Tensor;
use std::rc::Rc;

/// Computes a value again from inputs that the tape holds anyway.
pub(crate) type Recipe = Rc<dyn Fn() -> Tensor>;

/// An input that an operation needs in its backward pass.
#[derive(Clone)]
pub(crate) enum Kept {
    /// The value itself.
    Value(Tensor),
    /// How to compute it.
    Recipe(Recipe),
}

impl Kept {
    /// The value, computed again where it was not kept.
    pub(crate) fn get(&self) -> Tensor {
        match self {
            Kept::Value(value) => value.clone(),
            Kept::Recipe(compute) => compute(),
        }
    }

    /// The value, where it is in memory.
    pub(crate) fn value(&self) -> Option<&Tensor> {
        match self {
            Kept::Value(value) => Some(value),
            Kept::Recipe(_) => None,
        }
    }
}
