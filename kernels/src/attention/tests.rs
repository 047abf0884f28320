//! Every rung against the definition, and the definition against differences.

use super::*;
use crate::oracle::{check, values, widen};

/// A problem with its numbers: q, k, v, o and their gradients, each \[B,T,H,D\] with gaps between the rows.
struct Case {
    shape: Shape,
    scale: f32,
    causal: bool,
    window: Option<usize>,
    dropout: Option<Dropout>,
    keep: Option<(Vec<f32>, [usize; 3])>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    d_o: Vec<f32>,
}

const GAP: usize = 3;
const POISON: f32 = 1e30;

/// \[B,T,H,D\] with `GAP` unused elements after each row of D and of H.
fn gapped(h: usize, t: usize, d: usize) -> Strides {
    let head = d + GAP;
    let time = h * head + GAP;
    Strides { b: t * time + GAP, h: head, t: time }
}

fn len(b: usize, strides: Strides) -> usize {
    b * strides.b
}

fn for_rows(b: usize, h: usize, t: usize, strides: Strides, mut row: impl FnMut(usize)) {
    for i in 0..b * h * t {
        row(i / (h * t) * strides.b + i / t % h * strides.h + i % t * strides.t);
    }
}

fn random(seed: u64, [b, h, t]: [usize; 3], d: usize, factor: f32) -> Vec<f32> {
    let strides = gapped(h, t, d);
    let mut data = vec![POISON; len(b, strides)];
    let mut x = values(seed, b * h * t * d).into_iter().map(|x| x * factor);
    for_rows(b, h, t, strides, |at| data[at..at + d].fill_with(|| x.next().unwrap()));
    data
}

impl Case {
    fn new(shape: Shape) -> Case {
        let Shape { b, h, h_kv, tq, tk, d } = shape;
        Case {
            shape,
            scale: 1.0 / (d.max(1) as f32).sqrt(),
            causal: true,
            window: None,
            dropout: None,
            keep: None,
            q: random(1, [b, h, tq], d, 2.0),
            k: random(2, [b, h_kv, tk], d, 2.0),
            v: random(3, [b, h_kv, tk], d, 1.0),
            d_o: random(4, [b, h, tq], d, 1.0),
        }
    }

    /// A mask that hides about a third of the keys, and all of them from query 1.
    fn masked(mut self, broadcast: bool) -> Case {
        let Shape { b, h, tq, tk, .. } = self.shape;
        let mut keep: Vec<f32> = values(9, b * h * tq * tk).iter().map(|&x| if x < -0.3 { 0.0 } else { x }).collect();
        if tq > 1 {
            (0..b * h).for_each(|head| keep[head * tq * tk + tk..][..tk].fill(0.0));
        }
        self.keep = Some((keep, if broadcast { [0, 0, tk] } else { [h * tq * tk, tq * tk, tk] }));
        self
    }

    fn options(&self) -> Options<'_> {
        Options {
            scale: self.scale,
            causal: self.causal,
            window: self.window,
            dropout: self.dropout,
            mask: self.keep.as_ref().map(|(keep, strides)| Mask { keep, strides: *strides }),
        }
    }

    fn strides(&self) -> [Strides; 2] {
        let Shape { h, h_kv, tq, tk, d, .. } = self.shape;
        [gapped(h, tq, d), gapped(h_kv, tk, d)]
    }

    fn inputs(&self) -> Inputs<'_> {
        let [queries, keys] = self.strides();
        let [q, k, v] = [view(&self.q, queries), view(&self.k, keys), view(&self.v, keys)];
        Inputs::new(self.shape, self.options(), q, k, v)
    }

    /// O (with its gaps) and lse.
    fn forward(&self, rung: Forward, isa: Isa) -> [Vec<f32>; 2] {
        let Shape { b, h, tq, d, .. } = self.shape;
        let strides = self.strides()[0];
        let mut o = vec![POISON; len(b, strides)];
        let mut lse = vec![POISON; b * h * tq];
        rung(isa, &self.inputs(), Output::new("o", &mut o, [b, h, tq], strides, d), &mut lse);
        [o, lse]
    }

    /// dQ, dK and dV (with their gaps).
    fn backward(&self, rung: Backward, isa: Isa, [o, lse]: &[Vec<f32>; 2]) -> [Vec<f32>; 3] {
        let Shape { b, h, h_kv, tq, tk, d } = self.shape;
        let [queries, keys] = self.strides();
        let mut outputs = [len(b, queries), len(b, keys), len(b, keys)].map(|len| vec![POISON; len]);
        let [dq, dk, dv] = &mut outputs;
        let gradients = [
            Output::new("dq", dq, [b, h, tq], queries, d),
            Output::new("dk", dk, [b, h_kv, tk], keys, d),
            Output::new("dv", dv, [b, h_kv, tk], keys, d),
        ];
        let saved = Saved::new(self.shape, view(o, queries), lse, view(&self.d_o, queries));
        rung(isa, &self.inputs(), &saved, gradients);
        outputs
    }

    /// O, lse, dQ, dK and dV of the definition in `f64`, with their gaps.
    fn exact(&self) -> [Vec<f64>; 5] {
        let Shape { b, h, tq, .. } = self.shape;
        let ([queries, keys], options) = (self.strides(), self.options());
        let [q, k, v, d_o] = [&self.q, &self.k, &self.v, &self.d_o].map(|x| widen(x));
        let poisoned = |strides| vec![f64::from(POISON); len(b, strides)];
        let (mut o, mut lse) = (poisoned(queries), vec![0.0; b * h * tq]);
        naive::forward(self.shape, &options, &q, queries, &k, keys, &v, keys, &mut o, queries, &mut lse);
        let (mut dq, mut dk, mut dv) = (poisoned(queries), poisoned(keys), poisoned(keys));
        naive::backward(
            self.shape, &options, &q, queries, &k, keys, &v, keys, &o, queries, &lse, &d_o, queries, &mut dq, queries,
            &mut dk, keys, &mut dv, keys,
        );
        [o, lse, dq, dk, dv]
    }

    /// The largest P·|dO|·|V|·scale, times the largest of K and Q: dQ and dK are made of differences of such terms, which
    /// cancel where a query sees a single key; the rounding of the terms stays.
    fn largest_term(&self) -> f32 {
        let (inputs, [queries, _]) = (self.inputs(), self.strides());
        let Shape { b: batch, h: heads, tq, tk, d, .. } = self.shape;
        let [_, lse] = self.forward(FORWARD_RUNGS[0].run, Isa::Portable);
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let mut largest = 0.0_f32;
        for (b, h, i) in (0..batch * heads * tq).map(|r| (r / (heads * tq), r / tq % heads, r % tq)) {
            for j in (0..tk).filter(|&j| inputs.sees(b, h, i, j)) {
                let (q, k) = (inputs.q.row(b, h, i, d), inputs.k.row(b, inputs.kv_head(h), j, d));
                let p = (self.scale * dot(q, k) - lse[inputs.row_index(b, h, i)]).exp();
                let v = inputs.v.row(b, inputs.kv_head(h), j, d);
                let d_o = view(&self.d_o, queries).row(b, h, i, d);
                let dp = inputs.keep_factor(b, h, i, j) * d_o.iter().zip(v).map(|(x, y)| (x * y).abs()).sum::<f32>();
                let size = q.iter().chain(k).fold(0.0_f32, |m, x| m.max(x.abs()));
                largest = largest.max((p * dp).abs() * self.scale * size);
            }
        }
        largest
    }

    /// Checks every rung at every instruction set.
    fn check(&self, what: &str) {
        let plain = self.forward(FORWARD_RUNGS[0].run, Isa::Portable);
        let term = self.largest_term();
        let plain_gradients = self.backward(BACKWARD_RUNGS[0].run, Isa::Portable, &plain);
        let [o, lse, gradients @ ..] = self.exact();
        let context = |rung: &str, isa, tensor| format!("{what}, {rung} {isa}, {tensor}: {:?}", self.shape);
        let decoding = if self.shape.tq == 1 { DECODE_RUNGS } else { &[] };
        for rung in FORWARD_RUNGS.iter().chain(decoding) {
            for isa in Isa::available().filter(|&isa| rung.simd || isa == Isa::Portable) {
                let got = self.forward(rung.run, isa);
                for (((got, plain), exact), name) in got.iter().zip(&plain).zip([&o, &lse]).zip(["o", "lse"]) {
                    compare(got, plain, exact, 0.0)
                        .unwrap_or_else(|e| panic!("{}: {e}", context(rung.name, isa, name)));
                }
            }
        }
        for rung in BACKWARD_RUNGS {
            for isa in Isa::available().filter(|&isa| rung.simd || isa == Isa::Portable) {
                // Each after its own kind of forward pass: the rounding of S is then the same in S and in lse.
                let own = if rung.simd { &self.forward(FORWARD_RUNGS.last().unwrap().run, isa) } else { &plain };
                let got = self.backward(rung.run, isa, own);
                let names = ["dq", "dk", "dv"];
                for (((got, plain), exact), name) in got.iter().zip(&plain_gradients).zip(&gradients).zip(names) {
                    compare(got, plain, exact, term)
                        .unwrap_or_else(|e| panic!("{}: {e}", context(rung.name, isa, name)));
                }
            }
        }
    }
}

/// The oracle rule on the rows, and untouched gaps between them.
///
/// `term` counts as one more value: 4 units of rounding of it are allowed.
fn compare(got: &[f32], plain: &[f32], exact: &[f64], term: f32) -> Result<(), String> {
    let gap = |&i: &usize| exact[i] == f64::from(POISON);
    if let Some(i) = (0..got.len()).filter(gap).find(|&i| got[i] != POISON) {
        return Err(format!("the gap at {i} was written to: {}", got[i]));
    }
    let rows: Vec<usize> = (0..got.len()).filter(|i| !gap(i)).collect();
    let pick = |x: &[f32]| rows.iter().map(|&i| x[i]).chain([term]).collect::<Vec<_>>();
    let exact: Vec<f64> = rows.iter().map(|&i| exact[i]).chain([f64::from(term)]).collect();
    check(&pick(got), &pick(plain), &exact)
}

fn square(b: usize, h: usize, t: usize, d: usize) -> Shape {
    Shape { b, h, h_kv: h, tq: t, tk: t, d }
}

const DROPOUT: Dropout = Dropout { p: 0.3, seed: 42, stream: 7 };

/// Small cases of everything that the options and shapes allow.
fn variety() -> Vec<(&'static str, Case)> {
    let grouped = |tq, tk| Shape { b: 2, h: 4, h_kv: 2, tq, tk, d: 3 };
    vec![
        ("causal", Case::new(square(1, 2, 5, 3))),
        ("full", Case { causal: false, ..Case::new(square(2, 1, 4, 2)) }),
        ("grouped, fewer queries", Case::new(grouped(3, 7))),
        ("grouped, more queries", Case::new(grouped(7, 4))),
        ("window", Case { window: Some(2), ..Case::new(square(1, 1, 7, 3)) }),
        ("window, not causal", Case { window: Some(2), causal: false, ..Case::new(grouped(6, 9)) }),
        ("window of nothing", Case { window: Some(0), ..Case::new(square(1, 1, 5, 3)) }),
        ("mask", Case::new(square(2, 2, 5, 3)).masked(false)),
        ("broadcast mask", Case { causal: false, ..Case::new(grouped(4, 5)) }.masked(true)),
        ("dropout", Case { dropout: Some(DROPOUT), ..Case::new(grouped(5, 7)) }),
        ("all", Case { dropout: Some(DROPOUT), window: Some(4), ..Case::new(grouped(6, 8)) }.masked(false)),
    ]
}

#[test]
fn naive_gradients_are_the_differences() {
    for (what, case) in variety() {
        let ([queries, keys], options) = (case.strides(), case.options());
        let Shape { b, h, h_kv, tq, tk, d } = case.shape;
        let operands = [&case.q, &case.k, &case.v].map(|x| widen(x));
        let loss = |[q, k, v]: &[Vec<f64>; 3]| -> f64 {
            let (mut o, mut lse) = (vec![0.0; len(b, queries)], vec![0.0; b * h * tq]);
            naive::forward(case.shape, &options, q, queries, k, keys, v, keys, &mut o, queries, &mut lse);
            let mut sum = 0.0;
            for_rows(b, h, tq, queries, |at| {
                sum += (at..at + d).map(|e| o[e] * f64::from(case.d_o[e])).sum::<f64>();
            });
            sum
        };
        let [_, _, gradients @ ..] = case.exact();
        for (operand, (strides, heads, t)) in [(queries, h, tq), (keys, h_kv, tk), (keys, h_kv, tk)].iter().enumerate()
        {
            for_rows(b, *heads, *t, *strides, |at| {
                for e in at..at + d {
                    let moved = |step: f64| {
                        let mut operands = operands.clone();
                        operands[operand][e] += step;
                        loss(&operands)
                    };
                    let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    let gradient = gradients[operand][e];
                    assert!(
                        (gradient - difference).abs() < 1e-8,
                        "{what}, operand {operand}, element {e}: {gradient} ≠ {difference}"
                    );
                }
            });
        }
    }
}

#[test]
fn every_rung_in_small() {
    for (what, case) in variety() {
        case.check(what);
    }
}

#[test]
fn every_rung_over_odd_shapes() {
    for t in [1, 7, 33, 65, 130] {
        for d in [1, 8, 20, 32, 64] {
            Case::new(square(1, 2, t, d)).check("causal");
        }
    }
    for (tq, tk) in [(1, 130), (1, 7), (33, 130), (130, 33), (65, 64)] {
        let case = || Case::new(Shape { b: 2, h: 4, h_kv: 2, tq, tk, d: 20 });
        case().check("causal");
        Case { causal: false, ..case() }.check("full");
        Case { window: Some(0), ..case() }.check("nothing to see");
        Case { window: Some(40), dropout: Some(DROPOUT), ..case() }.check("window and dropout");
        Case { causal: false, dropout: Some(DROPOUT), ..case() }.masked(true).check("mask and dropout");
        case().masked(false).check("mask");
    }
}

#[test]
fn large_logits() {
    for (t, d) in [(7, 1), (65, 20), (130, 64)] {
        let case = Case::new(square(1, 2, t, d));
        Case { scale: case.scale * 100.0, ..case }.check("large logits");
    }
}

#[test]
fn empty_operands() {
    for (b, h, tq, tk, d) in [(0, 2, 3, 3, 4), (1, 0, 3, 3, 4), (1, 2, 0, 3, 4), (1, 2, 3, 0, 4), (1, 2, 3, 3, 0)] {
        let shape = Shape { b, h, h_kv: h.max(1), tq, tk, d };
        Case::new(shape).check("empty");
        Case { dropout: Some(DROPOUT), causal: false, ..Case::new(shape) }.masked(true).check("empty, masked");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let shapes = [
        square(2, 3, 300, 64),                                  // a task for each head
        Shape { b: 1, h: 4, h_kv: 2, tq: 600, tk: 700, d: 32 }, // several for each
    ];
    for shape in shapes {
        let case = Case { dropout: Some(DROPOUT), ..Case::new(shape) };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let saved = case.forward(FORWARD_RUNGS.last().unwrap().run, Isa::active());
                let gradients = case.backward(BACKWARD_RUNGS.last().unwrap().run, Isa::active(), &saved);
                (saved, gradients)
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(4), "{shape:?}");
    }
    let big = Case { dropout: Some(DROPOUT), ..Case::new(shapes[1]) };
    big.check("several tasks for each head");
}

#[test]
fn packed_and_strided_give_the_same_bits() {
    let shape = square(2, 3, 70, 20);
    let Shape { b, h, tq: t, d, .. } = shape;
    let c = h * d;
    let options = Options { scale: 0.3, causal: true, window: None, mask: None, dropout: Some(DROPOUT) };
    let qkv = values(1, b * t * 3 * c);
    let part = |p: usize| qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect::<Vec<f32>>();
    let [q, k, v] = [0, 1, 2].map(part);
    let d_o = values(2, b * t * c);
    let s = contiguous(shape);

    let (mut o, mut lse) = (vec![POISON; b * t * c], vec![POISON; b * h * t]);
    forward_packed(shape, &options, &qkv, &mut o, &mut lse);
    let (mut o2, mut lse2) = (o.clone(), lse.clone());
    forward(shape, &options, &q, s, &k, s, &v, s, &mut o2, s, &mut lse2);
    assert_eq!((&o, &lse), (&o2, &lse2));

    let mut d_qkv = vec![POISON; b * t * 3 * c];
    backward_packed(shape, &options, &qkv, &o, &lse, &d_o, &mut d_qkv);
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![POISON; b * t * c]);
    backward(shape, &options, &q, s, &k, s, &v, s, &o, s, &lse, &d_o, s, &mut dq, s, &mut dk, s, &mut dv, s);
    for (p, gradient) in [dq, dk, dv].iter().enumerate() {
        let packed: Vec<f32> = d_qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect();
        assert_eq!(&packed, gradient, "part {p}");
    }
}

#[test]
fn short_slices_and_overlapping_rows_are_refused() {
    let shape = square(2, 2, 3, 4);
    let s = contiguous(shape);
    let options = Options { scale: 1.0, causal: true, window: None, mask: None, dropout: None };
    let full = vec![0.0; 48];
    type Change<'a> = dyn Fn(&mut [usize; 5], &mut Strides) + 'a;
    let refused = |change: &Change<'_>| {
        let (mut lens, mut o_strides) = ([48, 48, 48, 48, 12], s);
        change(&mut lens, &mut o_strides);
        let [q, k, v, o, lse] = lens;
        let (mut out, mut out_lse) = (full.clone(), full.clone());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (o, lse) = (&mut out[..o], &mut out_lse[..lse]);
            forward(shape, &options, &full[..q], s, &full[..k], s, &full[..v], s, o, o_strides, lse);
        }))
        .is_err()
    };
    assert!(!refused(&|_, _| ()));
    for operand in 0..5 {
        assert!(refused(&|lens, _| lens[operand] -= 1), "operand {operand}");
    }
    assert!(refused(&|_, o| o.t = 4), "rows of two heads overlap");
    assert!(refused(&|_, o| o.h = 3), "rows overlap");
    assert!(refused(&|_, o| o.b = usize::MAX / 2), "beyond all memory");

    let packed = |lens: [usize; 5]| {
        let data = vec![0.0; 200];
        let mut d_qkv = vec![0.0; 200];
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let [qkv, o, lse, d_o, d] = lens;
            backward_packed(shape, &options, &data[..qkv], &data[..o], &data[..lse], &data[..d_o], &mut d_qkv[..d]);
        }))
        .is_err()
    };
    let lens = [144, 48, 12, 48, 144];
    assert!(!packed(lens));
    for operand in 0..5 {
        let mut lens = lens;
        lens[operand] -= 1;
        assert!(packed(lens), "packed operand {operand}");
    }
}

/// One head cannot be cut off by another: a mask that is too short, and heads that do not share out.
#[test]
#[should_panic(expected = "mask is too short")]
fn a_short_mask_is_refused() {
    let mut case = Case::new(square(1, 2, 5, 3)).masked(false);
    case.keep.as_mut().unwrap().0.pop();
    case.inputs();
}

#[test]
#[should_panic(expected = "3 heads share 2 key heads")]
fn heads_that_do_not_share_out_are_refused() {
    Case::new(Shape { b: 1, h: 3, h_kv: 2, tq: 2, tk: 2, d: 2 }).inputs();
}
