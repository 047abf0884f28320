//! Softmax and log-softmax over any axis.

use super::{rows, run, same_shape};
use crate::error::panicking;
use crate::layout::Dims;
use crate::{Result, Tensor};

impl Tensor {
    /// y = eˣ / Σ eˣ along `axis`. A row of −∞ alone gives zeros.
    ///
    /// # Errors
    /// Where there is no such axis, or for indices.
    pub fn try_softmax(&self, axis: usize) -> Result<Tensor> {
        along(self, "softmax", axis, |x| {
            let ((rows, c), mut y) = (rows(x), x.new_empty(x.shape())?);
            run!("softmax", x, softmax::forward(rows, c, x.data(), y.data_mut()));
            Ok(y)
        })
    }

    /// y = x − ln Σ eˣ along `axis`.
    ///
    /// # Errors
    /// Where there is no such axis, or for indices.
    pub fn try_log_softmax(&self, axis: usize) -> Result<Tensor> {
        along(self, "log_softmax", axis, |x| {
            let ((rows, c), mut y) = (rows(x), x.new_empty(x.shape())?);
            run!("log_softmax", x, softmax::log_forward(rows, c, x.data(), y.data_mut()));
            Ok(y)
        })
    }
}

panicking! { Tensor {
    softmax = try_softmax(axis: usize) -> Tensor;
    log_softmax = try_log_softmax(axis: usize) -> Tensor;
} }

/// dx of [`Tensor::softmax`] from its output: dx = y ∘ (dy − Σ y∘dy).
///
/// # Errors
/// Where the shapes differ, or there is no such axis.
pub fn backward(y: &Tensor, dy: &Tensor, axis: usize) -> Result<Tensor> {
    same_shape("softmax_backward", y, dy)?;
    along(dy, "softmax_backward", axis, |dy| {
        let y = to_last(y, axis).contiguous();
        let ((rows, c), mut dx) = (rows(dy), dy.new_empty(dy.shape())?);
        run!("softmax_backward", dy, softmax::backward(rows, c, y.data(), dy.data(), dx.data_mut()));
        Ok(dx)
    })
}

/// dx of [`Tensor::log_softmax`] from its output: dx = dy − eʸ · Σ dy.
///
/// # Errors
/// Where the shapes differ, or there is no such axis.
pub fn log_backward(y: &Tensor, dy: &Tensor, axis: usize) -> Result<Tensor> {
    same_shape("log_softmax_backward", y, dy)?;
    along(dy, "log_softmax_backward", axis, |dy| {
        let y = to_last(y, axis).contiguous();
        let ((rows, c), mut dx) = (rows(dy), dy.new_empty(dy.shape())?);
        run!("log_softmax_backward", dy, softmax::log_backward(rows, c, y.data(), dy.data(), dx.data_mut()));
        Ok(dx)
    })
}

/// The kernels work on the last axis: another one is exchanged with it, which costs a copy, and back, which is a view.
fn along(x: &Tensor, op: &'static str, axis: usize, work: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    x.layout().check_axis(op, axis)?;
    Ok(to_last(&work(&to_last(x, axis).contiguous())?, axis))
}

fn to_last(x: &Tensor, axis: usize) -> Tensor {
    let mut axes: Dims = (0..x.rank()).collect();
    axes.swap(axis, x.rank() - 1);
    x.permute(&axes)
}
