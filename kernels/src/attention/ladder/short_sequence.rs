//! A head of at most 64 queries and 64 keys, computed phase by phase: all scores, all probabilities, then the output.
//!
//! All scores of such a head are 16 KiB and fit the first-level cache. Each phase is a run of independent operations that
//! keeps the arithmetic units busy; a panel that goes through all phases waits at the end of each. Scores are computed
//! transposed, with queries in the lanes of a vector: maximum, sum, reciprocal and logarithm of 16 queries are one vector
//! each, and no sum across lanes is needed. So Q is transposed instead of K.
//!
//! Measured: 12×4×64×32 takes 101 µs, the rung below 114 (two threads, AVX-512).
//!
//! Heads with a mask or dropout, longer heads, and instruction sets below AVX-512 use the rung below.

use crate::attention::{
    Inputs, Output,
    blocks::{
        exp2::{exp2, in_log},
        head_operands,
        next_head::NextHead,
        pack,
        product::{Left, Right, halves, tile},
    },
    ladder::register_softmax,
    one_by_one,
    task::QueryTask,
    view::Part,
};
use crate::{
    Bf16Isa, Isa, scratch,
    simd::{
        Simd,
        operand_kind::{F32, Level, OperandKind, kind_fn},
    },
};
use bytemuck::cast_slice_mut;
use std::{f32::consts::LOG2_E, ops::Range};

/// The most queries, and the most keys.
pub(in crate::attention) const MOST: usize = super::simd::KEYS;
/// The rows of half a tile.
pub(in crate::attention) const HALF: usize = 4;

/// The forward pass on one thread.
pub(in crate::attention) fn forward<I: Into<Level>>(isa: I, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    let level = isa.into();
    one_by_one::forward(inputs, o, lse, |task| chunk(level, inputs, task));
}

/// Whether a head is one block, nothing but the causal rule and the window hide its keys, and there are registers enough;
/// tile registers are faster for all heads.
pub(in crate::attention) fn fits(level: Level, inputs: &Inputs<'_>) -> bool {
    let (shape, options) = (inputs.shape, inputs.options);
    let few = |t| (1..=MOST).contains(&t);
    // A window of nothing: between the bounds of two queries there are keys that neither sees.
    let plain = options.mask.is_none() && options.dropout.is_none() && options.window != Some(0);
    let wide = level.isa() == Isa::Avx512 && level != Level::Bf16(Bf16Isa::Amx);
    wide && few(shape.tq) && few(shape.tk) && shape.d > 0 && plain
}

/// The forward pass of some queries of one head.
pub(in crate::attention) fn chunk(level: Level, inputs: &Inputs<'_>, task: QueryTask<'_>) {
    if !fits(level, inputs) {
        return register_softmax::chunk(level, inputs, task);
    }
    let len = lengths(level.steps(), inputs).iter().sum();
    scratch::with(len, |buffer: &mut [u32]| compiled(level, inputs, task, buffer));
}

kind_fn! {
    fn compiled<W>(w: W, inputs: &Inputs<'_>, task: QueryTask<'_>, buffer: &mut [u32]) {
        if const { matches!(W::S::ISA, Isa::Avx512) } {
            attend(w, inputs, task, buffer);
        } else {
            unreachable!("it does not fit"); // so that nothing is compiled for the others
        }
    }
}

/// The working memory, with so many steps in a word: Qᵀ and the space to make it, K, V, scores; bounds,
/// maximum, factor and lse of each query.
fn lengths(steps: usize, inputs: &Inputs<'_>) -> [usize; 10] {
    let (width, words) = (MOST * pack::width(inputs.shape.d), MOST * pack::words_width(steps, inputs.shape.d));
    [words, if steps == 1 { 0 } else { words }, words, width, MOST * MOST, MOST, MOST, MOST, MOST, MOST]
}

/// What the tiles of a head share.
struct Context<'a, 'b> {
    inputs: &'a Inputs<'b>,
    q_t: &'a [u32],
    k: Left<'a>,
    seen: Seen<'a>,
    /// |scale| in units of log 2; its sign is with Q.
    scale: f32,
}

/// The forward pass of one head that [`fits`], on words of any kind.
#[inline(always)]
fn attend<W: OperandKind>(w: W, inputs: &Inputs<'_>, task: QueryTask<'_>, buffer: &mut [u32]) {
    let QueryTask { head: [b, h], o: mut o_rows, lse: mut lse_rows, .. } = task;
    let (s, n, tq, tk, d) = (w.simd(), W::S::N, inputs.shape.tq, inputs.shape.tk, inputs.shape.d);
    let kv = inputs.kv_head(h);
    let [q_t, space, k, v, scores, starts, ends, max, factors, lse] = pack::split(buffer, lengths(W::STEPS, inputs));
    let [scores, max, factors, lse] = [scores, max, factors, lse].map(cast_slice_mut::<u32, f32>);
    let scale = inputs.options.scale * LOG2_E;
    queries_transposed(w, inputs, [b, h], q_t, space);
    let context = Context {
        inputs,
        q_t,
        k: head_operands::left(w, inputs.k.rows([b, kv, d], 0..tk), true, k),
        seen: Seen::new(inputs, starts, ends),
        // A factor of 0 would make NaN of the scores that are hidden.
        scale: if scale == 0.0 { f32::MIN_POSITIVE } else { scale.abs() },
    };
    let v = head_operands::right(w, inputs.v.rows([b, kv, d], 0..tk), true, v);
    max.fill(f32::MIN); // not −∞: the difference of two of them would be NaN
    for j in (0..tk).step_by(2 * HALF) {
        let seen = inputs.queries(j..(j + 2 * HALF).min(tk));
        let (mut column, end) = (seen.start / n * n, seen.end);
        while column < end {
            column += match (end - column).div_ceil(n) {
                3 => meet::<W, 8, 3>(w, &context, j, column, scores, max),
                1 => meet::<W, 8, 1>(w, &context, j, column, scores, max),
                _ => meet::<W, 8, 2>(w, &context, j, column, scores, max),
            };
        }
    }
    for i in (0..tq).step_by(n) {
        let sum = softmax(w, &context, i..(i + n).min(tq), scores, &mut max[i..]);
        s.store(&mut factors[i..], s.select(s.eq(sum, s.zero()), s.zero(), s.div(s.splat(1.0), sum)));
        s.store(&mut lse[i..], in_log(s, s.load(&max[i..]), sum));
    }
    for (i, &lse) in lse.iter().enumerate().take(tq) {
        lse_rows.row(i)[0] = lse;
    }
    let next = NextHead::new(inputs, [b, h]);
    for i in (0..tq).step_by(2 * HALF) {
        let rows = i..(i + 2 * HALF).min(tq);
        next.prefetch(inputs, rows.clone());
        let steps = steps::<W>(tq, i, |rows| inputs.keys(rows.start).start..inputs.keys(rows.end - 1).end);
        let p = Left { data: &bytemuck::cast_slice(scores)[i..], row: 1, col: MOST };
        product(w, steps, p, v, (&mut o_rows, rows), &factors[i..]);
    }
}

/// Qᵀ of a head, with the sign of the scale.
#[inline(always)]
pub(in crate::attention) fn queries_transposed<W: OperandKind>(
    w: W,
    inputs: &Inputs<'_>,
    [b, h]: [usize; 2],
    to: &mut [u32],
    space: &mut [u32],
) {
    pack::words_transposed(w, inputs.q.rows([b, h, inputs.shape.d], 0..inputs.shape.tq), (to, MOST), space);
    if inputs.options.scale < 0.0 {
        pack::negate(w, to);
    }
}

/// The keys that each query sees, from the start to the end.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Seen<'a> {
    starts: &'a [u32],
    ends: &'a [u32],
}

impl<'a> Seen<'a> {
    #[inline(always)]
    pub(in crate::attention) fn new(inputs: &Inputs<'_>, starts: &'a mut [u32], ends: &'a mut [u32]) -> Self {
        for (i, (start, end)) in starts.iter_mut().zip(&mut *ends).enumerate() {
            let seen = if i < inputs.shape.tq { inputs.keys(i) } else { 0..0 };
            (*start, *end) = (seen.start as u32, seen.end as u32);
        }
        Seen { starts, ends }
    }

    /// Whether all of the queries `columns` see all of the keys.
    #[inline(always)]
    pub(in crate::attention) fn all(&self, keys: Range<usize>, columns: Range<usize>) -> bool {
        self.starts[columns.end - 1] as usize <= keys.start
            && keys.end <= (self.ends[columns.start].min(self.ends[columns.end - 1])) as usize
    }

    /// x where the queries from `column` on see key j, otherwise `hidden`.
    #[inline(always)]
    pub(in crate::attention) fn or_hidden<S: Simd>(
        &self,
        s: S,
        j: usize,
        column: usize,
        x: S::F32,
        hidden: S::F32,
    ) -> S::F32 {
        let load = |from: &[u32]| s.to_bits(s.load(bytemuck::cast_slice(&from[column..])));
        let j = s.splat_u32(j as u32);
        let x = s.select(s.lt_u32(j, load(self.ends)), x, hidden);
        s.select(s.lt_u32(j, load(self.starts)), hidden, x)
    }
}

/// The scores of MR keys, from j on, with NR vectors of queries, which are then done.
#[inline(always)]
fn meet<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    context: &Context<'_, '_>,
    j: usize,
    column: usize,
    scores: &mut [f32],
    max: &mut [f32],
) -> usize {
    let (s, n) = (w.simd(), W::S::N);
    let q = Right { data: &context.q_t[column..], row: MOST };
    let mut tile = tile::<W, MR, NR>(w, context.inputs.shape.d.div_ceil(W::STEPS), context.k.from(j), q);
    if !context.seen.all(j..j + MR, column..column + NR * n) {
        for (row, tile) in tile.iter_mut().enumerate() {
            for (v, x) in tile.iter_mut().enumerate() {
                *x = context.seen.or_hidden(s, j + row, column + v * n, *x, s.splat(f32::NEG_INFINITY));
            }
        }
    }
    for v in 0..NR {
        let at = column + v * n;
        let mut largest = s.load(&max[at..]);
        for (row, tile) in tile.iter().enumerate() {
            largest = s.max(largest, tile[v]);
            s.store(&mut scores[(j + row) * MOST + at..], tile[v]);
        }
        s.store(&mut max[at..], largest);
    }
    NR * n
}

/// The scores of a vector of queries become P, without its denominator, which is returned; `max` gets the unit log 2.
#[inline(always)]
fn softmax<W: OperandKind>(
    w: W,
    context: &Context<'_, '_>,
    queries: Range<usize>,
    scores: &mut [f32],
    max: &mut [f32],
) -> F32<W> {
    let (s, column) = (w.simd(), queries.start);
    let keys = context.inputs.keys(queries.start).start..context.inputs.keys(queries.end - 1).end;
    let scale = s.splat(context.scale);
    let largest = s.max(s.splat(f32::MIN), s.mul(scale, s.load(max)));
    s.store(max, largest);
    let offset = s.neg(largest);
    let mut sum = s.zero();
    for j in (keys.start / W::STEPS * W::STEPS..keys.end).step_by(W::STEPS) {
        let mut steps = [s.zero(); 2];
        for (step, p) in steps.iter_mut().enumerate().take(W::STEPS) {
            if W::STEPS == 1 || keys.contains(&(j + step)) {
                *p = exp2(s, s.mul_add(scale, s.load(&scores[(j + step) * MOST + column..]), offset));
                sum = s.add(sum, *p);
            }
        }
        s.store(&mut scores[j / W::STEPS * MOST + column..], s.from_bits(w.join(steps)));
    }
    sum
}

/// The steps of both halves of a tile of rows from i on, of which there are t, in words.
#[inline(always)]
pub(in crate::attention) fn steps<W: OperandKind>(
    t: usize,
    i: usize,
    seen: impl Fn(Range<usize>) -> Range<usize>,
) -> [Range<usize>; 2] {
    let words = |rows| {
        let seen = seen(rows);
        let start = seen.start / W::STEPS;
        start..seen.end.div_ceil(W::STEPS).max(start)
    };
    let first = words(i..(i + HALF).min(t));
    let second = if i + HALF < t { words(i + HALF..(i + 2 * HALF).min(t)) } else { first.clone() };
    [first, second]
}

/// Up to 2·[`HALF`] rows of the output, from the first of A on ← factors · A·B.
#[inline(always)]
pub(in crate::attention) fn product<W: OperandKind>(
    w: W,
    steps: [Range<usize>; 2],
    a: Left<'_>,
    b: Right<'_>,
    (to, rows): (&mut Part<'_>, Range<usize>),
    factors: &[f32],
) {
    let (s, n, width) = (w.simd(), W::S::N, pack::width(to.width()));
    for x in (0..width).step_by(2 * n) {
        let b = Right { data: b.data.get(x..).unwrap_or_default(), ..b };
        let mut sums = [[[s.zero(); 2]; HALF]; 2];
        if x + 2 * n <= width {
            sums = halves::<W, HALF, 2>(w, steps.clone(), a, b);
        } else {
            let narrow = halves::<W, HALF, 1>(w, steps.clone(), a, b);
            for (to, from) in sums.as_flattened_mut().iter_mut().zip(narrow.as_flattened()) {
                to[0] = from[0];
            }
        }
        for ((row, sums), &factor) in rows.clone().zip(sums.as_flattened()).zip(factors) {
            let (row, factor) = (to.row(row), s.splat(factor));
            store(s, row, x, s.mul(factor, sums[0]));
            store(s, row, x + n, s.mul(factor, sums[1]));
        }
    }
}

/// Writes what of the vector lies inside the row, from column x on.
#[inline(always)]
pub(in crate::attention) fn store<S: Simd>(s: S, row: &mut [f32], x: usize, v: S::F32) {
    if x + S::N <= row.len() {
        s.store(&mut row[x..], v);
    } else {
        let x = x.min(row.len());
        s.store_partial(&mut row[x..], v);
    }
}
