//! The matrix product with operands rounded to bf16, on CUDA: both are rounded to the same bits as by
//! [`crate::simd::bf16::round`], and sums are kept in `f32`.
//!
//! # Where the operands are rounded
//! The kernels on tensor cores take bf16 with the steps of k side by side. An operand in `f32`, or one in bf16 that lies otherwise, is
//! brought into that form in scratch memory first (`rounded.cu`): 6 bytes of traffic and 2 of memory for each element. In return
//! every block reads 2 bytes an element instead of 4. B stored in bf16 as \[N, K\], the weight of a linear layer, is read where it lies, if
//! K is a multiple of 8. A matrix that a whole batch shares is rounded once.

use super::{
    Products, Run, few_rows, steps,
    tiles::{self, Cut, MOST_PARTS, add_parts, blocks, cut},
};
use crate::{
    cuda::{Buffer, Capability, CudaRung, Error, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow},
    matmul::{Shape, Strides},
};
use bytemuck::Pod;
use half::bf16;

pub(super) static NAIVE: Module = module!("matmul", "bf16_naive");
pub(super) static ROUNDED: Module = module!("matmul", "rounded");
pub(super) static MMA: Module = module!("matmul", "mma", SM_80);
pub(super) static CP_ASYNC: Module = module!("matmul", "cp_async", SM_80);
pub(super) static PADDED: Module = module!("matmul", "padded", SM_80);
pub(super) static SWIZZLED: Module = module!("matmul", "swizzled", SM_80);
pub(super) static LDMATRIX: Module = module!("matmul", "ldmatrix", SM_80);
pub(super) static TWO_STAGES: Module = module!("matmul", "two_stages", SM_80);
pub(super) static THREE_STAGES: Module = module!("matmul", "three_stages", SM_80);

/// The ladder, from the slowest to the fastest.
pub static BF16_CUDA_RUNGS: [CudaRung<Run>; 10] = ladder();
/// The same ladder with B stored in bf16.
pub static STORED_CUDA_RUNGS: [CudaRung<Run<bf16>>; 10] = ladder();

const fn ladder<B: Right>() -> [CudaRung<Run<B>>; 10] {
    const ANY: Capability = Capability::SM_75;
    const CORES: Capability = Capability::SM_80;
    [
        rung(
            "naive",
            "the definition: operands rounded when they are read, one thread an element of C",
            naive::<B>,
            ANY,
        ),
        rung("rounded", "operands rounded once, into scratch memory, for the ladder of f32", rounded::<B>, ANY),
        rung("mma", "tensor cores: 4096 FLOPs for an instruction", mma::<B>, CORES),
        rung("cp_async", "tiles copied asynchronously, past the registers", cp_async::<B>, CORES),
        rung("padded", "lines 80 bytes apart in shared memory: no bank conflicts", padded::<B>, CORES),
        rung("swizzled", "chunks of a line change places instead: no shared memory lost", swizzled::<B>, CORES),
        rung("ldmatrix", "fragments read four matrices at a time", ldmatrix::<B>, CORES),
        rung(
            "two_stages",
            "the next tile is copied while this one is multiplied; long sums in parts",
            two_stages::<B>,
            CORES,
        ),
        rung("three_stages", "two tiles on their way while one is multiplied", three_stages::<B>, CORES),
        rung(
            "few_rows",
            "few rows: B read once and straight into registers; else the best that the card has",
            run::<B>,
            ANY,
        ),
    ]
}

const fn rung<B>(name: &'static str, idea: &'static str, run: Run<B>, needs: Capability) -> CudaRung<Run<B>> {
    CudaRung { name, idea, run, needs }
}

/// [`crate::matmul::bf16::forward`] on a device.
///
/// # Errors
/// Where a size is larger than the kernels count, or the device fails.
///
/// # Panics
/// As there.
pub fn forward(
    gpu: &Gpu,
    shape: Shape,
    a: Slice<'_, f32>,
    a_strides: Strides,
    b: Slice<'_, f32>,
    b_strides: Strides,
    c: SliceMut<'_, f32>,
    accumulate: bool,
) -> Result<()> {
    run(gpu, Products { shape, a, a_strides, b, b_strides, c, add: accumulate })
}

/// [`crate::matmul::bf16::forward_stored`] on a device: B is stored in bf16.
///
/// # Errors
/// Where a size is larger than the kernels count, or the device fails.
///
/// # Panics
/// As there.
pub fn forward_stored(
    gpu: &Gpu,
    shape: Shape,
    a: Slice<'_, f32>,
    a_strides: Strides,
    b: Slice<'_, bf16>,
    b_strides: Strides,
    c: SliceMut<'_, f32>,
    accumulate: bool,
) -> Result<()> {
    run(gpu, Products { shape, a, a_strides, b, b_strides, c, add: accumulate })
}

/// The type of B: what its kernels are called.
trait Right: Pod {
    /// The definition.
    const NAIVE: &'static str;
    /// Its lines in bf16, and in `f32`.
    const ROUNDED: [&'static str; 2];
    /// Few rows.
    const FEW_ROWS: few_rows::Names;

    /// The same elements, if they are bf16 already.
    fn as_bf16(slice: Slice<'_, Self>) -> Option<Slice<'_, bf16>>;

    /// The product with few columns, for types that A may have too; where it has not run, the products come back.
    fn few_columns<'a>(gpu: &Gpu, products: Products<'a, Self>) -> Result<Option<Products<'a, Self>>>;
}

impl Right for f32 {
    const NAIVE: &'static str = "matmul_bf16_naive";
    const ROUNDED: [&'static str; 2] = ["matmul_rounded", "matmul_rounded_f32"];
    const FEW_ROWS: few_rows::Names = [
        ["matmul_few_rows_rounded_steps_1", "matmul_few_rows_rounded_steps_8"],
        ["matmul_few_rows_rounded_lines_1", "matmul_few_rows_rounded_lines_8"],
    ];

    fn as_bf16(_: Slice<'_, f32>) -> Option<Slice<'_, bf16>> {
        None
    }

    fn few_columns<'a>(gpu: &Gpu, products: Products<'a>) -> Result<Option<Products<'a>>> {
        few_rows::few_columns(gpu, f32::FEW_ROWS, products)
    }
}

impl Right for bf16 {
    const NAIVE: &'static str = "matmul_bf16_naive_stored";
    const ROUNDED: [&'static str; 2] = ["matmul_rounded_stored", "matmul_rounded_stored_f32"];
    const FEW_ROWS: few_rows::Names = [
        ["matmul_few_rows_stored_steps_1", "matmul_few_rows_stored_steps_8"],
        ["matmul_few_rows_stored_lines_1", "matmul_few_rows_stored_lines_8"],
    ];

    fn as_bf16(slice: Slice<'_, bf16>) -> Option<Slice<'_, bf16>> {
        Some(slice)
    }

    fn few_columns<'a>(_: &Gpu, products: Products<'a, bf16>) -> Result<Option<Products<'a, bf16>>> {
        Ok(Some(products))
    }
}

fn naive<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    if !products.begin() {
        return Ok(());
    }
    let (sizes, size) = (products.sizes()?, Size::threads(products.c.len(), 256)?);
    let Products { a, a_strides, b, b_strides, c, add, .. } = products;
    // SAFETY: the kernel reads element (i, p) of A and (p, j) of B, and writes (i, j) of C, for i < m, p < k and j < n alone, which
    // `begin` has checked to be within the slices.
    unsafe { gpu.launch(&NAIVE, B::NAIVE, size, (sizes, a, steps(a_strides), b, steps(b_strides), c, u32::from(add))) }
}

/// Lines of a batch of matrices: rows of A or columns of B.
#[derive(Clone, Copy)]
struct Lines<'a, E> {
    data: Slice<'a, E>,
    /// From matrix to matrix, from line to line, from step to step.
    strides: Strides,
    batch: usize,
    lines: usize,
    steps: usize,
}

impl<'a, E: Pod> Lines<'a, E> {
    fn new(data: Slice<'a, E>, [batch, line, step]: [usize; 3], [count, lines, steps]: [usize; 3]) -> Lines<'a, E> {
        // A matrix that the batch shares is there once.
        let count = if batch == 0 { count.min(1) } else { count };
        Lines { data, strides: Strides { batch, row: line, col: step }, batch: count, lines, steps }
    }

    fn of_a(products: &Products<'a, impl Pod>) -> Lines<'a, f32> {
        let (Strides { batch, row, col }, Shape { batch: count, m, k, .. }) = (products.a_strides, products.shape);
        Lines::new(products.a, [batch, row, col], [count, m, k])
    }

    fn of_b(products: &Products<'a, E>) -> Lines<'a, E> {
        let (Strides { batch, row, col }, Shape { batch: count, n, k, .. }) = (products.b_strides, products.shape);
        Lines::new(products.b, [batch, col, row], [count, n, k])
    }

    /// Rounded into memory of their own, as type `T`, with `padded` steps, of which the last are zeros.
    fn rounded<T: Pod>(self, gpu: &Gpu, kernel: &'static str, padded: usize) -> Result<Buffer> {
        let Lines { data, strides, batch, lines, steps: count } = self;
        // A matrix that is broadcast from few elements may have more than there are numbers for.
        let bytes = batch.checked_mul(lines).and_then(|all| all.checked_mul(padded)?.checked_mul(size_of::<T>()));
        let bytes = bytes.ok_or(Error::TooLarge { what: "an operand", size: usize::MAX })?;
        let mut buffer = Buffer::new(gpu, bytes)?;
        let len = bytes / size_of::<T>();
        let blocks = batch * lines.div_ceil(32) * padded.div_ceil(32);
        let size = Size::blocks(narrow("the number of blocks", blocks)?, 256);
        let sizes = (narrow("lines", lines)?, narrow("steps", count)?, narrow("steps", padded)?);
        let y: SliceMut<'_, T> = buffer.slice_mut(0..len);
        // SAFETY: the kernel reads the elements of `lines` lines of `steps` steps, which `begin` has checked to be within the slice, and
        // writes element (b, line, step) for b < batch, line < lines and step < padded, which are those of the buffer.
        unsafe { gpu.launch(&ROUNDED, kernel, size, (sizes.0, sizes.1, sizes.2, data, steps(strides), y)) }?;
        Ok(buffer)
    }

    /// Whether the kernels on tensor cores can read them where they are.
    fn are_chunks(&self) -> bool {
        let Strides { batch, row, col } = self.strides;
        let whole = [self.steps, batch, row].iter().all(|count| count % 8 == 0);
        col == 1 && whole && self.data.is_aligned(16)
    }
}

fn rounded<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    if !products.begin() {
        return Ok(());
    }
    let products = products.folded();
    let Shape { m, n, k, .. } = products.shape;
    let (of_a, of_b) = (Lines::<B>::of_a(&products), Lines::of_b(&products));
    let a = of_a.rounded::<f32>(gpu, f32::ROUNDED[1], k)?;
    let b = of_b.rounded::<f32>(gpu, B::ROUNDED[1], k)?;
    let step = |count, size| if count == 1 { 0 } else { size };
    let products = Products {
        shape: products.shape,
        a: a.slice(0..of_a.batch * m * k),
        a_strides: Strides { batch: step(of_a.batch, m * k), row: k, col: 1 },
        b: b.slice(0..of_b.batch * n * k),
        b_strides: Strides { batch: step(of_b.batch, n * k), row: 1, col: k },
        c: products.c,
        add: products.add,
    };
    tiles::split_k(gpu, products)
}

/// A kernel on tensor cores: its file, its names for the large and the small tile, and the tiles of each operand in shared memory.
struct Kernel {
    module: &'static Module,
    large: &'static str,
    small: Option<&'static str>,
    stages: usize,
    /// The bytes of a line of a tile.
    line: usize,
}

impl Kernel {
    const fn one_stage(module: &'static Module, large: &'static str, line: usize) -> Kernel {
        Kernel { module, large, small: None, stages: 1, line }
    }

    fn run<B: Right>(&self, gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
        if !products.begin() {
            return Ok(());
        }
        let products = products.folded();
        let shape = products.shape;
        let [batch, m, n, _] = products.sizes()?;
        let padded = shape.k.next_multiple_of(8);
        let (of_a, of_b) = (Lines::<B>::of_a(&products), Lines::of_b(&products));
        let a = of_a.rounded::<bf16>(gpu, f32::ROUNDED[0], padded)?;
        let in_place = B::as_bf16(of_b.data).filter(|_| of_b.are_chunks());
        let copied = if in_place.is_some() { None } else { Some(of_b.rounded::<bf16>(gpu, B::ROUNDED[0], padded)?) };
        let a_strides = [if of_a.batch == 1 { 0 } else { shape.m * padded }, padded].map(|step| step as u64);
        let b_strides = match in_place {
            Some(_) => [of_b.strides.batch, of_b.strides.row],
            None => [if of_b.batch == 1 { 0 } else { shape.n * padded }, padded],
        };
        let b_strides = b_strides.map(|step| step as u64);
        let a: Slice<'_, bf16> = a.slice(0..of_a.batch * shape.m * padded);
        let b = match (in_place, &copied) {
            (Some(b), _) => b,
            (None, Some(copied)) => copied.slice(0..of_b.batch * shape.n * padded),
            (None, None) => unreachable!("B is in one place or the other"),
        };
        let cut = self.cut(gpu, shape);
        let name = if cut.tile == 128 { self.large } else { self.small.unwrap_or(self.large) };
        let blocks = narrow("the number of blocks", blocks(shape, cut.tile))?;
        let sizes = [batch, m, n, narrow("k", padded)?];
        let per_part = narrow("k", cut.per_part)?;
        add_parts(gpu, products.c, products.add, cut.parts, |c, add| {
            let mut size = Size::blocks(blocks, (cut.tile * cut.tile / 64) as u32);
            size = size.shared(2 * self.stages * cut.tile * self.line);
            size.blocks[1] = cut.parts as u32;
            // SAFETY: the kernel reads whole chunks of 8 steps, of which a line has padded / 8, of m lines of A and n of B for each matrix
            // of the batch; part q writes the elements of C from q · batch · m · n on, and c has as many for each part.
            unsafe {
                gpu.launch(self.module, name, size, (sizes, a, a_strides, b, b_strides, c, u32::from(add), per_part))
            }
        })
    }

    fn cut(&self, gpu: &Gpu, shape: Shape) -> Cut {
        match self.small {
            Some(_) => cut(shape, gpu.properties().multiprocessors, MOST_PARTS, 32),
            None => Cut { tile: 128, per_part: shape.k.next_multiple_of(32).max(32), parts: 1 },
        }
    }
}

fn mma<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    Kernel::one_stage(&MMA, "matmul_mma", 64).run(gpu, products)
}

fn cp_async<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    Kernel::one_stage(&CP_ASYNC, "matmul_cp_async", 64).run(gpu, products)
}

fn padded<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    Kernel::one_stage(&PADDED, "matmul_padded", 80).run(gpu, products)
}

fn swizzled<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    Kernel::one_stage(&SWIZZLED, "matmul_swizzled", 64).run(gpu, products)
}

fn ldmatrix<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    Kernel::one_stage(&LDMATRIX, "matmul_ldmatrix", 64).run(gpu, products)
}

fn two_stages<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    let small = Some("matmul_two_stages_small");
    Kernel { module: &TWO_STAGES, large: "matmul_two_stages", small, stages: 2, line: 64 }.run(gpu, products)
}

fn three_stages<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    let small = Some("matmul_three_stages_small");
    Kernel { module: &THREE_STAGES, large: "matmul_three_stages", small, stages: 3, line: 64 }.run(gpu, products)
}

/// The best for these sizes and this card.
fn run<B: Right>(gpu: &Gpu, products: Products<'_, B>) -> Result<()> {
    if !products.begin() {
        return Ok(());
    }
    let products = products.folded();
    let Shape { m, n, .. } = products.shape;
    if few_rows::are_few(products.shape) {
        return few_rows::launch(gpu, B::FEW_ROWS, products, Strides { batch: m * n, row: n, col: 1 });
    }
    let Some(products) = B::few_columns(gpu, products)? else { return Ok(()) };
    if gpu.properties().capability >= Capability::SM_80 { three_stages(gpu, products) } else { rounded(gpu, products) }
}
