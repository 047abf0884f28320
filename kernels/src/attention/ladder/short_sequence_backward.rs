//! The backward pass of a head of at most 64 queries and 64 keys, with the queries in the lanes of a vector.
//!
//! As in [`super::short_sequence`], Pᵀ and dPᵀ are computed at once, with keys as rows. The log-sum-exp and δ of 16 queries are
//! then loaded as one vector, and two or three vectors of queries share each broadcast of K and V: 12 loads for 16
//! multiply-adds instead of 18. In `f32` δ is computed from P and dP, so O is not read; pairs of bf16 compute it from O. Each
//! gradient row is summed in registers and written once.
//!
//! In training the pass waits for memory. So it prefetches the rows that the next panel writes and the next head reads
//! while the products run.
//!
//! Measured: 12×4×64×32 takes 231 µs, the rung below 262 to 292 (two threads, AVX-512).

use crate::attention::{
    Inputs, Output, Saved,
    blocks::{
        exp2::exp2,
        head_operands::{self, rows},
        next_head::NextHead,
        pack,
        product::{Left, Right, tiles},
    },
    ladder::{
        register_softmax_backward,
        short_sequence::{HALF, MOST, Seen, fits, product, queries_transposed, steps},
    },
    one_by_one,
    task::KeyTask,
};
use crate::{
    Isa, scratch,
    simd::{
        Simd,
        operand_kind::{F32, Level, OperandKind, kind_fn},
    },
};
use bytemuck::{cast_slice, cast_slice_mut};
use std::{f32::consts::LOG2_E, ops::Range};

/// The backward pass on one thread.
pub(in crate::attention) fn backward<I: Into<Level>>(
    isa: I,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    gradients: [Output<'_>; 3],
) {
    let level = isa.into();
    one_by_one::backward(inputs, gradients, |task| chunk(level, inputs, saved, task));
}

/// Whether this is for them: heads of one block, each with keys of its own.
fn fits_backward(level: Level, inputs: &Inputs<'_>) -> bool {
    fits(level, inputs) && inputs.shape.h == inputs.shape.h_kv
}

/// The backward pass of the keys of one head.
pub(in crate::attention) fn chunk(level: Level, inputs: &Inputs<'_>, saved: &Saved<'_>, task: KeyTask<'_>) {
    if !fits_backward(level, inputs) {
        return register_softmax_backward::chunk(level, inputs, saved, task);
    }
    let len = lengths(level.steps(), inputs).iter().sum();
    scratch::with(len, |buffer: &mut [u32]| compiled(level, inputs, saved, task, buffer));
}

kind_fn! {
    fn compiled<W>(w: W, inputs: &Inputs<'_>, saved: &Saved<'_>, task: KeyTask<'_>, buffer: &mut [u32]) {
        if const { matches!(W::S::ISA, Isa::Avx512) } {
            differentiate(w, inputs, saved, task, buffer);
        } else {
            unreachable!("it does not fit"); // so that nothing is compiled for the others
        }
    }
}

/// The working memory, with so many steps in a word: Qᵀ, dOᵀ and the space to make them; K and V along D; K, Q
/// and dO joined; bounds, lse and δ of
/// each query; the squares.
fn lengths(steps: usize, inputs: &Inputs<'_>) -> [usize; 18] {
    let (width, words) = (MOST * pack::width(inputs.shape.d), MOST * pack::words_width(steps, inputs.shape.d));
    let pairs = |len: usize| if steps == 1 { 0 } else { len };
    let (joined, square, words_square) = (width / steps, MOST * MOST, pairs(MOST * MOST / steps));
    let operands = [words, words, pairs(words), words, words, joined, joined, joined];
    let squares = [square, square, words_square, words_square, words_square];
    let mut lengths = operands.into_iter().chain([MOST; 5]).chain(squares);
    [(); 18].map(|()| lengths.next().expect("18 lengths"))
}

/// What the tiles of a head share.
struct Context<'a, 'b> {
    inputs: &'a Inputs<'b>,
    q_t: &'a [u32],
    do_t: &'a [u32],
    k: Left<'a>,
    v: Left<'a>,
    seen: Seen<'a>,
    /// The log-sum-exp of each query in units of log 2; ∞ where no key is seen, so that P = 0.
    lse: &'a [f32],
    /// |scale| in units of log 2; its sign is with Q.
    scale: f32,
}

/// Matrices of keys by queries.
struct Squares<'a> {
    p: &'a mut [f32],
    /// dP; where words are numbers, in the end dS.
    dp: &'a mut [f32],
    /// Where they are not: P, steps along the queries joined.
    p_words: &'a mut [u32],
    /// dS, steps along the queries joined.
    ds_words: &'a mut [u32],
    /// dS, steps along the keys joined.
    ds_keys: &'a mut [u32],
}

/// The backward pass of one head that [`fits_backward`], on words of any kind.
#[inline(always)]
fn differentiate<W: OperandKind>(w: W, inputs: &Inputs<'_>, saved: &Saved<'_>, task: KeyTask<'_>, buffer: &mut [u32]) {
    let KeyTask { head: [b, h], dq, dk: mut dk_rows, dv: mut dv_rows, .. } = task;
    let mut dq_rows = dq(h);
    let (n, tq, tk, d) = (W::S::N, inputs.shape.tq, inputs.shape.tk, inputs.shape.d);
    let head = [b, h, d];
    let [q_t, do_t, space, k, v, k2, q2, do2, starts, ends, lse, products, sums, p, dp, p_words, ds_words, ds_keys] =
        pack::split(buffer, lengths(W::STEPS, inputs));
    let [lse, products, sums, p, dp] = [lse, products, sums, p, dp].map(cast_slice_mut::<u32, f32>);
    queries_transposed(w, inputs, [b, h], q_t, space);
    pack::words_transposed(w, saved.d_o.rows(head, 0..tq), (do_t, MOST), space);
    head_operands::log2_sums(w, inputs, saved, [b, h], lse);
    sums.fill(0.0);
    products.fill(0.0);
    let k = rows(w, inputs.k.rows(head, 0..tk), true, k, k2);
    let scale = inputs.options.scale * LOG2_E;
    let context = Context {
        inputs,
        q_t,
        do_t,
        k: k.left,
        v: head_operands::left(w, inputs.v.rows(head, 0..tk), true, v),
        seen: Seen::new(inputs, starts, ends),
        lse,
        // A factor of 0 would make NaN of the scores that are hidden.
        scale: if scale == 0.0 { f32::MIN_POSITIVE } else { scale.abs() },
    };
    let mut squares = Squares { p, dp, p_words, ds_words, ds_keys };
    [&dq_rows, &dk_rows, &dv_rows].into_iter().for_each(|gradient| gradient.prefetch(0..2 * HALF));
    for j in (0..tk).step_by(HALF) {
        let seen = inputs.queries(j..(j + HALF).min(tk));
        let (mut column, end) = (seen.start / n * n, seen.end);
        while column < end {
            column += match (end - column).div_ceil(n) {
                3 => meet::<W, HALF, 3>(w, &context, j, column, &mut squares, [sums, products]),
                1 => meet::<W, HALF, 1>(w, &context, j, column, &mut squares, [sums, products]),
                _ => meet::<W, HALF, 2>(w, &context, j, column, &mut squares, [sums, products]),
            };
        }
    }
    if W::STEPS > 1 {
        sums.fill(1.0);
        head_operands::deltas(w, inputs, saved, [b, h], products);
    }
    for i in (0..tq).step_by(n) {
        let keys = inputs.keys(i).start..inputs.keys((i + n).min(tq) - 1).end;
        // The keys that have met these queries.
        let keys = keys.start / HALF * HALF..keys.end.next_multiple_of(HALF);
        subtract(w, keys, i, delta(w, &sums[i..], &products[i..]), &mut squares);
    }
    let q = head_operands::right(w, inputs.q.rows(head, 0..tq), true, q2);
    let d_o = head_operands::right(w, saved.d_o.rows(head, 0..tq), true, do2);
    let (row, scales) = (MOST / W::STEPS, [inputs.options.scale; 2 * HALF]);
    let next = NextHead::new(inputs, [b, h]);
    let [p, ds, ds_keys] = squares.words::<W>();
    for j in (0..tk).step_by(2 * HALF) {
        let steps = steps::<W>(tk, j, |keys| inputs.queries(keys));
        let left = |data| Left { data: <[u32]>::get(data, j * row..).unwrap_or_default(), row, col: 1 };
        let rows = j..(j + 2 * HALF).min(tk);
        let later = rows.end..(rows.end + 2 * HALF).min(tk);
        [&dv_rows, &dk_rows].into_iter().for_each(|gradient| gradient.prefetch(later.clone()));
        next.prefetch(inputs, rows.clone());
        product(w, steps.clone(), left(p), d_o, (&mut dv_rows, rows.clone()), &[1.0; 2 * HALF]);
        product(w, steps, left(ds), q, (&mut dk_rows, rows), &scales);
    }
    for i in (0..tq).step_by(2 * HALF) {
        let steps = steps::<W>(tq, i, |rows| inputs.keys(rows.start).start..inputs.keys(rows.end - 1).end);
        let rows = i..(i + 2 * HALF).min(tq);
        next.prefetch_gradient(saved, rows.clone());
        dq_rows.prefetch(rows.end..(rows.end + 2 * HALF).min(tq));
        let left = Left { data: &ds_keys[i..], row: 1, col: MOST };
        product(w, steps, left, k.right, (&mut dq_rows, rows), &scales);
    }
}

impl Squares<'_> {
    /// P and dS with the steps along the queries joined, and dS with those along the keys.
    #[inline(always)]
    fn words<W: OperandKind>(&self) -> [&[u32]; 3] {
        if W::STEPS > 1 {
            return [self.p_words, self.ds_words, self.ds_keys];
        }
        let [p, ds] = [&*self.p, &*self.dp].map(cast_slice::<f32, u32>);
        [p, ds, ds]
    }
}

/// P and dP of MR keys, from j on, with NR vectors of queries, which are then done. The sums get ΣP and ΣP·dP.
#[inline(always)]
fn meet<W: OperandKind, const MR: usize, const NR: usize>(
    w: W,
    context: &Context<'_, '_>,
    j: usize,
    column: usize,
    squares: &mut Squares<'_>,
    [sums, products]: [&mut [f32]; 2],
) -> usize {
    let (s, n) = (w.simd(), W::S::N);
    let from = |data| Right { data: <[u32]>::get(data, column..).unwrap_or_default(), row: MOST };
    let operands = [(context.k.from(j), from(context.q_t)), (context.v.from(j), from(context.do_t))];
    let [scores, dp] = tiles::<W, MR, NR>(w, context.inputs.shape.d.div_ceil(W::STEPS), operands);
    let (scale, all) = (s.splat(context.scale), context.seen.all(j..j + MR, column..column + NR * n));
    for v in 0..NR {
        let at = column + v * n;
        let lse = s.neg(s.load(&context.lse[at..]));
        let (mut sum, mut product) = (s.load(&sums[at..]), s.load(&products[at..]));
        for row in 0..MR {
            let mut p = exp2(s, s.mul_add(scale, scores[row][v], lse));
            if !all {
                p = context.seen.or_hidden(s, j + row, at, p, s.zero());
            }
            sum = s.add(sum, p);
            product = s.mul_add(p, dp[row][v], product);
            s.store(&mut squares.p[(j + row) * MOST + at..], p);
            s.store(&mut squares.dp[(j + row) * MOST + at..], dp[row][v]);
        }
        s.store(&mut sums[at..], sum);
        s.store(&mut products[at..], product);
    }
    NR * n
}

/// δ = ΣP·dP / ΣP; 0 where no key is seen.
///
/// ΣP is 1 but for the rounding of the log-sum-exp, which is large where the scores are; divided by it, the rows of dS sum
/// to 0 all the same.
#[inline(always)]
fn delta<W: OperandKind>(w: W, sums: &[f32], products: &[f32]) -> F32<W> {
    let (s, sum) = (w.simd(), w.simd().load(sums));
    s.select(s.eq(sum, s.zero()), s.zero(), s.div(s.load(products), sum))
}

/// dS = P ∘ (dP − δ) of some keys with the vector of queries at `column`, and what else the products need.
#[inline(always)]
fn subtract<W: OperandKind>(w: W, keys: Range<usize>, column: usize, delta: F32<W>, squares: &mut Squares<'_>) {
    let (s, half) = (w.simd(), W::S::N / W::STEPS);
    for j in keys.step_by(W::STEPS) {
        let mut steps = [s.zero(); 2];
        for (step, ds) in steps.iter_mut().enumerate().take(W::STEPS) {
            let at = (j + step) * MOST + column;
            let p = s.load(&squares.p[at..]);
            *ds = s.mul(p, s.sub(s.load(&squares.dp[at..]), delta));
            if W::STEPS == 1 {
                s.store(&mut squares.dp[at..], *ds);
            } else {
                let words = [s.from_bits(w.pack([p, s.zero()])), s.from_bits(w.pack([*ds, s.zero()]))];
                s.store_partial(cast_slice_mut(&mut squares.p_words[at / W::STEPS..][..half]), words[0]);
                s.store_partial(cast_slice_mut(&mut squares.ds_words[at / W::STEPS..][..half]), words[1]);
            }
        }
        if W::STEPS > 1 {
            pack::store_words(s, &mut squares.ds_keys[j / W::STEPS * MOST + column..], w.join(steps));
        }
    }
}
