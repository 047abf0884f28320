//! Optimiser steps, in place and in one pass.

use super::{run, same_shape};
use crate::{Result, Tensor};
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
    run!("adamw", g.dtype(), optimizer::adamw(options, p.make_mut(), g.data(), m.make_mut(), v.make_mut()));
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
    run!("sgd", g.dtype(), optimizer::sgd(options, p.make_mut(), g.data(), velocity.make_mut()));
    Ok(())
}

impl Tensor {
    /// Σ x², in `f64`: its root is the norm that gradients are clipped by.
    ///
    /// # Panics
    /// For indices.
    pub fn sum_of_squares(&self) -> f64 {
        fn sum(x: &Tensor) -> Result<f64> {
            Ok(run!("sum_of_squares", x.dtype(), optimizer::sum_of_squares(x.data())))
        }
        sum(&self.contiguous()).unwrap_or_else(|error| panic!("{error}"))
    }
}
