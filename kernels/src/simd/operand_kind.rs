//! The two kinds of operands of a product: 32-bit words, each an `f32` or a pair of bf16 numbers.
//!
//! A product is a loop that loads vectors of one operand, broadcasts words of the other and adds their products to sums
//! in `f32`. A pair holds two steps of the sum, so with pairs there are half as many words. All else is the same, so the
//! kernels are written once, generic over [`OperandKind`], and [`kind_fn!`](crate::simd::operand_kind::kind_fn) compiles
//! them for both kinds at every instruction set.

use super::{Bf16, Simd, bf16::load_stored};
use crate::{Bf16Isa, Isa};
use half::bf16;

/// A vector of `f32`.
pub(crate) type F32<W> = <<W as OperandKind>::S as Simd>::F32;
/// A vector of words.
pub(crate) type Vector<W> = <<W as OperandKind>::S as Simd>::U32;

/// An operand kind at an instruction set: what a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Words of one `f32`.
    F32(Isa),
    /// Words of two bf16 numbers.
    Bf16(Bf16Isa),
}

impl Level {
    /// The instruction set of everything but the products.
    pub(crate) fn isa(self) -> Isa {
        match self {
            Level::F32(isa) => isa,
            Level::Bf16(isa) => isa.isa(),
        }
    }

    /// The steps of a sum that a word holds.
    pub(crate) fn steps(self) -> usize {
        match self {
            Level::F32(_) => 1,
            Level::Bf16(_) => 2,
        }
    }
}

impl From<Isa> for Level {
    fn from(isa: Isa) -> Level {
        Level::F32(isa)
    }
}

impl From<Bf16Isa> for Level {
    fn from(isa: Bf16Isa) -> Level {
        Level::Bf16(isa)
    }
}

/// How the words of a kind of operand are made, and multiplied.
pub(crate) trait OperandKind: Copy {
    /// The vectors of everything else.
    type S: Simd;
    /// A number as it is stored in memory, where it need not be rounded to be multiplied.
    type Stored: Copy;
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

    /// The first `count` stored numbers of `x`, at most `N` words of them, and zeros after them.
    fn load_stored(self, x: &[Self::Stored], count: usize) -> Vector<Self>;
}

/// Words of one `f32`.
#[derive(Clone, Copy)]
pub(crate) struct Plain<S>(pub S);

impl<S: Simd> OperandKind for Plain<S> {
    type S = S;
    type Stored = f32;
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
    #[inline(always)]
    fn load_stored(self, x: &[f32], count: usize) -> S::U32 {
        self.0.to_bits(if count >= S::N { self.0.load(x) } else { self.0.load_partial(&x[..count]) })
    }
}

/// Words of two bf16 numbers.
#[derive(Clone, Copy)]
pub(crate) struct Pairs<B>(pub B);

impl<B: Bf16> OperandKind for Pairs<B> {
    type S = B::S;
    type Stored = bf16;
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
    #[inline(always)]
    fn load_stored(self, x: &[bf16], count: usize) -> Vector<Self> {
        load_stored(self.0, x, count)
    }
}

/// Compiles a kernel for both operand kinds at every instruction set: [`simd_fn!`](crate::simd_fn) with a type parameter
/// for the operand kind instead of the vectors. The first argument of the function becomes a [`Level`].
macro_rules! kind_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$W:ident>
     ($w:ident : $W2:ident $(, $arg:ident : $ty:ty)* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(level: $crate::simd::operand_kind::Level $(, $arg: $ty)*) $(-> $ret)? {
            #[inline(always)]
            fn generic<$W: $crate::simd::operand_kind::OperandKind>($w: $W $(, $arg: $ty)*) $(-> $ret)? $body

            $crate::simd_fn! {
                fn plain<S>(s: S $(, $arg: $ty)*) $(-> $ret)? {
                    generic($crate::simd::operand_kind::Plain(s) $(, $arg)*)
                }
            }
            $crate::bf16_fn! {
                fn pairs<B>(b: B $(, $arg: $ty)*) $(-> $ret)? {
                    generic($crate::simd::operand_kind::Pairs(b) $(, $arg)*)
                }
            }
            match level {
                $crate::simd::operand_kind::Level::F32(isa) => plain(isa $(, $arg)*),
                $crate::simd::operand_kind::Level::Bf16(isa) => pairs(isa $(, $arg)*),
            }
        }
    };
}
pub(crate) use kind_fn;
