//! The product of small packed blocks, C ← β·C + A·B, in tiles of registers.
//!
//! A tile of MR×NR vectors of C stays in registers while k runs; each step loads NR vectors of B and broadcasts MR words
//! of A for MR·NR fused multiply-adds. With AVX-512 (one multiply-add of 16 lanes a cycle, latency 4) tiles of 8×2 and
//! 4×4 need at most 10 loads for 16 multiply-adds, so arithmetic is the limit. The blocks lie in L1 and L2, so there is no
//! further blocking. A may be read transposed, through strides.

use crate::{
    Isa,
    simd::{
        Simd,
        operand_kind::{F32, OperandKind, Vector},
    },
};
use std::ops::Range;

/// What C is multiplied with before A·B is added.
#[derive(Clone, Copy)]
pub(in crate::attention) enum Beta<'a> {
    /// C is overwritten.
    Zero,
    /// A·B is added.
    One,
    /// Row i is multiplied with the i-th factor.
    Rows(&'a [f32]),
}

/// An operand that is read word by word: (i, k) lies at i·`row` + k·`col`.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Left<'a> {
    pub data: &'a [u32],
    pub row: usize,
    pub col: usize,
}

impl Left<'_> {
    /// The rows from `row` on.
    #[inline(always)]
    pub(in crate::attention) fn from(self, row: usize) -> Self {
        Left { data: self.data.get(row * self.row..).unwrap_or_default(), ..self }
    }
}

impl Right<'_> {
    /// The rows from `row` on.
    #[inline(always)]
    pub(in crate::attention) fn from(self, row: usize) -> Self {
        Right { data: self.data.get(row * self.row..).unwrap_or_default(), ..self }
    }
}

/// An operand that is read in vectors: rows of words, `row` apart.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Right<'a> {
    pub data: &'a [u32],
    pub row: usize,
}

/// C (m×n, rows `c_row` apart) ← β·C + A (m×k)·B (k×n); n is a multiple of the lanes, k counts words.
#[inline(always)]
pub(in crate::attention) fn multiply<W: OperandKind>(
    w: W,
    [m, n, k]: [usize; 3],
    a: Left<'_>,
    b: Right<'_>,
    (c, c_row): (&mut [f32], usize),
    beta: Beta<'_>,
) {
    if m == 0 || n == 0 {
        return;
    }
    // So that none of the products below can overflow.
    assert!(m.max(n).max(k).max(a.row).max(a.col).max(b.row).max(c_row) < 1 << 31, "no block is that large");
    assert!(n.is_multiple_of(W::S::N) && n <= c_row && (m - 1) * c_row + n <= c.len(), "C is too short");
    assert!(k == 0 || (m - 1) * a.row + (k - 1) * a.col < a.data.len(), "A is too short");
    assert!(k == 0 || (k - 1) * b.row + n <= b.data.len(), "B is too short");
    assert!(if let Beta::Rows(beta) = beta { m <= beta.len() } else { true }, "too few factors");
    let block = Block::new(a, b);
    // SAFETY: the assertions above cover every tile of the m×n elements.
    unsafe {
        if const { matches!(W::S::ISA, Isa::Avx512) } {
            rows::<W, 8, 2>(w, (k, block), m, n, c.as_mut_ptr(), c_row, beta)
        } else if const { matches!(W::S::ISA, Isa::Avx2) } {
            rows::<W, 4, 2>(w, (k, block), m, n, c.as_mut_ptr(), c_row, beta)
        } else {
            rows::<W, 4, 1>(w, (k, block), m, n, c.as_mut_ptr(), c_row, beta)
        }
    }
}

/// A (MR×k)·B (k×NR vectors), left in registers.
#[inline(always)]
pub(in crate::attention) fn tile<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    k: usize,
    a: Left<'_>,
    b: Right<'_>,
) -> [[F32<W>; NR]; MR] {
    assert_inside::<W>([MR, NR, k], a, b);
    // SAFETY: the assertions.
    unsafe { sums(w, k, Block::new(a, b), [[w.simd().zero(); NR]; MR]) }
}

/// Two products of one shape, [`tile`], step by step together: twice the sums hide the latency of each.
#[inline(always)]
pub(in crate::attention) fn tiles<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    k: usize,
    operands: [(Left<'_>, Right<'_>); 2],
) -> [[[F32<W>; NR]; MR]; 2] {
    let mut sums = [[[w.simd().zero(); NR]; MR]; 2];
    operands.iter().for_each(|&(a, b)| assert_inside::<W>([MR, NR, k], a, b));
    let mut blocks = operands.map(|(a, b)| Block::new(a, b));
    for _ in 0..k {
        for (block, sums) in blocks.iter_mut().zip(&mut sums) {
            // SAFETY: the assertions; a block is moved past its end only after the last step.
            unsafe { block.step(w, sums) };
        }
    }
    sums
}

/// [`tile`] of 2·MR rows whose halves take different steps of k: neither bound of the second lies before that of the
/// first, as along a diagonal. Steps that both take load B once.
#[inline(always)]
pub(in crate::attention) fn halves<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    [first, second]: [Range<usize>; 2],
    a: Left<'_>,
    b: Right<'_>,
) -> [[[F32<W>; NR]; MR]; 2] {
    let mut sums = [[[w.simd().zero(); NR]; MR]; 2];
    assert!(first.start <= second.start && first.end <= second.end, "the second half comes later");
    assert_inside::<W>([2 * MR, NR, second.end], a, b);
    let [lead, tail] = [second.start.min(first.end), first.end.max(second.start)];
    let [mut one, mut both] = [first.start, second.start].map(|at| Block::new(a, b).at(at));
    let mut other = Block::new(a.from(MR), b).at(tail);
    // SAFETY: the assertions; all steps are before the last one of the second half.
    unsafe {
        for _ in 0..lead - first.start {
            one.step(w, &mut sums[0]);
        }
        for _ in 0..first.end.saturating_sub(second.start) {
            let row = both.row(w);
            both.add(w, 0, &row, &mut sums[0]);
            both.add(w, MR, &row, &mut sums[1]);
            both.next();
        }
        for _ in 0..second.end - tail {
            other.step(w, &mut sums[1]);
        }
    }
    sums
}

#[inline(always)]
fn assert_inside<W: OperandKind>([m, n, k]: [usize; 3], a: Left<'_>, b: Right<'_>) {
    assert!(k.max(a.row).max(a.col).max(b.row) < 1 << 31, "no block is that large");
    assert!(k == 0 || (m - 1) * a.row + (k - 1) * a.col < a.data.len(), "A is too short");
    assert!(k == 0 || (k - 1) * b.row + n * W::S::N <= b.data.len(), "B is too short");
}

#[derive(Clone, Copy)]
struct Block {
    a: *const u32,
    a_strides: [usize; 2],
    b: *const u32,
    b_row: usize,
}

impl Block {
    #[inline(always)]
    fn new(a: Left<'_>, b: Right<'_>) -> Block {
        Block { a: a.data.as_ptr(), a_strides: [a.row, a.col], b: b.data.as_ptr(), b_row: b.row }
    }

    /// The block `steps` later.
    #[inline(always)]
    fn at(self, steps: usize) -> Block {
        let [a, b] = [self.a_strides[1], self.b_row].map(|step| steps * step);
        Block { a: self.a.wrapping_add(a), b: self.b.wrapping_add(b), ..self }
    }

    #[inline(always)]
    fn next(&mut self) {
        *self = self.at(1);
    }

    /// NR vectors of B.
    ///
    /// # Safety
    /// They may be read.
    #[inline(always)]
    unsafe fn row<W: OperandKind, const NR: usize>(&self, w: W) -> [Vector<W>; NR] {
        let s = w.simd();
        let mut row = [s.splat_u32(0); NR];
        for (j, row) in row.iter_mut().enumerate() {
            // SAFETY: as the caller says.
            *row = s.to_bits(unsafe { s.load_ptr(self.b.add(j * W::S::N).cast()) });
        }
        row
    }

    /// Adds the products of `row` and MR words of A, from row `from` on.
    ///
    /// # Safety
    /// The words may be read.
    #[inline(always)]
    unsafe fn add<W: OperandKind, const MR: usize, const NR: usize>(
        &self,
        w: W,
        from: usize,
        row: &[Vector<W>; NR],
        sums: &mut [[F32<W>; NR]; MR],
    ) {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as the caller says.
            let x = w.simd().splat_u32(unsafe { *self.a.add((from + i) * self.a_strides[0]) });
            for (sum, &y) in sums.iter_mut().zip(row) {
                *sum = w.dot(x, y, *sum);
            }
        }
    }

    /// One word of k, for all sums; the block moves on.
    ///
    /// # Safety
    /// MR words of A and NR vectors of B may be read.
    #[inline(always)]
    unsafe fn step<W: OperandKind, const MR: usize, const NR: usize>(&mut self, w: W, sums: &mut [[F32<W>; NR]; MR]) {
        // SAFETY: as the caller says.
        unsafe {
            let row = self.row(w);
            self.add(w, 0, &row, sums);
        }
        self.next();
    }
}

/// # Safety
/// The block is within its operands for MR rows and NR vectors.
#[inline(always)]
unsafe fn sums<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    k: usize,
    mut block: Block,
    mut sums: [[F32<W>; NR]; MR],
) -> [[F32<W>; NR]; MR] {
    for _ in 0..k {
        // SAFETY: as the caller says; the pointers move past the end only after the last step, and wrap.
        unsafe { block.step(w, &mut sums) };
    }
    sums
}

/// # Safety
/// The operands hold m×n elements of C and what they are made of.
#[inline(always)]
unsafe fn rows<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    (k, block): (usize, Block),
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
            columns::<W, MR, NR>(w, (k, block), n, c, c_row, beta, i);
            i += MR;
        }
        if MR > 4 && i + 4 <= m {
            columns::<W, 4, 4>(w, (k, block), n, c, c_row, beta, i);
            i += 4;
        }
        while i < m {
            columns::<W, 1, 4>(w, (k, block), n, c, c_row, beta, i);
            i += 1;
        }
    }
}

/// # Safety
/// As [`rows`]; i + MR ≤ m.
#[inline(always)]
unsafe fn columns<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    (k, mut block): (usize, Block),
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
    let lanes = W::S::N;
    let mut j = 0;
    // SAFETY: as the caller says; vectors j .. j + NR of n.
    unsafe {
        block.a = block.a.wrapping_add(i * block.a_strides[0]);
        let c = c.add(i * c_row);
        let at = |j| (k, Block { b: block.b.wrapping_add(j), ..block });
        while j + NR * lanes <= n {
            update::<W, MR, NR>(w, at(j), c.add(j), c_row, zero, factors);
            j += NR * lanes;
        }
        while NR > 2 && j + 2 * lanes <= n {
            update::<W, MR, 2>(w, at(j), c.add(j), c_row, zero, factors);
            j += 2 * lanes;
        }
        if NR > 1 && j < n {
            update::<W, MR, 1>(w, at(j), c.add(j), c_row, zero, factors);
        }
    }
}

/// # Safety
/// The block, and C, are within their operands for MR rows and NR vectors.
#[inline(always)]
unsafe fn update<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    (k, block): (usize, Block),
    c: *mut f32,
    c_row: usize,
    zero: bool,
    factors: [f32; MR],
) {
    let s = w.simd();
    let mut start = [[s.zero(); NR]; MR];
    // SAFETY: as the caller says.
    unsafe {
        if !zero {
            for (i, start) in start.iter_mut().enumerate() {
                for (j, x) in start.iter_mut().enumerate() {
                    *x = s.mul(s.splat(factors[i]), s.load_ptr(c.add(i * c_row + j * W::S::N)));
                }
            }
        }
        for (i, sums) in sums(w, k, block, start).iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                s.store_ptr(c.add(i * c_row + j * W::S::N), sum);
            }
        }
    }
}
