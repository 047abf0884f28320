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

use super::{pack::Operand, panels::Panels};
use crate::matmul::{
    Shape, Strides, View, begin,
    micro::Block,
    packed::{N_BLOCK, next_blocks},
};
use crate::{Bf16Isa, scratch};

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

/// One matrix of the batch; none of the sizes is 0.
pub(super) fn product(isa: Bf16Isa, shape: Shape, a: View<'_>, b: Operand<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    let mut c = Block::whole(c, n);
    let level = Panels::of_one_thread(isa);
    let (m_block, n_block) = (m.min(level.cut.most_rows), n.min(N_BLOCK));
    let k_block = level.block_steps(shape, b);
    let a_len = m_block.next_multiple_of(level.rows) * level.words(k_block);
    let b_len = n_block.next_multiple_of(level.columns) * level.words(k_block);
    scratch::with(a_len + b_len, |panels: &mut [u32]| {
        let (a_panels, b_panels) = panels.split_at_mut(a_len);
        for j in (0..n).step_by(n_block) {
            let columns = n_block.min(n - j);
            for p in (0..k).step_by(k_block) {
                let steps = k_block.min(k - p);
                let words = level.words(steps);
                let b_panels = &mut b_panels[..columns.next_multiple_of(level.columns) * words];
                level.pack_b(b.from(p, j), columns, steps, b_panels);
                for i in (0..m).step_by(m_block) {
                    let rows = m_block.min(m - i);
                    let next = next_blocks(a, b.from(0, j).as_f32(), (i, rows, m), (p, steps, k));
                    let a_panels = &mut a_panels[..rows.next_multiple_of(level.rows) * words];
                    level.pack_a(a.from(i, p), rows, steps, a_panels);
                    level.multiply(words, a_panels, b_panels, c.part(i, j, rows, columns), accumulate || p > 0, next);
                }
            }
        }
    });
}
