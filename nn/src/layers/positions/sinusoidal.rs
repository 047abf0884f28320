//! Fixed waves: each pair of channels is a point on a circle that turns with the position.

use super::angles::Angles;
use crate::layers::InvalidConfig;
use crate::layers::invalid_config::require;
use gradus_autograd::{DType, Var};
use std::ops::Range;

/// PE(t, 2i) = sin(t·θᵢ) and PE(t, 2i + 1) = cos(t·θᵢ) with θᵢ = 10000^(−2i/C) (Vaswani et al. 2017, section 3.5), added to
/// the embedding at position t. PE(t + k) is a rotation of PE(t) that depends on k alone. There are no parameters, and no
/// position is the last one.
///
/// ```
/// use gradus_autograd::DType;
/// use gradus_nn::layers::SinusoidalPositions;
/// let rows = SinusoidalPositions::new(4, DType::F64).unwrap().forward(1..2);
/// assert_eq!(rows.value().to_vec::<f64>(), [1_f64.sin(), 1_f64.cos(), 0.01_f64.sin(), 0.01_f64.cos()]);
/// ```
#[derive(Clone, Debug)]
pub struct SinusoidalPositions {
    angles: Angles,
    width: usize,
}

impl SinusoidalPositions {
    /// Rows of `width` channels in this type.
    ///
    /// # Errors
    /// Where the width is odd: sines and cosines come in pairs.
    pub fn new(width: usize, dtype: DType) -> Result<SinusoidalPositions, InvalidConfig> {
        require(width.is_multiple_of(2), || {
            format!("sinusoidal positions fill pairs of channels: the width {width} is odd")
        })?;
        let frequency = |i: usize| 10_000_f64.powf(-((2 * i) as f64) / width as f64);
        Ok(SinusoidalPositions { angles: Angles::new((0..width / 2).map(frequency).collect(), dtype), width })
    }

    /// The rows [T, C] of these positions.
    pub fn forward(&self, positions: Range<usize>) -> Var {
        let t = positions.len();
        let [cos, sin] =
            self.angles.cos_sin(positions).map(|table| Var::constant(table.reshape(&[t, self.width / 2, 1])));
        Var::concat(&[&sin, &cos], 2).reshape(&[t, self.width])
    }
}
