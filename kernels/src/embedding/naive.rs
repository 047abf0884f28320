//! The specification: a copy of a row for every id, and an addition to it.
//!
//! Forward it is `memcpy`, vectors already; the time goes into writing, and a plain store first reads the line that
//! it writes to. Backward the compiler makes vectors of 4 lanes. No addition waits for its neighbours, but each loads
//! and stores its sum, because the next id may have another row.
//!
//! 16384 ids of a table of 65 × 384 take 1.54 ms forward and 1.72 backward (Zen 4).

use super::expect;
use crate::Float;

/// y = the rows of the table that the ids choose. Panics as [`super::forward`].
pub fn forward<E: Float>(v: usize, c: usize, table: &[E], ids: &[u32], y: &mut [E]) {
    expect(v, c, ids, table.len(), y.len());
    for (n, &id) in ids.iter().enumerate() {
        y[n * c..][..c].copy_from_slice(&table[id as usize * c..][..c]);
    }
}

/// dtable = in each row the sum of the gradients of the ids that chose it. Panics as [`super::backward`].
pub fn backward<E: Float>(v: usize, c: usize, ids: &[u32], dy: &[E], dtable: &mut [E]) {
    expect(v, c, ids, dtable.len(), dy.len());
    dtable.fill(E::zero());
    for (n, &id) in ids.iter().enumerate() {
        for i in 0..c {
            dtable[id as usize * c + i] += dy[n * c + i];
        }
    }
}
