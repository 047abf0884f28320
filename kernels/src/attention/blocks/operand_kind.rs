//! The two kinds of operands of block products: 32-bit words, each an `f32` or a pair of bf16 numbers.
//!
//! A product of blocks is a loop that loads vectors of one operand, broadcasts words of the other and adds their product
//! to sums in `f32`. With pairs a word holds two steps of the sum, so there are half as many. All else is the same, so
//! the kernels are written once, generic over [`OperandKind`].

use crate::simd::{Bf16, Simd};

/// A vector of `f32`.
pub(in crate::attention) type F32<W> = <<W as OperandKind>::S as Simd>::F32;
/// A vector of words.
pub(in crate::attention) type Vector<W> = <<W as OperandKind>::S as Simd>::U32;

/// How the words of a kind of operand are made, and multiplied.
pub(in crate::attention) trait OperandKind: Copy {
    /// The vectors of everything else.
    type S: Simd;
    /// The steps of a sum that a word holds.
    const STEPS: usize;

    /// The proof for everything else.
    fn simd(self) -> Self::S;

    /// sum + Σ a·b over the steps of each lane.
    fn dot(self, a: Vector<Self>, b: Vector<Self>, sum: F32<Self>) -> F32<Self>;

    /// The numbers that words would hold.
    fn rounded(self, x: F32<Self>) -> F32<Self>;

    /// `N` words: lane i holds the i-th of each of these vectors, the steps of one sum. Only [`Self::STEPS`] are read.
    fn join(self, steps: [F32<Self>; 2]) -> Vector<Self>;

    /// The numbers of these vectors, one after the other, in words: `STEPS` vectors become one.
    fn pack(self, x: [F32<Self>; 2]) -> Vector<Self>;
}

/// OperandKind of one `f32`.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Plain<S>(pub S);

impl<S: Simd> OperandKind for Plain<S> {
    type S = S;
    const STEPS: usize = 1;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }
    #[inline(always)]
    fn dot(self, a: S::U32, b: S::U32, sum: S::F32) -> S::F32 {
        self.0.mul_add(self.0.from_bits(a), self.0.from_bits(b), sum)
    }
    #[inline(always)]
    fn rounded(self, x: S::F32) -> S::F32 {
        x
    }
    #[inline(always)]
    fn join(self, [x, _]: [S::F32; 2]) -> S::U32 {
        self.0.to_bits(x)
    }
    #[inline(always)]
    fn pack(self, [x, _]: [S::F32; 2]) -> S::U32 {
        self.0.to_bits(x)
    }
}

/// OperandKind of two bf16 numbers.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Pairs<B>(pub B);

impl<B: Bf16> OperandKind for Pairs<B> {
    type S = B::S;
    const STEPS: usize = 2;

    #[inline(always)]
    fn simd(self) -> B::S {
        self.0.simd()
    }
    #[inline(always)]
    fn dot(self, a: Vector<Self>, b: Vector<Self>, sum: F32<Self>) -> F32<Self> {
        self.0.dot(a, b, sum)
    }
    #[inline(always)]
    fn rounded(self, x: F32<Self>) -> F32<Self> {
        self.0.even(self.0.round_pair(x, x))
    }
    #[inline(always)]
    fn join(self, [even, odd]: [F32<Self>; 2]) -> Vector<Self> {
        self.0.round_pair(even, odd)
    }
    #[inline(always)]
    fn pack(self, x: [F32<Self>; 2]) -> Vector<Self> {
        self.0.round_neighbours(x)
    }
}
