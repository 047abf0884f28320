//! Vectors of 8 lanes on every machine, through the `wide` crate: two SSE2 or NEON registers.
//!
//! `wide` picks its instructions when it is compiled, so a binary made for every machine gets the oldest of them.

use super::Simd;
use crate::Isa;
use wide::{f32x8, i32x8, u32x8};

/// The portable level; there is always one.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

#[inline(always)]
fn map(a: u32x8, b: u32x8, f: impl Fn(u32, u32) -> u32) -> u32x8 {
    let (a, b) = (a.to_array(), b.to_array());
    u32x8::new(std::array::from_fn(|i| f(a[i], b[i])))
}

#[inline(always)]
fn pow2(n: f32x8) -> f32x8 {
    let biased = n + f32x8::splat(127.0);
    f32x8::new(biased.to_array().map(|n| f32::from_bits((n as i32 as u32) << 23)))
}

impl Simd for Portable {
    type F32 = f32x8;
    type U32 = u32x8;
    type Mask = f32x8;
    const N: usize = 8;
    const ISA: Isa = Isa::Portable;
    const FUSED: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> f32x8 {
        f32x8::new(x[..8].try_into().unwrap())
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: f32x8) {
        x[..8].copy_from_slice(&v.to_array());
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> f32x8 {
        if x.len() >= 8 {
            return self.load(x);
        }
        let mut lanes = [0.0; 8];
        lanes[..x.len()].copy_from_slice(x);
        f32x8::new(lanes)
    }
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: f32x8) {
        if x.len() >= 8 {
            return self.store(x, v);
        }
        x.copy_from_slice(&v.to_array()[..x.len()]);
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> f32x8 {
        // SAFETY: the caller vouches for 8 readable elements.
        f32x8::new(unsafe { x.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f32, v: f32x8) {
        // SAFETY: the caller vouches for 8 writable elements.
        unsafe { x.cast::<[f32; 8]>().write_unaligned(v.to_array()) }
    }

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_neg_add(b, c)
    }
    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        a.fast_min(b)
    }
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.fast_max(b)
    }
    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }
    #[inline(always)]
    fn round_small(self, a: f32x8) -> f32x8 {
        // Adding 1.5 · 2²³ leaves no room for a fraction; taking it away leaves the rounded number.
        let magic = f32x8::splat(12_582_912.0);
        (a + magic) - magic
    }
    #[inline(always)]
    fn scale_by_pow2(self, a: f32x8, n: f32x8) -> f32x8 {
        // Two factors, for 2ⁿ itself may be denormal or too large.
        let nearest = self.round_small(n);
        let n = self.select(self.lt(n, nearest), nearest - f32x8::splat(1.0), nearest);
        let half = self.round_small(n * f32x8::splat(0.5));
        a * pow2(half) * pow2(n - half)
    }

    #[inline(always)]
    fn lt(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn le(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_le(b)
    }
    #[inline(always)]
    fn eq(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_eq(b)
    }
    #[inline(always)]
    fn select(self, mask: f32x8, yes: f32x8, no: f32x8) -> f32x8 {
        mask.bitselect(yes, no)
    }
    #[inline(always)]
    fn mask_bits(self, mask: f32x8) -> u32 {
        mask.to_bitmask()
    }

    #[inline(always)]
    fn reduce_sum(self, a: f32x8) -> f32 {
        let a = a.to_array();
        let four: [f32; 4] = std::array::from_fn(|i| a[i] + a[i + 4]);
        (four[0] + four[2]) + (four[1] + four[3])
    }
    #[inline(always)]
    fn reduce_max(self, a: f32x8) -> f32 {
        a.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn splat_u32(self, x: u32) -> u32x8 {
        u32x8::splat(x)
    }
    #[inline(always)]
    fn iota_u32(self) -> u32x8 {
        u32x8::new([0, 1, 2, 3, 4, 5, 6, 7])
    }
    #[inline(always)]
    fn to_bits(self, a: f32x8) -> u32x8 {
        bytemuck::cast(a)
    }
    #[inline(always)]
    fn from_bits(self, a: u32x8) -> f32x8 {
        bytemuck::cast(a)
    }
    #[inline(always)]
    fn i32_to_f32(self, a: u32x8) -> f32x8 {
        f32x8::from_i32x8(bytemuck::cast::<u32x8, i32x8>(a))
    }
    #[inline(always)]
    fn add_u32(self, a: u32x8, b: u32x8) -> u32x8 {
        a + b
    }
    #[inline(always)]
    fn sub_u32(self, a: u32x8, b: u32x8) -> u32x8 {
        a - b
    }
    #[inline(always)]
    fn and_u32(self, a: u32x8, b: u32x8) -> u32x8 {
        a & b
    }
    #[inline(always)]
    fn or_u32(self, a: u32x8, b: u32x8) -> u32x8 {
        a | b
    }
    #[inline(always)]
    fn xor_u32(self, a: u32x8, b: u32x8) -> u32x8 {
        a ^ b
    }
    #[inline(always)]
    fn shr_u32<const BITS: u32>(self, a: u32x8) -> u32x8 {
        a >> BITS
    }
    #[inline(always)]
    fn shl_u32<const BITS: u32>(self, a: u32x8) -> u32x8 {
        a << BITS
    }
    #[inline(always)]
    fn mul_even_u32(self, a: u32x8, b: u32x8) -> u32x8 {
        let (a, b) = (a.to_array(), b.to_array());
        let product = |i: usize| u64::from(a[i & !1]) * u64::from(b[i & !1]);
        u32x8::new(std::array::from_fn(|i| (product(i) >> (32 * (i & 1))) as u32))
    }
    #[inline(always)]
    fn odd_to_even_u32(self, a: u32x8) -> u32x8 {
        let a = a.to_array();
        u32x8::new(std::array::from_fn(|i| if i % 2 == 0 { a[i + 1] } else { 0 }))
    }
    #[inline(always)]
    fn interleave_even_u32(self, even: u32x8, odd: u32x8) -> u32x8 {
        let (even, odd) = (even.to_array(), odd.to_array());
        u32x8::new(std::array::from_fn(|i| if i % 2 == 0 { even[i] } else { odd[i - 1] }))
    }
    #[inline(always)]
    fn lookup(self, table: &[f32; 8], index: u32x8) -> f32x8 {
        f32x8::new(index.to_array().map(|i| table[(i % 8) as usize]))
    }
    #[inline(always)]
    fn lt_u32(self, a: u32x8, b: u32x8) -> f32x8 {
        bytemuck::cast(map(a, b, |a, b| if a < b { u32::MAX } else { 0 }))
    }
    #[inline(always)]
    fn array_u32(self, a: u32x8) -> [u32; 16] {
        let mut lanes = [0; 16];
        lanes[..8].copy_from_slice(&a.to_array());
        lanes
    }
}
