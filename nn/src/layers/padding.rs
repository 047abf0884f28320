//! Which positions of a batch are real: sequences of different lengths are filled up to one length.

use gradus_autograd::Tensor;
use gradus_tensor::{Error, Result};
use std::ops::Range;

/// A truth value for each position of each row: no query attends to a position that is padding.
///
/// What a layer computes at padded positions is finite and means nothing; a loss leaves them out.
///
/// ```
/// use gradus_nn::layers::Padding;
/// let padding = Padding::from_lengths(&[3, 1], 3).unwrap();
/// assert_eq!(padding, Padding::new(&[true, true, true, true, false, false], 2).unwrap());
/// assert!(Padding::from_lengths(&[4], 3).unwrap_err().to_string().contains("4 positions of 3"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Padding {
    real: Vec<bool>,
    rows: usize,
}

impl Padding {
    /// `real` holds whether each position is real, [B, T] row by row: left, right or any other padding.
    ///
    /// # Errors
    /// Where the positions do not make `rows` rows of one length.
    pub fn new(real: &[bool], rows: usize) -> Result<Padding> {
        if rows == 0 && !real.is_empty() || rows > 0 && !real.len().is_multiple_of(rows) {
            let error = Error::new("padding", "the positions do not make rows of one length").shape(&[real.len()]);
            return Err(error.hint(format!("{rows} rows")));
        }
        Ok(Padding { real: real.into(), rows })
    }

    /// Rows of T positions, of which the first ones are real: as many as the length of the row.
    ///
    /// # Errors
    /// Where a length is larger than T.
    pub fn from_lengths(lengths: &[usize], t: usize) -> Result<Padding> {
        if let Some((row, length)) = lengths.iter().enumerate().find(|(_, length)| **length > t) {
            let error = Error::new("padding", format!("row {row} cannot have {length} positions of {t}"));
            return Err(error.shape(&[lengths.len(), t]).axis(1));
        }
        let real = lengths.iter().flat_map(|&length| (0..t).map(move |position| position < length)).collect();
        Ok(Padding { real, rows: lengths.len() })
    }

    /// B and T.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.real.len() / self.rows.max(1)]
    }

    /// Whether each position is real, [B, T] row by row.
    pub fn real(&self) -> &[bool] {
        &self.real
    }

    /// The mask [B, 1, 1, keys] of the keys at these positions for the sequences x [B, ..], on its device: 1 where a key is
    /// visible.
    ///
    /// # Panics
    /// Where the last of these is not its last position, or it is of another batch.
    pub(super) fn mask(&self, x: &Tensor, keys: Range<usize>) -> Tensor {
        let (batch, [b, t]) = (x.shape()[0], self.shape());
        assert!(
            b == batch && keys.end == t,
            "padding: it is of [{b}, {t}] positions, and the keys are of [{batch}, {}]",
            keys.end
        );
        let numbers: Vec<f32> = self.real.iter().map(|&real| f32::from(u8::from(real))).collect();
        Tensor::from_slice(&numbers, &[b, 1, 1, t]).to_device(x.device()).slice(3, keys)
    }
}
