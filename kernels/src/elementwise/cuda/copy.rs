//! From any strides to any strides, for elements of 2, 4 and 8 bytes, which are moved as numbers of as many bits.

use super::{
    NAIVE, NAIVE_IDEA, ROWS, THREADS, TILES,
    strided::{Rows, axes, rows},
};
use crate::cuda::{Capability, CudaRung, Gpu, Result, Size, Slice, SliceMut, narrow};
use crate::elementwise::{MAX_DIMS, copy::prepare, dims::Dims};
use bytemuck::Pod;

/// A rung of [`copy()`]: `(gpu, shape, x, x_strides, y, y_strides)`
pub type Copy<E = f32> = fn(&Gpu, &[usize], Slice<'_, E>, &[usize], SliceMut<'_, E>, &[usize]) -> Result<()>;

const ROWS_IDEA: &str = "rows that lie together on both sides are moved by 16 bytes a thread, for elements of any size";
const TILES_IDEA: &str =
    "what transposes goes by tiles of 32×32 through shared memory, so that both sides are coalesced";

/// The ladder of [`copy()`].
pub static COPY_CUDA_RUNGS: [CudaRung<Copy>; 3] = rungs();

/// The ladder for elements of any type.
const fn rungs<E: Pod>() -> [CudaRung<Copy<E>>; 3] {
    macro_rules! rung {
        ($name:literal, $idea:ident, $walk:ident) => {
            CudaRung {
                name: $name,
                idea: $idea,
                run: |gpu, shape, x, p, y, q| $walk(gpu, &prepare(shape, x.len(), p, y.len(), q), x, y),
                needs: Capability::SM_75,
            }
        };
    }
    [
        rung!("naive", NAIVE_IDEA, elements),
        rung!("rows", ROWS_IDEA, rows_or_elements),
        rung!("tiles", TILES_IDEA, tiles_or_rows),
    ]
}

/// The side of a tile, and its threads.
const TILE: usize = 32;
const TILE_THREADS: [u32; 3] = [32, 8, 1];

/// The kernel of three for elements of this size.
fn by_size<E>(names: [&'static str; 3]) -> &'static str {
    match size_of::<E>() {
        2 => names[0],
        4 => names[1],
        8 => names[2],
        bytes => panic!("copies on CUDA are of elements of 2, 4 or 8 bytes, not {bytes}"),
    }
}

/// Element by element, in the order in which they lie in y.
fn elements<E: Pod>(gpu: &Gpu, dims: &Dims<2>, x: Slice<'_, E>, y: SliceMut<'_, E>) -> Result<()> {
    let (rank, shape, strides) = axes::<2, { 2 * MAX_DIMS }>(dims, dims.shape().len())?;
    let (size, n) = (Size::threads(dims.size(), THREADS)?, narrow("the number of elements", dims.size())?);
    let name = by_size::<E>(["elementwise_naive_copy_2", "elementwise_naive_copy_4", "elementwise_naive_copy_8"]);
    // SAFETY: threads past the last element return, and `Dims` has checked that x and y hold all that their strides reach; no
    // element of y is written twice. The kernel moves numbers of as many bytes as an element.
    unsafe { gpu.launch(&NAIVE, name, size, (n, rank, shape, strides, x, y)) }
}

/// Rows where they lie together on both sides, and elements elsewhere.
fn rows_or_elements<E: Pod>(gpu: &Gpu, dims: &Dims<2>, x: Slice<'_, E>, y: SliceMut<'_, E>) -> Result<()> {
    if dims.inner_strides() != [1, 1] {
        return elements(gpu, dims, x, y);
    }
    let name = by_size::<E>(["elementwise_rows_copy_2", "elementwise_rows_copy_4", "elementwise_rows_copy_8"]);
    let Rows { parts, row_parts, len, outer, size } = rows(dims, 16 / size_of::<E>())?;
    let (rank, shape, strides) = axes::<2, { 2 * MAX_DIMS }>(dims, outer)?;
    // SAFETY: a thread stays within its row, threads past the last part return, and `Dims` has checked that x and y hold all that their
    // strides reach; no element of y is written twice. The kernel moves numbers of as many bytes as an element.
    unsafe { gpu.launch(&ROWS, name, size, (parts, row_parts, len, rank, shape, strides, x, y)) }
}

/// Tiles where the axis that is contiguous in x is another than in y, and rows or elements elsewhere.
fn tiles_or_rows<E: Pod>(gpu: &Gpu, dims: &Dims<2>, x: Slice<'_, E>, y: SliceMut<'_, E>) -> Result<()> {
    let last = dims.shape().len() - 1;
    match (dims.inner_strides(), dims.strides().iter().position(|strides| strides[0] == 1)) {
        ([x_step, 1], Some(column)) if x_step != 1 && column != last => transpose(gpu, dims, column, x, y),
        _ => rows_or_elements(gpu, dims, x, y),
    }
}

/// The axis `column` is contiguous in x, the last one in y; the others are walked, a plane after the other.
fn transpose<E: Pod>(gpu: &Gpu, dims: &Dims<2>, column: usize, x: Slice<'_, E>, y: SliceMut<'_, E>) -> Result<()> {
    let last = dims.shape().len() - 1;
    let (rows, columns) = (dims.shape()[column], dims.shape()[last]);
    let (y_stride, x_stride) = (dims.strides()[column][1] as u64, dims.strides()[last][0] as u64);
    let outer = dims.without(last, column);
    let (rank, shape, strides) = axes::<2, { 2 * MAX_DIMS }>(&outer, outer.shape().len())?;
    let tiles = rows.div_ceil(TILE) * columns.div_ceil(TILE) * outer.size();
    let size = Size { threads: TILE_THREADS, ..Size::blocks(narrow("the number of tiles", tiles)?, 1) };
    let name = by_size::<E>(["elementwise_tiles_copy_2", "elementwise_tiles_copy_4", "elementwise_tiles_copy_8"]);
    let (rows, columns) = (narrow("rows", rows)?, narrow("columns", columns)?);
    // SAFETY: there is a block for each tile of each plane, whose threads keep within rows and columns, and `Dims` has checked that x
    // and y hold all that their strides reach; no element of y is written twice.
    unsafe { gpu.launch(&TILES, name, size, (rows, columns, x_stride, y_stride, rank, shape, strides, x, y)) }
}

/// y at `y_strides` = x at `x_strides`, over `shape`; see [`crate::elementwise::copy()`].
///
/// # Errors
/// Where the launch fails, or there are over 2³² elements.
///
/// # Panics
/// Where x or y is too short for its strides, strides are missing, there are over [`MAX_DIMS`] dimensions, the output may overlap
/// itself, or an element has other than 2, 4 or 8 bytes.
pub fn copy<E: Pod>(
    gpu: &Gpu,
    shape: &[usize],
    x: Slice<'_, E>,
    x_strides: &[usize],
    y: SliceMut<'_, E>,
    y_strides: &[usize],
) -> Result<()> {
    tiles_or_rows(gpu, &prepare(shape, x.len(), x_strides, y.len(), y_strides), x, y)
}
