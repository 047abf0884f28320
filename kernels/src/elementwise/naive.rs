//! The specification: one element after the other, in `f32` or, as the oracle, in `f64`.
//!
//! Functions such as exp and tanh are those of the C library, erf that of the crate `libm`: a call for each element,
//! and a loop with a call in it does not become vectors. GELU's tanh form takes 472 ms at 16384 × 1536 in the report,
//! 19 ns an element and most of it the tanh, where its 8 bytes would take 0.16 ns by probes of the memory beside it.
//!
//! What has strides goes index by index: the offsets of every operand, a check of each, and the question which
//! operation it is, all of it for one element. In the report a + b of 16384 × 384 takes 7.06 ms, four cycles an
//! element and 5.9 times what its 12 bytes need; the heads of \[64,256,6,64\] apart take 7.46 ms, 8.8 times what
//! 8 bytes need.

use super::dims::{Dims, size};
use super::{Binary, Unary};
use crate::Float;

/// The index and the offsets of every element, in row-major order.
pub(crate) fn each<const K: usize>(
    shape: &[usize],
    strides: [&[usize]; K],
    lens: [usize; K],
    mut visit: impl FnMut(usize, [usize; K]),
) {
    let dims = Dims::new(shape, strides, lens);
    let mut i = 0;
    for (len, offsets) in dims.runs(0..size(shape)) {
        for j in 0..len {
            visit(i, std::array::from_fn(|k| offsets[k] + j * dims.inner_strides()[k]));
            i += 1;
        }
    }
}

/// One number through a [`Unary`].
pub fn apply<E: Float>(op: Unary, x: E) -> E {
    let (one, half) = (E::one(), E::of(0.5));
    match op {
        Unary::Neg => -x,
        Unary::Exp => x.exp(),
        Unary::Ln => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => one / (one + (-x).exp()),
        Unary::Relu => {
            if x <= E::zero() {
                E::zero()
            } else {
                x
            }
        }
        Unary::GeluTanh => half * x * (one + gelu_argument(x).tanh()),
        Unary::GeluErf => half * x * (one + (x * E::of(std::f64::consts::FRAC_1_SQRT_2)).erf()),
        Unary::Silu => x / (one + (-x).exp()),
        Unary::Abs => x.abs(),
        Unary::Square => x * x,
    }
}

/// √(2/π)·(x + 0.044715·x³)
fn gelu_argument<E: Float>(x: E) -> E {
    E::of((2.0 / std::f64::consts::PI).sqrt()) * (x + E::of(0.044715) * x * x * x)
}

/// dy times the derivative, from what [`Unary::saves`] names (nothing: any value).
pub fn apply_backward<E: Float>(op: Unary, saved: E, dy: E) -> E {
    let (one, half, x, y) = (E::one(), E::of(0.5), saved, saved);
    match op {
        Unary::Neg => -dy,
        Unary::Exp => dy * y,
        Unary::Ln => dy / x,
        Unary::Sqrt => dy / (y + y),
        Unary::Tanh => dy * (one - y * y),
        Unary::Sigmoid => dy * y * (one - y),
        Unary::Relu => {
            if y <= E::zero() {
                E::zero()
            } else {
                dy
            }
        }
        Unary::GeluTanh => {
            let t = gelu_argument(x).tanh();
            let square = (x * x).min(E::max_value()); // finite, for it meets a factor 0 where x is large
            let slope = E::of((2.0 / std::f64::consts::PI).sqrt()) * (one + E::of(3.0 * 0.044715) * square);
            dy * (half * (one + t) + half * x * (one - t * t) * slope)
        }
        Unary::GeluErf => {
            let cdf = half * (one + (x * E::of(std::f64::consts::FRAC_1_SQRT_2)).erf());
            let density = (-half * x * x).exp() * E::of(1.0 / (2.0 * std::f64::consts::PI).sqrt());
            dy * if density == E::zero() { cdf } else { cdf + x * density } // at ±∞ the limit, not ∞·0
        }
        Unary::Silu => {
            let sigmoid = one / (one + (-x).exp());
            dy * (sigmoid + x * sigmoid * (one - sigmoid))
        }
        Unary::Abs => {
            dy * if x > E::zero() {
                one
            } else if x < E::zero() {
                -one
            } else {
                x
            }
        }
        Unary::Square => dy * (x + x),
    }
}

/// Two numbers through a [`Binary`].
pub fn combine<E: Float>(op: Binary, a: E, b: E) -> E {
    let truth = |t: bool| if t { E::one() } else { E::zero() };
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => a.powf(b),
        Binary::Max => {
            if a > b || a.is_nan() {
                a
            } else {
                b
            }
        }
        Binary::Min => {
            if a < b || a.is_nan() {
                a
            } else {
                b
            }
        }
        Binary::Gt => truth(a > b),
        Binary::Ge => truth(a >= b),
        Binary::Eq => truth(a == b),
    }
}

/// yᵢ = op(xᵢ)
///
/// # Panics
/// Where the lengths differ.
pub fn unary<E: Float>(op: Unary, x: &[E], y: &mut [E]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = apply(op, x));
}

/// dxᵢ = dyᵢ·op′(…), from what [`Unary::saves`] names.
///
/// # Panics
/// Where the lengths differ; `saved` is empty where nothing is saved.
pub fn unary_backward<E: Float>(op: Unary, saved: &[E], dy: &[E], dx: &mut [E]) {
    super::assert_saved(op, saved.len(), dy.len(), dx.len());
    for (i, (dx, &dy)) in dx.iter_mut().zip(dy).enumerate() {
        *dx = apply_backward(op, saved.get(i).copied().unwrap_or_default(), dy);
    }
}

/// yᵢ = op(a, b) at i·strides.
///
/// # Panics
/// As [`super::binary()`].
pub fn binary<E: Float>(
    op: Binary,
    shape: &[usize],
    a: &[E],
    a_strides: &[usize],
    b: &[E],
    b_strides: &[usize],
    y: &mut [E],
) {
    assert_eq!(y.len(), size(shape), "length of y");
    each(shape, [a_strides, b_strides], [a.len(), b.len()], |i, [p, q]| y[i] = combine(op, a[p], b[q]));
}

/// yᵢ = a where cond is not 0, b elsewhere, at i·strides.
///
/// # Panics
/// As [`super::select`].
pub fn select<E: Float>(
    shape: &[usize],
    cond: &[E],
    cond_strides: &[usize],
    a: &[E],
    a_strides: &[usize],
    b: &[E],
    b_strides: &[usize],
    y: &mut [E],
) {
    assert_eq!(y.len(), size(shape), "length of y");
    each(shape, [cond_strides, a_strides, b_strides], [cond.len(), a.len(), b.len()], |i, [c, p, q]| {
        y[i] = if cond[c] == E::zero() { b[q] } else { a[p] };
    });
}

/// y ← k·x + y
///
/// # Panics
/// Where the lengths differ.
pub fn axpy<E: Float>(k: E, x: &[E], y: &mut [E]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    y.iter_mut().zip(x).for_each(|(y, &x)| *y += k * x);
}

/// y ← y + x
///
/// # Panics
/// Where the lengths differ.
pub fn accumulate<E: Float>(y: &mut [E], x: &[E]) {
    axpy(E::one(), x, y);
}

/// y ← k·y
pub fn scale_in_place<E: Float>(k: E, y: &mut [E]) {
    y.iter_mut().for_each(|y| *y *= k);
}

/// y at i·strides = x at i·strides.
///
/// # Panics
/// As [`super::copy()`].
pub fn copy<T: Copy>(shape: &[usize], x: &[T], x_strides: &[usize], y: &mut [T], y_strides: &[usize]) {
    super::copy::assert_no_overlap(shape, y_strides);
    each(shape, [x_strides, y_strides], [x.len(), y.len()], |_, [p, q]| y[q] = x[p]);
}

/// y = gelu_tanh(x + bias), the bias of C elements added to every row of C.
///
/// # Panics
/// Where the lengths differ or are no whole rows.
pub fn bias_gelu<E: Float>(x: &[E], bias: &[E], y: &mut [E]) {
    super::bias_gelu::assert_rows(bias.len(), &[x.len(), y.len()]);
    for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        *y = apply(Unary::GeluTanh, x + bias[i % bias.len()]);
    }
}

/// dx = dy·gelu_tanh′(x + bias)
///
/// # Panics
/// As [`bias_gelu()`].
pub fn bias_gelu_backward<E: Float>(x: &[E], bias: &[E], dy: &[E], dx: &mut [E]) {
    super::bias_gelu::assert_rows(bias.len(), &[x.len(), dy.len(), dx.len()]);
    for (i, dx) in dx.iter_mut().enumerate() {
        *dx = apply_backward(Unary::GeluTanh, x[i] + bias[i % bias.len()], dy[i]);
    }
}
