//! Embedding: rows of a table, chosen by number.
//!
//! - `y[n] = table[ids[n]]`, for a table of `v` rows of `c` elements;
//! - `dtable[i]` = Σ of `dy[n]` over the n with `ids[n] = i`, zero in rows that no id chose.
//!
//! It is the product of a one-hot matrix with the table, without the multiplications by 0 and 1. The backward pass is
//! a scatter: an id that occurs twice gets both gradients, so no two threads may write to one row at the same time.
//!
//! Cost for n ids: 8·n·c bytes forward; 4·v·c + 4·n·c bytes and n·c additions backward.
//!
//! The ladder: [`naive`], [`simd`] (backward alone: a copy of rows is vectors already), [`threads`], [`partial`]
//! (backward).

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod naive;
pub mod partial;
pub mod simd;
#[cfg(test)]
mod tests;
pub mod threads;

use crate::{Isa, Rung, cast::cast, rows::expect_len};
use half::bf16;

/// `(isa, v, c, table, ids, y)`
pub type Forward = fn(Isa, usize, usize, &[f32], &[u32], &mut [f32]);
/// `(isa, v, c, ids, dy, dtable)`
pub type Backward = fn(Isa, usize, usize, &[u32], &[f32], &mut [f32]);

/// The rungs of the forward pass.
pub static FORWARD_RUNGS: [Rung<Forward>; 2] = [
    Rung {
        name: "naive",
        idea: "a copy of a row for every id",
        run: |_, v, c, table, ids, y| naive::forward(v, c, table, ids, y),
        simd: false,
    },
    Rung { name: "threads", idea: "chunks of ids on all cores", run: threads::forward, simd: false },
];

/// The rungs of the backward pass.
pub static BACKWARD_RUNGS: [Rung<Backward>; 4] = [
    Rung {
        name: "naive",
        idea: "every id adds its gradient to its row, one after the other",
        run: |_, v, c, ids, dy, dtable| naive::backward(v, c, ids, dy, dtable),
        simd: false,
    },
    Rung { name: "simd", idea: "16 or 8 lanes of a row at a time", run: simd::backward, simd: true },
    Rung {
        name: "threads",
        idea: "every task owns some rows of the table, reads all ids and adds the gradients of its own rows",
        run: threads::backward,
        simd: true,
    },
    Rung {
        name: "partial",
        idea: "where ids are many and rows few: a table for each task, so that each gradient is read once, in order",
        run: partial::backward,
        simd: true,
    },
];

/// Panics unless the sizes fit and every id is below `v`.
fn expect(v: usize, c: usize, ids: &[u32], table: usize, y: usize) {
    expect_len("the table or its gradient", v, c, table);
    expect_len("y or dy", ids.len(), c, y);
    let largest = ids.iter().fold(0, |m, &id| m.max(id)); // without a branch, so that the compiler makes vectors of it
    assert!(ids.is_empty() || (largest as usize) < v, "id {largest} of a table of {v} rows");
}

/// y = the rows of the table that the ids choose.
///
/// # Panics
/// Unless `table` has `v` · `c` elements, `y` has as many rows of `c` as there are ids, and every id is below `v`.
///
/// ```
/// let mut y = [0.0; 4];
/// gradus_kernels::embedding::forward(3, 2, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &[2, 0], &mut y);
/// assert_eq!(y, [4.0, 5.0, 0.0, 1.0]);
/// ```
pub fn forward(v: usize, c: usize, table: &[f32], ids: &[u32], y: &mut [f32]) {
    threads::forward(Isa::active(), v, c, table, ids, y);
}

/// The same from a table that is stored in bf16: its rows in `f32`.
///
/// # Panics
/// As [`forward`].
pub fn forward_stored(v: usize, c: usize, table: &[bf16], ids: &[u32], y: &mut [f32]) {
    expect(v, c, ids, table.len(), y.len());
    for (y, &id) in y.chunks_exact_mut(c.max(1)).zip(ids) {
        cast(&table[id as usize * c..][..c], y);
    }
}

/// dtable (overwritten): in each row the sum of the gradients of the ids that chose it, in the order of the ids.
///
/// # Panics
/// Unless `dtable` has `v` · `c` elements, `dy` has as many rows of `c` as there are ids, and every id is below `v`.
pub fn backward(v: usize, c: usize, ids: &[u32], dy: &[f32], dtable: &mut [f32]) {
    partial::backward(Isa::active(), v, c, ids, dy, dtable);
}
