//! Casts: the same numbers in another type, and one number for all elements.
//!
//! - [`cast`]: yᵢ = xᵢ in the type of y, rounded to nearest; an index type drops fractions and holds what is below its
//!   range at 0;
//! - [`fill`]: yᵢ = value.
//!
//! There is no ladder here. An element takes one or two instructions, so both are bound by memory: `size_of` both types
//! for each element. From `f32` to bf16 is the one that models do (weights that are stored, keys and values of a cache);
//! it goes through the vectors of [`crate::simd::bf16::round_all`].
//!
//! In bf16 denormal numbers become zero, as in the instructions that compute with it ([`crate::simd::bf16`]).

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(test)]
mod tests;

use crate::simd::bf16::{round, round_all};
use crate::{Bf16Isa, parallel::items_per_task};
use bytemuck::Pod;
use half::bf16;
use rayon::prelude::*;
use std::any::TypeId;

/// An element type of tensors.
pub trait Number: Pod + Send + Sync {
    /// The same number; every type here fits into `f64`.
    fn to_f64(self) -> f64;
    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;
}

impl Number for f32 {
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
}

impl Number for f64 {
    fn to_f64(self) -> f64 {
        self
    }
    fn from_f64(x: f64) -> f64 {
        x
    }
}

impl Number for bf16 {
    fn to_f64(self) -> f64 {
        bf16::to_f64(self)
    }
    fn from_f64(x: f64) -> bf16 {
        round(x as f32)
    }
}

impl Number for u32 {
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn from_f64(x: f64) -> u32 {
        x as u32
    }
}

/// yᵢ = xᵢ in another type.
///
/// # Panics
/// Where the lengths differ.
///
/// ```
/// let mut y = [0_u32; 3];
/// gradus_kernels::cast::cast(&[1.9_f32, 0.0, -1.0], &mut y);
/// assert_eq!(y, [1, 0, 0]);
/// ```
pub fn cast<X: Number, Y: Number>(x: &[X], y: &mut [Y]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    let per_task = items_per_task(x.len(), 1);
    if per_task >= x.len() {
        return cast_part(x, y);
    }
    y.par_chunks_mut(per_task).zip(x.par_chunks(per_task)).for_each(|(y, x)| cast_part(x, y));
}

fn cast_part<X: Number, Y: Number>(x: &[X], y: &mut [Y]) {
    if (TypeId::of::<X>(), TypeId::of::<Y>()) == (TypeId::of::<f32>(), TypeId::of::<bf16>()) {
        return round_all(Bf16Isa::active(), bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y));
    }
    for (y, &x) in y.iter_mut().zip(x) {
        *y = Y::from_f64(x.to_f64());
    }
}

/// yᵢ = value, rounded to the type of y.
///
/// ```
/// let mut y = [0_f32; 2];
/// gradus_kernels::cast::fill(0.5, &mut y);
/// assert_eq!(y, [0.5, 0.5]);
/// ```
pub fn fill<Y: Number>(value: f64, y: &mut [Y]) {
    y.fill(Y::from_f64(value));
}
