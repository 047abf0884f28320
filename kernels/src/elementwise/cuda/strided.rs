//! Two or three operands with broadcasting: axes are merged on the host, and a kernel gets what is left of them by value.

use super::{Kernel, NAIVE, QUAD, THREADS, VECTOR, ladder, threads};
use crate::cuda::{CudaRung, Gpu, Result, Size, Slice, SliceMut, narrow};
use crate::elementwise::{
    Binary,
    dims::{Dims, MAX_DIMS, size},
};

/// Operands with their strides.
type Strided<'a> = (Slice<'a, f32>, &'a [usize]);

/// A rung of [`binary()`]: `(gpu, function, shape, a, a_strides, b, b_strides, y)`
pub type BinaryFn =
    fn(&Gpu, Binary, &[usize], Slice<'_, f32>, &[usize], Slice<'_, f32>, &[usize], SliceMut<'_, f32>) -> Result<()>;
/// A rung of [`select`]: `(gpu, shape, cond, cond_strides, a, a_strides, b, b_strides, y)`
pub type SelectFn = fn(
    &Gpu,
    &[usize],
    Slice<'_, f32>,
    &[usize],
    Slice<'_, f32>,
    &[usize],
    Slice<'_, f32>,
    &[usize],
    SliceMut<'_, f32>,
) -> Result<()>;

/// The ladder of [`binary()`].
pub static BINARY_CUDA_RUNGS: [CudaRung<BinaryFn>; 2] = ladder([
    |gpu, op, shape, a, p, b, q, y| binary_by_elements(gpu, op, shape, [(a, p), (b, q)], y),
    |gpu, op, shape, a, p, b, q, y| binary_by_fours(gpu, op, shape, [(a, p), (b, q)], y),
]);

/// The ladder of [`select`].
pub static SELECT_CUDA_RUNGS: [CudaRung<SelectFn>; 2] = ladder([
    |gpu, shape, c, o, a, p, b, q, y| select_by_elements(gpu, shape, [(c, o), (a, p), (b, q)], y),
    |gpu, shape, c, o, a, p, b, q, y| select_by_fours(gpu, shape, [(c, o), (a, p), (b, q)], y),
]);

const BINARY: Kernel = (&NAIVE, "elementwise_naive_binary", 1);
const SELECT: Kernel = (&NAIVE, "elementwise_naive_select", 1);
const BINARY_VECTOR: Kernel = (&VECTOR, "elementwise_vector_binary", QUAD);
const SELECT_VECTOR: Kernel = (&VECTOR, "elementwise_vector_select", QUAD);

/// Sizes and strides of the first `rank` axes as kernels take them: `struct Sizes` and `struct Strides<K>` of strides.cuh. `N` is
/// [`MAX_DIMS`] · K.
pub(crate) fn axes<const K: usize, const N: usize>(
    dims: &Dims<K>,
    rank: usize,
) -> Result<(u32, [u32; MAX_DIMS], [u64; N])> {
    const { assert!(N == MAX_DIMS * K) };
    let mut shape = [1; MAX_DIMS];
    for (to, &from) in shape.iter_mut().zip(&dims.shape()[..rank]) {
        *to = narrow("an axis", from)?;
    }
    let stride = |i: usize| dims.strides().get(i / K).map_or(0, |strides| strides[i % K] as u64);
    Ok((rank as u32, shape, std::array::from_fn(stride)))
}

/// The merged axes of operands whose result has the elements of y.
fn merged<const K: usize>(shape: &[usize], operands: [Strided<'_>; K], y: usize) -> Dims<K> {
    assert_eq!(y, size(shape), "length of y");
    Dims::new(shape, operands.map(|(_, strides)| strides), operands.map(|(x, _)| x.len()))
}

/// How a result is cut into rows and these into parts of a few elements, one for each thread.
pub(super) struct Rows {
    /// The parts of all rows and of one.
    pub(super) parts: u32,
    pub(super) row_parts: u32,
    /// The elements of a row.
    pub(super) len: u64,
    /// The axes outside of a row.
    pub(super) outer: usize,
    pub(super) size: Size,
}

/// `each`: the elements of a part.
pub(super) fn rows<const K: usize>(dims: &Dims<K>, each: usize) -> Result<Rows> {
    let outer = dims.shape().len() - 1;
    let len = dims.shape()[outer];
    let row_parts = len.div_ceil(each);
    let parts = dims.shape()[..outer].iter().product::<usize>() * row_parts;
    let what = "the number of threads";
    Ok(Rows {
        parts: narrow(what, parts)?,
        row_parts: narrow(what, row_parts)?,
        len: len as u64,
        outer,
        size: Size::threads(parts, THREADS)?,
    })
}

fn binary_by_elements(
    gpu: &Gpu,
    op: Binary,
    shape: &[usize],
    operands: [Strided<'_>; 2],
    y: SliceMut<'_, f32>,
) -> Result<()> {
    let dims = merged(shape, operands, y.len());
    let (rank, shape, strides) = axes::<2, { 2 * MAX_DIMS }>(&dims, dims.shape().len())?;
    let (module, name, each) = BINARY;
    let (size, n) = (threads(y.len(), each)?, narrow("the number of elements", y.len())?);
    let [(a, _), (b, _)] = operands;
    // SAFETY: the shape has as many elements as y, threads past the last one return, and `Dims` has checked that a and b hold all
    // that their strides reach.
    unsafe { gpu.launch(module, name, size, (op as u32, n, rank, shape, strides, a, b, y)) }
}

fn binary_by_fours(
    gpu: &Gpu,
    op: Binary,
    shape: &[usize],
    operands: [Strided<'_>; 2],
    y: SliceMut<'_, f32>,
) -> Result<()> {
    let dims = merged(shape, operands, y.len());
    let Rows { parts, row_parts, len, outer, size } = rows(&dims, QUAD)?;
    let (rank, shape, strides) = axes::<2, { 2 * MAX_DIMS }>(&dims, outer)?;
    let [a_step, b_step] = dims.inner_strides().map(|step| step as u64);
    let (module, name, _) = BINARY_VECTOR;
    let [(a, _), (b, _)] = operands;
    let arguments = (op as u32, parts, row_parts, len, rank, shape, strides, a_step, b_step, a, b, y);
    // SAFETY: the rows have as many elements as y, a thread stays within its row, threads past the last part return, and `Dims` has
    // checked that a and b hold all that their strides reach.
    unsafe { gpu.launch(module, name, size, arguments) }
}

fn select_by_elements(gpu: &Gpu, shape: &[usize], operands: [Strided<'_>; 3], y: SliceMut<'_, f32>) -> Result<()> {
    let dims = merged(shape, operands, y.len());
    let (rank, shape, strides) = axes::<3, { 3 * MAX_DIMS }>(&dims, dims.shape().len())?;
    let (module, name, each) = SELECT;
    let (size, n) = (threads(y.len(), each)?, narrow("the number of elements", y.len())?);
    let [(condition, _), (a, _), (b, _)] = operands;
    // SAFETY: as in `binary_by_elements`, with three operands.
    unsafe { gpu.launch(module, name, size, (n, rank, shape, strides, condition, a, b, y)) }
}

fn select_by_fours(gpu: &Gpu, shape: &[usize], operands: [Strided<'_>; 3], y: SliceMut<'_, f32>) -> Result<()> {
    let dims = merged(shape, operands, y.len());
    let Rows { parts, row_parts, len, outer, size } = rows(&dims, QUAD)?;
    let (rank, shape, strides) = axes::<3, { 3 * MAX_DIMS }>(&dims, outer)?;
    let [condition_step, a_step, b_step] = dims.inner_strides().map(|step| step as u64);
    let (module, name, _) = SELECT_VECTOR;
    let [(condition, _), (a, _), (b, _)] = operands;
    let steps = (condition_step, a_step, b_step);
    // SAFETY: as in `binary_by_fours`, with three operands.
    unsafe {
        let arguments = (parts, row_parts, len, rank, shape, strides, steps.0, steps.1, steps.2, condition, a, b, y);
        gpu.launch(module, name, size, arguments)
    }
}

/// y = op(a, b) over `shape`; see [`crate::elementwise::binary()`].
///
/// # Errors
/// Where the launch fails, or there are over 2³² groups of four elements.
///
/// # Panics
/// Where y has another size, strides are missing, a or b is too short for its strides, or there are over [`MAX_DIMS`]
/// dimensions.
pub fn binary(
    gpu: &Gpu,
    op: Binary,
    shape: &[usize],
    a: Slice<'_, f32>,
    a_strides: &[usize],
    b: Slice<'_, f32>,
    b_strides: &[usize],
    y: SliceMut<'_, f32>,
) -> Result<()> {
    (BINARY_CUDA_RUNGS[1].run)(gpu, op, shape, a, a_strides, b, b_strides, y)
}

/// y = a where cond ≠ 0, b elsewhere, over `shape`; see [`crate::elementwise::select`].
///
/// # Errors
/// As [`binary()`].
///
/// # Panics
/// As [`binary()`].
pub fn select(
    gpu: &Gpu,
    shape: &[usize],
    cond: Slice<'_, f32>,
    cond_strides: &[usize],
    a: Slice<'_, f32>,
    a_strides: &[usize],
    b: Slice<'_, f32>,
    b_strides: &[usize],
    y: SliceMut<'_, f32>,
) -> Result<()> {
    (SELECT_CUDA_RUNGS[1].run)(gpu, shape, cond, cond_strides, a, a_strides, b, b_strides, y)
}
