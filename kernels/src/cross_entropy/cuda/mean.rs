//! How many rows count, and the mean of their losses: the launches of `mean.cu`.

use super::{MEAN, THREADS};
use crate::cuda::{Buffer, Gpu, Result, Size, Slice, SliceMut, narrow};

/// The threads of a block that adds all there is alone.
const ALL_THREADS: u32 = 1024;
/// The rows of a part.
const OF_PART: usize = 1024;

/// What is read: `struct CrossEntropyOptions` of the kernels, the target of each row, and its loss where a mean is wanted.
pub(super) struct Rows<'a> {
    pub(super) options: [u32; 2],
    pub(super) targets: Slice<'a, u32>,
    pub(super) losses: Option<Slice<'a, f32>>,
}

/// Writes the mean of the losses, or how many rows count; one element each.
pub(super) type Total = fn(&Gpu, Rows<'_>, Option<SliceMut<'_, f32>>, Option<SliceMut<'_, u32>>) -> Result<()>;

/// By one block.
pub(super) fn at_once(
    gpu: &Gpu,
    rows: Rows<'_>,
    mean: Option<SliceMut<'_, f32>>,
    count: Option<SliceMut<'_, u32>>,
) -> Result<()> {
    let (n, size) = (narrow("rows", rows.targets.len())?, Size::blocks(1, ALL_THREADS));
    let Rows { options, targets, losses } = rows;
    // SAFETY: one block goes through the targets, and the losses, of which there are as many, and writes one element.
    unsafe {
        if let (Some(losses), Some(mean)) = (losses, mean) {
            gpu.launch(&MEAN, "cross_entropy_mean_loss", size, (n, options, targets, losses, mean))?;
        }
        count.map_or(Ok(()), |count| gpu.launch(&MEAN, "cross_entropy_mean_count", size, (n, options, targets, count)))
    }
}

/// By a block for each part of the rows, and one that adds what they have found.
pub(super) fn by_parts(
    gpu: &Gpu,
    rows: Rows<'_>,
    mean: Option<SliceMut<'_, f32>>,
    count: Option<SliceMut<'_, u32>>,
) -> Result<()> {
    let parts = rows.targets.len().div_ceil(OF_PART);
    if parts <= 1 {
        return at_once(gpu, rows, mean, count);
    }
    let (n, blocks) = (narrow("rows", rows.targets.len())?, narrow("parts", parts)?);
    let (mut sums, mut counts) =
        (Buffer::new(gpu, parts * size_of::<f64>())?, Buffer::new(gpu, parts * size_of::<u32>())?);
    let (mut sums, mut counts) = (sums.slice_mut::<f64>(0..parts), counts.slice_mut::<u32>(0..parts));
    let Rows { options, targets, losses } = rows;
    let arguments = (n, OF_PART as u32, options, targets, losses, sums.reborrow(), counts.reborrow());
    // SAFETY: a block stays within its part of the targets and losses, and writes one sum and one count; the last one reads these. The
    // sums are written where there are losses, which there are where the mean is wanted.
    unsafe {
        gpu.launch(&MEAN, "cross_entropy_mean_parts", Size::blocks(blocks, THREADS), arguments)?;
        let arguments = (blocks, sums.as_slice(), counts.as_slice(), mean, count);
        gpu.launch(&MEAN, "cross_entropy_mean_total", Size::blocks(1, ALL_THREADS), arguments)
    }
}
