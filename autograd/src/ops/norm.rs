//! Layer norm and RMS norm. What is saved is the input and two (or one) numbers a row; the normalised rows are cheap
//! to compute again. In a residual stream x → x + f(norm(x)) the gradient of x has come past f when that of the norm is
//! made, which is then added to it as it is written.

use crate::gradcheck::{Case, Op};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::ops::norm::{NormGradients, Normed, layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
use gradus_tensor::{Result, Tensor};

impl Var {
    /// (x − mean) / √(variance + eps) · gamma + beta over the last axis.
    ///
    /// # Panics
    /// Where gamma or beta is not one number for each element of the last axis.
    #[track_caller]
    pub fn layer_norm(&self, gamma: Option<&Var>, beta: Option<&Var>, eps: f32) -> Var {
        let inputs: Vec<&Var> = [Some(self), gamma, beta].into_iter().flatten().collect();
        let [gamma, beta] = [gamma, beta].map(|weight| weight.map(|weight| weight.value().clone()));
        let has_beta = beta.is_some();
        norm(LAYER_NORM, &inputs, gamma, has_beta, move |x, gamma| layer_norm(x, gamma, beta.as_ref(), eps))
    }

    /// x / √(mean of x² + eps) · gamma over the last axis.
    ///
    /// # Panics
    /// Where gamma is not one number for each element of the last axis.
    #[track_caller]
    pub fn rms_norm(&self, gamma: Option<&Var>, eps: f32) -> Var {
        let inputs: Vec<&Var> = [Some(self), gamma].into_iter().flatten().collect();
        let gamma = gamma.map(|gamma| gamma.value().clone());
        norm(RMS_NORM, &inputs, gamma, false, move |x, gamma| rms_norm(x, gamma, eps))
    }
}

/// The norm that `compute` makes of the first input, x, and gamma, recorded, and computed again where it is recomputed.
#[track_caller]
fn norm(
    op: &'static Op,
    inputs: &[&Var],
    gamma: Option<Tensor>,
    has_beta: bool,
    compute: impl Fn(&Tensor, Option<&Tensor>) -> Result<Normed> + 'static,
) -> Var {
    let x = inputs[0].value();
    let Normed { y, mean, rstd } = crate::ok(compute(x, gamma.as_ref()));
    record(inputs, y, |_| Norm { op, x: x.clone(), gamma: gamma.clone(), has_beta, mean, rstd }).with_recipe(|| {
        let x = x.clone();
        move || crate::ok(compute(&x, gamma.as_ref())).y
    })
}

struct Norm {
    op: &'static Op,
    x: Tensor,
    gamma: Option<Tensor>,
    has_beta: bool,
    /// Of each row, in layer norm.
    mean: Option<Tensor>,
    rstd: Tensor,
}

impl Norm {
    fn gradients(&self, dy: &Tensor, sum: Option<Tensor>) -> Vec<Option<Tensor>> {
        let Norm { x, gamma, rstd, .. } = self;
        let gradients = match &self.mean {
            Some(mean) => layer_norm_backward(x, gamma.as_ref(), self.has_beta, mean, rstd, dy, sum),
            None => rms_norm_backward(x, gamma.as_ref(), rstd, dy, sum),
        };
        let NormGradients { dx, dgamma, dbeta } = crate::ok(gradients);
        std::iter::once(dx).chain(dgamma).chain(dbeta).map(Some).collect()
    }
}

impl Backward for Norm {
    fn op(&self) -> &'static Op {
        self.op
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        self.gradients(&dy, None)
    }

    fn backward_adding(self: Box<Self>, dy: Tensor, _: &[bool], sum: Tensor) -> Vec<Option<Tensor>> {
        self.gradients(&dy, Some(sum))
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        let mean = self.mean.iter().map(|mean| ("mean", mean));
        let rstd = if self.mean.is_some() { "rstd" } else { "rrms" };
        let gamma = self.gamma.iter().map(|gamma| ("gamma", gamma));
        std::iter::once(("x", &self.x)).chain(mean).chain([(rstd, &self.rstd)]).chain(gamma).collect()
    }
}

const LAYER_NORM: &Op = &Op {
    name: "layer_norm",
    formula: "y = (x − mean) / √(variance + eps) · gamma + beta",
    cases: || {
        vec![
            Case::new("plain", &[&[3, 7]], |x| x[0].layer_norm(None, None, 1e-5)),
            Case::new("gamma", &[&[2, 3, 5], &[5]], |x| x[0].layer_norm(Some(&x[1]), None, 1e-5)),
            Case::new("gamma and beta", &[&[3, 5], &[5], &[5]], |x| x[0].layer_norm(Some(&x[1]), Some(&x[2]), 1e-5)),
            Case::new("beta", &[&[3, 5], &[5]], |x| x[0].layer_norm(None, Some(&x[1]), 1e-5)),
            Case::new("a transposed view", &[&[5, 3]], |x| x[0].transpose(0, 1).layer_norm(None, None, 1e-5)),
            Case::new("no rows", &[&[0, 5], &[5]], |x| x[0].layer_norm(Some(&x[1]), None, 1e-5)),
            Case::new("in a residual stream", &[&[3, 5], &[5]], |x| {
                &x[0] + &x[0].layer_norm(Some(&x[1]), None, 1e-5).square()
            }),
        ]
    },
};

const RMS_NORM: &Op = &Op {
    name: "rms_norm",
    formula: "y = x / √(mean of x² + eps) · gamma",
    cases: || {
        vec![
            Case::new("plain", &[&[3, 7]], |x| x[0].rms_norm(None, 1e-5)),
            Case::new("gamma", &[&[2, 3, 5], &[5]], |x| x[0].rms_norm(Some(&x[1]), 1e-5)),
            Case::new("a transposed view", &[&[5, 3]], |x| x[0].transpose(0, 1).rms_norm(None, 1e-5)),
            Case::new("no rows", &[&[0, 5], &[5]], |x| x[0].rms_norm(Some(&x[1]), 1e-5)),
            Case::new("in a residual stream", &[&[3, 5], &[5]], |x| &x[0] + &x[0].rms_norm(Some(&x[1]), 1e-5).square()),
        ]
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[LAYER_NORM, RMS_NORM];
