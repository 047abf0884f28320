//! Softmax and log-softmax: both derivatives are made of the output alone.

use crate::gradcheck::{Case, Op};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
use gradus_tensor::ops::softmax::{backward, log_backward};

impl Var {
    /// y = eˣ / Σ eˣ along `axis`.
    ///
    /// # Panics
    /// Where there is no such axis.
    #[track_caller]
    pub fn softmax(&self, axis: usize) -> Var {
        record(&[self], self.value().softmax(axis), |y| Softmax { y: y.clone(), axis, log: false })
    }

    /// y = x − ln Σ eˣ along `axis`.
    ///
    /// # Panics
    /// Where there is no such axis.
    #[track_caller]
    pub fn log_softmax(&self, axis: usize) -> Var {
        record(&[self], self.value().log_softmax(axis), |y| Softmax { y: y.clone(), axis, log: true })
    }
}

struct Softmax {
    y: Tensor,
    axis: usize,
    log: bool,
}

impl Backward for Softmax {
    fn op(&self) -> &'static Op {
        if self.log { LOG_SOFTMAX } else { SOFTMAX }
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let backward = if self.log { log_backward } else { backward };
        vec![Some(crate::ok(backward(&self.y, &dy, self.axis)))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("y", &self.y)]
    }
}

fn cases(f: fn(&Var, usize) -> Var) -> Vec<Case> {
    vec![
        Case::new("the last axis", &[&[3, 7]], move |x| f(&x[0], 1)),
        Case::new("the first axis", &[&[5, 3]], move |x| f(&x[0], 0)),
        Case::new("the middle axis", &[&[2, 5, 3]], move |x| f(&x[0], 1)),
        Case::new("one element", &[&[4, 1]], move |x| f(&x[0], 1)),
        Case::new("a transposed view", &[&[3, 5]], move |x| f(&x[0].transpose(0, 1), 1)),
        Case::scaled("large logits", &[&[3, 5]], 20.0, 0.0, move |x| f(&x[0], 1)),
        Case::new("empty", &[&[0, 5]], move |x| f(&x[0], 1)),
    ]
}

const SOFTMAX: &Op = &Op { name: "softmax", formula: "y = eˣ / Σ eˣ", cases: || cases(Var::softmax) };

const LOG_SOFTMAX: &Op = &Op { name: "log_softmax", formula: "y = x − ln Σ eˣ", cases: || cases(Var::log_softmax) };

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[SOFTMAX, LOG_SOFTMAX];
