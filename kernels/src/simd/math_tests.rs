use super::*;
use crate::{Isa, simd_fn};

/// The distance of `got` from `exact` in units in the last place of an `f32` near `exact`.
fn ulp(got: f32, exact: f64) -> f64 {
    let nearest = exact as f32;
    if nearest.is_nan() || nearest.is_infinite() {
        return if got.to_bits() == nearest.to_bits() || (got.is_nan() && nearest.is_nan()) {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let size = f64::from(nearest.abs());
    let unit = if size < f64::from(f32::MIN_POSITIVE) { -149 } else { size.log2().floor() as i32 - 23 };
    (f64::from(got) - exact).abs() / f64::from(unit).exp2()
}

/// Every 997th bit pattern (a prime: all exponents and, over these, all low bits), and the special ones.
fn patterns() -> Vec<f32> {
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::MAX, f32::MIN];
    let tiny = [f32::MIN_POSITIVE, -f32::MIN_POSITIVE, f32::from_bits(1), -f32::from_bits(1), 1.0, -1.0];
    (0..=u32::MAX).step_by(997).map(f32::from_bits).chain(special).chain(tiny).collect()
}

macro_rules! over_slices {
    ($($name:ident)*) => {$(
        simd_fn! {
            pub fn $name<S>(s: S, x: &[f32], y: &mut [f32]) {
                for (x, y) in x.chunks(S::N).zip(y.chunks_mut(S::N)) {
                    s.store_partial(y, $crate::simd::math::$name(s, s.load_partial(x)));
                }
            }
        }
    )*};
}

mod slices {
    use super::simd_fn;
    over_slices! { exp exp_weight ln tanh erf sigmoid softplus silu silu_derivative gelu_tanh gelu_tanh_derivative gelu_erf gelu_erf_derivative }
}

type OnSlices = fn(Isa, &[f32], &mut [f32]);

/// The largest error over the patterns that `range` takes, printed and asserted.
fn assert_ulp(name: &str, limit: f64, f: OnSlices, exact: fn(f64) -> f64) {
    let x = patterns();
    let mut y = vec![0.0; x.len()];
    for isa in Isa::available() {
        f(isa, &x, &mut y);
        let errors = x.iter().zip(&y).map(|(&x, &y)| (ulp(y, exact(f64::from(x))), x, y));
        let (worst, x, y) = errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("{name} {isa}: {worst:.3} ulp at {x:e} (got {y:e})");
        assert!(worst <= limit, "{name} at {isa}: {worst} ulp at {x:e} (got {y:e}, exactly {:e})", exact(f64::from(x)));
    }
}

#[test]
fn exp_is_within_its_limit_everywhere() {
    assert_ulp("exp", 2.0, slices::exp, libm::exp);
}

#[test]
fn the_weights_of_a_softmax_are_within_their_limits_and_end_in_zero() {
    let x: Vec<f32> = (0..2_000_003).map(|i| i as f32 * -4.4e-5).take_while(|&x| x >= -87.3).collect();
    let ends = [0.0, -0.0, f32::NEG_INFINITY, f32::MIN, -88.1, -87.9, f32::NAN];
    for isa in Isa::available() {
        let (mut y, mut at_ends) = (vec![0.0; x.len()], [7.0; 7]);
        slices::exp_weight(isa, &x, &mut y);
        let error = |(&x, &y): (&f32, &f32)| (x, ulp(y, libm::exp(f64::from(x))));
        let (near, all) =
            x.iter().zip(&y).map(error).fold((0.0_f64, 0.0_f64), |(near, all), (x, e)| {
                (if x > -20.0 { near.max(e) } else { near }, all.max(e))
            });
        println!("exp_weight {isa}: {near:.3} ulp above -20, {all:.3} in all");
        assert!(near <= 2.0 && all <= 5.0, "{isa}: {near} ulp above -20, {all} in all");
        slices::exp_weight(isa, &ends, &mut at_ends);
        assert_eq!(at_ends[..5], [1.0, 1.0, 0.0, 0.0, 0.0], "{isa}");
        assert!((0.0..f32::MIN_POSITIVE * 1.01).contains(&at_ends[5]) && at_ends[6].is_nan(), "{isa}: {at_ends:?}");
    }
}

#[test]
fn ln_is_within_its_limit_everywhere() {
    assert_ulp("ln", 2.0, slices::ln, libm::log);
}

#[test]
fn tanh_is_within_its_limit_everywhere() {
    assert_ulp("tanh", 2.0, slices::tanh, libm::tanh);
}

#[test]
fn erf_is_within_its_limit_everywhere() {
    assert_ulp("erf", 2.0, slices::erf, libm::erf);
}

#[test]
fn sigmoid_is_within_its_limit_everywhere() {
    assert_ulp("sigmoid", 3.0, slices::sigmoid, |x| 1.0 / (1.0 + libm::exp(-x)));
}

#[test]
fn softplus_is_within_its_limit_everywhere() {
    assert_ulp("softplus", 2.5, slices::softplus, |x| x.max(0.0) + libm::log1p(libm::exp(-x.abs())));
}

/// The activations: error at most `limit` times max(1, |exact|), the scale that a training step sees.
fn assert_absolute(name: &str, limit: f64, f: OnSlices, exact: fn(f64) -> f64) {
    let x = patterns();
    let mut y = vec![0.0; x.len()];
    for isa in Isa::available() {
        f(isa, &x, &mut y);
        let mut worst = (0.0, 0.0);
        for (&x, &y) in x.iter().zip(&y).filter(|(x, _)| x.is_finite()) {
            let exact = exact(f64::from(x));
            let error = (f64::from(y) - exact).abs() / exact.abs().max(1.0);
            assert!(!error.is_nan(), "{name} at {isa}: {y} for {x:e}");
            if error > worst.0 {
                worst = (error, x);
            }
        }
        println!("{name} {isa}: {:.3e} at {:e}", worst.0, worst.1);
        assert!(worst.0 <= limit, "{name} at {isa}: {:e} at {:e}", worst.0, worst.1);
    }
}

fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / 2.0_f64.sqrt())
}

fn two_u(x: f64) -> f64 {
    2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

#[test]
fn activations_are_exact_to_two_units_of_one() {
    let limit = 2.5 * f64::from(f32::EPSILON);
    assert_absolute("silu", limit, slices::silu, |x| x * logistic(x));
    assert_absolute("gelu_tanh", limit, slices::gelu_tanh, |x| x * logistic(two_u(x)));
    assert_absolute("gelu_erf", limit, slices::gelu_erf, |x| x * cdf(x));
}

#[test]
fn the_exact_gelu_is_within_its_limits_on_both_sides() {
    let (above, below): (Vec<f32>, Vec<f32>) =
        patterns().into_iter().filter(|x| x.is_finite()).partition(|&x| x >= 0.0);
    let exact = |x: f32| f64::from(x) * cdf(f64::from(x));
    for isa in Isa::available() {
        let (mut y, mut z) = (vec![0.0; above.len()], vec![0.0; below.len()]);
        slices::gelu_erf(isa, &above, &mut y);
        slices::gelu_erf(isa, &below, &mut z);
        let units = above.iter().zip(&y).map(|(&x, &y)| ulp(y, exact(x))).fold(0.0, f64::max);
        let error = below.iter().zip(&z).map(|(&x, &z)| (f64::from(z) - exact(x)).abs()).fold(0.0, f64::max);
        println!("gelu_erf {isa}: {units:.3} ulp above 0, {error:.3e} below");
        assert!(units <= 2.5 && error <= 1e-7, "{isa}: {units} ulp above 0, {error:e} below");
    }
}

#[test]
fn derivatives_of_activations_are_exact_to_few_units_of_one() {
    let limit = 4.0 * f64::from(f32::EPSILON);
    assert_absolute("silu'", limit, slices::silu_derivative, |x| logistic(x) * (1.0 + x * logistic(-x)));
    assert_absolute("gelu_tanh'", limit, slices::gelu_tanh_derivative, |x| {
        let slope = two_u(1.0) / 1.044715 * (1.0 + 3.0 * 0.044715 * x * x);
        logistic(two_u(x)) + x * logistic(two_u(x)) * logistic(-two_u(x)) * slope
    });
    assert_absolute("gelu_erf'", limit, slices::gelu_erf_derivative, |x| {
        cdf(x) + x * libm::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt()
    });
}

#[test]
fn activations_pass_nan_on_and_vanish_or_grow_at_infinity() {
    for isa in Isa::available() {
        for f in [slices::silu as OnSlices, slices::gelu_tanh, slices::gelu_erf] {
            let mut y = [0.0; 3];
            f(isa, &[f32::NAN, f32::INFINITY, -1e30], &mut y);
            assert!(y[0].is_nan() && y[1] == f32::INFINITY && y[2] == 0.0, "{isa}: {y:?}");
        }
        for f in [slices::silu_derivative as OnSlices, slices::gelu_tanh_derivative, slices::gelu_erf_derivative] {
            let mut y = [0.0; 3];
            f(isa, &[f32::NAN, 1e30, -1e30], &mut y);
            assert!(y[0].is_nan() && y[1] == 1.0 && y[2] == 0.0, "{isa}: {y:?}");
        }
    }
}

simd_fn! {
    fn two_operands<S>(s: S, a: &[f32], b: &[f32], y: &mut [[f32; 3]]) {
        for ((a, b), y) in a.iter().zip(b).zip(y) {
            let (a, b) = (s.splat(*a), s.splat(*b));
            for (y, v) in y.iter_mut().zip([maximum(s, a, b), minimum(s, a, b), pow(s, a, b)]) {
                s.store_partial(std::slice::from_mut(y), v);
            }
        }
    }
}

#[test]
fn maximum_and_minimum_pass_nan_on_from_either_side() {
    let (a, b) = ([1.0, f32::NAN, 3.0, f32::INFINITY], [2.0, 1.0, f32::NAN, -1.0]);
    for isa in Isa::available() {
        let mut y = [[0.0; 3]; 4];
        two_operands(isa, &a, &b, &mut y);
        assert_eq!(y[0], [2.0, 1.0, 1.0]);
        assert!(y[1][0].is_nan() && y[1][1].is_nan() && y[2][0].is_nan() && y[2][1].is_nan());
        assert_eq!(y[3], [f32::INFINITY, -1.0, 0.0]);
    }
}
