//! The specification: a copy of a row for every id, and an addition to it.
//!
//! Forward it is `memcpy`, vectors already: what counts is the writing, and a plain store first reads the line that
//! it writes to. Backward the compiler makes vectors of 4 lanes. No addition waits for its neighbours, but each loads
//! and stores its sum, because the next id may have another row.
//!
//! In the report, 16384 ids of a table of 65 × 384, which stays in the second-level cache: forward 1.54 ms,
//! 16.5 GB/s, backward 1.72 ms, 14.7 GB/s. By probes beside it, on two threads, the bytes need 0.43 and 0.19 ms.

use super::expect;
use crate::Float;

/// y = the rows of the table that the ids choose.
pub fn forward<E: Float>(v: usize, c: usize, table: &[E], ids: &[u32], y: &mut [E]) {
    expect(v, c, ids, table.len(), y.len());
    for (n, &id) in ids.iter().enumerate() {
        y[n * c..][..c].copy_from_slice(&table[id as usize * c..][..c]);
    }
}

/// dtable = in each row the sum of the gradients of the ids that chose it.
pub fn backward<E: Float>(v: usize, c: usize, ids: &[u32], dy: &[E], dtable: &mut [E]) {
    expect(v, c, ids, dtable.len(), dy.len());
    dtable.fill(E::zero());
    for (n, &id) in ids.iter().enumerate() {
        for i in 0..c {
            dtable[id as usize * c + i] += dy[n * c + i];
        }
    }
}
