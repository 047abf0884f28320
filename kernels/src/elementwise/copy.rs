//! From any strides to any strides: what `contiguous`, `concat`, `split` and a permuted copy are made of.
//!
//! The dimensions are sorted so that the output is written from front to back. Then either rows lie together on both
//! sides and are copied whole, or the copy is a transpose: read by columns, each element would cost a cache line of
//! which 15/16 are not used, so it goes by tiles of 16×16, which use every line that they touch (4096×4096 `f32`: 17.8 ms, naive
//! 112).
//!
//! Rows go in the order in which they lie in x, so that it is read from front to back: a core waits for its loads and
//! not for its stores. Large results of whole cache lines, such as those of tensors, are written past the caches, row by row
//! as bytes, for a type of any size. Tiles are not. Measurements are in docs/performance-notes-rungs.md.

use super::dims::Dims;
use crate::parallel::items_per_task;
use crate::rows::is_far;
use bytemuck::Pod;
use rayon::prelude::*;

/// The side of a tile: a cache line of `f32`.
const TILE: usize = 16;

/// The bytes of a cache line.
const LINE: usize = 64;

/// The least bytes of a row that is written past the caches: of a shorter one too large a part is no whole line.
const LONG: usize = 256;

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
pub(super) fn prepare(shape: &[usize], x: usize, x_strides: &[usize], y: usize, y_strides: &[usize]) -> Dims<2> {
    assert_no_overlap(shape, y_strides);
    Dims::new(shape, [x_strides, y_strides], [x, y]).sorted_by(1)
}

/// Rows and tiles, one thread.
pub(super) fn tiles<T: Pod>(shape: &[usize], x: &[T], x_strides: &[usize], y: &mut [T], y_strides: &[usize]) {
    copy_part(false, &prepare(shape, x.len(), x_strides, y.len(), y_strides), x, y);
}

/// Rows and tiles on all threads: a task for a few indices of the outermost dimension of the output.
pub(super) fn threads<T: Pod + Send + Sync>(
    shape: &[usize],
    x: &[T],
    x_strides: &[usize],
    y: &mut [T],
    y_strides: &[usize],
) {
    in_tasks(false, &prepare(shape, x.len(), x_strides, y.len(), y_strides), x, y);
}

/// Threads; where the result is larger than the caches, rows are written past them.
pub(super) fn streamed<T: Pod + Send + Sync>(
    shape: &[usize],
    x: &[T],
    x_strides: &[usize],
    y: &mut [T],
    y_strides: &[usize],
) {
    let dims = prepare(shape, x.len(), x_strides, y.len(), y_strides);
    let row = size_of::<T>() * dims.shape().last().unwrap_or(&0);
    let far = is_far(dims.size() * size_of::<T>() / size_of::<f32>()) && row >= LONG;
    in_tasks(far && of_whole_lines(&dims, y), &dims, x, y);
}

/// Whether every row of y begins and ends with a cache line. A line that is written in part through the caches and in
/// part past them goes to memory and back: heads at odd addresses took three times as long.
fn of_whole_lines<T>(dims: &Dims<2>, y: &[T]) -> bool {
    let whole = |elements: usize| (elements * size_of::<T>()).is_multiple_of(LINE);
    let (row, outer) = dims.shape().split_last().unwrap_or((&0, &[]));
    let strides = dims.strides().iter().map(|strides| strides[1]).take(outer.len());
    y.as_ptr().addr().is_multiple_of(LINE) && whole(*row) && strides.into_iter().all(whole)
}

fn in_tasks<T: Pod + Send + Sync>(far: bool, dims: &Dims<2>, x: &[T], y: &mut [T]) {
    let (rows, [x_stride, y_stride]) = (dims.shape()[0], dims.strides()[0]);
    let n = items_per_task(rows, dims.size() / rows.max(1));
    if n >= rows {
        return copy_part(far, dims, x, y);
    }
    // Since the output does not overlap itself, the rows of a task lie within its n · y_stride elements.
    y.par_chunks_mut(n * y_stride).take(rows.div_ceil(n)).enumerate().for_each(|(i, y)| {
        copy_part(far, &dims.with_outermost(n.min(rows - i * n)), &x[i * n * x_stride..], y);
    });
}

/// `far`: whether rows are written past the caches.
fn copy_part<T: Pod>(far: bool, dims: &Dims<2>, x: &[T], y: &mut [T]) {
    let last = dims.shape().len() - 1;
    match (dims.inner_strides(), dims.strides().iter().position(|strides| strides[0] == 1)) {
        ([1, 1], _) => copy_rows(far, dims, x, y),
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

/// Rows that are contiguous on both sides, in the order in which they lie in x: the hardware prefetcher follows the loads, and
/// no instruction waits for a store.
fn copy_rows<T: Pod>(far: bool, dims: &Dims<2>, x: &[T], y: &mut [T]) {
    let by_x = dims.sorted_by(0);
    let dims = if by_x.inner_strides() == [1, 1] { &by_x } else { dims }; // x may repeat itself
    for (len, [i, j]) in dims.runs(0..dims.size()) {
        let (x, y) = (&x[i..][..len], &mut y[j..][..len]);
        if far { stream(bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y)) } else { y.copy_from_slice(x) }
    }
    if far {
        fence();
    }
}

/// y = x, whole cache lines of y past the caches; [`fence`] has to follow.
#[cfg(target_arch = "x86_64")]
fn stream(x: &[u8], y: &mut [u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
    let head = y.as_ptr().align_offset(64).min(y.len());
    let ((x0, x), (y0, y)) = (x.split_at(head), y.split_at_mut(head));
    y0.copy_from_slice(x0);
    let ((x, x1), (y, y1)) = (x.as_chunks::<64>(), y.as_chunks_mut::<64>());
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x.as_ptr().cast::<__m128i>(), y.as_mut_ptr().cast::<__m128i>());
        // SAFETY: every x86-64 has SSE2; both arrays have 64 bytes, and y begins at a multiple of 64.
        unsafe {
            let quarters = std::array::from_fn::<_, 4, _>(|k| _mm_loadu_si128(x.add(k)));
            for (k, quarter) in quarters.into_iter().enumerate() {
                _mm_stream_si128(y.add(k), quarter);
            }
        }
    }
    y1.copy_from_slice(x1);
}

#[cfg(not(target_arch = "x86_64"))]
fn stream(x: &[u8], y: &mut [u8]) {
    y.copy_from_slice(x);
}

/// Ends a run of [`stream`]: what follows is seen after it.
fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// The dimension `column` is contiguous in x, the last one in y; the others are walked.
fn transpose<T: Pod>(dims: &Dims<2>, column: usize, x: &[T], y: &mut [T]) {
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
fn transpose_plane<T: Pod>(rows: usize, columns: usize, x: &[T], x_stride: usize, y: &mut [T], y_stride: usize) {
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
fn transpose_tile<T: Pod>(height: usize, width: usize, x: &[T], x_stride: usize, y: &mut [T], y_stride: usize) {
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
