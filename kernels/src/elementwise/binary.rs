//! Two or three operands with broadcasting: strides are merged into rows first, and a row is a vector loop.
//!
//! Inside a row an operand is contiguous, one value for the whole row (stride 0), or strided. Every vector branches on that, and
//! always the same way, so the branch is free. A strided operand is gathered lane by lane, which takes four times as long as
//! a transposing [`copy`](super::copy()).

use super::dims::{Dims, size};
use super::functions::binary_functions;
use super::{Binary, unary::COST};
use crate::parallel::items_per_task;
use crate::rows::is_far;
use crate::simd::{Simd, math};
use crate::{Isa, simd_fn};
use rayon::prelude::*;

/// An operand within a row.
#[derive(Clone, Copy)]
enum Operand<'a, V> {
    Contiguous(&'a [f32]),
    Same(V),
    Strided(&'a [f32], usize),
}

impl<'a, V: Copy> Operand<'a, V> {
    #[inline(always)]
    fn new<S: Simd<F32 = V>>(s: S, x: &'a [f32], offset: usize, stride: usize, len: usize) -> Self {
        match stride {
            0 => Operand::Same(s.splat(x[offset])),
            1 => Operand::Contiguous(&x[offset..][..len]),
            _ => Operand::Strided(&x[offset..], stride),
        }
    }

    /// A full vector of the elements from i on.
    #[inline(always)]
    fn full<S: Simd<F32 = V>>(&self, s: S, i: usize) -> V {
        match *self {
            Operand::Contiguous(x) => s.load(&x[i..]),
            Operand::Same(v) => v,
            Operand::Strided(..) => self.partial(s, i, S::N),
        }
    }

    /// `n` elements from i on.
    #[inline(always)]
    fn partial<S: Simd<F32 = V>>(&self, s: S, i: usize, n: usize) -> V {
        match *self {
            Operand::Contiguous(x) => s.load_partial(&x[i..]),
            Operand::Same(v) => v,
            Operand::Strided(x, stride) => {
                let mut lanes = [0.0; 16];
                for (j, lane) in lanes.iter_mut().enumerate().take(n) {
                    *lane = x[(i + j) * stride];
                }
                s.load(&lanes)
            }
        }
    }
}

/// A function of two vectors.
trait Zip: Copy + Send + Sync {
    fn apply<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32;
}

macro_rules! define_vector_forms {
    ($(
        $(#[$doc:meta])*
        $Op:ident $_header:tt
        scalar $_scalar:tt
        vector { |$s:ident, $a:ident, $b:ident| $y:expr }
    )*) => {
        $(
            #[derive(Clone, Copy)]
            struct $Op;

            impl Zip for $Op {
                #[inline(always)]
                fn apply<S: Simd>(self, $s: S, $a: S::F32, $b: S::F32) -> S::F32 {
                    $y
                }
            }
        )*

        fn stretch_of(
            isa: Isa, op: Binary, far: bool, dims: &Dims<2>, start: usize, a: &[f32], b: &[f32], y: &mut [f32],
        ) {
            match op {
                $(Binary::$Op => stretch(isa, $Op, far, dims, start, a, b, y),)*
            }
        }
    };
}
binary_functions!(define_vector_forms);

simd_fn! {
    /// The elements of the output from `start` on, as many as `y` has; `far`: whether they are written past the caches.
    fn stretch<S; Op: Zip>(
        s: S, op: Op, far: bool, dims: &Dims<2>, start: usize, a: &[f32], b: &[f32], y: &mut [f32],
    ) {
        let [a_stride, b_stride] = dims.inner_strides();
        let mut rest = y;
        for (len, [i, j]) in dims.runs(start..start + rest.len()) {
            let (row, after) = std::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            let (a, b) = (Operand::new(s, a, i, a_stride, len), Operand::new(s, b, j, b_stride, len));
            let mut chunks = row.chunks_exact_mut(S::N);
            let mut at = 0;
            for y in &mut chunks {
                let v = op.apply(s, a.full(s, at), b.full(s, at));
                if far { s.stream(y, v) } else { s.store(y, v) }
                at += S::N;
            }
            let tail = chunks.into_remainder();
            if !tail.is_empty() {
                let (a, b) = (a.partial(s, at, tail.len()), b.partial(s, at, tail.len()));
                s.store_partial(tail, op.apply(s, a, b));
            }
        }
        if far {
            s.fence();
        }
    }
}

simd_fn! {
    /// The elements of the output from `start` on, as many as `y` has; `far`: whether they are written past the caches.
    fn select_stretch<S>(
        s: S, far: bool, dims: &Dims<3>, start: usize, c: &[f32], a: &[f32], b: &[f32], y: &mut [f32],
    ) {
        let strides = dims.inner_strides();
        let mut rest = y;
        for (len, offsets) in dims.runs(start..start + rest.len()) {
            let (row, after) = std::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            let c = Operand::new(s, c, offsets[0], strides[0], len);
            let a = Operand::new(s, a, offsets[1], strides[1], len);
            let b = Operand::new(s, b, offsets[2], strides[2], len);
            let mut chunks = row.chunks_exact_mut(S::N);
            let mut at = 0;
            for y in &mut chunks {
                let zero = s.eq(c.full(s, at), s.zero());
                let v = s.select(zero, b.full(s, at), a.full(s, at));
                if far { s.stream(y, v) } else { s.store(y, v) }
                at += S::N;
            }
            let (tail, n) = (chunks.into_remainder(), len % S::N);
            if n > 0 {
                let zero = s.eq(c.partial(s, at, n), s.zero());
                s.store_partial(tail, s.select(zero, b.partial(s, at, n), a.partial(s, at, n)));
            }
        }
        if far {
            s.fence();
        }
    }
}

/// y = op(a, b), its stretches `on` one thread or all; `far`: whether they are written past the caches.
fn run(
    (isa, on, far): (Isa, Stretches, bool),
    op: Binary,
    shape: &[usize],
    (a, a_strides): (&[f32], &[usize]),
    (b, b_strides): (&[f32], &[usize]),
    y: &mut [f32],
) {
    assert_eq!(y.len(), size(shape), "length of y");
    let dims = Dims::new(shape, [a_strides, b_strides], [a.len(), b.len()]);
    on.each(y, |start, y| stretch_of(isa, op, far, &dims, start, a, b, y));
}

/// How an output is cut.
#[derive(Clone, Copy)]
enum Stretches {
    One,
    /// A task for each, wherever in a row it begins.
    OnThreads,
}

impl Stretches {
    /// Calls `work` with the start of every stretch of y and the stretch.
    fn each(self, y: &mut [f32], work: impl Fn(usize, &mut [f32]) + Send + Sync) {
        let n = items_per_task(y.len(), COST).next_multiple_of(16); // whole cache lines
        match self {
            Stretches::OnThreads if n < y.len() => {
                y.par_chunks_mut(n).enumerate().for_each(|(i, y)| work(i * n, y));
            }
            _ => work(0, y),
        }
    }
}

macro_rules! rungs {
    ($($(#[$meta:meta])* $name:ident / $select:ident: $on:expr, $far:expr;)*) => {$(
        $(#[$meta])*
        pub(super) fn $name(
            isa: Isa,
            op: Binary,
            shape: &[usize],
            a: &[f32],
            a_strides: &[usize],
            b: &[f32],
            b_strides: &[usize],
            y: &mut [f32],
        ) {
            let far: fn(usize) -> bool = $far;
            run((isa, $on, far(y.len())), op, shape, (a, a_strides), (b, b_strides), y);
        }

        $(#[$meta])*
        pub(super) fn $select(
            isa: Isa,
            shape: &[usize],
            cond: &[f32],
            cond_strides: &[usize],
            a: &[f32],
            a_strides: &[usize],
            b: &[f32],
            b_strides: &[usize],
            y: &mut [f32],
        ) {
            assert_eq!(y.len(), size(shape), "length of y");
            let far: fn(usize) -> bool = $far;
            let far = far(y.len());
            let dims = Dims::new(shape, [cond_strides, a_strides, b_strides], [cond.len(), a.len(), b.len()]);
            let on: Stretches = $on;
            on.each(y, |start, y| select_stretch(isa, far, &dims, start, cond, a, b, y));
        }
    )*};
}

rungs! {
    /// Vectors, one thread.
    simd / select_simd: Stretches::One, |_| false;
    /// Vectors on all threads.
    threads / select_threads: Stretches::OnThreads, |_| false;
    /// Threads; an output larger than the caches is written past them.
    streamed / select_streamed: Stretches::OnThreads, is_far;
}
