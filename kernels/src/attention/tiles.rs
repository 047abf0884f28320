//! Register tiles: eight queries at a time share each load of a key and of a value.
//!
//! A small matrix product on packed blocks, C ← β·C + A·B. A tile of MR×NR vectors of C stays in registers while k
//! runs; each step loads NR vectors of B and broadcasts MR elements of A for MR·NR fused multiply-adds. With AVX-512
//! (one multiply-add of 16 lanes a cycle, latency 4) tiles of 8×2 need 10 loads for 16 multiply-adds, so arithmetic is
//! the limit. The blocks lie in L1 and L2, so there is no further blocking. A may be read transposed, through strides.
//!
//! FIGURES

use super::{Inputs, Output, Saved, simd, simd_backward};
use crate::{Isa, simd::Simd};

/// The queries, or keys, that share their loads: the rows of a tile.
pub(super) const PANEL: usize = 8;

/// The forward pass on one thread.
pub(super) fn forward(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    simd::serial(isa, PANEL, inputs, o, lse)
}

/// The backward pass on one thread.
pub(super) fn backward(isa: Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    simd_backward::serial(isa, PANEL, inputs, saved, gradients)
}

/// What C is multiplied with before A·B is added.
#[derive(Clone, Copy)]
pub(super) enum Beta<'a> {
    /// C is overwritten.
    Zero,
    /// A·B is added.
    One,
    /// Row i is multiplied with the i-th factor.
    Rows(&'a [f32]),
}

/// An operand that is read: element (i, k) lies at i·`row` + k·`col`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

/// C (m×n, rows `c_row` apart) ← β·C + A (m×k)·B (k×n, rows `b_row` apart); n is a multiple of the lanes.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    s: S,
    [m, n, k]: [usize; 3],
    a: Left<'_>,
    (b, b_row): (&[f32], usize),
    (c, c_row): (&mut [f32], usize),
    beta: Beta<'_>,
) {
    if m == 0 || n == 0 {
        return;
    }
    // The blocks are small, so none of these can overflow where the slices are real.
    assert!(n.is_multiple_of(S::N) && n <= c_row && (m - 1) * c_row + n <= c.len(), "C is too short");
    assert!(k == 0 || (m - 1) * a.row + (k - 1) * a.col < a.data.len(), "A is too short");
    assert!(k == 0 || (k - 1) * b_row + n <= b.len(), "B is too short");
    assert!(if let Beta::Rows(beta) = beta { m <= beta.len() } else { true }, "too few factors");
    assert!(m.max(n).max(k).max(a.row).max(a.col).max(b_row).max(c_row) < 1 << 31, "no block is that large");
    let block = Block { k, a: a.data.as_ptr(), a_strides: [a.row, a.col], b: b.as_ptr(), b_row };
    // SAFETY: the assertions above cover every tile of the m×n elements.
    unsafe {
        if const { matches!(S::ISA, Isa::Avx512) } {
            rows::<S, 8, 2>(s, block, m, n, c.as_mut_ptr(), c_row, beta)
        } else if const { matches!(S::ISA, Isa::Avx2) } {
            rows::<S, 4, 3>(s, block, m, n, c.as_mut_ptr(), c_row, beta)
        } else {
            rows::<S, 4, 1>(s, block, m, n, c.as_mut_ptr(), c_row, beta)
        }
    }
}

#[derive(Clone, Copy)]
struct Block {
    k: usize,
    a: *const f32,
    a_strides: [usize; 2],
    b: *const f32,
    b_row: usize,
}

/// # Safety
/// The operands hold m×n elements of C and what they are made of.
#[inline(always)]
unsafe fn rows<S: Simd, const MR: usize, const NR: usize>(
    s: S,
    block: Block,
    m: usize,
    n: usize,
    c: *mut f32,
    c_row: usize,
    beta: Beta<'_>,
) {
    let mut i = 0;
    // SAFETY: as the caller says; rows i .. i + MR of m.
    unsafe {
        while i + MR <= m {
            columns::<S, MR, NR>(s, block, n, c, c_row, beta, i);
            i += MR;
        }
        if MR > 4 && i + 4 <= m {
            columns::<S, 4, NR>(s, block, n, c, c_row, beta, i);
            i += 4;
        }
        while i < m {
            columns::<S, 1, 4>(s, block, n, c, c_row, beta, i);
            i += 1;
        }
    }
}

/// # Safety
/// As [`rows`]; i + MR ≤ m.
#[inline(always)]
unsafe fn columns<S: Simd, const MR: usize, const NR: usize>(
    s: S,
    mut block: Block,
    n: usize,
    c: *mut f32,
    c_row: usize,
    beta: Beta<'_>,
    i: usize,
) {
    let mut factors = [1.0; MR];
    if let Beta::Rows(beta) = beta {
        factors.copy_from_slice(&beta[i..i + MR]);
    }
    let zero = matches!(beta, Beta::Zero);
    let mut j = 0;
    // SAFETY: as the caller says; vectors j .. j + NR of n.
    unsafe {
        block.a = block.a.wrapping_add(i * block.a_strides[0]);
        let c = c.add(i * c_row);
        let at = |j| Block { b: block.b.wrapping_add(j), ..block };
        while j + NR * S::N <= n {
            tile::<S, MR, NR>(s, at(j), c.add(j), c_row, zero, factors);
            j += NR * S::N;
        }
        while NR > 2 && j + 2 * S::N <= n {
            tile::<S, MR, 2>(s, at(j), c.add(j), c_row, zero, factors);
            j += 2 * S::N;
        }
        if NR > 1 && j < n {
            tile::<S, MR, 1>(s, at(j), c.add(j), c_row, zero, factors);
        }
    }
}

/// # Safety
/// The block is within its operands for MR rows and NR vectors.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NR: usize>(
    s: S,
    block: Block,
    c: *mut f32,
    c_row: usize,
    zero: bool,
    factors: [f32; MR],
) {
    let mut sums = [[s.zero(); NR]; MR];
    let Block { k, mut a, a_strides: [a_row, a_col], mut b, b_row } = block;
    // SAFETY: as the caller says; the pointers move past the end only after the last step, and wrap.
    unsafe {
        if !zero {
            for i in 0..MR {
                for j in 0..NR {
                    sums[i][j] = s.mul(s.splat(factors[i]), s.load_ptr(c.add(i * c_row + j * S::N)));
                }
            }
        }
        for _ in 0..k {
            let mut row = [s.zero(); NR];
            for (j, row) in row.iter_mut().enumerate() {
                *row = s.load_ptr(b.add(j * S::N));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = s.splat(*a.add(i * a_row));
                for (sum, &y) in sums.iter_mut().zip(&row) {
                    *sum = s.mul_add(x, y, *sum);
                }
            }
            a = a.wrapping_add(a_col);
            b = b.wrapping_add(b_row);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                s.store_ptr(c.add(i * c_row + j * S::N), sum);
            }
        }
    }
}
