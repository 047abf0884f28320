//! Launches the kernels that compute C by tiles.

use super::{Products, along_k, steps};
use crate::{
    cuda::{Buffer, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow},
    matmul::Shape,
};

pub(super) static NAIVE: Module = module!("matmul", "naive");
pub(super) static COALESCED: Module = module!("matmul", "coalesced");
pub(super) static SHARED_TILE: Module = module!("matmul", "shared_tile");
pub(super) static REGISTER_TILE: Module = module!("matmul", "register_tile");
pub(super) static VECTOR_LOADS: Module = module!("matmul", "vector_loads");
pub(super) static WARP_TILE: Module = module!("matmul", "warp_tile");
pub(super) static DOUBLE_BUFFER: Module = module!("matmul", "double_buffer");
pub(super) static SPLIT_K: Module = module!("matmul", "split_k");

/// The names of a kernel for the layouts NN, NT, TN and TT.
type Layouts = [&'static str; 4];

const VECTOR_LOADS_NAMES: Layouts =
    ["matmul_vector_loads_nn", "matmul_vector_loads_nt", "matmul_vector_loads_tn", "matmul_vector_loads_tt"];
const WARP_TILE_NAMES: Layouts =
    ["matmul_warp_tile_nn", "matmul_warp_tile_nt", "matmul_warp_tile_tn", "matmul_warp_tile_tt"];
const LARGE_NAMES: Layouts =
    ["matmul_double_buffer_nn", "matmul_double_buffer_nt", "matmul_double_buffer_tn", "matmul_double_buffer_tt"];
const SMALL_NAMES: Layouts = [
    "matmul_double_buffer_small_nn",
    "matmul_double_buffer_small_nt",
    "matmul_double_buffer_small_tn",
    "matmul_double_buffer_small_tt",
];

/// How many blocks of `tile` × `tile` elements C has.
pub(super) fn blocks(shape: Shape, tile: usize) -> usize {
    shape.batch * shape.m.div_ceil(tile) * shape.n.div_ceil(tile)
}

/// The kernel for the layout of the operands.
fn of_layout(names: Layouts, products: &Products<'_>) -> &'static str {
    let (a, b) = (products.a_strides, products.b_strides);
    names[2 * usize::from(!along_k(a.col, a.row)) + usize::from(along_k(b.row, b.col))]
}

/// Launches a kernel of these arguments alone.
fn launch(gpu: &Gpu, module: &'static Module, name: &'static str, size: Size, products: Products<'_>) -> Result<()> {
    let sizes = products.sizes()?;
    let Products { a, a_strides, b, b_strides, c, add, .. } = products;
    // SAFETY: the kernel reads element (i, p) of A and (p, j) of B, and writes (i, j) of C, for i < m, p < k and j < n alone, which
    // `begin` has checked to be within the slices.
    unsafe { gpu.launch(module, name, size, (sizes, a, steps(a_strides), b, steps(b_strides), c, u32::from(add))) }
}

fn a_thread_an_element(gpu: &Gpu, module: &'static Module, name: &'static str, products: Products<'_>) -> Result<()> {
    if !products.begin() {
        return Ok(());
    }
    launch(gpu, module, name, Size::threads(products.c.len(), 256)?, products)
}

fn a_block_a_tile(
    gpu: &Gpu,
    module: &'static Module,
    names: Layouts,
    (tile, threads): (usize, u32),
    products: Products<'_>,
) -> Result<()> {
    if !products.begin() {
        return Ok(());
    }
    let products = products.folded();
    let size = Size::blocks(narrow("the number of blocks", blocks(products.shape, tile))?, threads);
    launch(gpu, module, of_layout(names, &products), size, products)
}

pub(super) fn naive(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    a_thread_an_element(gpu, &NAIVE, "matmul_naive", products)
}

pub(super) fn coalesced(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    a_thread_an_element(gpu, &COALESCED, "matmul_coalesced", products)
}

pub(super) fn shared_tile(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    a_block_a_tile(gpu, &SHARED_TILE, ["matmul_shared_tile"; 4], (32, 1024), products)
}

pub(super) fn register_tile(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    a_block_a_tile(gpu, &REGISTER_TILE, ["matmul_register_tile"; 4], (128, 256), products)
}

pub(super) fn vector_loads(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    a_block_a_tile(gpu, &VECTOR_LOADS, VECTOR_LOADS_NAMES, (128, 256), products)
}

pub(super) fn warp_tile(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    a_block_a_tile(gpu, &WARP_TILE, WARP_TILE_NAMES, (128, 256), products)
}

pub(super) fn double_buffer(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    in_parts(gpu, products, 1)
}

pub(super) fn split_k(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    in_parts(gpu, products, MOST_PARTS)
}

/// A sum is cut into at most so many parts. Each of them is a copy of C that is written and read.
pub(super) const MOST_PARTS: usize = 64;
/// A part has at least so many steps, so that its multiply-adds outweigh the copy of C.
const LEAST_STEPS: usize = 256;

/// How the work is cut: the size of a block's tile, and how many steps of k a part has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) tile: usize,
    pub(super) per_part: usize,
    pub(super) parts: usize,
}

/// The large tile where it fills the `multiprocessors`, which it may do only with the sum cut; else the small one. The sum is cut
/// where there are fewer blocks than multiprocessors, into so many parts that each of these has two of them.
pub(super) fn cut(shape: Shape, multiprocessors: usize, most_parts: usize, step: usize) -> Cut {
    let most = most_parts.min(shape.k / LEAST_STEPS).max(1);
    let fits = shape.m > 64 && shape.n > 64;
    let tile = if fits && blocks(shape, 128).saturating_mul(most) >= multiprocessors { 128 } else { 64 };
    let blocks = blocks(shape, tile);
    let wanted = if blocks < multiprocessors { (2 * multiprocessors).div_ceil(blocks).min(most) } else { 1 };
    let per_part = shape.k.div_ceil(wanted).next_multiple_of(step).max(step);
    Cut { tile, per_part, parts: shape.k.div_ceil(per_part).max(1) }
}

fn in_parts(gpu: &Gpu, products: Products<'_>, most_parts: usize) -> Result<()> {
    if !products.begin() {
        return Ok(());
    }
    let products = products.folded();
    let (sizes, shape) = (products.sizes()?, products.shape);
    let cut = cut(shape, gpu.properties().multiprocessors, most_parts, 8);
    let (names, threads) = if cut.tile == 128 { (LARGE_NAMES, 256) } else { (SMALL_NAMES, 64) };
    let name = of_layout(names, &products);
    let per_part = narrow("k", cut.per_part)?;
    let Products { a, a_strides, b, b_strides, c, add, .. } = products;
    let [at, bt] = [steps(a_strides), steps(b_strides)];
    add_parts(gpu, c, add, cut.parts, |c, add| {
        let mut size = Size::blocks(narrow("the number of blocks", blocks(shape, cut.tile))?, threads);
        size.blocks[1] = cut.parts as u32;
        // SAFETY: as in `launch`; part q writes the elements of C from q · batch · m · n on, and c has as many for each part.
        unsafe { gpu.launch(&DOUBLE_BUFFER, name, size, (sizes, a, at, b, bt, c, u32::from(add), per_part)) }
    })
}

/// Lets `run` compute C itself, or where there are several parts, all of them into scratch memory, and adds them in their order.
pub(super) fn add_parts(
    gpu: &Gpu,
    mut c: SliceMut<'_, f32>,
    add: bool,
    parts: usize,
    run: impl Fn(SliceMut<'_, f32>, bool) -> Result<()>,
) -> Result<()> {
    if parts == 1 {
        return run(c.reborrow(), add);
    }
    let len = c.len() * parts;
    let mut scratch = Buffer::new(gpu, len * size_of::<f32>())?;
    run(scratch.slice_mut(0..len), false)?;
    let partial: Slice<'_, f32> = scratch.slice(0..len);
    let size = Size::threads(c.len(), 256)?;
    // SAFETY: a thread reads its element of each of the parts, which have as many elements as C, and writes that of C.
    unsafe {
        gpu.launch(&SPLIT_K, "matmul_split_k_sum", size, (c.len() as u64, parts as u32, partial, c, u32::from(add)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_sum_and_none_is_empty() {
        for k in [0, 1, 7, 8, 255, 256, 511, 512, 513, 4096, 65_537] {
            for (m, n) in [(1, 1), (64, 65), (128, 128), (768, 768), (5000, 4000)] {
                for (multiprocessors, step) in [(1, 8), (4, 32), (132, 8), (132, 32)] {
                    let shape = Shape { batch: 1, m, n, k };
                    let cut = cut(shape, multiprocessors, MOST_PARTS, step);
                    assert!(cut.per_part.is_multiple_of(step) && cut.parts * cut.per_part >= k, "{shape:?}: {cut:?}");
                    assert!(
                        cut.parts <= MOST_PARTS && (cut.parts == 1 || (cut.parts - 1) * cut.per_part < k),
                        "{cut:?}"
                    );
                    assert!(cut.parts == 1 || cut.per_part >= LEAST_STEPS, "{shape:?}: {cut:?}");
                    assert!(cut.parts == 1 || blocks(shape, cut.tile) < multiprocessors, "{shape:?}: {cut:?}");
                }
            }
        }
    }
}
