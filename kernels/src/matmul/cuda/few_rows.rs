//! Launches the kernels for few rows of C, or few columns.

use super::{Products, along_k, steps, tiles};
use crate::{
    cuda::{Gpu, Module, Result, Size, Slice, SliceMut, module, narrow},
    matmul::{Shape, Strides},
};

pub(super) static FEW_ROWS: Module = module!("matmul", "few_rows");

/// The kernels of one kind of operands: along the steps and along the lines, for one row and for several.
pub(super) type Names = [[&'static str; 2]; 2];

const F32: Names =
    [["matmul_few_rows_steps_1", "matmul_few_rows_steps_8"], ["matmul_few_rows_lines_1", "matmul_few_rows_lines_8"]];

/// The most rows.
const ROWS: usize = 8;

/// Whether these are few rows, with enough columns to keep the card busy or a short sum.
pub(super) fn are_few(shape: Shape) -> bool {
    shape.m <= ROWS && (shape.n >= 64 || shape.k <= 4096)
}

/// The rung: few rows, few columns, or all the rest.
pub(super) fn run(gpu: &Gpu, products: Products<'_>) -> Result<()> {
    if !products.begin() {
        return Ok(());
    }
    let products = products.folded();
    let Shape { m, n, .. } = products.shape;
    if are_few(products.shape) {
        return launch(gpu, F32, products, Strides { batch: m * n, row: n, col: 1 });
    }
    match few_columns(gpu, F32, products)? {
        Some(products) => tiles::split_k(gpu, products),
        None => Ok(()),
    }
}

/// Few columns, where they are few: the rows of Cᵀ = Bᵀ·Aᵀ. Else the products come back.
pub(super) fn few_columns<'a>(gpu: &Gpu, names: Names, products: Products<'a>) -> Result<Option<Products<'a>>> {
    let Shape { m, n, .. } = products.shape;
    let shape = Shape { m: n, n: m, ..products.shape };
    if !are_few(shape) {
        return Ok(Some(products));
    }
    let swap = |strides: Strides| Strides { row: strides.col, col: strides.row, ..strides };
    let Products { a, a_strides, b, b_strides, c, add, .. } = products;
    let turned = Products { shape, a: b, a_strides: swap(b_strides), b: a, b_strides: swap(a_strides), c, add };
    launch(gpu, names, turned, Strides { batch: m * n, row: 1, col: n })?;
    Ok(None)
}

/// Few rows, of C with these steps.
pub(super) fn launch<B>(gpu: &Gpu, names: Names, products: Products<'_, B>, c_strides: Strides) -> Result<()> {
    let Shape { batch, m, n, .. } = products.shape;
    let sizes = products.sizes()?;
    let Products { a, a_strides, b, b_strides, c, add, .. } = products;
    let along_steps = along_k(b_strides.row, b_strides.col);
    let name = names[usize::from(!along_steps)][usize::from(m > 1)];
    let blocks = batch * n.div_ceil(if along_steps { 8 } else { 32 });
    let size = Size::blocks(narrow("the number of blocks", blocks)?, 256);
    let arguments: (_, Slice<'_, f32>, _, Slice<'_, B>, _, SliceMut<'_, f32>, _, _) =
        (sizes, a, steps(a_strides), b, steps(b_strides), c, steps(c_strides), u32::from(add));
    // SAFETY: there are at most 8 rows. The kernel reads element (i, p) of A and (p, j) of B, and writes (i, j) of C, for i < m, p < k
    // and j < n alone, which `begin` has checked to be within the slices.
    unsafe { gpu.launch(&FEW_ROWS, name, size, arguments) }
}
