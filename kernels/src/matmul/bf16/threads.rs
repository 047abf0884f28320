//! Threads: the tasks of [`matmul::threads`](crate::matmul::threads), over one B packed in pairs.
//!
//! Blocks of C are tasks of twice the multiply-adds of those in `f32`, because they take as long. A small C with a long sum
//! is cut along k. The shape alone decides all of it, so the bits do not depend on the number of threads. In a long sum over
//! rows of both operands (TN) the product may be computed transposed, whichever suits the micro-kernel.
//! 2048×2048×2048, NN, two threads: 442 GFLOP/s.

use crate::matmul::{
    Shape,
    operands::{Product, Products, Source, View},
    packed,
    packed_kernel::PackedKernel,
    split_k,
    threads::{for_each_in_tasks, output_blocks, work},
};
use crate::{Bf16Isa, scratch};
use rayon::prelude::*;

/// How many rows are written at a time where C is transposed: a cache line of columns.
const TOGETHER: usize = 16;

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(isa: Bf16Isa, products: Products<'_>) {
    for_each_in_tasks(products, least_work(isa), |one| product(isa, one.of_any_type()));
}

/// The least multiply-adds that are worth a task.
pub(super) fn least_work(isa: Bf16Isa) -> usize {
    PackedKernel::of_bf16_on_one_thread(isa).cut.work
}

/// One product.
pub(super) fn product(isa: Bf16Isa, one: Product<'_, Source<'_>>) {
    let Product { shape, a, b, c, add } = one;
    if work(shape) < 2 * least_work(isa) {
        packed::product(PackedKernel::of_bf16_on_one_thread(isa), Product { shape, a, b, c, add });
    } else if let Source::F32(b) = b
        && is_better_transposed(isa, shape, a, b)
    {
        transposed(shape, c, add, |shape, sum| {
            let (a, b) = (b.transposed(), Source::F32(a.transposed()));
            parts_or_blocks(isa, Product { shape, a, b, c: sum, add: false });
        });
    } else {
        parts_or_blocks(isa, Product { shape, a, b, c, add });
    }
}

/// Cut along k, or into blocks of C.
fn parts_or_blocks(isa: Bf16Isa, one: Product<'_, Source<'_>>) {
    if let Some(part) = part_of_sum(isa, one.shape) {
        split_k::sum_of_parts(part, one, |part| packed::product(PackedKernel::of_bf16_on_one_thread(isa), part));
    } else {
        output_blocks(PackedKernel::of_bf16(isa, one.shape), one);
    }
}

/// Whether the other operand of a long sum over rows of both (TN) should be the larger one. Tiles of B are packed as the rows
/// lie, those of A are transposed, so in the parts of a sum on tiles it is B; vectors prefetch the next block of A while
/// they multiply, and none of B, so in blocks of C on vectors it is A.
fn is_better_transposed(isa: Bf16Isa, shape: Shape, a: View<'_>, b: View<'_>) -> bool {
    let Shape { m, n, k, .. } = shape;
    let larger_is_b = isa == Bf16Isa::Amx;
    let (larger, smaller) = if larger_is_b { (m, n) } else { (n, m) };
    let over_rows = a.row == 1 && b.col == 1;
    let has_parts = part_of_sum(isa, shape).is_some();
    over_rows && larger >= 2 * smaller && k >= 4 * larger && has_parts == larger_is_b
}

/// `product(shape, sum)` makes Cᵀ = Bᵀ·Aᵀ, and from there it goes to C.
fn transposed(shape: Shape, c: &mut [f32], add: bool, product: impl FnOnce(Shape, &mut [f32])) {
    let Shape { m, n, .. } = shape;
    scratch::with(m * n, |sum: &mut [f32]| {
        product(Shape { m: n, n: m, ..shape }, sum);
        let sum = &*sum;
        c.par_chunks_mut(TOGETHER * n).enumerate().for_each(|(index, c)| {
            let i = index * TOGETHER;
            for (j, column) in sum.chunks_exact(m).enumerate() {
                for (row, &sum) in c.chunks_exact_mut(n).zip(&column[i..]) {
                    row[j] = if add { row[j] + sum } else { sum };
                }
            }
        });
    });
}

/// How long the parts of the sum are, where k is long enough and C small enough to cut it: an even number of parts, so
/// that two cores get equal shares, at most 16, or 8 where C is not small, which bounds the memory for their sums.
fn part_of_sum(isa: Bf16Isa, shape: Shape) -> Option<usize> {
    const PART: usize = 256;
    const SMALL: usize = 1 << 16;
    let Shape { m, n, k, .. } = shape;
    let largest = if isa == Bf16Isa::Amx { 1 << 20 } else { SMALL };
    let (most, side) = if m * n <= SMALL { (16, m.min(n)) } else { (8, m.max(n)) };
    let pays = m * n <= largest && k >= 3 * PART && k / 4 >= side;
    pays.then(|| k.div_ceil((k / PART).clamp(2, most) / 2 * 2).next_multiple_of(32))
}
