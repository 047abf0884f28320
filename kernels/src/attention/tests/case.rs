//! A problem, what the rungs make of it, and the oracle.

use super::super::*;
use crate::oracle::{check, values, widen};

/// A problem with its numbers: q, k, v, o and their gradients, each \[B,T,H,D\] with gaps between the rows.
pub(super) struct Case {
    pub(super) shape: Shape,
    pub(super) scale: f32,
    pub(super) causal: bool,
    pub(super) window: Option<usize>,
    pub(super) dropout: Option<Dropout>,
    pub(super) keep: Option<(Vec<f32>, [usize; 3])>,
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) d_o: Vec<f32>,
}

pub(super) const GAP: usize = 3;
pub(super) const POISON: f32 = 1e30;

/// \[B,T,H,D\] with `GAP` unused elements after each row of D and of H.
pub(super) fn gapped(h: usize, t: usize, d: usize) -> Strides {
    let head = d + GAP;
    let time = h * head + GAP;
    Strides { b: t * time + GAP, h: head, t: time }
}

pub(super) fn len(b: usize, strides: Strides) -> usize {
    b * strides.b
}

pub(super) fn for_rows(b: usize, h: usize, t: usize, strides: Strides, mut row: impl FnMut(usize)) {
    for i in 0..b * h * t {
        row(i / (h * t) * strides.b + i / t % h * strides.h + i % t * strides.t);
    }
}

pub(super) fn random(seed: u64, [b, h, t]: [usize; 3], d: usize, factor: f32) -> Vec<f32> {
    let strides = gapped(h, t, d);
    let mut data = vec![POISON; len(b, strides)];
    let mut x = values(seed, b * h * t * d).into_iter().map(|x| x * factor);
    for_rows(b, h, t, strides, |at| data[at..at + d].fill_with(|| x.next().unwrap()));
    data
}

impl Case {
    pub(super) fn new(shape: Shape) -> Case {
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

    /// The same with q, k, v and the gradient of o times a factor each.
    pub(super) fn times(mut self, factors: [f32; 4]) -> Case {
        for (data, factor) in [&mut self.q, &mut self.k, &mut self.v, &mut self.d_o].into_iter().zip(factors) {
            data.iter_mut().filter(|x| **x != POISON).for_each(|x| *x *= factor);
        }
        self
    }

    /// A mask that hides about a third of the keys, and all of them from query 1.
    pub(super) fn masked(mut self, broadcast: bool) -> Case {
        let Shape { b, h, tq, tk, .. } = self.shape;
        let mut keep: Vec<f32> = values(9, b * h * tq * tk).iter().map(|&x| if x < -0.3 { 0.0 } else { x }).collect();
        if tq > 1 {
            (0..b * h).for_each(|head| keep[head * tq * tk + tk..][..tk].fill(0.0));
        }
        self.keep = Some((keep, if broadcast { [0, 0, tk] } else { [h * tq * tk, tq * tk, tk] }));
        self
    }

    pub(super) fn options(&self) -> Options<'_> {
        Options {
            scale: self.scale,
            causal: self.causal,
            window: self.window,
            dropout: self.dropout,
            mask: self.keep.as_ref().map(|(keep, strides)| Mask { keep, strides: *strides }),
        }
    }

    pub(super) fn strides(&self) -> [Strides; 2] {
        let Shape { h, h_kv, tq, tk, d, .. } = self.shape;
        [gapped(h, tq, d), gapped(h_kv, tk, d)]
    }

    pub(super) fn inputs(&self) -> Inputs<'_> {
        let [queries, keys] = self.strides();
        let [q, k, v] = [view(&self.q, queries), view(&self.k, keys), view(&self.v, keys)];
        Inputs::new(self.shape, self.options(), q, k, v)
    }

    /// O (with its gaps) and lse.
    pub(super) fn forward(&self, rung: Forward, isa: Isa) -> [Vec<f32>; 2] {
        let Shape { b, h, tq, d, .. } = self.shape;
        let strides = self.strides()[0];
        let mut o = vec![POISON; len(b, strides)];
        let mut lse = vec![POISON; b * h * tq];
        rung(isa, &self.inputs(), Output::new("o", &mut o, [b, h, tq], strides, d), &mut lse);
        [o, lse]
    }

    /// dQ, dK and dV (with their gaps).
    pub(super) fn backward(&self, rung: Backward, isa: Isa, saved: &[Vec<f32>; 2]) -> [Vec<f32>; 3] {
        self.backward_by(saved, |inputs, saved, gradients| rung(isa, inputs, saved, gradients))
    }

    pub(super) fn backward_by(
        &self,
        [o, lse]: &[Vec<f32>; 2],
        run: impl FnOnce(&Inputs<'_>, &Saved<'_>, [Output<'_>; 3]),
    ) -> [Vec<f32>; 3] {
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
        run(&self.inputs(), &saved, gradients);
        outputs
    }

    /// O, lse, dQ, dK and dV of the definition in `f64`, with their gaps.
    pub(super) fn exact(&self) -> [Vec<f64>; 5] {
        let Shape { b, h, tq, .. } = self.shape;
        let ([queries, keys], options) = (self.strides(), self.options());
        let [q, k, v, d_o] = [&self.q, &self.k, &self.v, &self.d_o].map(|x| widen(x));
        let poisoned = |strides| vec![f64::from(POISON); len(b, strides)];
        let (mut o, mut lse) = (poisoned(queries), vec![0.0; b * h * tq]);
        let qkv = [view(&q, queries), view(&k, keys), view(&v, keys)];
        naive::forward(self.shape, &options, qkv, (&mut o, queries), &mut lse);
        let (mut dq, mut dk, mut dv) = (poisoned(queries), poisoned(keys), poisoned(keys));
        let (o_view, d_o) = (view(&o, queries), view(&d_o, queries));
        let gradients = [(&mut dq[..], queries), (&mut dk, keys), (&mut dv, keys)];
        naive::backward(self.shape, &options, qkv, o_view, &lse, d_o, gradients);
        [o, lse, dq, dk, dv]
    }

    /// The largest P·|dO|·|V|·scale, times the largest of K and Q: dQ and dK are made of differences of such terms, which
    /// cancel where a query sees a single key; the rounding of the terms stays.
    pub(super) fn largest_term(&self) -> f32 {
        let (inputs, [queries, _]) = (self.inputs(), self.strides());
        let Shape { b: batch, h: heads, tq, tk, d, .. } = self.shape;
        let [_, lse] = self.forward(FORWARD_RUNGS[0].run, Isa::Portable);
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let mut largest = 0.0_f32;
        for (b, h, i) in (0..batch * heads * tq).map(|r| (r / (heads * tq), r / tq % heads, r % tq)) {
            for j in (0..tk).filter(|&j| naive::sees(&inputs, [b, h, i, j])) {
                let (q, k) = (inputs.q.row(b, h, i, d), inputs.k.row(b, inputs.kv_head(h), j, d));
                let p = (self.scale * dot(q, k) - lse[inputs.row_index(b, h, i)]).exp();
                let v = inputs.v.row(b, inputs.kv_head(h), j, d);
                let d_o = view(&self.d_o, queries).row(b, h, i, d);
                let dp = naive::keep_factor(&inputs, [b, h, i, j])
                    * d_o.iter().zip(v).map(|(x, y)| (x * y).abs()).sum::<f32>();
                let size = q.iter().chain(k).fold(0.0_f32, |m, x| m.max(x.abs()));
                largest = largest.max((p * dp).abs() * self.scale * size);
            }
        }
        largest
    }

    /// Checks every rung at every instruction set.
    pub(super) fn check(&self, what: &str) {
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
                let own = FORWARD_RUNGS.iter().find(|forward| forward.name == rung.name).expect("a rung of this name");
                let own = &self.forward(own.run, isa);
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
pub(super) fn compare(got: &[f32], plain: &[f32], exact: &[f64], term: f32) -> Result<(), String> {
    let gap = |&i: &usize| exact[i] == f64::from(POISON);
    if let Some(i) = (0..got.len()).filter(gap).find(|&i| got[i] != POISON) {
        return Err(format!("the gap at {i} was written to: {}", got[i]));
    }
    let rows: Vec<usize> = (0..got.len()).filter(|i| !gap(i)).collect();
    let pick = |x: &[f32]| rows.iter().map(|&i| x[i]).chain([term]).collect::<Vec<_>>();
    let exact: Vec<f64> = rows.iter().map(|&i| exact[i]).chain([f64::from(term)]).collect();
    check(&pick(got), &pick(plain), &exact)
}

pub(super) fn square(b: usize, h: usize, t: usize, d: usize) -> Shape {
    Shape { b, h, h_kv: h, tq: t, tk: t, d }
}

pub(super) const DROPOUT: Dropout = Dropout { p: 0.3, seed: 42, stream: 7 };

/// Small cases of everything that the options and shapes allow.
pub(super) fn variety() -> Vec<(&'static str, Case)> {
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
