//! Cross-entropy from logits: softmax and logarithm in one, so that no probability is ever rounded to 0 and then logged.

use crate::gradcheck::{Case, Op, beside};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
pub use gradus_tensor::ops::cross_entropy::Options;
use gradus_tensor::ops::cross_entropy::{backward, forward};

impl Var {
    /// The mean of −ln softmax(logits)\[target\]: logits [.., V], targets [..] of type `u32`.
    ///
    /// # Panics
    /// Where the shapes do not fit, or a target is neither a class nor the ignored index.
    #[track_caller]
    pub fn cross_entropy(&self, targets: &Tensor, options: Options) -> Var {
        let loss = crate::ok(forward(self.value(), targets, options));
        record(&[self], loss.mean, |_| CrossEntropy {
            logits: self.value().clone(),
            log_sum_exp: loss.log_sum_exp,
            targets: targets.clone(),
            options,
        })
    }

    /// −ln softmax(logits)\[target\] of each row, `[rows]`, 0 for an ignored one: what [`Var::cross_entropy`] is the mean
    /// of. Nothing is recorded.
    ///
    /// # Panics
    /// As [`Var::cross_entropy`].
    #[track_caller]
    pub fn cross_entropy_of_rows(&self, targets: &Tensor, options: Options) -> Tensor {
        crate::ok(forward(self.value(), targets, options)).losses
    }
}

struct CrossEntropy {
    logits: Tensor,
    log_sum_exp: Tensor,
    targets: Tensor,
    options: Options,
}

impl Backward for CrossEntropy {
    fn op(&self) -> &'static Op {
        CROSS_ENTROPY
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        vec![Some(crate::ok(backward(&self.logits, &self.targets, &self.log_sum_exp, self.options, &dy)))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("logits", &self.logits), ("log_sum_exp", &self.log_sum_exp), ("targets", &self.targets)]
    }
}

const CROSS_ENTROPY: &Op = &Op {
    name: "cross_entropy",
    formula: "y = mean of −ln softmax(x)[target]",
    cases: || {
        let case = |name, options: Options, targets: &'static [u32]| {
            let targets = Tensor::from_slice(targets, &[targets.len()]);
            let shape = [targets.len(), 5];
            Case::new(name, &[&shape], move |x| x[0].cross_entropy(&beside(x, &targets), options))
        };
        vec![
            case("plain", Options::default(), &[0, 4, 2]),
            case("ignored rows", Options { ignore_index: Some(99), label_smoothing: 0.0 }, &[1, 99, 3]),
            case("label smoothing", Options { ignore_index: Some(1), label_smoothing: 0.1 }, &[2, 1, 0, 4]),
            case("one row", Options::default(), &[3]),
            case("no rows", Options::default(), &[]),
        ]
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[CROSS_ENTROPY];
