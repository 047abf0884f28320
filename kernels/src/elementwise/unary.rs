//! One operand: the vector rung, the threaded one and the streamed one, forward and backward.
//!
//! Every operation is a type with two methods on vectors, so that the loop is compiled once for each of them and the
//! choice costs nothing inside it.
//!
//! Measured on 16384×1536 elements, 2-core Zen 4, AVX-512, medians of 10 in ms (1 thread for naive and simd, else 2):
//!
//! | forward / backward | naive | simd | threads | streamed |
//! | --- | --- | --- | --- | --- |
//! | neg | | 9.3 / 9.5 | 8.5 / 6.6 | 5.0 / 5.0 |
//! | exp | | 8.2 / 14.2 | 6.5 / 10.0 | 4.7 / 8.1 |
//! | gelu, tanh | 506 / | 8.9 / 15.5 | 8.3 / 9.9 | 4.9 / 8.0 |
//! | gelu, erf (7.7 and 9.2 beside other work) | | 7.7 / 9.2 | | 4.9 / 7.6 |
//! | silu | | 8.4 / 14.4 | 6.7 / 10.0 | 4.9 / 7.7 |
//!
//! Both GELUs and SiLU run as fast as a negation does: 40 GB/s counting x, dy and results once, where a copy past the
//! caches made 42 in the same run, and arithmetic is hidden. At
//! AVX2 the tanh form takes 8.6 / 13.6 ms, at the portable level, which has no fused multiply-add, 40 / 48 ms.
//!
//! What is far is asked for 2 KiB ahead ([`AHEAD`]): arithmetic fills the window of a processor with a few vectors, so it
//! cannot begin the loads of the next page while it waits for those of this one. On a Granite Rapids GELU takes 19 to
//! 34% less time forward and 19 to 30% backward, SiLU 12 to 26% and 18 to 20%, and a negation, which has no arithmetic, as much as
//! before (in turn; 1 to 8 KiB ahead are alike). On the Zen 4, where they stood at the memory's limit without it, it was not measured.
//!
//! Training overwrites dy with dx ([`in_place`]). 768×512 elements of the exact GELU, 2 threads: 65 µs with everything near,
//! 125 to 165 with x, dy and dx far, 75 to 95 with only x far, as it is where a product has just written dy. In a whole
//! step of the preset `small` that is below what its 4 calls can be seen by (22.6 ms with and without).

use super::{Unary, assert_saved};
use crate::parallel::items_per_task;
use crate::rows::{AHEAD, before_line, is_far, prefetch};
use crate::simd::{Simd, math};
use crate::{Isa, simd_fn};
use rayon::prelude::*;

/// An operation on vectors.
trait Map: Copy + Send + Sync {
    /// y
    fn forward<S: Simd>(self, s: S, x: S::F32) -> S::F32;
    /// dx from what is saved and dy.
    fn backward<S: Simd>(self, s: S, saved: S::F32, dy: S::F32) -> S::F32;
}

macro_rules! maps {
    ($($Op:ident: |$s:ident, $x:ident| $y:expr, |$saved:ident, $dy:ident| $dx:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            struct $Op;

            impl Map for $Op {
                #[inline(always)]
                fn forward<S: Simd>(self, $s: S, $x: S::F32) -> S::F32 {
                    $y
                }
                #[inline(always)]
                fn backward<S: Simd>(self, $s: S, $saved: S::F32, $dy: S::F32) -> S::F32 {
                    $dx
                }
            }
        )*

        fn forward_of(isa: Isa, op: Unary, far: bool, x: &[f32], y: &mut [f32]) {
            match op {
                $(Unary::$Op => forward_loop(isa, $Op, far, x, y),)*
            }
        }

        fn backward_of(isa: Isa, op: Unary, far: bool, saved: &[f32], dy: &[f32], dx: &mut [f32]) {
            match op {
                $(Unary::$Op => backward_loop(isa, $Op, far, saved, dy, dx),)*
            }
        }

        fn in_place_of(isa: Isa, op: Unary, far: bool, saved: &[f32], d: &mut [f32]) {
            match op {
                $(Unary::$Op => in_place_loop(isa, $Op, far, saved, d),)*
            }
        }
    };
}

maps! {
    Neg: |s, x| s.neg(x), |_saved, dy| s.neg(dy);
    Exp: |s, x| math::exp(s, x), |y, dy| s.mul(dy, y);
    Ln: |s, x| math::ln(s, x), |x, dy| s.div(dy, x);
    Sqrt: |s, x| s.sqrt(x), |y, dy| s.div(dy, s.add(y, y));
    Tanh: |s, x| math::tanh(s, x), |y, dy| s.mul(dy, s.neg_mul_add(y, y, s.splat(1.0)));
    Sigmoid: |s, x| math::sigmoid(s, x), |y, dy| s.mul(s.mul(dy, y), s.sub(s.splat(1.0), y));
    Relu: |s, x| s.select(s.le(x, s.zero()), s.zero(), x), |y, dy| s.select(s.le(y, s.zero()), s.zero(), dy);
    GeluTanh: |s, x| math::gelu_tanh(s, x), |x, dy| s.mul(dy, math::gelu_tanh_derivative(s, x));
    GeluErf: |s, x| math::gelu_erf(s, x), |x, dy| s.mul(dy, math::gelu_erf_derivative(s, x));
    Silu: |s, x| math::silu(s, x), |x, dy| s.mul(dy, math::silu_derivative(s, x));
    Abs: |s, x| s.abs(x), |x, dy| s.mul(dy, sign(s, x));
    Square: |s, x| s.mul(x, x), |x, dy| s.mul(dy, s.add(x, x));
}

/// 1, −1, or x itself where it is 0 or NaN.
#[inline(always)]
fn sign<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let negative = s.select(s.lt(x, s.zero()), s.splat(-1.0), x);
    s.select(s.lt(s.zero(), x), s.splat(1.0), negative)
}

simd_fn! {
    fn forward_loop<S; Op: Map>(s: S, op: Op, far: bool, x: &[f32], y: &mut [f32]) {
        let (mut xs, mut ys) = (x.chunks_exact(S::N), y.chunks_exact_mut(S::N));
        for (x, y) in (&mut xs).zip(&mut ys) {
            if far {
                prefetch(x, AHEAD);
            }
            let v = op.forward(s, s.load(x));
            if far { s.stream(y, v) } else { s.store(y, v) }
        }
        s.store_partial(ys.into_remainder(), op.forward(s, s.load_partial(xs.remainder())));
        if far {
            s.fence();
        }
    }
}

simd_fn! {
    fn backward_loop<S; Op: Map>(s: S, op: Op, far: bool, saved: &[f32], dy: &[f32], dx: &mut [f32]) {
        let saved = if saved.is_empty() { dy } else { saved }; // nothing saved: any operand, and the compiler drops it
        let (mut saved, mut dys) = (saved.chunks_exact(S::N), dy.chunks_exact(S::N));
        let mut dxs = dx.chunks_exact_mut(S::N);
        for ((saved, dy), dx) in (&mut saved).zip(&mut dys).zip(&mut dxs) {
            if far {
                prefetch(saved, AHEAD);
                prefetch(dy, AHEAD);
            }
            let v = op.backward(s, s.load(saved), s.load(dy));
            if far { s.stream(dx, v) } else { s.store(dx, v) }
        }
        let (saved, dy) = (s.load_partial(saved.remainder()), s.load_partial(dys.remainder()));
        s.store_partial(dxs.into_remainder(), op.backward(s, saved, dy));
        if far {
            s.fence();
        }
    }
}

simd_fn! {
    fn in_place_loop<S; Op: Map>(s: S, op: Op, far: bool, saved: &[f32], d: &mut [f32]) {
        let (mut ds, rest) = (d.chunks_exact_mut(S::N), saved.len() / S::N * S::N);
        if saved.is_empty() {
            for d in &mut ds {
                s.store(d, op.backward(s, s.zero(), s.load(d)));
            }
        } else {
            for (saved, d) in saved.chunks_exact(S::N).zip(&mut ds) {
                if far {
                    prefetch(saved, AHEAD);
                    prefetch(d, AHEAD);
                }
                s.store(d, op.backward(s, s.load(saved), s.load(d)));
            }
        }
        let d = ds.into_remainder();
        s.store_partial(d, op.backward(s, s.load_partial(&saved[rest..]), s.load_partial(d)));
    }
}

/// Vectors, one thread.
pub(super) fn simd(isa: Isa, op: Unary, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    forward_of(isa, op, false, x, y);
}

/// Vectors, one thread.
pub(super) fn simd_backward(isa: Isa, op: Unary, saved: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_saved(op, saved.len(), dy.len(), dx.len());
    backward_of(isa, op, false, saved, dy, dx);
}

/// What an element costs, as [`items_per_task`] counts.
pub(super) const COST: usize = 2;

/// Vectors on all threads: a task for each stretch of the output.
pub(super) fn threads(isa: Isa, op: Unary, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    let n = items_per_task(y.len(), COST);
    if n >= y.len() {
        return forward_of(isa, op, false, x, y);
    }
    y.par_chunks_mut(n).zip(x.par_chunks(n)).for_each(|(y, x)| forward_of(isa, op, false, x, y));
}

/// Vectors on all threads: a task for each stretch of the output.
pub(super) fn threads_backward(isa: Isa, op: Unary, saved: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_saved(op, saved.len(), dy.len(), dx.len());
    let n = items_per_task(dx.len(), COST);
    if n >= dx.len() {
        return backward_of(isa, op, false, saved, dy, dx);
    }
    let tasks = dx.par_chunks_mut(n).zip(dy.par_chunks(n)).enumerate();
    tasks.for_each(|(i, (dx, dy))| {
        let saved = if saved.is_empty() { saved } else { &saved[i * n..][..dy.len()] };
        backward_of(isa, op, false, saved, dy, dx);
    });
}

/// Threads, and an output too large for the caches goes past them.
pub(super) fn streamed(isa: Isa, op: Unary, x: &[f32], y: &mut [f32]) {
    if !is_far(y.len()) {
        return threads(isa, op, x, y);
    }
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    let n = items_per_task(y.len(), COST);
    y.par_chunks_mut(n).zip(x.par_chunks(n)).for_each(|(y, x)| {
        let head = before_line(y);
        let ((x0, x), (y0, y)) = (x.split_at(head), y.split_at_mut(head));
        forward_of(isa, op, false, x0, y0);
        forward_of(isa, op, true, x, y);
    });
}

/// Threads, and an output too large for the caches goes past them.
pub(super) fn streamed_backward(isa: Isa, op: Unary, saved: &[f32], dy: &[f32], dx: &mut [f32]) {
    if !is_far(dx.len()) {
        return threads_backward(isa, op, saved, dy, dx);
    }
    assert_saved(op, saved.len(), dy.len(), dx.len());
    let n = items_per_task(dx.len(), COST);
    let tasks = dx.par_chunks_mut(n).zip(dy.par_chunks(n)).enumerate();
    tasks.for_each(|(i, (dx, dy))| {
        let saved = if saved.is_empty() { saved } else { &saved[i * n..][..dy.len()] };
        let head = before_line(dx);
        let (saved0, saved) = saved.split_at(head.min(saved.len()));
        let ((dy0, dy), (dx0, dx)) = (dy.split_at(head), dx.split_at_mut(head));
        backward_of(isa, op, false, saved0, dy0, dx0);
        backward_of(isa, op, true, saved, dy, dx);
    });
}

/// Threads; dx takes the place of dy, so that no third stretch of memory has to come near.
pub(super) fn in_place(isa: Isa, op: Unary, saved: &[f32], d: &mut [f32]) {
    assert_saved(op, saved.len(), d.len(), d.len());
    let n = items_per_task(d.len(), COST);
    if n >= d.len() {
        return in_place_of(isa, op, false, saved, d);
    }
    let far = is_far(d.len());
    d.par_chunks_mut(n).enumerate().for_each(|(i, d)| {
        let saved = if saved.is_empty() { saved } else { &saved[i * n..][..d.len()] };
        in_place_of(isa, op, far, saved, d);
    });
}
