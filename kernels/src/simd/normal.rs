//! The normal distribution in the exact GELU: one polynomial with coefficients from a table, and no exponential.
//!
//! Φ(−a) and the derivative of −a·Φ(−a) fall from ½ to nothing between a = 0 and 6. Cut into eight pieces, each is a
//! polynomial of degree 6 or 7, whose coefficients, eight of each power, fill one register of AVX2: the number of the
//! piece picks a lane, which is one instruction ([`Simd::lookup`]). Cody's erf by an exponential and a quotient
//! (Rational Chebyshev approximations for the error function, 1969) takes some 20 instructions more, and a division: 31 cycles for
//! 16 elements instead of 17. A single polynomial over the whole range would have 16 to 19 coefficients in a chain.
//!
//! The coefficients are weighted minimax fits made for this file, with ends that meet 0 exactly: beyond 5.74 and 6.125
//! the result is 0, so that x·0 is 0 for every finite x.

use super::Simd;

/// Φ(−a) for a ≥ 0, off by at most 4.5e-8 / max(1, a).
#[inline(always)]
pub(super) fn tail<S: Simd>(s: S, a: S::F32) -> S::F32 {
    piecewise(s, s.mul(a, s.splat(TAIL_PIECES)), &TAIL)
}

/// Φ(−a) − a·φ(a) for a ≥ 0, with φ(a) = e^{−a²/2}/√(2π), off by at most 4.8e-8: the derivative of x·Φ(x) at −a.
#[inline(always)]
pub(super) fn slope<S: Simd>(s: S, a: S::F32) -> S::F32 {
    piecewise(s, s.mul(a, s.splat(SLOPE_PIECES)), &SLOPE)
}

/// The polynomial of the piece around the integer next to t, in the distance from that; constant from 7 on.
#[inline(always)]
fn piecewise<S: Simd, const N: usize>(s: S, t: S::F32, coefficients: &[[f32; 8]; N]) -> S::F32 {
    let t = s.min(s.splat(7.0), t); // NaN goes through
    // Adding 2²³ rounds to an integer, and leaves that integer in the low bits.
    let magic = s.splat(8_388_608.0);
    let moved = s.add(t, magic);
    let distance = s.sub(t, s.sub(moved, magic));
    let piece = s.to_bits(moved);
    let mut p = s.lookup(&coefficients[0], piece);
    for c in &coefficients[1..] {
        p = s.mul_add(p, distance, s.lookup(c, piece));
    }
    p
}

/// The pieces of [`TAIL`] in a unit of a.
const TAIL_PIECES: f32 = 1.219_512_2;
/// By falling powers, one coefficient for each piece.
#[rustfmt::skip]
static TAIL: [[f32; 8]; 7] = [
    [4.873_435e-4, 8.301_403e-4, -3.197_848e-4, -1.781_926_1e-4, 5.634_928_3e-5, 2.035_238_1e-5, 1.768_813_1e-6, -9.828_28e-5],
    [-0.004_021_919_3, 4.600_459_4e-4, 0.001_858_157_3, -1.691_752_4e-4, -3.069_852_5e-4, -5.335_290_6e-5, -3.348_715_2e-6, -1.595_018_8e-4],
    [1.082_852_25e-4, -0.010_242_551, -9.987_275e-4, 0.002_736_685_8, 8.824_042e-4, 9.517_622e-5, 4.326_557_7e-6, -9.923_693e-5],
    [0.036_642, 0.008_587_497, -0.016_136_821, -0.008_989_052, -0.001_649_899_6, -1.293_832e-4, -4.674_609e-6, -2.976_199_7e-5],
    [1.536_792_8e-6, 0.078_579_57, 0.057_320_856, 0.016_008_722, 0.002_028_707_2, 1.230_404_2e-4, 3.657_902_2e-6, -4.252_612_6e-6],
    [-0.327_132_7, -0.233_730_02, -0.085_248_25, -0.015_872_039, -0.001_508_571_7, -7.320_397e-5, -1.814_147_7e-6, -2.903_320_8e-7],
    [0.5, 0.206_108_06, 0.050_502_587, 0.006_946_851, 5.190_358e-4, 2.065_753_1e-5, 4.327_14e-7, 0.0],
];

/// The pieces of [`SLOPE`] in a unit of a.
const SLOPE_PIECES: f32 = 1.142_857_2;
/// By falling powers, one coefficient for each piece.
#[rustfmt::skip]
static SLOPE: [[f32; 8]; 8] = [
    [0.002_941_530_7, -0.002_312_644_2, 3.392_069_2e-4, 3.742_489_8e-4, -1.734_731_2e-4, 7.983_821e-6, 4.271_884e-6, 0.002_374_263_7],
    [8.473_089_5e-4, 0.006_365_984, -0.004_906_441_6, 8.337_628_7e-4, 3.479_774_8e-4, -7.618_280_5e-5, -1.046_599_8e-5, 0.004_451_269_7],
    [-0.031_094_916, 0.014_055_53, 0.006_228_110_8, -0.005_392_011, 1.634_177_9e-4, 2.512_644e-4, 1.791_737_1e-5, 0.003_339_259_2],
    [1.003_563_7e-4, -0.059_062_295, 0.023_228_528, 0.008_431_784, -0.002_487_606_6, -5.173_326_4e-4, -2.501_998_8e-5, 0.001_274_920_4],
    [0.178_160_09, -0.023_483_716, -0.077_631_07, 0.004_612_267, 0.006_656_31, 7.345_816_7e-4, 2.631_197e-5, 2.612_522_5e-4],
    [8.598_612e-7, 0.294_739_75, 0.054_188_415, -0.036_961_224, -0.009_646_264, -7.057_863e-4, -1.955_540_4e-5, 2.717_146e-5],
    [-0.698_148_97, -0.293_840_74, 0.080_210_96, 0.054_450_553, 0.007_826_875, 4.174_571_7e-4, 9.234_181e-6, 1.356_894_2e-6],
    [0.5, -0.047_261_145, -0.110_926_17, -0.029_068_53, -0.002_821_762_6, -1.157_025_1e-4, -2.091_361_5e-6, 0.0],
];
