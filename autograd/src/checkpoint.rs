//! Checkpointing: a block's activations are not kept but computed again in the backward pass (Chen et al. 2016).
//!
//! It trades one more forward pass of the block for the memory of everything inside it. The numbers are the same bits:
//! the same kernels run on the same inputs, and dropout is counter-based, so its masks come out again.

use crate::gradcheck::{Case, Op};
use crate::tape::{Backward, Randomness, Tape};
use crate::var::{Var, record};
use gradus_tensor::{Precision, Tensor};

/// f(x), of which only x is kept. What f brings in besides x may be parameters and constants.
///
/// # Panics
/// Where f brings in a tracked value, for its gradient would be lost.
#[track_caller]
pub fn checkpoint(tape: &Tape, x: &Var, f: impl Fn(&Tape, &Var) -> Var + 'static) -> Var {
    let (randomness, precision, recomputes) = (tape.randomness(), tape.precision(), tape.recomputes());
    let inner = Tape::with_randomness(randomness, false).with_precision(precision);
    let y = f(&inner, &x.detach());
    assert!(!y.is_tracked(), "checkpoint: the block brings in a tracked value: pass it in as x, or detach() it");
    let y = y.value().clone();
    tape.set_randomness(inner.randomness());
    // Recorded even where x is a constant: the parameters inside need their gradients.
    let anchor = if x.is_tracked() { x.clone() } else { tape.leaf(x.value().clone()) };
    record(&[&anchor], y, |_| Checkpoint { f: Box::new(f), x: x.value().clone(), randomness, precision, recomputes })
}

type Function = dyn Fn(&Tape, &Var) -> Var;

struct Checkpoint {
    f: Box<Function>,
    x: Tensor,
    randomness: Option<Randomness>,
    precision: Precision,
    recomputes: bool,
}

impl Backward for Checkpoint {
    fn op(&self) -> &'static Op {
        CHECKPOINT
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let tape = Tape::with_randomness(self.randomness, true).with_precision(self.precision);
        let tape = tape.with_recomputation(self.recomputes);
        let x = tape.leaf(self.x);
        let y = (self.f)(&tape, &x);
        let gradients = tape.backward_from(&y, dy);
        vec![Some(gradients.get(&x).cloned().unwrap_or_else(|| x.value().new_zeros(x.shape())))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("x", &self.x)]
    }
}

const CHECKPOINT: &Op = &Op {
    name: "checkpoint",
    formula: "y = f(x), computed again in the backward pass",
    cases: || {
        let mut case = Case::new("a small block", &[&[3, 5]], |_| unreachable!("replaced below"));
        case.function = Box::new(|tape, x| checkpoint(tape, &x[0], |_, x| &x.tanh() * &x.softmax(1)));
        vec![case]
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[CHECKPOINT];
