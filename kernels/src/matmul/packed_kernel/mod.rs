//! Packed panels and the micro-kernels that multiply them: what the loops around a micro-kernel need to know of an operand kind
//! and an instruction set.
//!
//! | | `f32` | pairs of bf16 | tile registers |
//! | --- | --- | --- | --- |
//! | operands into panels | `pack` | `pack_pairs` | `pack_tiles` |
//! | panels times panels | `micro` | `micro_pairs` | `micro_tiles` |
//!
//! `prefetch` says which cache lines a micro-kernel prefetches.
//!
//! So the loops (`packed.rs`, `threads.rs`) are written once. Vectors multiply a panel of 8 rows of A by one of up to 48
//! columns of B, word by word, where a word is an `f32` or a pair of bf16 numbers. Tile registers multiply two panels of 16
//! by two of 16, 32 steps of k at a time.

pub(super) mod micro;
pub(super) mod micro_pairs;
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
pub(super) mod micro_tiles;
pub(super) mod pack;
pub(super) mod pack_pairs;
pub(super) mod pack_tiles;
pub(super) mod prefetch;

use super::{
    Shape,
    block::Block,
    operands::{Source, View},
};
use crate::{
    Bf16Isa, Isa,
    simd::{operand_kind::Level, tiles::SIDE},
};
use bytemuck::{cast_slice, cast_slice_mut};
use pack::{PANEL_ROWS, panel_columns};
use pack_tiles::Rows;
use prefetch::Next;

/// Most steps of k in a panel of `f32`; pairs have twice as many.
const K_BLOCK: usize = 384;
/// Most rows of a block of A.
const M_BLOCK: usize = 96;
/// Most columns of a block of B.
pub(super) const N_BLOCK: usize = 4096;
/// Elements of B, 192 KiB, that stay in the second-level cache while those before them are multiplied.
const NEAR_B: usize = 3 << 14;
/// The fewest steps of k between two visits of C, where there is a choice.
const K_LEAST: usize = 128;
/// The most elements of B, 1.25 MiB in bf16, that stay in a second-level cache of 2 MiB while rows of A go by.
const NEAR_B_OF_TILES: usize = 640 << 10;
/// The least multiply-adds that are worth a task of `f32`: about 10 µs. Pairs do twice as many in that time, tiles 16 times.
pub(super) const TASK: usize = 1 << 19;

/// What the cuts of C into tasks keep to.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// What the rows of a task are a multiple of.
    pub(super) rows: usize,
    /// What its columns are a multiple of.
    pub(super) columns: usize,
    /// Its most rows.
    pub(super) most_rows: usize,
    /// The least multiply-adds that are worth a task.
    pub(super) work: usize,
}

/// Panels and their micro-kernel at one level.
#[derive(Clone, Copy)]
pub(super) struct PackedKernel {
    level: Level,
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
}

impl PackedKernel {
    /// That of `f32`.
    pub(super) fn of_f32(isa: Isa) -> PackedKernel {
        PackedKernel::of_vectors(Level::F32(isa))
    }

    /// That of bf16 for threads that share B. Where all of B stays near, tiles take short blocks of whole rows of A, so that
    /// little but B is near besides; where it does not, long ones of as many steps as fit, so that B is seldom read.
    pub(super) fn of_bf16(isa: Bf16Isa, Shape { n, k, .. }: Shape) -> PackedKernel {
        let b_is_near = n.saturating_mul(k) <= NEAR_B_OF_TILES;
        PackedKernel::of_level(isa, if b_is_near { (64, 2048) } else { (256, 384) })
    }

    /// That of bf16 for a thread that packs both operands itself: few steps of many rows and columns, so that C is near, too.
    pub(super) fn of_bf16_on_one_thread(isa: Bf16Isa) -> PackedKernel {
        PackedKernel::of_level(isa, (512, 256))
    }

    /// With so many rows and steps at most in a block of tiles.
    fn of_level(isa: Bf16Isa, (most_rows, most_steps): (usize, usize)) -> PackedKernel {
        if isa != Bf16Isa::Amx {
            return PackedKernel::of_vectors(Level::Bf16(isa));
        }
        let cut = Cut { rows: 2 * SIDE, columns: 2 * SIDE, most_rows, work: 16 * TASK };
        PackedKernel { level: Level::Bf16(isa), rows: SIDE, columns: SIDE, steps: 2 * SIDE, most_steps, cut }
    }

    fn of_vectors(level: Level) -> PackedKernel {
        let (columns, steps) = (panel_columns(level.isa()), level.steps());
        let cut = Cut { rows: PANEL_ROWS, columns, most_rows: M_BLOCK, work: steps * TASK };
        PackedKernel { level, rows: PANEL_ROWS, columns, steps, most_steps: steps * K_BLOCK, cut }
    }

    /// The steps of k in a word.
    pub(super) fn steps_of_word(self) -> usize {
        self.level.steps()
    }

    /// Words of k steps in one row of A or column of B.
    pub(super) fn words(self, k: usize) -> usize {
        k.next_multiple_of(self.steps) / self.level.steps()
    }

    /// The length of the blocks that k is cut into: equal but for the last, at most `most`. Blocks of pairs end with whole
    /// words and tiles, those of `f32` anywhere.
    pub(super) fn k_block(self, k: usize, most: usize) -> usize {
        let (grain, end) = match self.level {
            Level::F32(_) => (8, 1),
            Level::Bf16(_) => (self.steps.max(16), self.steps.max(16)),
        };
        k.div_ceil(k.div_ceil(most)).next_multiple_of(grain).min((most / end * end).max(end))
    }

    /// The steps of a block of B that is packed by the thread that multiplies with it: fewer where all rows of A are one
    /// block, because vectors prefetch the next block of B during each product, and it should still be near when it is packed.
    pub(super) fn block_steps(self, Shape { m, n, k, .. }: Shape, b: Source<'_>) -> usize {
        let prefetched = m <= M_BLOCK && b.as_f32().is_some_and(|b| b.col == 1);
        let most = match self.level {
            Level::Bf16(Bf16Isa::Amx) => self.most_steps,
            _ if prefetched => (NEAR_B / n).clamp(K_LEAST, self.most_steps),
            _ => self.most_steps,
        };
        self.k_block(k, most)
    }

    /// Rows 0..`count` and columns 0..`k` of A into panels.
    pub(super) fn pack_a(self, a: View<'_>, count: usize, k: usize, panels: &mut [u32]) {
        self.pack(Source::F32(a), count, k, (self.rows, Rows::Neighbours), panels);
    }

    /// Rows 0..`k` and columns 0..`count` of B into panels.
    pub(super) fn pack_b(self, b: Source<'_>, count: usize, k: usize, panels: &mut [u32]) {
        self.pack(b.transposed(), count, k, (self.columns, Rows::Steps), panels);
    }

    fn pack(self, source: Source<'_>, count: usize, k: usize, (width, rows): (usize, Rows), panels: &mut [u32]) {
        match (self.level, source) {
            (Level::F32(isa), Source::F32(view)) => {
                pack::pack(isa, view, count, k, width, cast_slice_mut(panels));
            }
            (Level::F32(_), Source::Bf16(_)) => unreachable!("products of f32 read f32"),
            (Level::Bf16(isa @ Bf16Isa::Amx), source) => pack_tiles::pack(isa, source, count, k, rows, panels),
            (Level::Bf16(isa), Source::F32(view)) => pack_pairs::pack(isa, view, count, k, width, panels),
            (Level::Bf16(isa), Source::Bf16(view)) => pack_pairs::pack_stored(isa, view, count, k, width, panels),
        }
    }

    /// C = A·B, or C += A·B with `add`: all of a block, from panels of `words`.
    pub(super) fn multiply(self, words: usize, a: &[u32], b: &[u32], c: Block<'_>, add: bool, next: Next<'_>) {
        match self.level {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Level::Bf16(Bf16Isa::Amx) => {
                let mut tiles = crate::simd::tiles::Amx::configured().expect("this machine has no AMX");
                micro_tiles::multiply(&mut tiles, words, a, b, c, add);
            }
            Level::Bf16(isa) => micro_pairs::multiply(isa, words, a, b, c, add, next),
            Level::F32(isa) => micro::multiply(isa, words, cast_slice(a), cast_slice(b), c, add, next),
        }
    }
}
