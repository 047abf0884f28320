//! The panels of an instruction set: how wide they are, how they are packed, and what multiplies them.
//!
//! The loops around the microkernel (`packed.rs`, `threads.rs`) are the same at all levels. Vectors multiply a panel of
//! 8 rows of A by one of up to 48 columns of B, in pairs of steps; tiles two panels of 16 by two of 16, in 32 steps.

use super::{
    micro,
    pack::{Operand, pack},
    pack_tiles::{self, Rows},
};
use crate::Bf16Isa;
use crate::matmul::{
    Shape, View,
    micro::{Block, PANEL_ROWS, panel_columns},
    packed::most_steps,
    prefetch::Next,
    threads::Cut,
};
use crate::simd::tiles::SIDE;

/// The panels of one level.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    isa: Bf16Isa,
    /// Rows of a panel of A.
    pub(super) rows: usize,
    /// Columns of a panel of B.
    pub(super) columns: usize,
    /// What steps of k are filled up to.
    steps: usize,
    /// Most steps of k in a block.
    pub(super) most_steps: usize,
    /// How C is cut into tasks.
    pub(super) cut: Cut,
    /// Which operand of a long sum over rows of both should be the larger one. Tiles of B are packed as the rows lie, those
    /// of A are transposed; vectors prefetch the next block of A while they multiply, and none of B.
    pub(super) larger_is_b: bool,
    /// The largest C, in elements, of a long sum that is cut into parts.
    pub(super) largest_of_parts: usize,
}

/// The most elements of B, 1.25 MiB in bf16, that stay in a second-level cache of 2 MiB while rows of A go by.
const NEAR_B: usize = 640 << 10;

impl Panels {
    /// Those for threads that share B. Where all of B stays near, tiles take short blocks of whole rows of A, so that little but B is
    /// near besides; where it does not, long ones of as many steps as fit, so that B is seldom fetched.
    pub(super) fn new(isa: Bf16Isa, Shape { n, k, .. }: Shape) -> Panels {
        let b_is_near = n.saturating_mul(k) <= NEAR_B;
        Panels::with(isa, if b_is_near { (64, 2048) } else { (256, 384) })
    }

    /// Those for a thread that packs both operands itself: few steps of many rows and columns, so that C is near, too.
    pub(super) fn of_one_thread(isa: Bf16Isa) -> Panels {
        Panels::with(isa, (512, 256))
    }

    /// With so many rows and steps at most in a block of tiles.
    fn with(isa: Bf16Isa, (most_rows, most_steps): (usize, usize)) -> Panels {
        if isa == Bf16Isa::Amx {
            let cut = Cut { rows: 2 * SIDE, columns: 2 * SIDE, most_rows, work: 1 << 23 };
            return Panels {
                isa,
                rows: SIDE,
                columns: SIDE,
                steps: 2 * SIDE,
                most_steps,
                cut,
                larger_is_b: true,
                largest_of_parts: 1 << 20,
            };
        }
        let columns = panel_columns(isa.isa());
        let cut = Cut { columns, work: 1 << 20, ..Cut::new(isa.isa()) };
        Panels {
            isa,
            rows: PANEL_ROWS,
            columns,
            steps: 2,
            most_steps: 768,
            cut,
            larger_is_b: false,
            largest_of_parts: 1 << 16,
        }
    }

    /// Words of k steps in one row of A or column of B.
    pub(super) fn words(self, k: usize) -> usize {
        k.next_multiple_of(self.steps) / 2
    }

    /// The length of the blocks that k is cut into: equal but for the last, at most `most`; whole words, and tiles.
    pub(super) fn k_block(self, k: usize, most: usize) -> usize {
        let grain = self.steps.max(16);
        k.div_ceil(k.div_ceil(most)).next_multiple_of(grain).min((most / grain * grain).max(grain))
    }

    /// The steps of a block of B that is packed by the thread that multiplies with it. Vectors prefetch the next one meanwhile.
    pub(super) fn block_steps(self, shape: Shape, b: Operand<'_>) -> usize {
        let most = match self.isa {
            Bf16Isa::Amx => self.most_steps,
            _ => most_steps(shape, b.as_f32(), self.most_steps),
        };
        self.k_block(shape.k, most)
    }

    /// Rows 0..`count` and columns 0..`k` of A into panels.
    pub(super) fn pack_a(self, a: View<'_>, count: usize, k: usize, panels: &mut [u32]) {
        match self.isa {
            Bf16Isa::Amx => pack_tiles::pack(self.isa, Operand::F32(a), count, k, Rows::Neighbours, panels),
            isa => pack(isa, a, count, k, self.rows, panels),
        }
    }

    /// Rows 0..`k` and columns 0..`count` of B into panels.
    pub(super) fn pack_b(self, b: Operand<'_>, count: usize, k: usize, panels: &mut [u32]) {
        match self.isa {
            Bf16Isa::Amx => pack_tiles::pack(self.isa, b.transposed(), count, k, Rows::Steps, panels),
            isa => b.transposed().pack(isa, count, k, self.columns, panels),
        }
    }

    /// C = A·B, or C += A·B with `add`: all of a block, from panels of `words`.
    pub(super) fn multiply(self, words: usize, x: &[u32], y: &[u32], c: Block<'_>, add: bool, next: Next<'_>) {
        match self.isa {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Bf16Isa::Amx => {
                let mut tiles = crate::simd::tiles::Amx::configured().expect("this machine has no AMX");
                super::tiles::multiply(&mut tiles, words, x, y, c, add);
            }
            isa => micro::multiply(isa, words, x, y, c, add, next),
        }
    }
}
