//! Loop order i, k, j, and blocks: the inner loop runs along rows of B and C.
//!
//! One element of A is multiplied with a row of B into a row of C. These multiply-adds are independent, so the compiler makes
//! vectors of them, and all of a loaded cache line is used. The loops over K and N go in blocks: a block of B of
//! `K_BLOCK`×`N_BLOCK` elements, 256 KiB, stays in the second-level cache while the rows of A pass by. But C goes through
//! memory once for each k, with a load and a store for each multiply-add.
//! 512×512×512, NN, one thread: 23.5 GFLOP/s, 14 times the definition.

use super::operands::{Product, Products, View};
use crate::Isa;

const K_BLOCK: usize = 64;
const N_BLOCK: usize = 1024;

/// The rung: see [`super::forward`]; it uses no vectors of its own.
///
/// # Panics
/// As [`super::forward`].
pub fn run(_: Isa, products: Products<'_>) {
    products.for_each(|Product { shape, a, b, c, add }| {
        if !add {
            c.fill(0.0);
        }
        for k0 in (0..shape.k).step_by(K_BLOCK) {
            for n0 in (0..shape.n).step_by(N_BLOCK) {
                let k = K_BLOCK.min(shape.k - k0);
                let n = N_BLOCK.min(shape.n - n0);
                for (i, c) in c.chunks_exact_mut(shape.n).enumerate() {
                    add_row(k, a.from(i, k0), b.from(k0, n0), &mut c[n0..n0 + n]);
                }
            }
        }
    });
}

/// c += the first `k` elements of `a`'s row 0, times the rows of `b`.
fn add_row(k: usize, a: View<'_>, b: View<'_>, c: &mut [f32]) {
    for p in 0..k {
        let a = a.data[p * a.col];
        let row = &b.data[p * b.row..];
        if b.col == 1 {
            for (c, b) in c.iter_mut().zip(row) {
                *c += a * b;
            }
        } else {
            for (j, c) in c.iter_mut().enumerate() {
                *c += a * row[j * b.col];
            }
        }
    }
}
