//! The specification: one element after the other, in `f32` or, as the oracle, in `f64`.
//!
//! Functions such as exp and tanh are those of the C library, erf that of the crate `libm`: a call for each element,
//! and a loop with a call in it does not become vectors. What has strides goes index by index: the offsets of every operand,
//! a check of each, and the choice of the operation, for every element.

use super::dims::{Dims, size};
use super::functions::binary_functions;
use super::{Binary, Unary};
use crate::{Float, unary_functions};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

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

macro_rules! define_scalar_forms {
    ($(
        $(#[$doc:meta])*
        $Op:ident $_header:tt
        scalar { |$x:ident| $y:expr; |$saved:ident, $dy:ident| $dx:expr }
        vector $_vector:tt
    )*) => {
        /// One number through a [`Unary`].
        pub fn apply<E: Float>(op: Unary, x: E) -> E {
            match op {
                $(Unary::$Op => {
                    let $x = x;
                    $y
                })*
            }
        }

        /// dy times the derivative, from what [`Unary::saves`] names (nothing: any value).
        pub fn apply_backward<E: Float>(op: Unary, saved: E, dy: E) -> E {
            match op {
                $(Unary::$Op => {
                    let ($saved, $dy) = (saved, dy);
                    $dx
                })*
            }
        }
    };
}
unary_functions!(define_scalar_forms);

/// The argument of the tanh in GELU: √(2/π)·(x + 0.044715·x³).
fn gelu_argument<E: Float>(x: E) -> E {
    E::of((2.0 / PI).sqrt()) * (x + E::of(0.044715) * x * x * x)
}

macro_rules! define_binary_scalar_forms {
    ($(
        $(#[$doc:meta])*
        $Op:ident $_header:tt
        scalar { |$a:ident, $b:ident| $y:expr }
        vector $_vector:tt
    )*) => {
        /// Two numbers through a [`Binary`].
        pub fn combine<E: Float>(op: Binary, a: E, b: E) -> E {
            match op {
                $(Binary::$Op => {
                    let ($a, $b) = (a, b);
                    $y
                })*
            }
        }
    };
}
binary_functions!(define_binary_scalar_forms);

/// 1 for true, 0 for false.
fn truth<E: Float>(truth: bool) -> E {
    if truth { E::one() } else { E::zero() }
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
