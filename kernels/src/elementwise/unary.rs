//! One operand: the vector rung, the threaded one and the streamed one, forward and backward.
//!
//! Every function is a type with two methods on vectors, so that the loop is compiled once for each of them and the
//! choice costs nothing inside it. With arithmetic on vectors GELU and SiLU take as long as a negation does: memory bounds all of
//! them.
//!
//! Large operands are prefetched 2 KiB ahead ([`AHEAD`]). Arithmetic fills the processor's window of instructions with a few
//! vectors, so it cannot begin to load the next page while it waits for this one; GELU takes a fifth to a third less time.
//! Training overwrites dy with dx ([`in_place`]), which saves one operand's way through the caches. Measurements are in
//! docs/performance-notes-rungs.md.

use super::{Unary, assert_saved};
use crate::parallel::items_per_task;
use crate::rows::{AHEAD, before_line, is_far, prefetch};
use crate::simd::{Simd, math};
use crate::{Isa, simd_fn, unary_functions};
use rayon::prelude::*;

/// A function on vectors.
trait Map: Copy + Send + Sync {
    /// y
    fn forward<S: Simd>(self, s: S, x: S::F32) -> S::F32;
    /// dx, from what is saved and dy.
    fn backward<S: Simd>(self, s: S, saved: S::F32, dy: S::F32) -> S::F32;
}

macro_rules! define_vector_forms {
    ($(
        $(#[$doc:meta])*
        $Op:ident $_header:tt
        scalar $_scalar:tt
        vector { |$s:ident, $x:ident| $y:expr; |$s2:ident, $saved:ident, $dy:ident| $dx:expr }
    )*) => {
        $(
            #[derive(Clone, Copy)]
            struct $Op;

            impl Map for $Op {
                #[inline(always)]
                fn forward<S: Simd>(self, $s: S, $x: S::F32) -> S::F32 {
                    $y
                }
                #[inline(always)]
                fn backward<S: Simd>(self, $s2: S, $saved: S::F32, $dy: S::F32) -> S::F32 {
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
unary_functions!(define_vector_forms);

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

/// Threads; an output larger than the caches is written past them.
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

/// Threads; an output larger than the caches is written past them.
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

/// Threads; dx takes the place of dy, so that the caches hold two operands instead of three.
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
