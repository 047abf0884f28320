//! The layout of a tensor, and all view algebra: how a shape maps to memory.
//!
//! Element (i₀, i₁, …) stands at `offset` + Σ iₐ·`strides[a]`. Reshape, permute, slice and broadcast make a new layout
//! over the same storage and move nothing. A broadcast axis has stride 0: every index reads the same element.

use crate::{Error, Result};
use std::ops::Range;

pub use crate::dims::{Dims, MAX_DIMS, TooManyAxes};

/// Shape, strides and offset, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    shape: Dims,
    strides: Dims,
    offset: usize,
}

#[inline(always)]
fn dims(op: &'static str, sizes: &[usize]) -> Result<Dims> {
    Dims::try_from(sizes)
        .map_err(|_| Error::new(op, "too many axes").shape(sizes).hint(format!("at most {MAX_DIMS} are supported")))
}

/// The number of elements of a shape, where it fits into the address space.
pub(crate) fn checked_len(op: &'static str, shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1_usize, |len, &size| len.checked_mul(size))
        .filter(|&len| len <= isize::MAX as usize / 8)
        .ok_or_else(|| Error::new(op, "more elements than can be addressed").shape(shape))
}

impl Layout {
    /// The row-major layout of `shape`: the last axis is contiguous.
    pub fn contiguous(shape: &[usize]) -> Result<Layout> {
        checked_len("shape", shape)?;
        let shape = dims("shape", shape)?;
        let mut strides = shape;
        let mut stride = 1;
        for axis in (0..shape.len()).rev() {
            strides[axis] = stride;
            stride *= shape[axis];
        }
        Ok(Layout { shape, strides, offset: 0 })
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The distance between neighbours along each axis, in elements.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Where the first element stands.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the elements stand side by side in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return self.is_empty();
            }
            expected *= size;
        }
        true
    }

    /// One past the last element that the layout reaches.
    pub fn end(&self) -> usize {
        if self.is_empty() {
            return self.offset;
        }
        self.offset + 1 + self.shape.iter().zip(&self.strides).map(|(size, stride)| (size - 1) * stride).sum::<usize>()
    }

    /// The same elements in the same order under another shape.
    ///
    /// # Errors
    /// Where the number of elements differs, or no strides express it (a transposed matrix read as one axis).
    pub fn reshape(&self, shape: &[usize]) -> Result<Layout> {
        let error = |problem: &str| Error::new("reshape", problem).shape(&self.shape).shape(shape);
        let len = checked_len("reshape", shape)?;
        if len != self.len() {
            return Err(error("the numbers of elements differ").hint(format!("{} ≠ {len}", self.len())));
        }
        let mut layout = Layout::contiguous(shape)?;
        layout.offset = self.offset;
        if self.is_contiguous() {
            return Ok(layout);
        }
        // Old and new axes are matched in groups of equal product; inside a group the old axes have to be one run.
        let (mut old, mut new) = (0, 0);
        while old < self.rank() && new < shape.len() {
            let (first_old, first_new) = (old, new);
            let (mut old_len, mut new_len) = (self.shape[old], shape[new]);
            (old, new) = (old + 1, new + 1);
            while old_len != new_len {
                if old_len < new_len {
                    old_len *= self.shape[old];
                    old += 1;
                } else {
                    new_len *= shape[new];
                    new += 1;
                }
            }
            let wide: Dims = (first_old..old).filter(|&axis| self.shape[axis] != 1).collect();
            let one_run = wide.windows(2).all(|w| self.strides[w[0]] == self.shape[w[1]] * self.strides[w[1]]);
            if !one_run {
                return Err(error("not possible as a view").axis(first_old).hint("call contiguous() first"));
            }
            let mut stride = wide.last().map_or(1, |&axis| self.strides[axis]);
            for axis in (first_new..new).rev() {
                layout.strides[axis] = stride;
                stride *= shape[axis];
            }
        }
        Ok(layout)
    }

    /// The axes in another order: axis i of the result is axis `axes[i]` of this.
    ///
    /// # Errors
    /// Where `axes` is no permutation of all axes.
    pub fn permute(&self, axes: &[usize]) -> Result<Layout> {
        let mut seen = [false; MAX_DIMS];
        let valid = axes.len() == self.rank()
            && axes.iter().all(|&axis| axis < self.rank() && !std::mem::replace(&mut seen[axis], true));
        if !valid {
            let hint = format!("{axes:?} is no order of {} axes", self.rank());
            return Err(Error::new("permute", "not a permutation").shape(&self.shape).hint(hint));
        }
        Ok(Layout {
            shape: axes.iter().map(|&axis| self.shape[axis]).collect(),
            strides: axes.iter().map(|&axis| self.strides[axis]).collect(),
            offset: self.offset,
        })
    }

    /// The elements `range` along `axis`.
    ///
    /// # Errors
    /// Where there is no such axis, or the range leaves it.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Layout> {
        self.check_axis("slice", axis)?;
        if range.start > range.end || range.end > self.shape[axis] {
            let hint = format!("{range:?} of {}", self.shape[axis]);
            return Err(Error::new("slice", "the range leaves the axis").shape(&self.shape).axis(axis).hint(hint));
        }
        let mut layout = self.clone();
        layout.shape[axis] = range.len();
        layout.offset += range.start * self.strides[axis];
        Ok(layout)
    }

    /// NumPy's broadcasting: shapes are aligned at their last axes; missing axes and axes of size 1 are repeated.
    ///
    /// # Errors
    /// Where an axis has another size and is not 1.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Layout> {
        let error = || Error::new("broadcast", "does not fit").shape(&self.shape).shape(shape);
        let missing = shape.len().checked_sub(self.rank()).ok_or_else(|| error().hint("fewer axes than before"))?;
        let mut strides = dims("broadcast", shape)?;
        checked_len("broadcast", shape)?;
        for (axis, &size) in shape.iter().enumerate() {
            strides[axis] = match axis.checked_sub(missing) {
                Some(own) if self.shape[own] == size => self.strides[own],
                Some(own) if self.shape[own] != 1 => {
                    return Err(error().axis(own).hint(format!("{} ≠ {size}", self.shape[own])));
                }
                _ => 0,
            };
        }
        Ok(Layout { shape: dims("broadcast", shape)?, strides, offset: self.offset })
    }

    /// Which of the axes these are; fails where there is no such axis, or one is named twice.
    pub(crate) fn check_axes(&self, op: &'static str, axes: &[usize]) -> Result<[bool; MAX_DIMS]> {
        let mut chosen = [false; MAX_DIMS];
        for &axis in axes {
            self.check_axis(op, axis)?;
            if std::mem::replace(&mut chosen[axis], true) {
                let error = Error::new(op, "an axis is named twice").shape(&self.shape).axis(axis);
                return Err(error.hint(format!("axes {axes:?}: name each once")));
            }
        }
        Ok(chosen)
    }

    /// Fails where there is no such axis.
    pub(crate) fn check_axis(&self, op: &'static str, axis: usize) -> Result<()> {
        if axis < self.rank() {
            return Ok(());
        }
        let hint = format!("axis {axis} of {}", self.rank());
        Err(Error::new(op, "no such axis").shape(&self.shape).axis(axis).hint(hint))
    }
}

/// The shape that two shapes broadcast to.
///
/// # Errors
/// Where sizes differ at an axis and neither is 1.
///
/// ```
/// use gradus_tensor::layout::broadcast_shapes;
/// assert_eq!(broadcast_shapes("add", &[8, 1, 3], &[4, 1]).unwrap()[..], [8, 4, 3]);
/// let error = broadcast_shapes("add", &[2, 3], &[4]).unwrap_err();
/// assert_eq!(error.to_string(), "add: shapes do not broadcast: [2, 3] × [4] (3 ≠ 4)");
/// ```
pub fn broadcast_shapes(op: &'static str, a: &[usize], b: &[usize]) -> Result<Dims> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |own| shape[own]);
    let mut shape = Dims::new();
    for axis in 0..rank {
        let (x, y) = (size(a, axis), size(b, axis));
        if x != y && x != 1 && y != 1 {
            let error = Error::new(op, "shapes do not broadcast").shape(a).shape(b);
            return Err(error.axis((axis + a.len()).saturating_sub(rank)).hint(format!("{x} ≠ {y}")));
        }
        shape.push(if x == 1 { y } else { x });
    }
    Ok(shape)
}
