//! Batch norm: every channel is measured over the batch, where layer norm measures every row over its channels.

use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Parameter, Tape, Tensor, Var};

/// y = (x − μ)/√(σ² + eps)·γ + β for each channel (Ioffe and Szegedy, "Batch normalization", 2015, algorithms 1 and 2).
///
/// On a tape that records, μ and σ² are those of the batch, over all axes but the last, and the running statistics move
/// towards them: r ← (1 − momentum)·r + momentum·new, with σ² corrected for its n − 1 degrees of freedom. On a tape that
/// does not record, μ and σ² are the running ones, so the answer for one row does not depend on the rows beside it.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// γ, \[C\].
    pub weight: Parameter,
    /// β, \[C\].
    pub bias: Parameter,
    /// The running μ, \[C\]. It is saved with the parameters; no gradient reaches it, so no optimiser changes it.
    pub running_mean: Parameter,
    /// The running σ², as `running_mean`.
    pub running_variance: Parameter,
    /// The share of the newest batch in the running statistics.
    pub momentum: f64,
    /// Added to σ².
    pub eps: f64,
}

impl BatchNorm {
    /// Scale 1, bias 0, running mean 0 and variance 1, momentum 0.1, eps 1e-5.
    pub fn new(init: &mut Init, width: usize) -> BatchNorm {
        BatchNorm {
            weight: init.ones(&[width]),
            bias: init.zeros(&[width]),
            running_mean: init.zeros(&[width]),
            running_variance: init.ones(&[width]),
            momentum: 0.1,
            eps: 1e-5,
        }
    }

    /// x [.., C] by the statistics of this batch, which the running ones do not learn of.
    ///
    /// # Panics
    /// Where x has no second axis to measure over.
    pub fn by_batch(&self, tape: &Tape, x: &Var) -> Var {
        let (mean, variance) = statistics(x);
        self.scaled(tape, x, &mean, &variance)
    }

    /// x [.., C] by the running statistics.
    pub fn by_running(&self, tape: &Tape, x: &Var) -> Var {
        let [mean, variance] = [&self.running_mean, &self.running_variance].map(|r| Var::constant(r.value()));
        self.scaled(tape, x, &mean, &variance)
    }

    fn scaled(&self, tape: &Tape, x: &Var, mean: &Var, variance: &Var) -> Var {
        let normal = &(x - mean) / &(variance + self.eps).sqrt();
        &(&normal * &tape.parameter(&self.weight)) + &tape.parameter(&self.bias)
    }

    fn follow(&self, mean: &Tensor, variance: &Tensor, rows: usize) {
        let unbiased = variance * (rows as f64 / (rows.max(2) - 1) as f64);
        for (running, new) in [(&self.running_mean, mean), (&self.running_variance, &unbiased)] {
            let old = running.value();
            running.set_value(&(&old * (1.0 - self.momentum)) + &(&new.reshape(old.shape()) * self.momentum));
        }
    }
}

/// μ and σ² of each channel of x, over all other axes, on its tape: \[C\] each.
fn statistics(x: &Var) -> (Var, Var) {
    assert!(x.shape().len() > 1, "batch norm: {:?} has a last axis of channels alone, and no batch", x.shape());
    let axes: Vec<usize> = (0..x.shape().len() - 1).collect();
    (x.mean(&axes, false), x.variance(&axes, 0, false))
}

impl Layer for BatchNorm {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        if !tape.is_recording() {
            return self.by_running(tape, x);
        }
        let (mean, variance) = statistics(x);
        self.follow(mean.value(), variance.value(), x.value().len() / x.value().last_size().max(1));
        self.scaled(tape, x, &mean, &variance)
    }
}

impl Module for BatchNorm {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &self.weight);
        visitor.parameter("bias", &self.bias);
        visitor.parameter("running_mean", &self.running_mean);
        visitor.parameter("running_variance", &self.running_variance);
    }
}
