//! The bf16 rungs against the definition in `f64` on rounded operands.

use super::{super::*, case::*};
use crate::{
    Bf16Isa,
    oracle::{values, widen},
};

/// Half a unit of bf16: what rounding loses of a number at most, relative to it.
const HALF_UNIT: f64 = 1.0 / 512.0;

impl Case {
    /// The same problem with rounded operands.
    fn rounded(&self) -> Case {
        let [q, k, v, d_o] = [&self.q, &self.k, &self.v, &self.d_o].map(|x| bf16::rounded(x));
        Case { keep: self.keep.clone(), q, k, v, d_o, ..*self }
    }

    fn bf16_forward(&self, rung: bf16::Forward, isa: Bf16Isa) -> [Vec<f32>; 2] {
        let Shape { b, h, tq, d, .. } = self.shape;
        let strides = self.strides()[0];
        let (mut o, mut lse) = (vec![POISON; len(b, strides)], vec![POISON; b * h * tq]);
        rung(isa, &self.inputs(), Output::new("o", &mut o, [b, h, tq], strides, d), &mut lse);
        [o, lse]
    }

    fn bf16_backward(&self, rung: bf16::Backward, isa: Bf16Isa, saved: &[Vec<f32>; 2]) -> [Vec<f32>; 3] {
        self.backward_by(saved, |inputs, saved, gradients| rung(isa, inputs, saved, gradients))
    }

    /// How far O, dQ, dK and dV may be off (with their gaps): what rounding of P and dS, and of O in δ, can do at most.
    fn bounds(&self, [o, lse]: [&Vec<f64>; 2]) -> [Vec<f64>; 4] {
        let Shape { b, h, tq, tk, d, .. } = self.shape;
        let [queries, keys] = self.strides();
        let (inputs, scale) = (self.inputs(), f64::from(self.scale).abs());
        let at = |s: Strides, b: usize, h: usize, t: usize| b * s.b + h * s.h + t * s.t;
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
        let [mut of_o, mut of_dq] = [(); 2].map(|()| vec![0.0; len(b, queries)]);
        let [mut of_dk, mut of_dv] = [(); 2].map(|()| vec![0.0; len(b, keys)]);
        for (b, h, i) in (0..b * h * tq).map(|r| (r / (h * tq), r / tq % h, r % tq)) {
            let (kv, row) = (inputs.kv_head(h), at(queries, b, h, i));
            let (q, d_o) = (&self.q[row..][..d], &self.d_o[row..][..d]);
            let seen: Vec<usize> = (0..tk).filter(|&j| inputs.sees(b, h, i, j)).collect();
            let p = |j: usize| {
                let score = f64::from(self.scale) * dot(q, inputs.k.row(b, kv, j, d));
                (score - lse[inputs.row_index(b, h, i)]).exp()
            };
            let keep = |j: usize| f64::from(inputs.keep_factor(b, h, i, j));
            for &j in &seen {
                for (x, &v) in inputs.v.row(b, kv, j, d).iter().enumerate() {
                    of_o[row + x] += HALF_UNIT * p(j) * keep(j) * f64::from(v.abs());
                }
            }
            let delta: f64 = (0..d).map(|x| f64::from(d_o[x]) * o[row + x]).sum();
            let of_delta: f64 = (0..d).map(|x| f64::from(d_o[x].abs()) * of_o[row + x]).sum();
            for &j in &seen {
                let ds = p(j) * (keep(j) * dot(d_o, inputs.v.row(b, kv, j, d)) - delta);
                let of_ds = scale * (HALF_UNIT * ds.abs() + p(j) * of_delta);
                let column = at(keys, b, kv, j);
                for x in 0..d {
                    of_dq[row + x] += of_ds * f64::from(self.k[column + x].abs());
                    of_dk[column + x] += of_ds * f64::from(q[x].abs());
                    of_dv[column + x] += HALF_UNIT * p(j) * keep(j) * f64::from(d_o[x].abs());
                }
            }
        }
        [of_o, of_dq, of_dk, of_dv]
    }

    /// Checks every bf16 rung at every instruction set.
    fn check_bf16(&self, what: &str) {
        let reference = self.rounded();
        let [o, lse, dq, dk, dv] = reference.exact();
        let [of_o, of_dq, of_dk, of_dv] = reference.bounds([&o, &lse]);
        let of_lse = vec![0.0; lse.len()];
        for (rung, gradient) in bf16::FORWARD_RUNGS.iter().zip(bf16::BACKWARD_RUNGS) {
            assert_eq!(rung.name, gradient.name);
            for isa in Bf16Isa::available().filter(|&isa| rung.simd || isa == Bf16Isa::Portable) {
                let saved = self.bf16_forward(rung.run, isa);
                let gradients = self.bf16_backward(gradient.run, isa, &saved);
                let got = saved.iter().chain(&gradients);
                let exact = [(&o, &of_o), (&lse, &of_lse), (&dq, &of_dq), (&dk, &of_dk), (&dv, &of_dv)];
                for ((got, (exact, bound)), name) in got.zip(exact).zip(["o", "lse", "dq", "dk", "dv"]) {
                    within(got, exact, bound)
                        .unwrap_or_else(|e| panic!("{what}, {} {isa}, {name}: {e}, {:?}", rung.name, self.shape));
                }
            }
        }
    }
}

/// Whether `got` is within twice the bound of each element, and a few roundings of `f32` of the largest.
fn within(got: &[f32], exact: &[f64], bound: &[f64]) -> Result<(), String> {
    let gap = |x: f64| x == f64::from(POISON);
    let largest = exact.iter().filter(|x| x.is_finite() && !gap(**x)).fold(1.0, |m: f64, x| m.max(x.abs()));
    for (i, ((&got, &exact), &bound)) in got.iter().zip(exact).zip(bound).enumerate() {
        let same = if exact.is_finite() && !gap(exact) {
            (f64::from(got) - exact).abs() <= 2.0 * bound + 64.0 * f64::from(f32::EPSILON) * largest
        } else {
            f64::from(got) == exact
        };
        if !same {
            return Err(format!("element {i} is {got:e}, exactly {exact:e}; it may be off by {:e}", 2.0 * bound));
        }
    }
    Ok(())
}

#[test]
fn every_rung_in_small() {
    for (what, case) in variety() {
        case.check_bf16(what);
        Case { scale: -case.scale, ..case }.check_bf16("negative scale");
    }
}

#[test]
fn every_rung_over_odd_shapes() {
    for t in [2, 7, 33, 65, 130] {
        for d in [1, 8, 20, 32, 64] {
            Case::new(square(1, 2, t, d)).check_bf16("causal");
        }
    }
    for (tq, tk) in [(33, 130), (130, 33), (65, 64), (8, 64)] {
        let case = || Case::new(Shape { b: 2, h: 4, h_kv: 2, tq, tk, d: 20 });
        Case { causal: false, ..case() }.check_bf16("full");
        Case { window: Some(0), ..case() }.check_bf16("nothing to see");
        Case { window: Some(40), dropout: Some(DROPOUT), ..case() }.check_bf16("window and dropout");
        Case { causal: false, dropout: Some(DROPOUT), ..case() }.masked(true).check_bf16("mask and dropout");
        case().masked(false).check_bf16("mask");
    }
}

#[test]
fn large_logits() {
    for (t, d) in [(7, 1), (65, 20), (130, 64)] {
        let case = Case::new(square(1, 2, t, d));
        Case { scale: case.scale * 100.0, ..case }.check_bf16("large logits");
    }
}

#[test]
fn empty_operands() {
    for (b, h, tq, tk, d) in [(0, 2, 3, 3, 4), (1, 0, 3, 3, 4), (1, 2, 0, 3, 4), (1, 2, 3, 0, 4), (1, 2, 3, 3, 0)] {
        let shape = Shape { b, h, h_kv: h.max(1), tq, tk, d };
        Case { dropout: Some(DROPOUT), causal: false, ..Case::new(shape) }.masked(true).check_bf16("empty");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for shape in [square(2, 3, 300, 64), Shape { b: 1, h: 4, h_kv: 2, tq: 600, tk: 700, d: 32 }] {
        let case = Case { dropout: Some(DROPOUT), ..Case::new(shape) };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let saved = case.bf16_forward(bf16::FORWARD_RUNGS.last().unwrap().run, Bf16Isa::active());
                let gradients = case.bf16_backward(bf16::BACKWARD_RUNGS.last().unwrap().run, Bf16Isa::active(), &saved);
                (saved, gradients)
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(4), "{shape:?}");
    }
}

#[test]
fn the_functions_run_the_best_rung() {
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
    bf16::forward_packed(shape, &options, &qkv, &mut o, &mut lse);
    let (mut o2, mut lse2) = (o.clone(), lse.clone());
    bf16::forward(shape, &options, &q, s, &k, s, &v, s, &mut o2, s, &mut lse2);
    assert_eq!((&o, &lse), (&o2, &lse2));
    let mut in_f32 = o.clone();
    super::super::forward_packed(shape, &options, &qkv, &mut in_f32, &mut lse2);
    assert_ne!(o, in_f32, "nothing was rounded");

    let mut d_qkv = vec![POISON; b * t * 3 * c];
    bf16::backward_packed(shape, &options, &qkv, &o, &lse, &d_o, &mut d_qkv);
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![POISON; b * t * c]);
    bf16::backward(shape, &options, &q, s, &k, s, &v, s, &o, s, &lse, &d_o, s, &mut dq, s, &mut dk, s, &mut dv, s);
    for (p, gradient) in [dq, dk, dv].iter().enumerate() {
        let packed: Vec<f32> = d_qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect();
        assert_eq!(&packed, gradient, "part {p}");
    }
}

/// A rounding that is left out would pass the bounds, but not this: 1 + 2⁻⁹ is 1 in bf16.
#[test]
fn operands_are_rounded() {
    let shape = square(1, 1, 2, 1);
    let options = Options { scale: 1.0, causal: false, window: None, mask: None, dropout: None };
    let s = contiguous(shape);
    let near_one = [1.0 + HALF_UNIT as f32; 2];
    let (mut o, mut lse) = ([0.0; 2], [0.0; 2]);
    bf16::forward(shape, &options, &near_one, s, &near_one, s, &near_one, s, &mut o, s, &mut lse);
    assert_eq!(o, [1.0; 2]);
    assert!(widen(&lse).iter().all(|lse| (lse - 2_f64.ln() - 1.0).abs() < 1e-6), "{lse:?}");
}
