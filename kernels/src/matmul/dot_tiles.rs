//! Few rows times a transposed B: tiles of dot products, without packing.
//!
//! A language model that reads a handful of tokens multiplies a few rows by weights stored as \[n, k\]. Each weight serves
//! only m multiply-adds, so copying it into a panel would cost more than the product. Here R rows of A are multiplied with Q
//! rows of B's memory, a vector of steps at a time: R + Q loads for R·Q multiply-adds, and at the end each vector of sums
//! is added up. B is read once, front to back. 1536×384 with m = 8, one thread: 164 µs, packed 424.
//!
//! The same tiles compute the one or two columns that are left where n is a little more than whole vectors, such as 65.

use super::{
    Shape,
    block::{Block, Shared},
    operands::{Product, View},
};
use crate::{Isa, simd::Simd, simd_fn};
use rayon::prelude::*;

/// The most rows for which this is faster than packing B.
const FEW: usize = 24;
/// The multiply-adds of a task, and its weights.
const TASK: usize = 1 << 18;
const TASK_WEIGHTS: usize = 1 << 16;

/// Whether a product is better done this way.
pub(super) fn pays(&Product { shape, a, b, .. }: &Product<'_>) -> bool {
    (2..=FEW).contains(&shape.m) && shape.n > 1 && a.col == 1 && b.row == 1 && b.col != 1
}

/// One product with [`pays`].
pub(super) fn product(isa: Isa, Product { shape, a, b, c, add }: Product<'_>) {
    let Shape { m, n, k, .. } = shape;
    let c = Block::whole(c, n);
    let c = Shared(&c);
    let by_work = (m * k).saturating_mul(n) / TASK;
    let tasks = by_work.min(k.saturating_mul(n) / (TASK_WEIGHTS / 4)).clamp(1, 64);
    let tasks = if tasks > 1 { tasks / 2 * 2 } else { 1 };
    let columns = n.div_ceil(tasks).next_multiple_of(4);
    let task = |index: usize| {
        let j = index * columns;
        // SAFETY: no two tasks have the same columns.
        let c = unsafe { c.part(0, j, m, columns.min(n - j)) };
        multiply(isa, k, a, b.from(0, j).transposed(), c, add);
    };
    let tasks = n.div_ceil(columns);
    if tasks == 1 {
        task(0);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}

simd_fn! {
    /// C = A·Wᵀ, or C += A·Wᵀ with `add`; the steps of A and of W lie side by side.
    pub(super) fn multiply<S>(s: S, k: usize, a: View<'_>, w: View<'_>, c: Block<'_>, add: bool) {
        match S::ISA {
            Isa::Avx512 => tiles::<S, 4>(s, k, a, w, c, add),
            _ => tiles::<S, 2>(s, k, a, w, c, add),
        }
    }
}

#[inline(always)]
fn tiles<S: Simd, const Q: usize>(s: S, k: usize, a: View<'_>, w: View<'_>, c: Block<'_>, add: bool) {
    let (rows, columns) = (c.rows, c.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(a.col == 1 && w.col == 1, "steps side by side");
    assert!((rows - 1) * a.row + k <= a.data.len(), "rows of A");
    assert!((columns - 1) * w.row + k <= w.data.len(), "rows of W");
    let mut j = 0;
    while j < columns {
        let q = if columns - j >= Q { Q } else { 1 };
        let mut i = 0;
        while i < rows {
            let r = if rows - i >= 4 { 4 } else { 1 };
            // SAFETY: the assertions; r rows of A and C from i on, q rows of W and columns of C from j on.
            unsafe {
                let operands = Operands {
                    k,
                    a: a.data.as_ptr().add(i * a.row),
                    a_row: a.row,
                    w: w.data.as_ptr().add(j * w.row),
                    w_row: w.row,
                };
                let at = c.c.add(i * c.stride + j);
                match (r == 4, q == Q) {
                    (true, true) => write(at, c.stride, sums::<S, 4, Q>(s, operands), add),
                    (true, false) => write(at, c.stride, sums::<S, 4, 1>(s, operands), add),
                    (false, true) => write(at, c.stride, sums::<S, 1, Q>(s, operands), add),
                    (false, false) => write(at, c.stride, sums::<S, 1, 1>(s, operands), add),
                }
            }
            i += r;
        }
        j += q;
    }
}

/// Some rows of A and of W: where they begin, how far apart they are, and how long.
#[derive(Clone, Copy)]
struct Operands {
    k: usize,
    a: *const f32,
    a_row: usize,
    w: *const f32,
    w_row: usize,
}

/// The dot products of R rows of A with Q rows of W.
///
/// # Safety
/// So many rows of k elements may be read.
#[inline(always)]
unsafe fn sums<S: Simd, const R: usize, const Q: usize>(s: S, operands: Operands) -> [[f32; Q]; R] {
    let Operands { k, a, a_row, w, w_row } = operands;
    let mut sums = [[s.zero(); Q]; R];
    let whole = k / S::N * S::N;
    for p in (0..whole).step_by(S::N) {
        // SAFETY: N elements from p on.
        unsafe {
            let mut weights = [s.zero(); Q];
            for q in 0..Q {
                weights[q] = s.load_ptr(w.add(q * w_row + p));
            }
            for r in 0..R {
                let a = s.load_ptr(a.add(r * a_row + p));
                for q in 0..Q {
                    sums[r][q] = s.mul_add(a, weights[q], sums[r][q]);
                }
            }
        }
    }
    if whole < k {
        for r in 0..R {
            for q in 0..Q {
                // SAFETY: what is left of row r and row q.
                let (a, w) = unsafe {
                    let rest = |row: *const f32| std::slice::from_raw_parts(row.add(whole), k - whole);
                    (s.load_partial(rest(a.add(r * a_row))), s.load_partial(rest(w.add(q * w_row))))
                };
                sums[r][q] = s.mul_add(a, w, sums[r][q]);
            }
        }
    }
    let mut out = [[0.0; Q]; R];
    for r in 0..R {
        for q in 0..Q {
            out[r][q] = s.reduce_sum(sums[r][q]);
        }
    }
    out
}

/// Writes or adds a tile.
///
/// # Safety
/// R rows of Q elements from `c` on, `stride` apart, may be read and written.
#[inline(always)]
unsafe fn write<const R: usize, const Q: usize>(c: *mut f32, stride: usize, sums: [[f32; Q]; R], add: bool) {
    for r in 0..R {
        for q in 0..Q {
            // SAFETY: the caller's.
            unsafe {
                let c = c.add(r * stride + q);
                *c = if add { *c + sums[r][q] } else { sums[r][q] };
            }
        }
    }
}
