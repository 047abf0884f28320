//! The gradient of the table by way of sorted positions: the launches of `sort.cu` and `sorted.cu`.

use super::{SORT, SORTED, THREADS, expect_backward};
use crate::cuda::{Buffer, Gpu, Result, Size, Slice, SliceMut, narrow};

/// The positions of a chunk, and the values of a digit.
const CHUNK: usize = 1024;
const DIGITS: usize = 256;
/// The threads of a warp, and the warps of a block.
const LANES: usize = 32;
const WARPS: usize = 8;
/// The least positions of a piece.
const LEAST_PIECE: usize = 32;

/// A place for `n` numbers.
fn numbers(gpu: &Gpu, n: usize) -> Result<Buffer> {
    Buffer::new(gpu, n * size_of::<u32>())
}

/// The positions of the ids, sorted by the row of the table that they choose and in their order within it; those that choose none last.
fn sort(gpu: &Gpu, rows: u32, ids: Slice<'_, u32>) -> Result<Buffer> {
    let (n, chunks) = (narrow("ids", ids.len())?, ids.len().div_ceil(CHUNK));
    let mut counts = numbers(gpu, chunks * DIGITS)?;
    let mut counts = counts.slice_mut::<u32>(0..chunks * DIGITS);
    let blocks = narrow("chunks of ids", chunks)?;
    let (size, one) = (Size::blocks(blocks, THREADS), Size::blocks(blocks.min(1), THREADS));
    let (mut sorted, mut shift) = (None::<Buffer>, 0);
    loop {
        let mut next = numbers(gpu, ids.len())?;
        let order = sorted.as_ref().map(|order| order.slice::<u32>(0..ids.len()));
        // SAFETY: there is a block for each chunk, and places past the last id are left out; the counts have a number for each chunk and
        // digit. The order is a permutation of the positions, and begins plus counts of all digits are one as well, below n.
        unsafe {
            gpu.launch(&SORT, "embedding_sort_count", size, (rows, n, shift, ids, order, counts.reborrow()))?;
            gpu.launch(&SORT, "embedding_sort_scan", one, (blocks, counts.reborrow()))?;
            let to = next.slice_mut::<u32>(0..ids.len());
            gpu.launch(&SORT, "embedding_sort_scatter", size, (rows, n, shift, ids, order, counts.as_slice(), to))?;
        }
        (sorted, shift) = (Some(next), shift + DIGITS.ilog2());
        if rows.checked_shr(shift).unwrap_or(0) == 0 {
            return Ok(sorted.expect("a pass went before"));
        }
    }
}

/// How many positions a piece has: by their number alone, so that the longest list, of all positions, has about as many pieces as twice a piece has
/// positions.
fn piece_of(n: usize) -> usize {
    (n / 2).isqrt().max(LEAST_PIECE)
}

/// A warp for each of so many rows of c elements and 32 of their columns.
fn strips(rows: usize, c: usize) -> Result<Size> {
    Ok(Size::blocks(narrow("the number of blocks", (rows * c.div_ceil(LANES)).div_ceil(WARPS))?, THREADS))
}

/// dtable from the sorted positions; with or without pieces of long lists.
pub(super) fn backward(
    gpu: &Gpu,
    (v, c): (usize, usize),
    ids: Slice<'_, u32>,
    dy: Slice<'_, f32>,
    dtable: SliceMut<'_, f32>,
    with_pieces: bool,
) -> Result<()> {
    expect_backward(v, c, ids.len(), dy.len(), dtable.len());
    if dtable.is_empty() {
        return Ok(());
    }
    let (rows, columns, n) = (narrow("rows", v)?, narrow("c", c)?, narrow("ids", ids.len())?);
    let sorted = sort(gpu, rows, ids)?;
    let sorted = sorted.slice::<u32>(0..ids.len());
    let mut begins = numbers(gpu, v + 1)?;
    let mut begins = begins.slice_mut::<u32>(0..v + 1);
    let arguments = (rows, n, ids, sorted, begins.reborrow());
    // SAFETY: threads past the last of the v + 1 begins return, and the sorted positions are those of the n ids.
    unsafe { gpu.launch(&SORT, "embedding_sort_begins", Size::threads(v + 1, THREADS)?, arguments)? };
    let of_piece = piece_of(ids.len());
    let pieces = if with_pieces { ids.len() / of_piece } else { 0 };
    let piece = narrow("positions of a piece", of_piece)?;
    let mut sums = Buffer::new(gpu, pieces * c * size_of::<f32>())?;
    let mut sums = sums.slice_mut::<f32>(0..pieces * c);
    let arguments = (rows, columns, narrow("pieces", pieces)?, piece, ids, sorted, dy, sums.reborrow());
    // SAFETY: warps past the last piece and lanes past the last column return; all pieces are whole, so their places are below n, and
    // dy has c elements for each position as the sums have for each piece.
    unsafe { gpu.launch(&SORTED, "embedding_sorted_pieces", strips(pieces, c)?, arguments)? };
    let sums = with_pieces.then(|| sums.as_slice());
    let arguments = (rows, columns, piece, begins.as_slice(), sorted, dy, sums, dtable);
    // SAFETY: warps past the last row and lanes past the last column return; the begins rise from 0 to at most n. A row reads the sums
    // of pieces that lie in its list, which were written because all of their ids are the row's.
    unsafe { gpu.launch(&SORTED, "embedding_sorted_rows", strips(v, c)?, arguments) }
}
