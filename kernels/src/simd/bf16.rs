//! bf16: the upper half of an `f32`, two numbers to a lane.
//!
//! A bf16 number has the exponent of an `f32` and 8 of its 24 significant bits, so widening is a shift, and the product
//! of two of them, 16 bits, is exact in `f32`. What makes it fast is one instruction, `vdpbf16ps`: for every lane of 32
//! bits it multiplies both halves with those of another vector and adds both products to an `f32`. That is twice the
//! multiply-adds of an `f32` instruction (230 GFLOP/s instead of 118 on a core of a Zen 4), and half the bytes for the operands.
//!
//! # Pairs
//! Kernels keep two steps of a sum side by side in one `u32`: the even one in the low half, the odd one in the high.
//! A vector of pairs is therefore a [`Simd::U32`], and a kernel generic over [`Bf16`] uses the vectors of
//! [`Bf16::simd`] for everything else. It is written once and compiled for the levels of [`Bf16Isa`] by
//! [`bf16_fn!`](crate::bf16_fn), for the last two as one; products on [`tiles`](super::tiles) are kernels of their own. Where
//! there is no instruction, a pair is widened by a shift and a mask and takes two multiply-adds.
//!
//! # The same everywhere
//! [`round`] is to the nearest, ties to even; NaN stays NaN, and denormal numbers become zero, as they do in the
//! instructions. All levels round to the same bits, and add the odd product before the even one, as the instruction
//! does. What differs: `vdpbf16ps` takes denormal operands and sums for zero, which below 1.2·10⁻³⁸ the emulation does
//! not, and the portable level may round a product that overflows before it is added.

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "x86_64")]
pub use x86::Avx512Bf16;

use super::{Portable, Simd};
use crate::{Bf16Isa, bf16_fn};
use half::bf16;

/// A vector of `f32` at the level `B`.
pub type F32<B> = <<B as Bf16>::S as Simd>::F32;
/// A vector of pairs at the level `B`.
pub type Pairs<B> = <<B as Bf16>::S as Simd>::U32;

/// The nearest bf16, ties to even. NaN stays NaN; a denormal number becomes a zero of its sign.
///
/// ```
/// use gradus_kernels::simd::bf16::round;
/// assert_eq!(round(1.0 + 1.0 / 256.0).to_f32(), 1.0); // half-way: to the even neighbour
/// assert_eq!(round(1.0 + 3.0 / 256.0).to_f32(), 1.0 + 1.0 / 64.0);
/// ```
#[inline]
pub fn round(x: f32) -> bf16 {
    bf16::from_f32(if x.is_subnormal() { 0.0_f32.copysign(x) } else { x })
}

/// Two numbers as a pair: the low half is the even step.
#[inline]
pub fn pair(even: bf16, odd: bf16) -> u32 {
    u32::from(even.to_bits()) | u32::from(odd.to_bits()) << 16
}

/// The first `count` numbers of `x`, at most 2·N, rounded to pairs, and zeros after them.
#[inline(always)]
pub(crate) fn load_rounded<B: Bf16>(b: B, x: &[f32], count: usize) -> Pairs<B> {
    let s = b.simd();
    let n = B::S::N;
    if count >= 2 * n {
        let x = &x[..2 * n];
        b.round_neighbours([s.load(x), s.load(&x[n..])])
    } else {
        let (first, second) = x[..count].split_at(count.min(n));
        b.round_neighbours([s.load_partial(first), s.load_partial(second)])
    }
}

/// The first `count` numbers of `x`, at most 2·N, as pairs, and zeros after them.
#[inline(always)]
pub(crate) fn load_stored<B: Bf16>(b: B, x: &[bf16], count: usize) -> Pairs<B> {
    let n = B::S::N;
    if count >= 2 * n {
        let x = &x[..2 * n];
        // SAFETY: 2·N numbers of 16 bits are N pairs; the load needs no alignment.
        unsafe { b.load_ptr(x.as_ptr().cast()) }
    } else {
        let mut some = [bf16::ZERO; 32];
        some[..count].copy_from_slice(&x[..count]);
        // SAFETY: 32 numbers are at least N pairs.
        unsafe { b.load_ptr(some.as_ptr().cast()) }
    }
}

bf16_fn! {
    /// y ← x, each number to the nearest.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn round_all<B>(b: B, x: &[f32], y: &mut [bf16]) {
        assert_eq!(x.len(), y.len(), "as many numbers as there is room for");
        let n = 2 * B::S::N;
        let (x, y) = (x.chunks(n), y.chunks_mut(n));
        for (x, y) in x.zip(y) {
            let pairs = load_rounded(b, x, x.len());
            if y.len() == n {
                // SAFETY: 2·N numbers of 16 bits are N pairs; the store needs no alignment.
                unsafe { b.store_ptr(y.as_mut_ptr().cast(), pairs) };
            } else {
                let mut some = [bf16::ZERO; 32];
                // SAFETY: 32 numbers are at least N pairs.
                unsafe { b.store_ptr(some.as_mut_ptr().cast(), pairs) };
                y.copy_from_slice(&some[..y.len()]);
            }
        }
    }
}

/// The operations on pairs of bf16 numbers that kernels are made of, besides the vectors of [`Self::S`].
#[allow(clippy::wrong_self_convention)] // `self` is the proof of the instruction set, not what is converted
pub trait Bf16: Copy + Send + Sync + 'static {
    /// The vectors of this level.
    type S: Simd;
    /// The instruction set that this is.
    const ISA: Bf16Isa;

    /// The proof for everything else.
    fn simd(self) -> Self::S;

    /// (even of x₀, x₁, …, then of the other vector; odd likewise): what lies in pairs, taken apart.
    fn unzip(self, x: [F32<Self>; 2]) -> (F32<Self>, F32<Self>);

    /// (x₀, x₁, …): what [`Self::unzip`] has taken apart, side by side again.
    fn zip(self, even: F32<Self>, odd: F32<Self>) -> [F32<Self>; 2];

    /// acc + odd(a)·odd(b) + even(a)·even(b) for each lane.
    #[inline(always)]
    fn dot(self, a: Pairs<Self>, b: Pairs<Self>, acc: F32<Self>) -> F32<Self> {
        let s = self.simd();
        let acc = s.mul_add(self.odd(a), self.odd(b), acc);
        s.mul_add(self.even(a), self.even(b), acc)
    }

    /// Lane i is the pair of evenᵢ and oddᵢ, rounded.
    #[inline(always)]
    fn round_pair(self, even: F32<Self>, odd: F32<Self>) -> Pairs<Self> {
        let s = self.simd();
        let low = s.shr_u32::<16>(rounded(s, even));
        s.or_u32(low, s.and_u32(rounded(s, odd), s.splat_u32(0xffff_0000)))
    }

    /// 2·N numbers that follow each other, rounded: lane i is the pair of x₂ᵢ and x₂ᵢ₊₁.
    #[inline(always)]
    fn round_neighbours(self, x: [F32<Self>; 2]) -> Pairs<Self> {
        let (even, odd) = self.unzip(x);
        self.round_pair(even, odd)
    }

    /// The even numbers of the pairs.
    #[inline(always)]
    fn even(self, pairs: Pairs<Self>) -> F32<Self> {
        let s = self.simd();
        s.from_bits(s.shl_u32::<16>(pairs))
    }

    /// The odd numbers of the pairs.
    #[inline(always)]
    fn odd(self, pairs: Pairs<Self>) -> F32<Self> {
        let s = self.simd();
        s.from_bits(s.and_u32(pairs, s.splat_u32(0xffff_0000)))
    }

    /// The `N` pairs at `x`, aligned or not.
    ///
    /// # Safety
    /// `x` points to `N` readable pairs.
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const u32) -> Pairs<Self> {
        let s = self.simd();
        // SAFETY: the caller's; a lane is 32 bits whatever it holds.
        s.to_bits(unsafe { s.load_ptr(x.cast()) })
    }

    /// Writes the `N` pairs at `x`, aligned or not.
    ///
    /// # Safety
    /// `x` points to `N` writable pairs.
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut u32, pairs: Pairs<Self>) {
        let s = self.simd();
        // SAFETY: the caller's; a lane is 32 bits whatever it holds.
        unsafe { s.store_ptr(x.cast(), s.from_bits(pairs)) }
    }

    /// Writes every eight lanes: lane i goes to `to[i / 8 · step + i % 8]`.
    ///
    /// # Safety
    /// 8 pairs are writable at `to + i·step` for every i below `N` / 8.
    #[inline(always)]
    unsafe fn store_eights(self, pairs: Pairs<Self>, to: *mut u32, _step: usize) {
        // SAFETY: the caller's; this is for levels of 8 lanes.
        unsafe { self.store_ptr(to, pairs) }
    }

    /// Writes 8 vectors as N columns of 8: pair t of vector r goes to `to[t·step + r]`.
    ///
    /// # Safety
    /// 8 pairs are writable at `to + t·step` for every t below `N`.
    #[inline(always)]
    unsafe fn store_transposed(self, rows: [Pairs<Self>; 8], to: *mut u32, step: usize) {
        let s = self.simd();
        let rows = rows.map(
            #[inline(always)]
            |row| s.array_u32(row),
        );
        for t in 0..Self::S::N {
            for (r, row) in rows.iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { *to.add(t * step + r) = row[t] };
            }
        }
    }

    /// The first `N` pairs of `x`; panics where there are fewer.
    #[inline(always)]
    fn load(self, x: &[u32]) -> Pairs<Self> {
        let s = self.simd();
        s.to_bits(s.load(bytemuck::cast_slice(x)))
    }

    /// Writes the first `N` pairs of `x`; panics where there are fewer.
    #[inline(always)]
    fn store(self, x: &mut [u32], pairs: Pairs<Self>) {
        let s = self.simd();
        s.store(bytemuck::cast_slice_mut(x), s.from_bits(pairs));
    }
}

/// The bits of each lane, rounded to the upper 16; the lower ones are left over.
#[inline(always)]
fn rounded<S: Simd>(s: S, x: S::F32) -> S::U32 {
    let bits = s.to_bits(x);
    // Half a unit, less one where the last bit is even: ties go down to it.
    let odd = s.and_u32(s.shr_u32::<16>(bits), s.splat_u32(1));
    let nearest = s.add_u32(bits, s.add_u32(odd, s.splat_u32(0x7fff)));
    let sign = s.and_u32(bits, s.splat_u32(0x8000_0000));
    let quiet = s.or_u32(bits, s.splat_u32(0x0040_0000));
    let normal = s.select(s.lt(s.abs(x), s.splat(f32::MIN_POSITIVE)), s.from_bits(sign), s.from_bits(nearest));
    s.to_bits(s.select(s.eq(x, x), normal, s.from_bits(quiet)))
}

impl Bf16 for Portable {
    type S = Portable;
    const ISA: Bf16Isa = Bf16Isa::Portable;

    #[inline(always)]
    fn simd(self) -> Portable {
        self
    }
    #[inline(always)]
    fn unzip(self, x: [F32<Self>; 2]) -> (F32<Self>, F32<Self>) {
        let [a, b] = x.map(wide::f32x8::to_array);
        let every =
            |first: usize| std::array::from_fn(|i| if i < 4 { a[2 * i + first] } else { b[2 * (i - 4) + first] });
        (wide::f32x8::new(every(0)), wide::f32x8::new(every(1)))
    }
    #[inline(always)]
    fn zip(self, even: F32<Self>, odd: F32<Self>) -> [F32<Self>; 2] {
        let (even, odd) = (even.to_array(), odd.to_array());
        [0, 4].map(|first| {
            wide::f32x8::new(std::array::from_fn(|i| if i % 2 == 0 { even[first + i / 2] } else { odd[first + i / 2] }))
        })
    }
}

/// Compiles a kernel on pairs of bf16 numbers for every [`Bf16Isa`]: [`simd_fn!`](crate::simd_fn) with a type
/// parameter for the pairs instead of the vectors.
///
/// ```
/// use gradus_kernels::simd::{Bf16, Simd, bf16::{pair, round}};
/// use gradus_kernels::{Bf16Isa, bf16_fn};
///
/// bf16_fn! {
///     /// Σ aᵢ·bᵢ of as many pairs as fill vectors.
///     pub fn dot<B>(b: B, x: &[u32], y: &[u32]) -> f32 {
///         let s = b.simd();
///         let mut sum = s.zero();
///         for (x, y) in x.chunks_exact(B::S::N).zip(y.chunks_exact(B::S::N)) {
///             sum = b.dot(b.load(x), b.load(y), sum);
///         }
///         s.reduce_sum(sum)
///     }
/// }
///
/// let x = [pair(round(1.0), round(2.0)); 16];
/// assert_eq!(dot(Bf16Isa::active(), &x, &x), 80.0); // the first argument is now the instruction set
/// ```
#[macro_export]
macro_rules! bf16_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$B:ident>
     ($b:ident : $B2:ident $(, $arg:ident : $ty:ty)* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::Bf16Isa $(, $arg: $ty)*) $(-> $ret)? {
            #[inline(always)]
            fn body<$B: $crate::simd::Bf16>($b: $B $(, $arg: $ty)*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512bf16(b: $crate::simd::bf16::Avx512Bf16 $(, $arg: $ty)*) $(-> $ret)? {
                body(b $(, $arg)*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512(b: $crate::simd::Avx512 $(, $arg: $ty)*) $(-> $ret)? {
                body(b $(, $arg)*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2(b: $crate::simd::Avx2 $(, $arg: $ty)*) $(-> $ret)? {
                body(b $(, $arg)*)
            }
            match isa {
                $crate::Bf16Isa::Portable => body($crate::simd::Portable $(, $arg)*),
                #[cfg(target_arch = "x86_64")]
                $crate::Bf16Isa::Avx2 => {
                    let b = $crate::simd::Avx2::new().expect("this machine has no AVX2");
                    // SAFETY: the value proves that the processor has AVX2 and FMA.
                    unsafe { avx2(b $(, $arg)*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::Bf16Isa::Avx512 => {
                    let b = $crate::simd::Avx512::new().expect("this machine has no AVX-512");
                    // SAFETY: the value proves that the processor has AVX-512 F, BW, DQ and VL.
                    unsafe { avx512(b $(, $arg)*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::Bf16Isa::Avx512Bf16 | $crate::Bf16Isa::Amx => {
                    let b = $crate::simd::bf16::Avx512Bf16::new().expect("this machine has no AVX-512 with bf16");
                    // SAFETY: the value proves that the processor has AVX-512 F, BW, DQ, VL and BF16.
                    unsafe { avx512bf16(b $(, $arg)*) }
                }
                #[cfg(not(target_arch = "x86_64"))]
                isa => panic!("this machine has no {isa}"),
            }
        }
    };
}

#[cfg(test)]
mod tests;
