//! Rounded while packing, on one thread: the loops of [`matmul::packed`](crate::matmul::packed) with panels of pairs.
//!
//! Blocks have the same bytes as in `f32`, so twice the steps of k: the sums of a tile stay in registers twice as
//! long, for what they cost to load and store weighs twice as much here. The instruction multiplies twice as many
//! numbers in the same cycle, so it should take half the time of `f32`.
//!
//! In the report, one thread, GFLOP/s, and of `f32` in brackets: 512×512×512 NN 222.5 (109.5), 2048×2048×2048 NT
//! 222.9, TN 220.1, NT 768×128×512 223.6 (114.6), NN 768×512×128 216.2 (111.2), TN 512×768×128 196.9 (107.0). That is
//! twice `f32`, and 92 to 95% of the 236 of independent instructions in all but the last: rounding and zipping hide
//! behind the products, and least where A is packed for 128 columns alone, as in the last two.

use super::{
    micro::multiply,
    pack::{Operand, pack},
};
use crate::matmul::{
    Shape, Strides, View, begin,
    micro::{Block, PANEL_ROWS, panel_columns},
    packed::{M_BLOCK, N_BLOCK, most_steps, next_blocks},
};
use crate::{Bf16Isa, scratch};

/// Most steps of k in a panel.
pub(super) const K_BLOCK: usize = 768;

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(
    isa: Bf16Isa,
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
        let (a, b) = (View::of(a, a_strides, index), Operand::F32(View::of(b, b_strides, index)));
        product(isa, shape, a, b, c, accumulate);
    }
}

/// The length of the blocks that k is cut into: equal but for the last, even, at most `most`.
pub(super) fn k_block(k: usize, most: usize) -> usize {
    k.div_ceil(k.div_ceil(most)).next_multiple_of(16).min(most / 2 * 2)
}

/// One matrix of the batch; none of the sizes is 0.
pub(super) fn product(isa: Bf16Isa, shape: Shape, a: View<'_>, b: Operand<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    let mut c = Block::whole(c, n);
    let (m_block, n_block, k_block) =
        (m.min(M_BLOCK), n.min(N_BLOCK), k_block(k, most_steps(shape, b.as_f32(), K_BLOCK)));
    let width = panel_columns(isa.isa());
    let a_len = m_block.next_multiple_of(PANEL_ROWS) * k_block / 2;
    let b_len = n_block.next_multiple_of(width) * k_block / 2;
    scratch::with(a_len + b_len, |panels: &mut [u32]| {
        let (a_panels, b_panels) = panels.split_at_mut(a_len);
        for j in (0..n).step_by(n_block) {
            let columns = n_block.min(n - j);
            for p in (0..k).step_by(k_block) {
                let steps = k_block.min(k - p);
                let pairs = steps.div_ceil(2);
                let b_panels = &mut b_panels[..columns.next_multiple_of(width) * pairs];
                b.from(p, j).transposed().pack(isa, columns, steps, width, b_panels);
                for i in (0..m).step_by(m_block) {
                    let rows = m_block.min(m - i);
                    let next = next_blocks(a, b.from(0, j).as_f32(), (i, rows, m), (p, steps, k));
                    let a_panels = &mut a_panels[..rows.next_multiple_of(PANEL_ROWS) * pairs];
                    pack(isa, a.from(i, p), rows, steps, PANEL_ROWS, a_panels);
                    multiply(isa, pairs, a_panels, b_panels, c.part(i, j, rows, columns), accumulate || p > 0, next);
                }
            }
        }
    });
}
