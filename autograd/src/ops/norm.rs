//! Layer norm and RMS norm. What is saved is the input and two (or one) numbers a row; the normalised rows are cheap
//! to compute again. In a residual stream x → x + f(norm(x)) the gradient of x has come past f when that of the norm is
//! made, which is then added to it as it is written.

use crate::gradcheck::{Case, Op};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
use gradus_tensor::ops::norm::{NormGradients, layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};

impl Var {
    /// (x − mean) / √(variance + eps) · gamma + beta over the last axis.
    ///
    /// # Panics
    /// Where gamma or beta is not one number for each element of the last axis.
    #[track_caller]
    pub fn layer_norm(&self, gamma: Option<&Var>, beta: Option<&Var>, eps: f32) -> Var {
        let x = self.value();
        let weights = [gamma, beta].map(|weight| weight.map(|weight| weight.value().clone()));
        let normed = crate::ok(layer_norm(x, weights[0].as_ref(), weights[1].as_ref(), eps));
        let inputs: Vec<&Var> = [Some(self), gamma, beta].into_iter().flatten().collect();
        record(&inputs, normed.y, |_| LayerNorm {
            x: x.clone(),
            gamma: gamma.map(|gamma| gamma.value().clone()),
            has_beta: beta.is_some(),
            mean: normed.mean.expect("layer norm has a mean"),
            rstd: normed.rstd,
        })
        .with_recipe(|| {
            let x = x.clone();
            move || crate::ok(layer_norm(&x, weights[0].as_ref(), weights[1].as_ref(), eps)).y
        })
    }

    /// x / √(mean of x² + eps) · gamma over the last axis.
    ///
    /// # Panics
    /// Where gamma is not one number for each element of the last axis.
    #[track_caller]
    pub fn rms_norm(&self, gamma: Option<&Var>, eps: f32) -> Var {
        let x = self.value();
        let normed = crate::ok(rms_norm(x, gamma.map(Var::value), eps));
        let inputs: Vec<&Var> = [Some(self), gamma].into_iter().flatten().collect();
        record(&inputs, normed.y, |_| RmsNorm {
            x: x.clone(),
            gamma: gamma.map(|gamma| gamma.value().clone()),
            rrms: normed.rstd,
        })
        .with_recipe(|| {
            let (x, gamma) = (x.clone(), gamma.map(|gamma| gamma.value().clone()));
            move || crate::ok(rms_norm(&x, gamma.as_ref(), eps)).y
        })
    }
}

fn in_order(gradients: NormGradients) -> Vec<Option<Tensor>> {
    let weights = [gradients.dgamma, gradients.dbeta].into_iter().flatten();
    std::iter::once(gradients.dx).chain(weights).map(Some).collect()
}

struct LayerNorm {
    x: Tensor,
    gamma: Option<Tensor>,
    has_beta: bool,
    mean: Tensor,
    rstd: Tensor,
}

impl LayerNorm {
    fn gradients(&self, dy: &Tensor, sum: Option<Tensor>) -> Vec<Option<Tensor>> {
        let (gamma, mean, rstd) = (self.gamma.as_ref(), &self.mean, &self.rstd);
        in_order(crate::ok(layer_norm_backward(&self.x, gamma, self.has_beta, mean, rstd, dy, sum)))
    }
}

impl Backward for LayerNorm {
    fn op(&self) -> &'static Op {
        LAYER_NORM
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        self.gradients(&dy, None)
    }

    fn backward_adding(self: Box<Self>, dy: Tensor, _: &[bool], sum: Tensor) -> Vec<Option<Tensor>> {
        self.gradients(&dy, Some(sum))
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        let gamma = self.gamma.iter().map(|gamma| ("gamma", gamma));
        [("x", &self.x), ("mean", &self.mean), ("rstd", &self.rstd)].into_iter().chain(gamma).collect()
    }
}

struct RmsNorm {
    x: Tensor,
    gamma: Option<Tensor>,
    rrms: Tensor,
}

impl RmsNorm {
    fn gradients(&self, dy: &Tensor, sum: Option<Tensor>) -> Vec<Option<Tensor>> {
        in_order(crate::ok(rms_norm_backward(&self.x, self.gamma.as_ref(), &self.rrms, dy, sum)))
    }
}

impl Backward for RmsNorm {
    fn op(&self) -> &'static Op {
        RMS_NORM
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        self.gradients(&dy, None)
    }

    fn backward_adding(self: Box<Self>, dy: Tensor, _: &[bool], sum: Tensor) -> Vec<Option<Tensor>> {
        self.gradients(&dy, Some(sum))
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        let gamma = self.gamma.iter().map(|gamma| ("gamma", gamma));
        [("x", &self.x), ("rrms", &self.rrms)].into_iter().chain(gamma).collect()
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
