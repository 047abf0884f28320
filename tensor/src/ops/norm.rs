//! Layer norm and RMS norm over the last axis.

use super::{fits_last_axis, one_per_row, rows, run, same_shape};
use crate::{Result, Tensor};
use gradus_kernels::norm;

/// The output of a norm and the statistics that its backward pass needs, one number a row each.
#[derive(Clone, Debug)]
pub struct Normed {
    /// The normalised input, times the scale, plus the bias.
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
    /// Of the bias, where there is one.
    pub dbeta: Option<Tensor>,
}

/// y = (x − mean) / √(variance + eps) · gamma + beta for each row (Ba, Kiros and Hinton 2016, eq. 4).
///
/// # Errors
/// Where gamma or beta is not one number for each element of the last axis.
pub fn layer_norm(x: &Tensor, gamma: Option<&Tensor>, beta: Option<&Tensor>, eps: f32) -> Result<Normed> {
    forward("layer_norm", true, x, [gamma, beta], eps)
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
    backward("layer_norm_backward", x, gamma, has_beta, Some(mean), rstd, dy, sum)
}

/// y = x / √(mean of x² + eps) · gamma for each row (Zhang and Sennrich 2019, eq. 4).
///
/// # Errors
/// Where gamma is not one number for each element of the last axis.
pub fn rms_norm(x: &Tensor, gamma: Option<&Tensor>, eps: f32) -> Result<Normed> {
    forward("rms_norm", false, x, [gamma, None], eps)
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
    backward("rms_norm_backward", x, gamma, false, None, rrms, dy, sum)
}

/// Layer norm, which is `centered`, or RMS norm.
fn forward(op: &'static str, centered: bool, x: &Tensor, weights: [Option<&Tensor>; 2], eps: f32) -> Result<Normed> {
    weights.iter().try_for_each(|&weight| fits_last_axis(op, x, weight))?;
    let x = x.contiguous();
    let (rows, c) = rows(&x);
    let mut y = x.new_empty(x.shape())?;
    let mut mean = centered.then(|| x.new_empty(&[rows])).transpose()?;
    let mut rstd = x.new_empty(&[rows])?;
    let [gamma, beta] = weights.map(|weight| weight.map(Tensor::contiguous));
    run!(
        op,
        x,
        norm::forward(
            norm::InputOf {
                rows,
                c,
                eps,
                x: x.data(),
                gamma: gamma.as_ref().map(|t| t.data()),
                beta: beta.as_ref().map(|t| t.data()),
            },
            norm::OutputOf { y: y.data_mut(), mean: mean.as_mut().map(|t| t.data_mut()), rstd: rstd.data_mut() },
        )
    );
    Ok(Normed { y, mean, rstd })
}

/// The gradients of layer norm, which has a mean of each row, or of RMS norm.
fn backward(
    op: &'static str,
    x: &Tensor,
    gamma: Option<&Tensor>,
    has_beta: bool,
    mean: Option<&Tensor>,
    rstd: &Tensor,
    dy: &Tensor,
    sum: Option<Tensor>,
) -> Result<NormGradients> {
    same_shape(op, x, dy)?;
    fits_last_axis(op, x, gamma)?;
    mean.into_iter().chain([rstd]).try_for_each(|statistic| one_per_row(op, x, statistic))?;
    let [x, dy, rstd] = [x, dy, rstd].map(Tensor::contiguous);
    let [gamma, mean] = [gamma, mean].map(|t| t.map(Tensor::contiguous));
    let (rows, c) = rows(&x);
    let (mut dx, add) = to_add_to(op, sum, &x)?;
    let mut dgamma = gamma.as_ref().map(|_| x.new_empty(&[c])).transpose()?;
    let mut dbeta = has_beta.then(|| x.new_empty(&[c])).transpose()?;
    run!(
        op,
        x,
        norm::backward(
            norm::BackwardInputOf {
                rows,
                c,
                x: x.data(),
                gamma: gamma.as_ref().map(|t| t.data()),
                mean: mean.as_ref().map(|t| t.data()),
                rstd: rstd.data(),
                dy: dy.data(),
            },
            norm::GradientsOf {
                dx: dx.data_mut(),
                add,
                dgamma: dgamma.as_mut().map(|t| t.data_mut()),
                dbeta: dbeta.as_mut().map(|t| t.data_mut()),
            },
        )
    );
    Ok(NormGradients { dx, dgamma, dbeta })
}

/// Where dx goes, and whether it is added to what stands there.
fn to_add_to(op: &'static str, sum: Option<Tensor>, x: &Tensor) -> Result<(Tensor, bool)> {
    let Some(mut sum) = sum else { return Ok((x.new_empty(x.shape())?, false)) };
    same_shape(op, x, &sum)?;
    sum.make_own();
    Ok((sum, true))
}
