//! Cosines and sines of position · frequency, kept for the first positions.

use gradus_autograd::{DType, Tensor};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of later positions are computed at each use; 4096 rows of 64 frequencies are 2 MiB in `f32`.
const MOST_KEPT: usize = 4096;

/// The table of the angles t·θᵢ. Clones share what is kept of it.
#[derive(Clone, Debug)]
pub(super) struct Angles {
    frequencies: Arc<[f64]>,
    dtype: DType,
    /// cos and sin of the first positions, [T, frequencies] each.
    kept: Arc<Mutex<[Tensor; 2]>>,
}

impl Angles {
    pub(super) fn new(frequencies: Vec<f64>, dtype: DType) -> Angles {
        let none = || Tensor::zeros_of(dtype, &[0, frequencies.len()]);
        let kept = Arc::new(Mutex::new([none(), none()]));
        Angles { frequencies: frequencies.into(), dtype, kept }
    }

    /// cos(t·θᵢ) and sin(t·θᵢ), each [T, frequencies], for the positions t of the range.
    pub(super) fn cos_sin(&self, positions: Range<usize>) -> [Tensor; 2] {
        if positions.end > MOST_KEPT {
            return self.computed(positions);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept[0].shape()[0] < positions.end {
            *kept = self.computed(0..positions.end.next_power_of_two().min(MOST_KEPT));
        }
        kept.each_ref().map(|table| table.slice(0, positions.clone()))
    }

    /// The angle is made in `f64`: in `f32` it would be off by 4e-4 at position 8192.
    fn computed(&self, positions: Range<usize>) -> [Tensor; 2] {
        let shape = [positions.len(), self.frequencies.len()];
        let angles: Vec<f64> =
            positions.flat_map(|t| self.frequencies.iter().map(move |&frequency| t as f64 * frequency)).collect();
        [f64::cos, f64::sin].map(|function| {
            let values: Vec<f64> = angles.iter().map(|&angle| function(angle)).collect();
            Tensor::from_slice(&values, &shape).to_dtype(self.dtype)
        })
    }
}
