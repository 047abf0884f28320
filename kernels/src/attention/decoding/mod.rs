//! Decoding: one query for each head against a cache of keys and values.
//!
//! Each key and value is used once, so there is nothing to share and nothing to pack: 4 FLOPs for 8 bytes, bound by reading
//! the cache. Vectors run over D, along the rows as they lie; the scores of all keys fit into scratch. 1×12×1024×64
//! (B×H×Tk×D), two threads of a Zen 4: 42 µs, the general rung 139 µs.
//!
//! On one core three more things count. Sums across lanes share their shuffles, four keys at a time; every second value is
//! added to sums of its own, or a key would wait four cycles for the one before; and whether a row is whole vectors or an
//! end is decided outside of the loop, or sums would go through memory.

pub mod bf16_cache;

use crate::attention::{Forward, Inputs, Output, Shape, View, blocks::exp2::exp2, ladder::threads};
use crate::{Isa, Rung, prefetch::prefetch, rows::AHEAD, scratch, simd::Simd, simd_fn};
use std::f32::consts::LOG2_E;

/// The ladder of decoding: shapes with one query.
pub const DECODE_RUNGS: &[Rung<Forward>] = &[
    Rung {
        name: "naive",
        idea: "the definition",
        run: |_, inputs, o, lse| crate::attention::ladder::naive::forward_view(inputs, o, lse),
        simd: false,
    },
    Rung {
        name: "threads",
        idea: "the general rung: packs every block of keys for a single query",
        run: threads::forward,
        simd: true,
    },
    Rung { name: "decode", idea: "vectors over D on the cache as it lies", run: forward, simd: true },
    Rung {
        name: "decode_threads",
        idea: "a task for each few heads, where the cache is long",
        run: forward_threads,
        simd: true,
    },
];

fn forward(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    serial(inputs, o, lse, |head, scores, o| one(isa, inputs, head, scores, o));
}

/// The fast path of [`crate::attention::forward`] where Tq = 1.
pub(in crate::attention) fn forward_threads(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    parallel(inputs, o, lse, |head, scores, o| one(isa, inputs, head, scores, o));
}

/// Calls `work` for each (b, h) with room for its scores and its row of O, and keeps the log-sum-exp that it gives.
pub(in crate::attention) fn serial<C>(
    inputs: &Inputs<'_, f32, C>,
    mut o: Output<'_>,
    lse: &mut [f32],
    work: impl Fn([usize; 2], &mut [f32], &mut [f32]) -> f32,
) {
    let Shape { b, h, tk, .. } = inputs.shape;
    scratch::with(tk.next_multiple_of(16), |scores: &mut [f32]| {
        for (head, lse) in lse.iter_mut().enumerate().take(b * h) {
            let (b, h) = (head / h, head % h);
            *lse = work([b, h], scores, o.row(b, h, 0));
        }
    });
}

/// [`serial`] in tasks.
pub(in crate::attention) fn parallel<C: Sync>(
    inputs: &Inputs<'_, f32, C>,
    o: Output<'_>,
    lse: &mut [f32],
    work: impl Fn([usize; 2], &mut [f32], &mut [f32]) -> f32 + Sync,
) {
    let Shape { b, h, tk, d, .. } = inputs.shape;
    let lse = Output::new("lse", lse, [b, h, 1], crate::attention::Strides { b: h, h: 1, t: 1 }, 1);
    threads::for_each(b * h, tk * d, |head| {
        let (b, h) = (head / h, head % h);
        // SAFETY: there is one task for each (b, h).
        let (o, lse) = unsafe { (o.row_shared(b, h, 0), lse.row_shared(b, h, 0)) };
        scratch::with(tk.next_multiple_of(16), |scores: &mut [f32]| lse[0] = work([b, h], scores, o));
    });
}

simd_fn! {
    fn one<S>(s: S, inputs: &Inputs<'_>, head: [usize; 2], scores: &mut [f32], o: &mut [f32]) -> f32 {
        attend(Plain(s), inputs, head, scores, o)
    }
}

/// How the elements of a row of the cache become vectors: `VECTORS` of them at a step.
pub(in crate::attention) trait Rows: Copy {
    /// The vectors of everything else.
    type S: Simd;
    /// What a row consists of.
    type Element: Copy;
    /// How many vectors a step fills; there are always two, of which no other is looked at.
    const VECTORS: usize;

    /// The proof for everything else.
    fn simd(self) -> Self::S;
    /// The next step of a row of the cache; panics where that is shorter.
    fn load(self, row: &[Self::Element]) -> [F32<Self>; 2];
    /// What is left of a row of the cache, and zeros after it.
    fn load_rest(self, row: &[Self::Element]) -> [F32<Self>; 2];
    /// The same elements of a row of `f32`, in the same order.
    fn load_f32(self, row: &[f32]) -> [F32<Self>; 2];
    /// Writes what of them `row` has room for, in the order of memory.
    fn store_f32(self, row: &mut [f32], x: [F32<Self>; 2]);
}

/// A vector of `f32`.
type F32<R> = <<R as Rows>::S as Simd>::F32;

/// Rows of `f32`.
#[derive(Clone, Copy)]
struct Plain<S>(S);

impl<S: Simd> Rows for Plain<S> {
    type S = S;
    type Element = f32;
    const VECTORS: usize = 1;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }
    #[inline(always)]
    fn load(self, row: &[f32]) -> [S::F32; 2] {
        [self.0.load(row), self.0.zero()]
    }
    #[inline(always)]
    fn load_rest(self, row: &[f32]) -> [S::F32; 2] {
        [self.0.load_partial(row), self.0.zero()]
    }
    #[inline(always)]
    fn load_f32(self, row: &[f32]) -> [S::F32; 2] {
        [load(self.0, row), self.0.zero()]
    }
    #[inline(always)]
    fn store_f32(self, row: &mut [f32], [x, _]: [S::F32; 2]) {
        self.0.store_partial(row, x);
    }
}

/// The next vector of `x`; a masked load is only for its end, as AVX2 is slow at it.
#[inline(always)]
pub(in crate::attention) fn load<S: Simd>(s: S, x: &[f32]) -> S::F32 {
    if x.len() >= S::N { s.load(x) } else { s.load_partial(x) }
}

/// One query: its output, and the log-sum-exp.
#[inline(always)]
pub(in crate::attention) fn attend<R: Rows>(
    r: R,
    inputs: &Inputs<'_, f32, R::Element>,
    [b, h]: [usize; 2],
    scores: &mut [f32],
    o: &mut [f32],
) -> f32 {
    let s = r.simd();
    let (d, kv, keys) = (inputs.shape.d, inputs.kv_head(h), inputs.keys(0));
    let scores = &mut scores[..keys.len().next_multiple_of(<R::S as Simd>::N)];
    scores[keys.len()..].fill(f32::NEG_INFINITY);
    let head = Head::new(inputs.shape, &inputs.k, [b, kv], keys.start);
    products(r, inputs.options.scale * LOG2_E, inputs.q.row(b, h, 0, d), head, &mut scores[..keys.len()]);
    if let Some(keep) = inputs.mask_row(b, h, 0) {
        let hidden = keep[keys.clone()].iter().map(|&keep| keep == 0.0);
        scores.iter_mut().zip(hidden).filter(|(_, hidden)| *hidden).for_each(|(score, _)| *score = f32::NEG_INFINITY);
    }
    let (max, sum) = exponentials(s, scores);
    o.fill(0.0);
    if sum == 0.0 {
        return f32::NEG_INFINITY;
    }
    if inputs.options.dropout.is_some() {
        for (p, j) in scores.iter_mut().zip(keys.clone()) {
            *p *= inputs.keep_factor(b, h, 0, j);
        }
    }
    averages(r, &scores[..keys.len()], sum, Head::new(inputs.shape, &inputs.v, [b, kv], keys.start), o);
    (f64::from(max) * std::f64::consts::LN_2 + f64::from(sum.ln())) as f32
}

/// Rows of one head, from the first that is seen on.
#[derive(Clone, Copy)]
struct Head<'a, C> {
    data: &'a [C],
    stride: usize,
    d: usize,
    far: bool,
}

impl<'a, C> Head<'a, C> {
    #[inline(always)]
    fn new(Shape { b, h_kv, tk, d, .. }: Shape, view: &View<'a, C>, [batch, kv]: [usize; 2], first: usize) -> Self {
        // Strides of no elements may be anything.
        let [b_step, h_step, t_step] = [view.strides.b, view.strides.h, view.strides.t];
        let at =
            batch.wrapping_mul(b_step).wrapping_add(kv.wrapping_mul(h_step)).wrapping_add(first.wrapping_mul(t_step));
        let far = b * h_kv * tk * d * size_of::<C>() >= FAR;
        // The memory of no elements need not hold the offset.
        let stride = if d == 0 { 0 } else { t_step };
        Head { data: view.data.get(at..).unwrap_or_default(), stride, d, far }
    }

    #[inline(always)]
    fn row(&self, j: usize) -> &'a [C] {
        &self.data[j * self.stride..][..self.d]
    }

    /// Prefetches what lies [`AHEAD`] of row j, which may be past the end, if the cache is too large for the processor's.
    #[inline(always)]
    fn prefetch(&self, j: usize) {
        if self.far {
            let row = self.data.as_ptr().wrapping_add(j * self.stride).cast::<f32>().wrapping_add(AHEAD);
            (0..self.d * size_of::<C>() / 4).step_by(16).for_each(
                #[inline(always)]
                |x| prefetch(row.wrapping_add(x)),
            );
        }
    }
}

/// Scores to their powers of two, shifted by the largest score; that, and their sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, scores: &mut [f32]) -> (f32, f32) {
    let mut max = s.splat(f32::MIN); // not −∞: the difference of two of them would be NaN
    for x in scores.chunks_exact(S::N) {
        max = s.max(max, s.load(x));
    }
    let max = s.reduce_max(max);
    let mut sum = s.zero();
    for x in scores.chunks_exact_mut(S::N) {
        let p = exp2(s, s.sub(s.load(x), s.splat(max)));
        sum = s.add(sum, p);
        s.store(x, p);
    }
    (max, s.reduce_sum(sum))
}

/// Keys, or values, of this many bytes are far: other layers' went through the second-level cache since they were read. Then
/// asking takes up to a quarter off the time where they are in bf16, and little where in `f32`; near ones in bf16 take a
/// quarter longer with it (one run after the other).
const FAR: usize = 1 << 16;

/// How many keys are multiplied at a time: they share the loads of the query, and their sums across lanes wait together.
const TOGETHER: usize = 4;

/// scale · q·k for each key k of the head.
#[inline(always)]
fn products<R: Rows>(r: R, scale: f32, q: &[f32], keys: Head<'_, R::Element>, scores: &mut [f32]) {
    let (whole, rest) = scores.as_chunks_mut::<TOGETHER>();
    let first_of_rest = whole.len() * TOGETHER;
    for (i, scores) in whole.iter_mut().enumerate() {
        let j = i * TOGETHER;
        for row in j..j + TOGETHER {
            keys.prefetch(row);
        }
        let sums = dots(r, q, [keys.row(j), keys.row(j + 1), keys.row(j + 2), keys.row(j + 3)]);
        for (score, sum) in scores.iter_mut().zip(r.simd().reduce_sums(sums)) {
            *score = scale * sum;
        }
    }
    for (i, score) in rest.iter_mut().enumerate() {
        let [sum] = dots(r, q, [keys.row(first_of_rest + i)]);
        *score = scale * r.simd().reduce_sum(sum);
    }
}

/// q·k for each key k, lane by lane.
#[inline(always)]
fn dots<R: Rows, const K: usize>(r: R, q: &[f32], keys: [&[R::Element]; K]) -> [F32<R>; K] {
    let s = r.simd();
    let step = R::VECTORS * <R::S as Simd>::N;
    let mut sums = [s.zero(); K];
    let mut x = 0;
    while x + step <= q.len() {
        let q = r.load_f32(&q[x..x + step]);
        for k in 0..K {
            sums[k] = multiply_add(r, q, r.load(&keys[k][x..x + step]), sums[k]);
        }
        x += step;
    }
    if x < q.len() {
        let q = r.load_f32(&q[x..]);
        for k in 0..K {
            sums[k] = multiply_add(r, q, r.load_rest(&keys[k][x..]), sums[k]);
        }
    }
    sums
}

/// sum + a·b of all vectors of a step.
#[inline(always)]
fn multiply_add<R: Rows>(r: R, a: [F32<R>; 2], b: [F32<R>; 2], mut sum: F32<R>) -> F32<R> {
    for i in 0..R::VECTORS {
        sum = r.simd().mul_add(a[i], b[i], sum);
    }
    sum
}

/// O = Σ p·V / sum.
#[inline(always)]
fn averages<R: Rows>(r: R, p: &[f32], sum: f32, values: Head<'_, R::Element>, o: &mut [f32]) {
    let (step, d) = (R::VECTORS * <R::S as Simd>::N, values.d);
    let mut x = 0;
    if R::VECTORS == 1 {
        while x + 4 * step <= d {
            average::<R, 4, true>(r, p, sum, values, x, o);
            x += 4 * step;
        }
    }
    while x + 2 * step <= d {
        average::<R, 2, true>(r, p, sum, values, x, o);
        x += 2 * step;
    }
    while x + step <= d {
        average::<R, 1, true>(r, p, sum, values, x, o);
        x += step;
    }
    if x < d {
        average::<R, 1, false>(r, p, sum, values, x, o);
    }
}

/// NR steps of O, whole ones or the last, from element `x` on. Every second key has sums of its own: chains half as long.
#[inline(always)]
fn average<R: Rows, const NR: usize, const WHOLE: bool>(
    r: R,
    p: &[f32],
    sum: f32,
    values: Head<'_, R::Element>,
    x: usize,
    o: &mut [f32],
) {
    let s = r.simd();
    let step = R::VECTORS * <R::S as Simd>::N;
    let mut sums = [[[s.zero(); 2]; NR]; 2];
    let (twos, last) = p.as_chunks::<2>();
    for (i, p) in twos.iter().enumerate() {
        if x == 0 {
            values.prefetch(2 * i);
            values.prefetch(2 * i + 1);
        }
        sums[0] = add::<R, NR, WHOLE>(r, p[0], &values.row(2 * i)[x..], sums[0]);
        sums[1] = add::<R, NR, WHOLE>(r, p[1], &values.row(2 * i + 1)[x..], sums[1]);
    }
    if let [p] = last {
        sums[0] = add::<R, NR, WHOLE>(r, *p, &values.row(2 * twos.len())[x..], sums[0]);
    }
    let share = s.splat(1.0 / sum);
    for n in 0..NR {
        let [[even, odd], [even_2, odd_2]] = [sums[0][n], sums[1][n]];
        let total = [s.mul(s.add(even, even_2), share), s.mul(s.add(odd, odd_2), share)];
        r.store_f32(&mut o[x + n * step..], total);
    }
}

/// sums + p·v.
#[inline(always)]
fn add<R: Rows, const NR: usize, const WHOLE: bool>(
    r: R,
    p: f32,
    v: &[R::Element],
    mut sums: [[F32<R>; 2]; NR],
) -> [[F32<R>; 2]; NR] {
    let (s, step) = (r.simd(), R::VECTORS * <R::S as Simd>::N);
    let p = s.splat(p);
    for n in 0..NR {
        let v = if WHOLE { r.load(&v[n * step..][..step]) } else { r.load_rest(v) };
        for i in 0..R::VECTORS {
            sums[n][i] = s.mul_add(p, v[i], sums[n][i]);
        }
    }
    sums
}
