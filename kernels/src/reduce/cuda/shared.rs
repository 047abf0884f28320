//! Reductions in which several threads share a result: the launches of `rows.cu` and `columns.cu`.

use super::{COLUMNS, ROWS, THREADS};
use crate::cuda::{Buffer, Gpu, Module, Result, Size, Slice, SliceMut, narrow};
use crate::elementwise::{
    cuda::strided::axes,
    dims::{Dims, MAX_DIMS},
};

/// The threads of a warp, and the warps of a block.
const LANES: usize = 32;
const WARPS: usize = 8;
/// How many results side by side are worth a block of their own.
const LEAST_COLUMNS: usize = 8;
/// How many warps should be under way, and how many chunks a result has at most.
const WANTED_WARPS: usize = 4096;
const MOST_CHUNKS: usize = 1024;
/// The least elements of a chunk, of a warp that has one result, and of a block that has 32.
const LEAST_OF_WARP: usize = 1024;
const LEAST_OF_BLOCK: usize = 128;
/// The operations of the kernels that sum.
const SUM: u32 = 0;
const VARIANCE: u32 = 4;

/// The ideas of the ladder, each with those before it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum By {
    Rows,
    Columns,
    Chunks,
}

/// Sizes and strides as kernels take them.
#[derive(Clone, Copy)]
pub(super) struct Axes {
    pub(super) rank: u32,
    pub(super) sizes: [u32; MAX_DIMS],
    pub(super) strides: [u64; MAX_DIMS],
}

impl Axes {
    pub(super) fn new(dims: &Dims<1>) -> Result<Axes> {
        let (rank, sizes, strides) = axes::<1, MAX_DIMS>(dims, dims.shape().len())?;
        Ok(Axes { rank, sizes, strides })
    }

    /// One axis.
    fn one(len: u32, stride: usize) -> Axes {
        let (mut sizes, mut strides) = ([1; MAX_DIMS], [0; MAX_DIMS]);
        (sizes[0], strides[0]) = (len, stride as u64);
        Axes { rank: 1, sizes, strides }
    }
}

/// What is to be reduced, and how it is shared among threads. That depends on the sizes alone, and so do the bits of the results.
#[derive(Clone, Copy)]
pub(super) struct Job {
    kept: Axes,
    reduced: Axes,
    results: u32,
    n: u32,
    by_columns: bool,
    chunks: u32,
    of_chunk: u32,
}

impl Job {
    pub(super) fn new(by: By, kept: &Dims<1>, reduced: &Dims<1>, results: usize, n: usize) -> Result<Job> {
        let [across] = kept.inner_strides();
        let along = reduced.strides().iter().map(|&[stride]| stride).min().unwrap_or(1);
        let side_by_side = across < along && kept.shape().last().is_some_and(|&n| n >= LEAST_COLUMNS);
        let by_columns = by >= By::Columns && side_by_side;
        let (warps, least) =
            if by_columns { (results.div_ceil(LANES) * WARPS, LEAST_OF_BLOCK) } else { (results, LEAST_OF_WARP) };
        let wanted = if by == By::Chunks { (WANTED_WARPS / warps.max(1)).min(n / least).min(MOST_CHUNKS) } else { 1 };
        let of_chunk = n.div_ceil(wanted.max(1)).max(1);
        Ok(Job {
            kept: Axes::new(kept)?,
            reduced: Axes::new(reduced)?,
            results: narrow("the number of results", results)?,
            n: narrow("the number of elements of a result", n)?,
            by_columns,
            chunks: narrow("chunks", n.div_ceil(of_chunk).max(1))?,
            of_chunk: narrow("elements of a chunk", of_chunk)?,
        })
    }

    /// The results of the chunks of this one are what is to be reduced.
    fn of_chunks(&self) -> Job {
        let (results, n) = (self.results, self.chunks);
        let (kept, reduced) = (Axes::one(results, 1), Axes::one(n, results as usize));
        Job { kept, reduced, results, n, by_columns: false, chunks: 1, of_chunk: n }
    }

    /// How many numbers the chunks give.
    fn parts(&self) -> usize {
        self.results as usize * self.chunks as usize
    }

    /// The file and the blocks of a launch: a warp a result and chunk, or a block for 32 results and a chunk.
    fn launch(&self) -> Result<(&'static Module, Size)> {
        let (results, chunks) = (self.results as usize, self.chunks as usize);
        let (module, blocks) = if self.by_columns {
            (&COLUMNS, results.div_ceil(LANES) * chunks)
        } else {
            (&ROWS, (results * chunks).div_ceil(WARPS))
        };
        Ok((module, Size::blocks(narrow("the number of blocks", blocks)?, THREADS)))
    }

    /// y = the reduction by the operation of this number, over `divisor`.
    pub(super) fn reduce(
        &self,
        gpu: &Gpu,
        op: u32,
        divisor: f32,
        x: Slice<'_, f32>,
        y: SliceMut<'_, f32>,
    ) -> Result<()> {
        if op != VARIANCE {
            return self.joined(gpu, (op, divisor), None, x, y);
        }
        let results = self.results as usize;
        let mut means = Buffer::new(gpu, results * size_of::<f32>())?;
        let mut means = means.slice_mut::<f32>(0..results);
        self.joined(gpu, (SUM, self.n as f32), None, x, means.reborrow())?;
        self.joined(gpu, (op, divisor), Some(means.as_slice()), x, y)
    }

    /// The reduction of all chunks.
    fn joined(
        &self,
        gpu: &Gpu,
        (op, divisor): (u32, f32),
        means: Option<Slice<'_, f32>>,
        x: Slice<'_, f32>,
        y: SliceMut<'_, f32>,
    ) -> Result<()> {
        if self.chunks == 1 {
            return self.apart(gpu, (op, divisor), means, x, y);
        }
        let mut parts = Buffer::new(gpu, self.parts() * size_of::<f32>())?;
        let mut parts = parts.slice_mut::<f32>(0..self.parts());
        self.apart(gpu, (op, 1.0), means, x, parts.reborrow())?;
        let op = if op == VARIANCE { SUM } else { op };
        self.of_chunks().apart(gpu, (op, divisor), None, parts.as_slice(), y)
    }

    /// The reduction of each chunk, a row of all results for each.
    fn apart(
        &self,
        gpu: &Gpu,
        (op, divisor): (u32, f32),
        means: Option<Slice<'_, f32>>,
        x: Slice<'_, f32>,
        y: SliceMut<'_, f32>,
    ) -> Result<()> {
        let &Job { kept, reduced, results, n, chunks, of_chunk, .. } = self;
        let (module, size) = self.launch()?;
        let name = if self.by_columns { "reduce_columns_reduce" } else { "reduce_rows_reduce" };
        let (p, q) = ((kept.rank, kept.sizes, kept.strides), (reduced.rank, reduced.sizes, reduced.strides));
        let arguments = (op, results, n, chunks, of_chunk, divisor, p.0, p.1, p.2, q.0, q.1, q.2, means, x, y);
        // SAFETY: warps and lanes past the last result read and write nothing; the caller has checked that x holds all that the strides reach,
        // of the chunks n elements are left and no more, y has a number for each result and chunk, and the means one for each result.
        unsafe { gpu.launch(module, name, size, arguments) }
    }

    /// y = the first of the largest of each result.
    pub(super) fn argmax(&self, gpu: &Gpu, x: Slice<'_, f32>, mut y: SliceMut<'_, u32>) -> Result<()> {
        let &Job { kept, reduced, results, n, chunks, of_chunk, .. } = self;
        let (module, size) = self.launch()?;
        let name = if self.by_columns { "reduce_columns_argmax" } else { "reduce_rows_argmax" };
        // `struct Best` of the kernels has 8 bytes.
        let mut bests = Buffer::new(gpu, if chunks == 1 { 0 } else { self.parts() * size_of::<u64>() })?;
        let all = 0..bests.bytes() / size_of::<u64>();
        let to = (chunks > 1).then(|| bests.slice_mut::<u64>(all.clone()));
        let (p, q) = ((kept.rank, kept.sizes, kept.strides), (reduced.rank, reduced.sizes, reduced.strides));
        let arguments = (results, n, chunks, of_chunk, p.0, p.1, p.2, q.0, q.1, q.2, x, to, y.reborrow());
        // SAFETY: as in `apart`; the best of a chunk is written where there are chunks, and the result otherwise.
        unsafe { gpu.launch(module, name, size, arguments)? };
        if chunks == 1 {
            return Ok(());
        }
        let size = Size::blocks(narrow("the number of blocks", (results as usize).div_ceil(WARPS))?, THREADS);
        // SAFETY: warps past the last result read and write nothing, and the first kernel has written the best of each result and chunk.
        unsafe { gpu.launch(&ROWS, "reduce_rows_argmax_total", size, (results, chunks, bests.slice::<u64>(all), y)) }
    }
}
