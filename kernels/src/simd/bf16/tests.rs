use super::{pair, round, round_all};
use crate::{Bf16Isa, oracle, simd::Simd};
use half::bf16;

bf16_fn! {
    fn round_pairs<B>(b: B, even: &[f32], odd: &[f32], out: &mut [u32]) {
        let s = b.simd();
        let n = B::S::N;
        for ((even, odd), out) in even.chunks_exact(n).zip(odd.chunks_exact(n)).zip(out.chunks_exact_mut(n)) {
            b.store(out, b.round_pair(s.load(even), s.load(odd)));
        }
    }
}

bf16_fn! {
    fn round_neighbours<B>(b: B, x: &[f32], out: &mut [u32]) {
        let s = b.simd();
        let n = B::S::N;
        for (x, out) in x.chunks_exact(2 * n).zip(out.chunks_exact_mut(n)) {
            b.store(out, b.round_neighbours([s.load(x), s.load(&x[n..])]));
        }
    }
}

bf16_fn! {
    /// c ← c + x·y, pair by pair.
    fn dots<B>(b: B, x: &[u32], y: &[u32], c: &mut [f32]) {
        let s = b.simd();
        let n = B::S::N;
        for ((x, y), c) in x.chunks_exact(n).zip(y.chunks_exact(n)).zip(c.chunks_exact_mut(n)) {
            s.store(c, b.dot(b.load(x), b.load(y), s.load(c)));
        }
    }
}

bf16_fn! {
    fn widen<B>(b: B, x: &[u32], even: &mut [f32], odd: &mut [f32]) {
        let s = b.simd();
        s.store(even, b.even(b.load(x)));
        s.store(odd, b.odd(b.load(x)));
    }
}

bf16_fn! {
    /// 8 rows of N written as N columns of 8, `step` pairs apart; returns N.
    fn transpose<B>(b: B, x: &[u32], step: usize, out: &mut [u32]) -> usize {
        let n = B::S::N;
        assert!(out.len() >= (n - 1) * step + 8);
        let rows = std::array::from_fn(#[inline(always)] |r| b.load(&x[r * n..]));
        // SAFETY: the assertion.
        unsafe { b.store_transposed(rows, out.as_mut_ptr(), step) };
        n
    }
}

/// Every 4099th bit pattern (a prime), the halves around every tie of some exponents, and the special ones; 32 divides
/// their number.
fn patterns() -> Vec<f32> {
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::MAX, f32::MIN];
    let tiny = [f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1e-40, -1e-40, f32::from_bits(1), f32::from_bits(0x007f_ffff)];
    let nans = [0x7f80_0001, 0x7fbf_ffff, 0xffff_ffff, 0xff80_8000].map(f32::from_bits);
    let ties = (0..1 << 16).flat_map(|i| [0x7fff, 0x8000, 0x8001].map(|low| f32::from_bits(i << 16 | low)));
    let mut all: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).chain(ties).collect();
    all.extend(special.into_iter().chain(tiny).chain(nans));
    all.resize(all.len().next_multiple_of(32), 1.0);
    all
}

/// A nearest bf16 found by trying both neighbours in `f64`.
fn nearest(x: f32) -> bf16 {
    if x.is_nan() || x.is_infinite() {
        return bf16::from_f32(x);
    }
    let below = bf16::from_bits((x.to_bits() >> 16) as u16);
    let above = bf16::from_bits(below.to_bits() + 1); // larger in magnitude
    // What lies between the largest number and 2¹²⁸ is nearer to one of them, of which the second is infinite.
    let value = |y: bf16| if y.is_infinite() { f64::from(x.signum()) * 128_f64.exp2() } else { y.to_f64() };
    let [down, up] = [below, above].map(|y| (value(y) - f64::from(x)).abs());
    if down < up || (down == up && below.to_bits().is_multiple_of(2)) { below } else { above }
}

#[test]
fn rounding_is_to_the_nearest_and_ties_to_even() {
    for x in patterns().into_iter().filter(|x| !x.is_subnormal()) {
        let got = round(x);
        assert!(if x.is_nan() { got.is_nan() } else { got == nearest(x) }, "{x:e} gives {got:e}");
    }
    assert_eq!(round(f32::from_bits(0x807f_ffff)).to_bits(), 0x8000, "a denormal number becomes a zero of its sign");
}

#[test]
fn every_level_rounds_to_the_same_bits() {
    let even = patterns();
    let odd: Vec<f32> = even.iter().rev().copied().collect();
    let neighbours: Vec<f32> = even.iter().zip(&odd).flat_map(|(&e, &o)| [e, o]).collect();
    let expected: Vec<u32> = even.iter().zip(&odd).map(|(&e, &o)| pair(round(e), round(o))).collect();
    for isa in Bf16Isa::available() {
        let mut out = vec![0; expected.len()];
        round_pairs(isa, &even, &odd, &mut out);
        let wrong = out.iter().zip(&expected).position(|(a, b)| a != b);
        assert!(wrong.is_none(), "{isa}: {:?}", wrong.map(|i| (even[i], odd[i], out[i], expected[i])));
        out.fill(0);
        round_neighbours(isa, &neighbours, &mut out);
        assert!(out == expected, "{isa}, neighbours");
        let (mut e, mut o) = ([0.0; 16], [0.0; 16]);
        widen(isa, &expected[..16], &mut e, &mut o);
        assert_eq!((e[0].to_bits(), o[0].to_bits()), (expected[0] << 16, expected[0] & 0xffff_0000), "{isa}");
    }
}

#[test]
fn any_number_of_them_is_rounded_as_one_is() {
    let x = patterns();
    for isa in Bf16Isa::available() {
        for len in (0..70).chain([x.len()]) {
            let mut y = vec![bf16::NAN; len];
            round_all(isa, &x[x.len() - len..], &mut y);
            let expected = x[x.len() - len..].iter().map(|&x| round(x).to_bits());
            assert!(y.iter().map(|y| y.to_bits()).eq(expected), "{isa}, {len} numbers");
        }
    }
}

bf16_fn! {
    fn unzip_and_zip<B>(b: B, x: &[f32; 32]) -> [Vec<f32>; 2] {
        let (s, n) = (b.simd(), B::S::N);
        let (even, odd) = b.unzip([s.load(x), s.load(&x[n..])]);
        let vectors = |vectors: [_; 2]| {
            let mut out = vec![0.0; 2 * n];
            s.store(&mut out, vectors[0]);
            s.store(&mut out[n..], vectors[1]);
            out
        };
        [vectors([even, odd]), vectors(b.zip(even, odd))]
    }
}

#[test]
fn what_was_taken_apart_is_put_together_again() {
    let x: [f32; 32] = std::array::from_fn(|i| i as f32);
    for isa in Bf16Isa::available() {
        let [apart, together] = unzip_and_zip(isa, &x);
        let n = apart.len() / 2;
        assert!((0..n).all(|i| apart[i] == x[2 * i] && apart[n + i] == x[2 * i + 1]), "{isa}: {apart:?}");
        assert_eq!(together, x[..2 * n], "{isa}");
    }
}

#[test]
fn every_level_adds_in_the_same_order() {
    let pairs = |seed| -> Vec<u32> {
        oracle::values(seed, 1 << 13).chunks(2).map(|x| pair(round(x[0]), round(x[1]))).collect()
    };
    let (x, y, c) = (pairs(1), pairs(2), oracle::values(3, 1 << 12));
    let half = |x: u32, shift: u32| f32::from_bits(x << shift & 0xffff_0000);
    let expected: Vec<f32> = (0..c.len())
        .map(|i| c[i] + half(x[i], 0) * half(y[i], 0)) // the products are exact
        .zip(x.iter().zip(&y))
        .map(|(sum, (&x, &y))| sum + half(x, 16) * half(y, 16))
        .collect();
    for isa in Bf16Isa::available() {
        let mut got = c.clone();
        dots(isa, &x, &y, &mut got);
        assert!(got == expected, "{isa}");
    }
}

#[test]
fn special_values_go_through_the_dot_product() {
    let dot = |isa, x: [f32; 2], y: [f32; 2], c: f32| {
        let [x, y] = [x, y].map(|[even, odd]| [pair(round(even), round(odd)); 16]);
        let mut c = [c; 16];
        dots(isa, &x, &y, &mut c);
        assert!(c.iter().all(|other| other.to_bits() == c[0].to_bits()));
        c[0]
    };
    let (infinity, nan) = (f32::INFINITY, f32::NAN);
    for isa in Bf16Isa::available() {
        assert_eq!(dot(isa, [infinity, 1.0], [2.0, 3.0], 4.0), infinity, "{isa}");
        assert_eq!(dot(isa, [1.0, -infinity], [2.0, 3.0], 4.0), -infinity, "{isa}");
        assert_eq!(dot(isa, [1.0, 1.0], [1.0, 1.0], infinity), infinity, "{isa}");
        assert!(dot(isa, [infinity, 1.0], [0.0, 1.0], 0.0).is_nan(), "{isa}");
        assert!(dot(isa, [infinity, -infinity], [1.0, 1.0], 0.0).is_nan(), "{isa}");
        assert!(dot(isa, [nan, 0.0], [0.0, 0.0], 0.0).is_nan(), "{isa}");
        assert!(dot(isa, [0.0, 0.0], [0.0, 0.0], nan).is_nan(), "{isa}");
        assert_eq!(dot(isa, [1e-30, 0.0], [1e30, 0.0], 0.0), round(1e-30).to_f32() * round(1e30).to_f32(), "{isa}");
        assert!(dot(isa, [1e-25, 0.0], [1e-15, 0.0], 0.0) <= 1.1e-40, "{isa}: denormal products may be lost");
    }
}

#[test]
fn rows_become_columns() {
    let x: Vec<u32> = (0..128).collect();
    for isa in Bf16Isa::available() {
        for step in [8, 11, 48] {
            let mut out = vec![0; 16 * step];
            let n = transpose(isa, &x, step, &mut out);
            for t in 0..n {
                for r in 0..8 {
                    assert_eq!(out[t * step + r], x[r * n + t], "{isa}, step {step}");
                }
            }
        }
    }
}
