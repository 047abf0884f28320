//! Packing and cache blocking, on one thread: the algorithm of Goto and van de Geijn.
//!
//! B is cut into blocks of `K_BLOCK` rows, A into blocks of `M_BLOCK` rows and as many columns, and both are
//! copied into panels. A's block (at most 144 KiB) stays in the second-level cache, B's in the
//! third; the microkernel multiplies them tile by tile. Copying costs 1/M of the work for B and 1/N for A.
//! Goto, van de Geijn: *Anatomy of High-Performance Matrix Multiplication*, ACM TOMS 34(3), 2008, section 4; the
//! loops around the microkernel are those of Van Zee, van de Geijn: *BLIS*, ACM TOMS 41(3), 2015, figure 4.
//! While a block is multiplied, what is packed next is fetched from memory, a line each step.
//!
//! Measured: 512×512×512 NN 109, NT 107, TN 105 GFLOP/s (NN at AVX2 109, portable 32); 1024×1024×1024 NN 105, NT 105, TN 104: 92% of the machine in
//! every layout, because packing has made them one. Blocks of 64 to 128 rows and 384 to 512 steps are within 3%. Where all
//! rows of A are one block, B is packed for few products and fetched during them, and what was fetched has to be near still:
//! 65×16384×384 TN, cut along k on 2 threads, makes 168 GFLOP/s with blocks of 384 steps and 184 with 128 (bf16 270 with 768
//! steps, 325 with 128), 65×16384×768 173 and 186 (270 and 331), in turn.

use super::{
    Shape, Strides, View, begin,
    micro::{Block, PANEL_ROWS, multiply, panel_columns},
    pack::pack,
    prefetch::Next,
};
use crate::{Isa, scratch};

/// Most steps of k in a panel.
pub(super) const K_BLOCK: usize = 384;
/// Most rows of a block of A.
pub(super) const M_BLOCK: usize = 96;
/// Most columns of a block of B.
pub(super) const N_BLOCK: usize = 4096;
/// Elements of B, 192 KiB, that stay in the second-level cache while those before them are multiplied.
const NEAR_B: usize = 3 << 14;
/// The fewest steps of k between two visits of C, where there is a choice.
const K_LEAST: usize = 128;

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(
    isa: Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[f32],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    if !begin(shape, a, a_strides, b, b_strides, c, accumulate) {
        return;
    }
    for (index, c) in c.chunks_exact_mut(shape.m * shape.n).enumerate() {
        let (a, b) = (View::of(a, a_strides, index), View::of(b, b_strides, index));
        product(isa, shape, a, b, c, accumulate);
    }
}

/// The length of the blocks that k is cut into: equal but for the last, at most `most`.
pub(super) fn k_block(k: usize, most: usize) -> usize {
    k.div_ceil(k.div_ceil(most)).next_multiple_of(8).min(most)
}

/// The most steps of a block of B, at most `most`: fewer where all rows of A are one block, so that the next block of B is
/// fetched during each product (see [`next_blocks`]) and should still be near when it is packed.
pub(super) fn most_steps(Shape { m, n, .. }: Shape, b: Option<View<'_>>, most: usize) -> usize {
    let fetched = m <= M_BLOCK && b.is_some_and(|b| b.col == 1);
    if fetched { (NEAR_B / n).clamp(K_LEAST, most) } else { most }
}

/// What is packed after rows `i..i + rows` of `m` and steps `p..p + steps` of `k`: the next rows of A, or the next steps
/// of both; not of a shorter last block of B.
pub(super) fn next_blocks<'a>(
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

/// One matrix of the batch; none of the sizes is 0.
pub(super) fn product(isa: Isa, shape: Shape, a: View<'_>, b: View<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    let mut c = Block::whole(c, n);
    let (m_block, n_block, k_block) = (m.min(M_BLOCK), n.min(N_BLOCK), k_block(k, most_steps(shape, Some(b), K_BLOCK)));
    let width = panel_columns(isa);
    let a_len = m_block.next_multiple_of(PANEL_ROWS) * k_block;
    let b_len = n_block.next_multiple_of(width) * k_block;
    scratch::with(a_len + b_len, |panels: &mut [f32]| {
        let (a_panels, b_panels) = panels.split_at_mut(a_len);
        for j in (0..n).step_by(n_block) {
            let columns = n_block.min(n - j);
            for p in (0..k).step_by(k_block) {
                let steps = k_block.min(k - p);
                let b_panels = &mut b_panels[..columns.next_multiple_of(width) * steps];
                pack(isa, b.from(p, j).transposed(), columns, steps, width, b_panels);
                for i in (0..m).step_by(m_block) {
                    let rows = m_block.min(m - i);
                    let next = next_blocks(a, Some(b.from(0, j)), (i, rows, m), (p, steps, k));
                    let a_panels = &mut a_panels[..rows.next_multiple_of(PANEL_ROWS) * steps];
                    pack(isa, a.from(i, p), rows, steps, PANEL_ROWS, a_panels);
                    multiply(isa, steps, a_panels, b_panels, c.part(i, j, rows, columns), accumulate || p > 0, next);
                }
            }
        }
    });
}
