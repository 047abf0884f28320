//! A value and, where it is tracked, its place on a tape. The operations on it are in [`crate::ops`].

use crate::kept::{Kept, Recipe};
use crate::tape::{Backward, NodeId, Tape};
use gradus_tensor::{Precision, Tensor};
use std::fmt;
use std::rc::Rc;

/// A tensor that knows where it came from, if a tape tracks it.
#[derive(Clone)]
pub struct Var {
    value: Tensor,
    node: Option<(Tape, NodeId)>,
    precision: Precision,
    recipe: Option<Recipe>,
}

impl Var {
    /// A value that no gradient flows to.
    pub fn constant(value: Tensor) -> Var {
        Var { value, node: None, precision: Precision::F32, recipe: None }
    }

    pub(crate) fn tracked(value: Tensor, tape: Tape, id: NodeId) -> Var {
        let precision = tape.precision();
        Var { value, node: Some((tape, id)), precision, recipe: None }
    }

    /// The same value with a recipe, if its tape recomputes. The recipe may hold only what the tape keeps anyway.
    pub(crate) fn with_recipe<F: Fn() -> Tensor + 'static>(self, recipe: impl FnOnce() -> F) -> Var {
        match &self.node {
            Some((tape, _)) if tape.recomputes() => Var { recipe: Some(Rc::new(recipe())), ..self },
            _ => self,
        }
    }

    /// What an operation keeps of this input for its backward pass.
    pub(crate) fn keep(&self) -> Kept {
        self.recipe.clone().map_or_else(|| Kept::Value(self.value.clone()), Kept::Recipe)
    }

    /// The same value, of which products are computed at `precision`.
    pub(crate) fn at(self, precision: Precision) -> Var {
        Var { precision, ..self }
    }

    /// What the products of this value round their operands to: the precision of the tape that it came from, tracked
    /// or not, and for what is computed from several the lowest of theirs.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The numbers.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    /// Whether a tape tracks it.
    pub fn is_tracked(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn node_on(&self, tape: &Tape) -> Option<NodeId> {
        self.node.as_ref().filter(|(own, _)| own == tape).map(|(_, id)| *id)
    }

    /// The same numbers, cut off from the tape: no gradient flows back through here.
    pub fn detach(&self) -> Var {
        Var::constant(self.value.clone()).at(self.precision)
    }
}

impl From<Tensor> for Var {
    fn from(value: Tensor) -> Var {
        Var::constant(value)
    }
}

impl fmt::Debug for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.value, if self.is_tracked() { " (tracked)" } else { "" })
    }
}

/// The output of an operation: recorded on the tape of its inputs with the backward pass that `backward` makes, or a
/// constant, with nothing saved, where no input is tracked.
///
/// An operation cannot be recorded without its backward pass, so no gradient is lost silently.
///
/// # Panics
/// Where inputs are on different tapes.
#[track_caller]
pub fn record<B: Backward + 'static>(inputs: &[&Var], value: Tensor, backward: impl FnOnce(&Tensor) -> B) -> Var {
    let Some((tape, _)) = inputs.iter().find_map(|input| input.node.as_ref()) else {
        return Var::constant(value).at(lowest_precision(inputs));
    };
    let place = |input: &&Var| {
        let (own, id) = input.node.as_ref()?;
        assert!(
            own == tape,
            "the inputs of one operation are on different tapes: detach() one, or record both on one tape"
        );
        Some(*id)
    };
    let backward = Box::new(backward(&value));
    tape.record(inputs.iter().map(place).collect(), value, backward)
}

/// The lowest precision of any of these: a product of a constant and a parameter is computed at that of the parameter.
pub(crate) fn lowest_precision(inputs: &[&Var]) -> Precision {
    inputs.iter().map(|input| input.precision).max().unwrap_or_default()
}
