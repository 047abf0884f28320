//! Optimiser steps, in place and in one pass.

use super::{run, same_shape};
use crate::error::panicking;
use crate::{DType, Result, Tensor};
pub use gradus_kernels::optimizer::{AdamW, Sgd};

/// One step of AdamW on the parameter `p` with gradient `g` and moments `m` and `v`.
///
/// # Errors
/// Where the shapes or types differ.
pub fn adamw(options: AdamW, p: &mut Tensor, g: &Tensor, m: &mut Tensor, v: &mut Tensor) -> Result<()> {
    for other in [g, &*m, &*v] {
        same_shape("adamw", p, other)?;
    }
    let g = g.contiguous();
    [&mut *p, &mut *m, &mut *v].into_iter().for_each(Tensor::make_own);
    run!("adamw", g, optimizer::adamw(options, p.data_mut(), g.data(), m.data_mut(), v.data_mut()));
    Ok(())
}

/// One step of SGD with momentum on the parameter `p`.
///
/// # Errors
/// Where the shapes or types differ.
pub fn sgd(options: Sgd, p: &mut Tensor, g: &Tensor, velocity: &mut Tensor) -> Result<()> {
    same_shape("sgd", p, g)?;
    same_shape("sgd", p, velocity)?;
    let g = g.contiguous();
    [&mut *p, &mut *velocity].into_iter().for_each(Tensor::make_own);
    run!("sgd", g, optimizer::sgd(options, p.data_mut(), g.data(), velocity.data_mut()));
    Ok(())
}

impl Tensor {
    /// Σ x², a scalar tensor in `f64` on the device of x. The root of the sum over all gradients is the norm that clipping uses.
    ///
    /// # Errors
    /// For indices.
    pub fn try_sum_of_squares(&self) -> Result<Tensor> {
        let x = self.contiguous();
        let mut sum = x.new_empty_of(DType::F64, &[])?;
        run!("sum_of_squares", x, optimizer::sum_of_squares_to(x.data(), sum.data_mut()));
        Ok(sum)
    }
}

panicking! { Tensor {
    sum_of_squares = try_sum_of_squares() -> Tensor;
} }
