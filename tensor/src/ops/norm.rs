//! Layer norm and RMS norm over the last axis.

use super::{fits_last_axis, one_per_row, rows, run, same_shape};
use crate::{Result, Tensor};
use gradus_kernels::{layer_norm, rms_norm};

/// The output of a norm and the statistics that its backward pass needs, one number a row each.
#[derive(Clone, Debug)]
pub struct Normed {
    /// The normalised, scaled and shifted input.
    pub y: Tensor,
    /// The mean of each row; `None` for RMS norm.
    pub mean: Option<Tensor>,
    /// 1 / standard deviation of each row; 1 / root mean square for RMS norm.
    pub rstd: Tensor,
}

/// The gradients of a norm.
#[derive(Clone, Debug)]
pub struct NormGradients {
    /// Of the input.
    pub dx: Tensor,
    /// Of the scale, where there is one.
    pub dgamma: Option<Tensor>,
    /// Of the shift, where there is one.
    pub dbeta: Option<Tensor>,
}

/// y = (x − mean) / √(variance + eps) · gamma + beta for each row (Ba, Kiros and Hinton 2016, eq. 4).
///
/// # Errors
/// Where gamma or beta is not one number for each element of the last axis.
pub fn layer_norm(x: &Tensor, gamma: Option<&Tensor>, beta: Option<&Tensor>, eps: f32) -> Result<Normed> {
    fits_last_axis("layer_norm", x, gamma)?;
    fits_last_axis("layer_norm", x, beta)?;
    let x = x.contiguous();
    let (rows, c) = rows(&x);
    let mut y = x.new_empty(x.shape())?;
    let (mut mean, mut rstd) = (x.new_empty(&[rows])?, x.new_empty(&[rows])?);
    let (gamma, beta) = (gamma.map(Tensor::contiguous), beta.map(Tensor::contiguous));
    run!(
        "layer_norm",
        x,
        layer_norm::forward(
            layer_norm::Input {
                rows,
                c,
                eps,
                x: x.data(),
                gamma: gamma.as_ref().map(|t| t.data()),
                beta: beta.as_ref().map(|t| t.data()),
            },
            layer_norm::Output { y: y.data_mut(), mean: mean.data_mut(), rstd: rstd.data_mut() },
        )
    );
    Ok(Normed { y, mean: Some(mean), rstd })
}

/// The gradients of [`layer_norm()`]; that of beta where `has_beta` is set. That of x is added to `sum`, in its memory
/// where nobody shares it.
///
/// # Errors
/// Where the shapes do not fit.
pub fn layer_norm_backward(
    x: &Tensor,
    gamma: Option<&Tensor>,
    has_beta: bool,
    mean: &Tensor,
    rstd: &Tensor,
    dy: &Tensor,
    sum: Option<Tensor>,
) -> Result<NormGradients> {
    same_shape("layer_norm_backward", x, dy)?;
    fits_last_axis("layer_norm_backward", x, gamma)?;
    one_per_row("layer_norm_backward", x, mean)?;
    one_per_row("layer_norm_backward", x, rstd)?;
    let [x, dy, mean, rstd] = [x, dy, mean, rstd].map(Tensor::contiguous);
    let (rows, c) = rows(&x);
    let (mut dx, add) = to_add_to("layer_norm_backward", sum, &x)?;
    let gamma = gamma.map(Tensor::contiguous);
    let mut dgamma = gamma.as_ref().map(|_| x.new_empty(&[c])).transpose()?;
    let mut dbeta = has_beta.then(|| x.new_empty(&[c])).transpose()?;
    run!(
        "layer_norm_backward",
        x,
        layer_norm::backward(
            layer_norm::BackwardInput {
                rows,
                c,
                x: x.data(),
                gamma: gamma.as_ref().map(|t| t.data()),
                mean: mean.data(),
                rstd: rstd.data(),
                dy: dy.data(),
            },
            layer_norm::Gradients {
                dx: dx.data_mut(),
                add,
                dgamma: dgamma.as_mut().map(|t| t.data_mut()),
                dbeta: dbeta.as_mut().map(|t| t.data_mut()),
            },
        )
    );
    Ok(NormGradients { dx, dgamma, dbeta })
}

/// y = x / √(mean of x² + eps) · gamma for each row (Zhang and Sennrich 2019, eq. 4).
///
/// # Errors
/// Where gamma is not one number for each element of the last axis.
pub fn rms_norm(x: &Tensor, gamma: Option<&Tensor>, eps: f32) -> Result<Normed> {
    fits_last_axis("rms_norm", x, gamma)?;
    let x = x.contiguous();
    let (rows, c) = rows(&x);
    let (mut y, mut rrms) = (x.new_empty(x.shape())?, x.new_empty(&[rows])?);
    let gamma = gamma.map(Tensor::contiguous);
    run!(
        "rms_norm",
        x,
        rms_norm::forward(
            rms_norm::Input { rows, c, eps, x: x.data(), gamma: gamma.as_ref().map(|t| t.data()) },
            rms_norm::Output { y: y.data_mut(), rrms: rrms.data_mut() },
        )
    );
    Ok(Normed { y, mean: None, rstd: rrms })
}

/// The gradients of [`rms_norm()`]. That of x is added to `sum`, in its memory where nobody shares it.
///
/// # Errors
/// Where the shapes do not fit.
pub fn rms_norm_backward(
    x: &Tensor,
    gamma: Option<&Tensor>,
    rrms: &Tensor,
    dy: &Tensor,
    sum: Option<Tensor>,
) -> Result<NormGradients> {
    same_shape("rms_norm_backward", x, dy)?;
    fits_last_axis("rms_norm_backward", x, gamma)?;
    one_per_row("rms_norm_backward", x, rrms)?;
    let [x, dy, rrms] = [x, dy, rrms].map(Tensor::contiguous);
    let (rows, c) = rows(&x);
    let (mut dx, add) = to_add_to("rms_norm_backward", sum, &x)?;
    let gamma = gamma.map(Tensor::contiguous);
    let mut dgamma = gamma.as_ref().map(|_| x.new_empty(&[c])).transpose()?;
    run!(
        "rms_norm_backward",
        x,
        rms_norm::backward(
            rms_norm::BackwardInput {
                rows,
                c,
                x: x.data(),
                gamma: gamma.as_ref().map(|t| t.data()),
                rrms: rrms.data(),
                dy: dy.data(),
            },
            rms_norm::Gradients { dx: dx.data_mut(), add, dgamma: dgamma.as_mut().map(|t| t.data_mut()) },
        )
    );
    Ok(NormGradients { dx, dgamma, dbeta: None })
}

/// Where dx goes, and whether it is added to what stands there.
fn to_add_to(op: &'static str, sum: Option<Tensor>, x: &Tensor) -> Result<(Tensor, bool)> {
    let Some(mut sum) = sum else { return Ok((x.new_empty(x.shape())?, false)) };
    same_shape(op, x, &sum)?;
    sum.make_own();
    Ok((sum, true))
}
