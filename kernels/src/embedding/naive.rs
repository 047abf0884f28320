//! The specification: a copy of a row for every id, and an addition to it.

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
