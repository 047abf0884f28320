//! Dropout, counter-based: the mask is a function of seed, stream and position, and is never stored.

use super::run;
use crate::{Error, Result, Tensor};
pub use gradus_kernels::philox::Dropout;

/// y = x · keep / (1 − p) (Srivastava et al. 2014); applied to dy it is its own backward pass.
///
/// # Errors
/// Where p is not in [0, 1), or for indices.
pub fn apply(dropout: Dropout, x: &Tensor) -> Result<Tensor> {
    check("dropout", dropout.p)?;
    let x = x.contiguous();
    let mut y = x.new_empty(x.shape())?;
    run!("dropout", x, dropout::apply(dropout, x.data(), y.data_mut()));
    Ok(y)
}

pub(crate) fn check(op: &'static str, p: f32) -> Result<()> {
    if (0.0..1.0).contains(&p) { Ok(()) } else { Err(Error::new(op, format!("p = {p} is not in [0, 1)"))) }
}
