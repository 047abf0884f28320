//! Dropout: the backward pass draws the forward pass's mask again, so nothing is saved.

use crate::gradcheck::{Case, Op};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
pub use gradus_tensor::ops::dropout::Dropout;
use gradus_tensor::ops::dropout::apply;

impl Var {
    /// Drops elements by this mask, and scales the others by 1 / (1 − p); does nothing where there is no mask.
    ///
    /// # Panics
    /// Where p is not in [0, 1).
    #[track_caller]
    pub fn dropout(&self, dropout: Option<Dropout>) -> Var {
        let Some(dropout) = dropout else { return self.clone() };
        record(&[self], crate::ok(apply(dropout, self.value())), |_| DropoutBackward(dropout))
    }
}

struct DropoutBackward(Dropout);

impl Backward for DropoutBackward {
    fn op(&self) -> &'static Op {
        DROPOUT
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        vec![Some(crate::ok(apply(self.0, &dy)))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        Vec::new()
    }
}

const DROPOUT: &Op = &Op {
    name: "dropout",
    formula: "y = x · keep / (1 − p)",
    cases: || {
        let dropout = Some(Dropout { p: 0.3, seed: 7, stream: 1 });
        vec![
            Case::new("odd size", &[&[7, 11]], move |x| x[0].dropout(dropout)),
            Case::new("a transposed view", &[&[3, 5]], move |x| x[0].transpose(0, 1).dropout(dropout)),
            Case::new("empty", &[&[0]], move |x| x[0].dropout(dropout)),
        ]
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[DROPOUT];
