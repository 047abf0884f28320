//! Vectors: one small trait, three implementations, and the macro that compiles a kernel for each.
//!
//! A kernel is written once, generic over [`Simd`], and marked with [`simd_fn!`](crate::simd_fn). The macro compiles its body for
//! every [`Isa`], with that instruction set switched on, and the resulting function takes the [`Isa`] to run at.
//!
//! A value of a type that implements [`Simd`] is a proof: [`Avx512::new`] returns one only where the processor has
//! AVX-512, so the methods of the trait are safe to call. All of them are marked `#[inline(always)]`; a kernel's own
//! generic helpers and closures must be so too, for a function that is not inlined into the body loses the
//! instruction set (the result stays right, but ten times slower).
//!
//! Read first: [`portable`], then [`avx2`] or [`avx512`], then [`math`], [`bf16`] for pairs of half-width numbers,
//! `operand_kind` for kernels of both precisions, and [`tiles`] for registers that hold a matrix.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod bf16;
pub mod math;
mod normal;
pub(crate) mod operand_kind;
pub mod portable;
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
pub mod tiles;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use bf16::Bf16;
pub use portable::Portable;

use crate::Isa;

/// The vector operations that kernels are made of: on [`Self::N`] lanes of `f32`, and on integers of the same lanes.
///
/// `min` and `max` return either operand where one is NaN (the x86 instructions return the second).
#[allow(clippy::wrong_self_convention)] // `self` is the proof of the instruction set, not what is converted
pub trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Self::N`] `f32`.
    type F32: Copy;
    /// A vector of [`Self::N`] `u32`.
    type U32: Copy;
    /// A truth value for each lane.
    type Mask: Copy;
    /// The number of lanes: a power of two.
    const N: usize;
    /// The instruction set that this is.
    const ISA: Isa;
    /// Whether [`Self::mul_add`] rounds once.
    const FUSED: bool;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// The first `N` elements of `x`; panics where there are fewer.
    fn load(self, x: &[f32]) -> Self::F32;
    /// Writes the first `N` elements of `x`; panics where there are fewer.
    fn store(self, x: &mut [f32], v: Self::F32);
    /// The elements of `x`, at most `N`, and the lanes of `fill` after them.
    #[inline(always)]
    fn load_partial_or(self, x: &[f32], fill: Self::F32) -> Self::F32 {
        let inside = self.lt_u32(self.iota_u32(), self.splat_u32(x.len().min(Self::N) as u32));
        self.select(inside, self.load_partial(x), fill)
    }
    /// The elements of `x`, at most `N`, and zeros after them.
    fn load_partial(self, x: &[f32]) -> Self::F32;
    /// Writes the elements of `x`, at most the first `N`.
    fn store_partial(self, x: &mut [f32], v: Self::F32);
    /// The `N` elements at `x`, aligned or not.
    ///
    /// # Safety
    /// `x` points to `N` readable elements.
    unsafe fn load_ptr(self, x: *const f32) -> Self::F32;
    /// Writes the `N` elements at `x`, aligned or not.
    ///
    /// # Safety
    /// `x` points to `N` writable elements.
    unsafe fn store_ptr(self, x: *mut f32, v: Self::F32);

    /// a + b
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a − b
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a · b
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a / b
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a · b + c, rounded once where the machine can.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// c − a · b, rounded once where the machine can.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The smaller of each lane.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The larger of each lane.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// √a
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// The nearest integer, ties to even, for |a| < 2²².
    fn round_small(self, a: Self::F32) -> Self::F32;
    /// a · 2^⌊n⌋ for |n| ≤ 252, also where the result is denormal.
    fn scale_by_pow2(self, a: Self::F32, n: Self::F32) -> Self::F32;

    /// a < b
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// a ≤ b
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// a = b
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// The lanes of `yes` where the mask is set, of `no` elsewhere.
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32;
    /// Bit i is set where lane i is, and no others.
    fn mask_bits(self, mask: Self::Mask) -> u32;

    /// The sum of the lanes: halves are added until one lane is left, so the order is fixed.
    fn reduce_sum(self, a: Self::F32) -> f32;
    /// [`Self::reduce_sum`] of each, to the same bits, with the shuffles shared.
    #[inline(always)]
    fn reduce_sums(self, [a, b, c, d]: [Self::F32; 4]) -> [f32; 4] {
        [self.reduce_sum(a), self.reduce_sum(b), self.reduce_sum(c), self.reduce_sum(d)]
    }
    /// The largest lane.
    fn reduce_max(self, a: Self::F32) -> f32;

    /// All lanes `x`.
    fn splat_u32(self, x: u32) -> Self::U32;
    /// 0, 1, 2, …
    fn iota_u32(self) -> Self::U32;
    /// The bits of each lane.
    fn to_bits(self, a: Self::F32) -> Self::U32;
    /// The lanes with these bits.
    fn from_bits(self, a: Self::U32) -> Self::F32;
    /// Each lane, read as `i32`, converted.
    fn i32_to_f32(self, a: Self::U32) -> Self::F32;
    /// a + b, wrapping.
    fn add_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// a − b, wrapping.
    fn sub_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// a & b
    fn and_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// a | b
    fn or_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// a ^ b
    fn xor_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// a >> BITS, zeros shifted in.
    fn shr_u32<const BITS: u32>(self, a: Self::U32) -> Self::U32;
    /// a << BITS
    fn shl_u32<const BITS: u32>(self, a: Self::U32) -> Self::U32;
    /// The 64-bit products of the even lanes, whose low half is left in the even lane and the high half in the odd one.
    fn mul_even_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// Every odd lane in the even one before it, and zero in the odd one.
    fn odd_to_even_u32(self, a: Self::U32) -> Self::U32;
    /// The even lanes of `even`, and those of `odd` in the lanes after them.
    fn interleave_even_u32(self, even: Self::U32, odd: Self::U32) -> Self::U32;
    /// a ^ b ^ c
    #[inline(always)]
    fn xor3_u32(self, a: Self::U32, b: Self::U32, c: Self::U32) -> Self::U32 {
        self.xor_u32(self.xor_u32(a, b), c)
    }
    /// `table[index mod 8]` for each lane.
    fn lookup(self, table: &[f32; 8], index: Self::U32) -> Self::F32;
    /// a < b, unsigned.
    fn lt_u32(self, a: Self::U32, b: Self::U32) -> Self::Mask;
    /// The lanes as an array of [`Self::N`] (the rest zero).
    fn array_u32(self, a: Self::U32) -> [u32; 16];

    /// Writes the first `N` elements of `x` past the caches, where the machine can and they are aligned to a vector; panics
    /// where there are fewer. [`Self::fence`] has to follow before another thread reads them.
    #[inline(always)]
    fn stream(self, x: &mut [f32], v: Self::F32) {
        self.store(x, v);
    }
    /// Ends a run of [`Self::stream`]: other threads see what follows in program order after it.
    #[inline(always)]
    fn fence(self) {}

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }
    /// −a
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        self.from_bits(self.xor_u32(self.to_bits(a), self.splat_u32(0x8000_0000)))
    }
    /// |a|
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        self.from_bits(self.and_u32(self.to_bits(a), self.splat_u32(0x7fff_ffff)))
    }
    /// The magnitude of `a` with the sign of `sign`.
    #[inline(always)]
    fn copysign(self, a: Self::F32, sign: Self::F32) -> Self::F32 {
        let sign_bit = self.and_u32(self.to_bits(sign), self.splat_u32(0x8000_0000));
        self.from_bits(self.or_u32(self.to_bits(self.abs(a)), sign_bit))
    }
    /// b < a
    #[inline(always)]
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        self.lt(b, a)
    }
    /// b ≤ a
    #[inline(always)]
    fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        self.le(b, a)
    }
}

/// Compiles a kernel for every instruction set.
///
/// The function is written with a type parameter for the vectors and a first argument of that type:
///
/// ```
/// use gradus_kernels::{Isa, simd::Simd, simd_fn};
///
/// simd_fn! {
///     /// y ← k · x
///     pub fn scale<S>(s: S, k: f32, x: &[f32], y: &mut [f32]) {
///         assert_eq!(x.len(), y.len());
///         let k = s.splat(k);
///         for (x, y) in x.chunks(S::N).zip(y.chunks_mut(S::N)) {
///             s.store_partial(y, s.mul(k, s.load_partial(x)));
///         }
///     }
/// }
///
/// let mut y = [0.0; 3];
/// scale(Isa::active(), 2.0, &[1.0, 2.0, 3.0], &mut y); // the first argument is now the instruction set
/// assert_eq!(y, [2.0, 4.0, 6.0]);
/// ```
///
/// Constants may follow the first parameter, and types after a semicolon:
/// `fn f<S, const CENTERED: bool; Op: Unary>(s: S, op: Op, …)`.
#[macro_export]
macro_rules! simd_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident
     <$S:ident $(, const $C:ident : $constant:ty)* $(; $($G:ident : $bound:path),+)?>
     ($simd:ident : $S2:ident $(, $arg:ident : $ty:ty)* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name<$($($G: $bound,)+)? $(const $C: $constant),*>(isa: $crate::Isa $(, $arg: $ty)*) $(-> $ret)? {
            #[inline(always)]
            fn body<$S: $crate::simd::Simd $($(, $G: $bound)+)? $(, const $C: $constant)*>(
                $simd: $S $(, $arg: $ty)*
            ) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512<$($($G: $bound,)+)? $(const $C: $constant),*>(
                simd: $crate::simd::Avx512 $(, $arg: $ty)*
            ) $(-> $ret)? {
                body::<_ $($(, $G)+)? $(, $C)*>(simd $(, $arg)*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$($($G: $bound,)+)? $(const $C: $constant),*>(
                simd: $crate::simd::Avx2 $(, $arg: $ty)*
            ) $(-> $ret)? {
                body::<_ $($(, $G)+)? $(, $C)*>(simd $(, $arg)*)
            }
            match isa {
                $crate::Isa::Portable => body::<_ $($(, $G)+)? $(, $C)*>($crate::simd::Portable $(, $arg)*),
                #[cfg(target_arch = "x86_64")]
                $crate::Isa::Avx2 => {
                    let simd = $crate::simd::Avx2::new().expect("this machine has no AVX2");
                    // SAFETY: the value proves that the processor has AVX2 and FMA.
                    unsafe { avx2::<$($($G,)+)? $($C),*>(simd $(, $arg)*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::Isa::Avx512 => {
                    let simd = $crate::simd::Avx512::new().expect("this machine has no AVX-512");
                    // SAFETY: the value proves that the processor has AVX-512 F, BW, DQ and VL.
                    unsafe { avx512::<$($($G,)+)? $($C),*>(simd $(, $arg)*) }
                }
                #[cfg(not(target_arch = "x86_64"))]
                isa => panic!("this machine has no {isa}"),
            }
        }
    };
}
