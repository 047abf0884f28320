//! A size or a stride for each axis.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The most axes that a tensor may have.
///
/// With six a layout has 120 bytes and is copied in registers; more than 128 bytes are copied by a call.
pub const MAX_DIMS: usize = 6;

/// At most [`MAX_DIMS`] numbers, one for each axis; a slice that needs no heap.
///
/// It is a plain value of fixed size, so that a layout is copied in registers. A list of dynamic length is copied by loops
/// and calls, which shows when a single token is decoded.
///
/// ```
/// use gradus_tensor::layout::Dims;
/// let mut dims: Dims = [2, 3].into_iter().collect();
/// dims.push(4);
/// assert_eq!(dims[..], [2, 3, 4]);
/// assert!(Dims::try_from(&[1; 7][..]).is_err());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Dims {
    /// Zeros from `rank` on.
    sizes: [usize; MAX_DIMS],
    rank: usize,
}

/// There are more than [`MAX_DIMS`] axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyAxes;

impl Dims {
    /// Those of no axes.
    pub fn new() -> Dims {
        Dims::default()
    }

    /// One more axis, the last.
    ///
    /// # Panics
    /// Where there are [`MAX_DIMS`] already.
    pub fn push(&mut self, size: usize) {
        assert!(self.rank < MAX_DIMS, "at most {MAX_DIMS} axes are supported");
        self.sizes[self.rank] = size;
        self.rank += 1;
    }

    /// More axes, after those that there are.
    ///
    /// # Errors
    /// Where they are too many.
    pub fn try_extend(&mut self, sizes: &[usize]) -> Result<(), TooManyAxes> {
        if sizes.len() > MAX_DIMS - self.rank {
            return Err(TooManyAxes);
        }
        sizes.iter().for_each(|&size| self.push(size));
        Ok(())
    }
}

impl TryFrom<&[usize]> for Dims {
    type Error = TooManyAxes;

    #[inline(always)]
    fn try_from(sizes: &[usize]) -> Result<Dims, TooManyAxes> {
        if sizes.len() > MAX_DIMS {
            return Err(TooManyAxes);
        }
        // Of known length, so that it is no call.
        Ok(Dims { sizes: std::array::from_fn(|axis| sizes.get(axis).copied().unwrap_or(0)), rank: sizes.len() })
    }
}

impl FromIterator<usize> for Dims {
    /// # Panics
    /// Where there are more than [`MAX_DIMS`].
    fn from_iter<I: IntoIterator<Item = usize>>(sizes: I) -> Dims {
        let mut dims = Dims::new();
        sizes.into_iter().for_each(|size| dims.push(size));
        dims
    }
}

impl Deref for Dims {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.sizes[..self.rank]
    }
}

impl DerefMut for Dims {
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.sizes[..self.rank]
    }
}

impl<'a> IntoIterator for &'a Dims {
    type Item = &'a usize;
    type IntoIter = std::slice::Iter<'a, usize>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}
