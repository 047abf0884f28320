//! Packing and cache blocking, on one thread: the algorithm of Goto and van de Geijn.
//!
//! B is cut into blocks of up to 384 rows, A into blocks of up to 96 rows and as many columns, and both are copied into
//! panels. A's block (at most 144 KiB) stays in the second-level cache, B's in the third, while the micro-kernel multiplies
//! them tile by tile. Copying costs 1/M of the work for B and 1/N for A, and makes one layout of all. While a block is
//! multiplied, what is packed next is prefetched, a line each step. 512×512×512, one thread: NN 109, NT 107, TN 105 GFLOP/s.
//!
//! Goto, van de Geijn: *Anatomy of High-Performance Matrix Multiplication*, ACM TOMS 34(3), 2008, section 4; the loops
//! around the micro-kernel are those of Van Zee, van de Geijn: *BLIS*, ACM TOMS 41(3), 2015, figure 4.

use super::{
    Shape,
    block::Block,
    operands::{Product, Products, Source, View},
    packed_kernel::prefetch::Next,
    packed_kernel::{N_BLOCK, PackedKernel},
};
use crate::{Isa, scratch};

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(isa: Isa, products: Products<'_>) {
    products.for_each(|one| product(PackedKernel::of_f32(isa), one.of_any_type()));
}

/// What is packed after rows `i..i + rows` of `m` and steps `p..p + steps` of `k`: the next rows of A, or the next steps
/// of both; not of a shorter last block of B.
fn next_blocks<'a>(
    a: View<'a>,
    b: Option<View<'a>>,
    (i, rows, m): (usize, usize, usize),
    (p, steps, k): (usize, usize, usize),
) -> Next<'a> {
    if i + rows < m {
        return Next { a: Some(a.from(i + rows, p)), b: None };
    }
    let next = p + steps;
    Next { a: (next < k).then(|| a.from(0, next)), b: b.filter(|_| next + steps <= k).map(|b| b.from(next, 0)) }
}

/// One product on one thread, in either precision.
pub(super) fn product(kernel: PackedKernel, Product { shape, a, b, c, add }: Product<'_, Source<'_>>) {
    let Shape { m, n, k, .. } = shape;
    let mut c = Block::whole(c, n);
    let (m_block, n_block, k_block) = (m.min(kernel.cut.most_rows), n.min(N_BLOCK), kernel.block_steps(shape, b));
    let a_len = m_block.next_multiple_of(kernel.rows) * kernel.words(k_block);
    let b_len = n_block.next_multiple_of(kernel.columns) * kernel.words(k_block);
    scratch::with(a_len + b_len, |panels: &mut [u32]| {
        let (a_panels, b_panels) = panels.split_at_mut(a_len);
        for j in (0..n).step_by(n_block) {
            let columns = n_block.min(n - j);
            for p in (0..k).step_by(k_block) {
                let steps = k_block.min(k - p);
                let words = kernel.words(steps);
                let b_panels = &mut b_panels[..columns.next_multiple_of(kernel.columns) * words];
                kernel.pack_b(b.from(p, j), columns, steps, b_panels);
                for i in (0..m).step_by(m_block) {
                    let rows = m_block.min(m - i);
                    let next = next_blocks(a, b.from(0, j).as_f32(), (i, rows, m), (p, steps, k));
                    let a_panels = &mut a_panels[..rows.next_multiple_of(kernel.rows) * words];
                    kernel.pack_a(a.from(i, p), rows, steps, a_panels);
                    kernel.multiply(words, a_panels, b_panels, c.part(i, j, rows, columns), add || p > 0, next);
                }
            }
        }
    });
}
