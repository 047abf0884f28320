//! From any strides to any strides: what `contiguous`, `concat`, `split` and a permuted copy are made of.
//!
//! The dimensions are sorted so that the output is written from front to back. Then either rows lie together on both
//! sides and are copied whole, or the copy is a transpose: read by columns, each element would cost a cache line of
//! which 15/16 are thrown away, so it goes by tiles of 16×16, which use every line that they touch.
//!
//! Nothing here writes past the caches, though it would pay for large copies as they come: 28 GB/s at 16384×1536, where
//! such a copy makes 47. A type of any size has no vector store, and no step of training makes such a copy.
//!
//! Measured, 2 threads of a Zen 4: transpose of 4096×4096 `f32` 17.8 ms (naive 112), as it comes 100 MB 5.4 ms.

use super::dims::Dims;
use crate::parallel::items_per_task;
use rayon::prelude::*;

/// The side of a tile: a cache line of `f32`.
const TILE: usize = 16;

/// # Panics
/// Where two indices may lead to one element: sorted by stride, every stride has to pass over all of the smaller ones.
pub(super) fn assert_no_overlap(shape: &[usize], strides: &[usize]) {
    let mut reach = 0_usize; // the largest offset of the dimensions seen so far
    let mut last = None;
    if shape.len() != strides.len() || shape.contains(&0) {
        return; // nothing is written, or Dims::new panics
    }
    let next = |last: Option<(usize, usize)>| {
        let dims = shape.iter().zip(strides).enumerate().filter(|(_, (n, _))| **n > 1).map(|(i, (_, &s))| (s, i));
        dims.filter(|&dim| last.is_none_or(|last| dim > last)).min()
    };
    while let Some((stride, i)) = next(last) {
        assert!(stride > reach, "the output overlaps itself: shape {shape:?} at strides {strides:?}");
        reach = reach.saturating_add(stride.saturating_mul(shape[i] - 1));
        last = Some((stride, i));
    }
}

/// The sorted dimensions of x and y, asserted.
fn prepare(shape: &[usize], x: usize, x_strides: &[usize], y: usize, y_strides: &[usize]) -> Dims<2> {
    assert_no_overlap(shape, y_strides);
    Dims::new(shape, [x_strides, y_strides], [x, y]).sorted_by(1)
}

/// Rows and tiles, one thread.
pub(super) fn tiles<T: Copy>(shape: &[usize], x: &[T], x_strides: &[usize], y: &mut [T], y_strides: &[usize]) {
    copy_part(&prepare(shape, x.len(), x_strides, y.len(), y_strides), x, y);
}

/// Rows and tiles on all threads: a task for a few indices of the outermost dimension of the output.
pub(super) fn threads<T: Copy + Send + Sync>(
    shape: &[usize],
    x: &[T],
    x_strides: &[usize],
    y: &mut [T],
    y_strides: &[usize],
) {
    let dims = prepare(shape, x.len(), x_strides, y.len(), y_strides);
    let (rows, [x_stride, y_stride]) = (dims.shape()[0], dims.strides()[0]);
    let n = items_per_task(rows, dims.size() / rows.max(1));
    if n >= rows {
        return copy_part(&dims, x, y);
    }
    // Since the output does not overlap itself, the rows of a task lie within its n · y_stride elements.
    y.par_chunks_mut(n * y_stride).take(rows.div_ceil(n)).enumerate().for_each(|(i, y)| {
        copy_part(&dims.with_outermost(n.min(rows - i * n)), &x[i * n * x_stride..], y);
    });
}

fn copy_part<T: Copy>(dims: &Dims<2>, x: &[T], y: &mut [T]) {
    let last = dims.shape().len() - 1;
    match (dims.inner_strides(), dims.strides().iter().position(|strides| strides[0] == 1)) {
        ([1, 1], _) => {
            for (len, [i, j]) in dims.runs(0..dims.size()) {
                y[j..][..len].copy_from_slice(&x[i..][..len]);
            }
        }
        ([_, 1], Some(column)) if column != last => transpose(dims, column, x, y),
        ([x_stride, y_stride], _) => {
            for (len, [i, j]) in dims.runs(0..dims.size()) {
                for k in 0..len {
                    y[j + k * y_stride] = x[i + k * x_stride];
                }
            }
        }
    }
}

/// The dimension `column` is contiguous in x, the last one in y; the others are walked.
fn transpose<T: Copy>(dims: &Dims<2>, column: usize, x: &[T], y: &mut [T]) {
    let last = dims.shape().len() - 1;
    let (rows, columns) = (dims.shape()[column], dims.shape()[last]);
    let (y_stride, x_stride) = (dims.strides()[column][1], dims.strides()[last][0]);
    let outer = dims.without(last, column);
    for (len, [x0, y0]) in outer.runs(0..outer.size()) {
        let [x_step, y_step] = outer.inner_strides();
        for k in 0..len {
            let (x, y) = (&x[x0 + k * x_step..], &mut y[y0 + k * y_step..]);
            transpose_plane(rows, columns, x, x_stride, y, y_stride);
        }
    }
}

/// y[r·y_stride + c] = x[r + c·x_stride]
fn transpose_plane<T: Copy>(rows: usize, columns: usize, x: &[T], x_stride: usize, y: &mut [T], y_stride: usize) {
    for r in (0..rows).step_by(TILE) {
        for c in (0..columns).step_by(TILE) {
            let (height, width) = (TILE.min(rows - r), TILE.min(columns - c));
            transpose_tile(height, width, &x[r + c * x_stride..], x_stride, &mut y[r * y_stride + c..], y_stride);
        }
    }
}

/// By way of a copy in the first-level cache: each line of x and of y is touched once, so that it does not matter
/// whether lines a power of two apart can stay there together.
#[inline]
fn transpose_tile<T: Copy>(height: usize, width: usize, x: &[T], x_stride: usize, y: &mut [T], y_stride: usize) {
    let mut tile = [[x[0]; TILE]; TILE];
    if (height, width) == (TILE, TILE) {
        for (c, column) in tile.iter_mut().enumerate() {
            column.copy_from_slice(&x[c * x_stride..][..TILE]);
        }
        for r in 0..TILE {
            let row: [T; TILE] = std::array::from_fn(|c| tile[c][r]);
            y[r * y_stride..][..TILE].copy_from_slice(&row);
        }
    } else {
        for r in 0..height {
            for c in 0..width {
                y[r * y_stride + c] = x[r + c * x_stride];
            }
        }
    }
}
