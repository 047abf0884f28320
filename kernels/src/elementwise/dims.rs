//! Walking over K strided operands at once, without the heap.
//!
//! Dimensions that lie behind each other in memory in all operands are merged first, so that most calls end up with
//! one long row. The walk yields whole rows, so that a kernel's inner loop is a plain one.

use std::ops::Range;

/// The most dimensions that a shape may have.
pub const MAX_DIMS: usize = 8;

/// A shape, and the strides of K operands over it; never of rank 0, never with two dimensions that could be one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dims<const K: usize> {
    rank: usize,
    shape: [usize; MAX_DIMS],
    strides: [[usize; K]; MAX_DIMS],
}

impl<const K: usize> Dims<K> {
    /// Merges what can be merged, and asserts that operand k, of `lens[k]` elements, holds all that its strides reach.
    ///
    /// # Panics
    /// Where a shape has over [`MAX_DIMS`] dimensions, strides are missing, or an operand is too short.
    pub fn new(shape: &[usize], strides: [&[usize]; K], lens: [usize; K]) -> Dims<K> {
        assert!(shape.len() <= MAX_DIMS, "at most {MAX_DIMS} dimensions, not {shape:?}");
        for k in 0..K {
            assert_eq!(
                strides[k].len(),
                shape.len(),
                "operand {k} has strides {:?} for the shape {shape:?}",
                strides[k]
            );
            let reach = reach(shape, strides[k]);
            assert!(
                reach.is_some_and(|reach| reach <= lens[k]),
                "operand {k} has {} elements, too few for the shape {shape:?} at strides {:?}",
                lens[k],
                strides[k]
            );
        }
        let mut dims = Dims { rank: 0, shape: [0; MAX_DIMS], strides: [[0; K]; MAX_DIMS] };
        if size(shape) == 0 {
            dims.push(0, [1; K]);
            return dims;
        }
        for (i, &n) in shape.iter().enumerate() {
            dims.push(n, std::array::from_fn(|k| strides[k][i]));
        }
        dims.or_one()
    }

    /// Adds an innermost dimension, or widens the last one where the new one lies behind it in all operands.
    fn push(&mut self, n: usize, strides: [usize; K]) {
        if n == 1 {
            return;
        }
        if self.rank > 0 {
            let last = self.rank - 1;
            if (0..K).all(|k| strides[k].checked_mul(n) == Some(self.strides[last][k])) {
                self.shape[last] *= n;
                self.strides[last] = strides;
                return;
            }
        }
        self.shape[self.rank] = n;
        self.strides[self.rank] = strides;
        self.rank += 1;
    }

    /// The same with the dimensions sorted: the stride of `operand` falls from outermost to innermost.
    pub fn sorted_by(&self, operand: usize) -> Dims<K> {
        let mut order = [0, 1, 2, 3, 4, 5, 6, 7];
        order[..self.rank].sort_unstable_by_key(|&i| std::cmp::Reverse(self.strides[i][operand]));
        let mut sorted = Dims { rank: 0, shape: [0; MAX_DIMS], strides: [[0; K]; MAX_DIMS] };
        for &i in &order[..self.rank] {
            sorted.push(self.shape[i], self.strides[i]);
        }
        sorted.or_one()
    }

    /// The sizes of the merged dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape[..self.rank]
    }

    /// The strides of the merged dimensions, K for each.
    pub fn strides(&self) -> &[[usize; K]] {
        &self.strides[..self.rank]
    }

    /// The number of elements.
    pub fn size(&self) -> usize {
        self.shape().iter().product()
    }

    /// One more than the largest offset of an operand that has elements.
    pub fn reach(&self, operand: usize) -> usize {
        let last = |i: usize| (self.shape[i] - 1) * self.strides[i][operand];
        1 + (0..self.rank).map(last).sum::<usize>()
    }

    /// The strides within a row.
    #[inline(always)]
    pub fn inner_strides(&self) -> [usize; K] {
        self.strides[self.rank - 1]
    }

    /// Only the first `n` of the outermost dimension.
    pub fn with_outermost(&self, n: usize) -> Dims<K> {
        let mut part = *self;
        part.shape[0] = n;
        part
    }

    /// Index 0 of the dimensions `i` and `j`, all of the others.
    pub fn without(&self, i: usize, j: usize) -> Dims<K> {
        let mut rest = Dims { rank: 0, shape: [0; MAX_DIMS], strides: [[0; K]; MAX_DIMS] };
        for k in (0..self.rank).filter(|&k| k != i && k != j) {
            rest.push(self.shape[k], self.strides[k]);
        }
        rest.or_one()
    }

    /// Rank 0 as one row of one element.
    fn or_one(mut self) -> Dims<K> {
        if self.rank == 0 {
            (self.rank, self.shape[0], self.strides[0]) = (1, 1, [1; K]);
        }
        self
    }

    /// The pieces of rows in a range of the row-major index.
    #[inline(always)]
    pub fn runs(&self, range: Range<usize>) -> Runs<'_, K> {
        let (mut index, mut offsets, mut rest) = ([0; MAX_DIMS], [0; K], range.start);
        if !range.is_empty() {
            for i in (0..self.rank).rev() {
                index[i] = rest % self.shape[i];
                rest /= self.shape[i];
                for (offset, stride) in offsets.iter_mut().zip(self.strides[i]) {
                    *offset += index[i] * stride;
                }
            }
        }
        Runs { dims: self, index, offsets, left: range.len() }
    }
}

/// The number of elements of a shape.
///
/// # Panics
/// Where it is no `usize`.
pub(crate) fn size(shape: &[usize]) -> usize {
    if shape.contains(&0) {
        return 0;
    }
    shape.iter().try_fold(1, |n: usize, &d| n.checked_mul(d)).unwrap_or_else(|| panic!("{shape:?} has no size"))
}

/// How many elements an operand must have for a shape at these strides; `None` where that is no `usize`.
fn reach(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().zip(strides).try_fold(1_usize, |reach, (&n, &stride)| reach.checked_add((n - 1).checked_mul(stride)?))
}

/// See [`Dims::runs`].
pub(crate) struct Runs<'a, const K: usize> {
    dims: &'a Dims<K>,
    index: [usize; MAX_DIMS],
    offsets: [usize; K],
    left: usize,
}

impl<const K: usize> Iterator for Runs<'_, K> {
    /// The length of the piece, and where it begins in each operand.
    type Item = (usize, [usize; K]);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, [usize; K])> {
        if self.left == 0 {
            return None;
        }
        let mut i = self.dims.rank - 1;
        let len = (self.dims.shape[i] - self.index[i]).min(self.left);
        let run = (len, self.offsets);
        self.left -= len;
        self.step(i, len);
        while self.index[i] == self.dims.shape[i] && i > 0 {
            self.index[i] = 0;
            for k in 0..K {
                let back = self.dims.shape[i].wrapping_mul(self.dims.strides[i][k]);
                self.offsets[k] = self.offsets[k].wrapping_sub(back);
            }
            i -= 1;
            self.step(i, 1);
        }
        Some(run)
    }
}

impl<const K: usize> Runs<'_, K> {
    /// Moves on in one dimension; one step past the end of an operand may wrap, and is taken back or not used.
    #[inline(always)]
    fn step(&mut self, i: usize, by: usize) {
        self.index[i] += by;
        for k in 0..K {
            self.offsets[k] = self.offsets[k].wrapping_add(by.wrapping_mul(self.dims.strides[i][k]));
        }
    }
}
