//! Where formulas end: values and derivatives at 0, −0, ±∞, NaN and far out, for the tests of everything that computes them.
//!
//! The kernels in `f32` and `f64`, the scalar tape and the tensor tape all run through these tables, so that none has a rule
//! of its own. The numbers are PyTorch's (2.15, `f64`, a gradient of 1; those of softplus were computed from its definition there),
//! but for two derivatives:
//!
//! | | here | PyTorch |
//! | --- | --- | --- |
//! | exact GELU at ∞ and −∞ | 1 and 0, the limits | NaN, of ∞·0 |
//! | absolute value at NaN | NaN | 0, which would hide it |
//!
//! So: relu(NaN) is NaN, and its derivative 1; x⁰ is 1 everywhere, and its derivative 0; the larger of two equal numbers
//! shares its gradient, and where one is NaN both get all of it.

use crate::elementwise::{Binary, Unary};
use std::f64::consts::{LN_2, LN_10};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// Where every [`UNARY`] function is tried.
pub const POINTS: [f64; 9] = [0.0, -0.0, 1e-30, 1e30, -1e30, -1.0, INF, -INF, NAN];

/// A function, and its values and derivatives at the [`POINTS`].
pub type UnaryCorners = (Unary, [f64; 9], [f64; 9]);

/// All functions of one number.
#[rustfmt::skip]
pub const UNARY: [UnaryCorners; Unary::ALL.len()] = [
    (Unary::Neg,
        [0.0, 0.0, -1e-30, -1e30, 1e30, 1.0, -INF, INF, NAN],
        [-1.0; 9]),
    (Unary::Exp,
        [1.0, 1.0, 1.0, INF, 0.0, 0.367_879_441_171_442_33, INF, 0.0, NAN],
        [1.0, 1.0, 1.0, INF, 0.0, 0.367_879_441_171_442_33, INF, 0.0, NAN]),
    (Unary::Ln,
        [-INF, -INF, -30.0 * LN_10, 30.0 * LN_10, NAN, NAN, INF, NAN, NAN],
        [INF, -INF, 1e30, 1e-30, -1e-30, -1.0, 0.0, 0.0, NAN]),
    (Unary::Sqrt,
        [0.0, 0.0, 1e-15, 1e15, NAN, NAN, INF, NAN, NAN],
        [INF, -INF, 5e14, 5e-16, NAN, NAN, 0.0, NAN, NAN]),
    (Unary::Tanh,
        [0.0, 0.0, 1e-30, 1.0, -1.0, -0.761_594_155_955_764_9, 1.0, -1.0, NAN],
        [1.0, 1.0, 1.0, 0.0, 0.0, 0.419_974_341_614_026_1, 0.0, 0.0, NAN]),
    (Unary::Sigmoid,
        [0.5, 0.5, 0.5, 1.0, 0.0, 0.268_941_421_369_995_1, 1.0, 0.0, NAN],
        [0.25, 0.25, 0.25, 0.0, 0.0, 0.196_611_933_241_481_85, 0.0, 0.0, NAN]),
    (Unary::Relu,
        [0.0, 0.0, 1e-30, 1e30, 0.0, 0.0, INF, 0.0, NAN],
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0]),
    (Unary::GeluTanh,
        [0.0, 0.0, 5e-31, 1e30, 0.0, -0.158_808_009_391_723_3, INF, NAN, NAN],
        [0.5, 0.5, 0.5, 1.0, 0.0, -0.082_964_083_845_782_58, NAN, NAN, NAN]),
    (Unary::GeluErf,
        [0.0, 0.0, 5e-31, 1e30, 0.0, -0.158_655_253_931_457_02, INF, NAN, NAN],
        [0.5, 0.5, 0.5, 1.0, 0.0, -0.083_315_470_587_686_35, 1.0, 0.0, NAN]),
    (Unary::Silu,
        [0.0, 0.0, 5e-31, 1e30, 0.0, -0.268_941_421_369_995_1, INF, NAN, NAN],
        [0.5, 0.5, 0.5, 1.0, 0.0, 0.072_329_488_128_513_25, NAN, NAN, NAN]),
    (Unary::Softplus,
        [LN_2, LN_2, LN_2, 1e30, 0.0, 0.313_261_687_518_222_84, INF, 0.0, NAN],
        [0.5, 0.5, 0.5, 1.0, 0.0, 0.268_941_421_369_995_1, 1.0, 0.0, NAN]),
    (Unary::Abs,
        [0.0, 0.0, 1e-30, 1e30, 1e30, 1.0, INF, INF, NAN],
        [0.0, 0.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, NAN]),
    (Unary::Square,
        [0.0, 0.0, 1e-60, 1e60, 1e60, 1.0, INF, INF, NAN],
        [0.0, 0.0, 2e-30, 2e30, -2e30, -2.0, INF, -INF, NAN]),
];

/// A function of a and b, its value, and its derivatives by a and by b.
pub type BinaryCorner = (Binary, f64, f64, f64, [f64; 2]);

/// Corners of functions of two numbers.
pub const BINARY: [BinaryCorner; 76] = [
    (Binary::Add, INF, -INF, NAN, [1.0, 1.0]),
    (Binary::Add, INF, 1.0, INF, [1.0, 1.0]),
    (Binary::Add, NAN, 1.0, NAN, [1.0, 1.0]),
    (Binary::Sub, INF, INF, NAN, [1.0, -1.0]),
    (Binary::Sub, INF, 1.0, INF, [1.0, -1.0]),
    (Binary::Sub, 1.0, NAN, NAN, [1.0, -1.0]),
    (Binary::Mul, 0.0, INF, NAN, [INF, 0.0]),
    (Binary::Mul, INF, INF, INF, [INF, INF]),
    (Binary::Mul, INF, 2.0, INF, [2.0, INF]),
    (Binary::Mul, NAN, 0.0, NAN, [0.0, NAN]),
    (Binary::Mul, 0.0, NAN, NAN, [NAN, 0.0]),
    (Binary::Mul, -0.0, 3.0, 0.0, [3.0, 0.0]),
    (Binary::Div, 0.0, 0.0, NAN, [INF, NAN]),
    (Binary::Div, 1.0, 0.0, INF, [INF, -INF]),
    (Binary::Div, -1.0, 0.0, -INF, [INF, INF]),
    (Binary::Div, 1.0, -0.0, -INF, [-INF, -INF]),
    (Binary::Div, 0.0, 2.0, 0.0, [0.5, 0.0]),
    (Binary::Div, INF, 2.0, INF, [0.5, -INF]),
    (Binary::Div, INF, INF, NAN, [0.0, NAN]),
    (Binary::Div, 1.0, INF, 0.0, [0.0, 0.0]),
    (Binary::Div, 0.0, INF, 0.0, [0.0, 0.0]),
    (Binary::Div, NAN, 1.0, NAN, [1.0, NAN]),
    (Binary::Div, 1.0, NAN, NAN, [NAN, NAN]),
    (Binary::Div, 1e30, 1e-30, 1e60, [1e30, -1e90]),
    (Binary::Div, 1e-30, 1e-30, 1.0, [1e30, -1e30]),
    (Binary::Div, 0.0, 1e-40, 0.0, [1e40, 0.0]),
    (Binary::Div, 1e-30, 1e30, 1e-60, [1e-30, -1e-90]),
    (Binary::Pow, 0.0, 0.0, 1.0, [0.0, 0.0]),
    (Binary::Pow, -0.0, 0.0, 1.0, [0.0, 0.0]),
    (Binary::Pow, 0.0, 0.5, 0.0, [INF, 0.0]),
    (Binary::Pow, 0.0, 1.0, 0.0, [1.0, 0.0]),
    (Binary::Pow, 0.0, 2.0, 0.0, [0.0, 0.0]),
    (Binary::Pow, 0.0, 3.0, 0.0, [0.0, 0.0]),
    (Binary::Pow, 0.0, -1.0, INF, [-INF, -INF]),
    (Binary::Pow, -0.0, -1.0, -INF, [-INF, INF]),
    (Binary::Pow, -0.0, 3.0, 0.0, [0.0, 0.0]),
    (Binary::Pow, 0.0, -2.0, INF, [-INF, -INF]),
    (Binary::Pow, 0.0, -0.5, INF, [-INF, -INF]),
    (Binary::Pow, -2.0, 0.0, 1.0, [0.0, NAN]),
    (Binary::Pow, -2.0, 3.0, -8.0, [12.0, NAN]),
    (Binary::Pow, -2.0, 2.0, 4.0, [-4.0, NAN]),
    (Binary::Pow, -2.0, 0.5, NAN, [NAN, NAN]),
    (Binary::Pow, -2.0, -1.0, -0.5, [-0.25, NAN]),
    (Binary::Pow, NAN, 0.0, 1.0, [0.0, NAN]),
    (Binary::Pow, NAN, 2.0, NAN, [NAN, NAN]),
    (Binary::Pow, INF, 0.0, 1.0, [0.0, INF]),
    (Binary::Pow, INF, 2.0, INF, [INF, INF]),
    (Binary::Pow, INF, -1.0, 0.0, [0.0, NAN]),
    (Binary::Pow, -INF, 3.0, -INF, [INF, NAN]),
    (Binary::Pow, 2.0, INF, INF, [INF, INF]),
    (Binary::Pow, 0.5, INF, 0.0, [NAN, 0.0]),
    (Binary::Pow, 2.0, -INF, 0.0, [NAN, 0.0]),
    (Binary::Pow, 2.0, NAN, NAN, [NAN, NAN]),
    (Binary::Pow, 1.0, NAN, 1.0, [NAN, 0.0]),
    (Binary::Pow, 1e30, 0.0, 1.0, [0.0, 30.0 * LN_10]),
    (Binary::Pow, 1e30, 1.0, 1e30, [1.0, 30e30 * LN_10]),
    (Binary::Pow, 0.0, INF, 0.0, [NAN, 0.0]),
    (Binary::Pow, 0.0, NAN, NAN, [NAN, NAN]),
    (Binary::Pow, 0.0, -INF, INF, [-INF, -INF]),
    (Binary::Max, 1.0, 1.0, 1.0, [0.5, 0.5]),
    (Binary::Max, 0.0, -0.0, 0.0, [0.5, 0.5]),
    (Binary::Max, NAN, 1.0, NAN, [1.0, 1.0]),
    (Binary::Max, 1.0, NAN, NAN, [1.0, 1.0]),
    (Binary::Max, NAN, NAN, NAN, [1.0, 1.0]),
    (Binary::Max, INF, INF, INF, [0.5, 0.5]),
    (Binary::Max, INF, 1.0, INF, [1.0, 0.0]),
    (Binary::Max, -INF, 1.0, 1.0, [0.0, 1.0]),
    (Binary::Min, 1.0, 1.0, 1.0, [0.5, 0.5]),
    (Binary::Min, 0.0, -0.0, 0.0, [0.5, 0.5]),
    (Binary::Min, NAN, 1.0, NAN, [1.0, 1.0]),
    (Binary::Min, 1.0, NAN, NAN, [1.0, 1.0]),
    (Binary::Min, NAN, NAN, NAN, [1.0, 1.0]),
    (Binary::Min, INF, INF, INF, [0.5, 0.5]),
    (Binary::Min, INF, 1.0, 1.0, [0.0, 1.0]),
    (Binary::Min, -INF, 1.0, -INF, [1.0, 0.0]),
    (Binary::Min, -1e30, 1e30, -1e30, [1.0, 0.0]),
];

/// Fails unless `got` is `expected` to `units` of rounding `epsilon`; a NaN only where one is expected.
///
/// # Errors
/// A line with both.
pub fn check(got: f64, expected: f64, units: f64, epsilon: f64) -> Result<(), String> {
    let close = (got - expected).abs() <= units * epsilon * expected.abs();
    let same = got == expected || (got.is_nan() && expected.is_nan());
    if same || close { Ok(()) } else { Err(format!("{got:e} instead of {expected:e}")) }
}
