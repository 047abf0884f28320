//! Rows that are cut among several blocks: the launches of `split.cu`.

use super::{BackwardInputOf, GradientsOf, InputOf, KEPT_BY_BLOCK, OutputOf, SPLIT, THREADS, by_chunks};
use crate::cuda::{Buffer, Gpu, Result, Size, Slice, SliceMut, narrow};

/// The least elements of a row that are worth a block of their own where a row is cut.
const PART: usize = 1024;

/// Into how many parts a row is cut: by its length alone, so that the bits do not depend on the card; at most one for each thread of the
/// block that combines them.
fn parts_of(c: usize) -> usize {
    (c / PART).clamp(2, THREADS)
}

/// Whether the rows are too few to keep the multiprocessors busy, two blocks each, and long enough to be cut.
pub(super) fn is_cut(gpu: &Gpu, rows: usize, c: usize) -> bool {
    c > KEPT_BY_BLOCK && rows < 2 * gpu.properties().multiprocessors
}

/// The blocks of all rows, their columns and parts as the kernels count them, and how many numbers the parts give.
fn cut(rows: usize, c: usize) -> Result<(Size, u32, u32, usize)> {
    let parts = parts_of(c);
    let blocks = narrow("the parts of all rows", rows.saturating_mul(parts))?;
    Ok((Size::blocks(blocks, THREADS as u32), narrow("c", c)?, narrow("parts", parts)?, rows * parts * 2))
}

pub(super) fn forward(gpu: &Gpu, input: InputOf<Slice<'_, f32>>, output: OutputOf<SliceMut<'_, f32>>) -> Result<()> {
    input.check(&output);
    let InputOf { rows, c, eps, x, gamma, beta } = input;
    let OutputOf { y, mean, rstd } = output;
    let (size, columns, parts, numbers) = cut(rows, c)?;
    let [measure, write] = match mean {
        Some(_) => ["norm_split_layer_measure", "norm_split_layer_forward"],
        None => ["norm_split_rms_measure", "norm_split_rms_forward"],
    };
    let mut found = Buffer::new(gpu, numbers * size_of::<f32>())?;
    let mut found = found.slice_mut::<f32>(0..numbers);
    // SAFETY: `check` has compared all lengths with rows and c; there are `parts` blocks for each row, which stay in their parts of x and y, and
    // two numbers for each block. Only the kernel of layer norm uses the mean.
    unsafe {
        gpu.launch(&SPLIT, measure, size, (columns, parts, x, found.reborrow()))?;
        let arguments = (columns, parts, eps, x, gamma, beta, found.as_slice(), y, mean, rstd);
        gpu.launch(&SPLIT, write, size, arguments)
    }
}

pub(super) fn backward(
    gpu: &Gpu,
    input: BackwardInputOf<Slice<'_, f32>>,
    gradients: GradientsOf<SliceMut<'_, f32>>,
) -> Result<()> {
    input.check(&gradients);
    let GradientsOf { dx, add, dgamma, dbeta } = gradients;
    if dgamma.is_some() || dbeta.is_some() {
        by_chunks(gpu, &input, dgamma, dbeta)?;
    }
    let BackwardInputOf { rows, c, x, gamma, mean, rstd, dy } = input;
    let (size, columns, parts, numbers) = cut(rows, c)?;
    let [sums, write] = match mean {
        Some(_) => ["norm_split_layer_sums", "norm_split_layer_backward"],
        None => ["norm_split_rms_sums", "norm_split_rms_backward"],
    };
    let mut found = Buffer::new(gpu, numbers * size_of::<f32>())?;
    let mut found = found.slice_mut::<f32>(0..numbers);
    // SAFETY: as in `forward`, for x, dy and dx.
    unsafe {
        gpu.launch(&SPLIT, sums, size, (columns, parts, x, gamma, mean, rstd, dy, found.reborrow()))?;
        let arguments = (columns, parts, u32::from(add), x, gamma, mean, rstd, dy, found.as_slice(), dx);
        gpu.launch(&SPLIT, write, size, arguments)
    }
}
