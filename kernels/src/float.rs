//! The two number types that a kernel is written for.

use std::{fmt, iter::Sum};

/// `f32`, the working type, or `f64`, the type of the oracle.
///
/// The naive rung of every operation is generic over this trait. In `f64` it is the oracle that every faster rung is
/// measured against, and what whole layers are gradient-checked with.
pub trait Float:
    num_traits::Float + num_traits::NumAssign + Sum + Default + fmt::Debug + fmt::Display + Send + Sync + 'static
{
    /// The nearest value of this type.
    fn of(x: f64) -> Self;
    /// The same value in `f64`.
    fn f64(self) -> f64;
    /// The error function, erf(x) = 2/√π · ∫₀ˣ e^(−t²) dt.
    fn erf(self) -> Self;
}

impl Float for f32 {
    fn of(x: f64) -> f32 {
        x as f32
    }
    fn f64(self) -> f64 {
        f64::from(self)
    }
    fn erf(self) -> f32 {
        libm::erff(self)
    }
}

impl Float for f64 {
    fn of(x: f64) -> f64 {
        x
    }
    fn f64(self) -> f64 {
        self
    }
    fn erf(self) -> f64 {
        libm::erf(self)
    }
}
