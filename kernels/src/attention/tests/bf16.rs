//! The bf16 rungs against the definition in `f64` on rounded operands.

use super::{super::*, case::*};
use crate::trials::{assert_same_on_any_number_of_threads, bf16_runs};
use crate::{Bf16Isa, oracle::values, simd::tiles::Emulated};
use std::cell::RefCell;

/// Half a unit of bf16: what rounding loses of a number at most, relative to it.
const HALF_UNIT: f64 = 1.0 / 512.0;

impl Case {
    /// The same problem with rounded operands.
    fn rounded(&self) -> Case {
        let [q, k, v, d_o] = [&self.q, &self.k, &self.v, &self.d_o].map(|x| bf16::rounded(x));
        Case { keep: self.keep.clone(), q, k, v, d_o, ..*self }
    }

    pub(super) fn bf16_forward(&self, rung: bf16::Forward, isa: Bf16Isa) -> [Vec<f32>; 2] {
        let Shape { b, h, tq, d, .. } = self.shape;
        let strides = self.strides()[0];
        let (mut o, mut lse) = (vec![POISON; len(b, strides)], vec![POISON; b * h * tq]);
        rung(isa, &self.inputs(), Output::new("o", &mut o, [b, h, tq], strides, d), &mut lse);
        [o, lse]
    }

    pub(super) fn bf16_backward(&self, rung: bf16::Backward, isa: Bf16Isa, saved: &[Vec<f32>; 2]) -> [Vec<f32>; 3] {
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
            let seen: Vec<usize> = (0..tk).filter(|&j| naive::sees(&inputs, [b, h, i, j])).collect();
            let p = |j: usize| {
                let score = f64::from(self.scale) * dot(q, inputs.k.row(b, kv, j, d));
                (score - lse[inputs.row_index(b, h, i)]).exp()
            };
            let keep = |j: usize| f64::from(naive::keep_factor(&inputs, [b, h, i, j]));
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
        let passes = bf16::FORWARD_RUNGS.iter().zip(bf16::BACKWARD_RUNGS).flat_map(|(rung, gradient)| {
            assert_eq!(rung.name, gradient.name);
            let levels = Bf16Isa::available().filter(|&isa| rung.simd || isa == Bf16Isa::Portable);
            levels.map(|isa| (rung.name, isa, rung.run, gradient.run))
        });
        self.check_passes(what, passes);
    }

    /// Checks the kernels of tiles in memory, with the vectors of every instruction set.
    fn check_tiles(&self, what: &str) {
        let levels = Bf16Isa::available().filter(|&isa| isa != Bf16Isa::Amx);
        self.check_passes(what, levels.map(|isa| ("tiles", isa, emulated_forward as _, emulated_backward as _)));
    }

    fn check_passes(
        &self,
        what: &str,
        passes: impl Iterator<Item = (&'static str, Bf16Isa, bf16::Forward, bf16::Backward)>,
    ) {
        let reference = self.rounded();
        let [o, lse, dq, dk, dv] = reference.exact();
        let [of_o, of_dq, of_dk, of_dv] = reference.bounds([&o, &lse]);
        let of_lse = vec![0.0; lse.len()];
        for (rung, isa, forward, backward) in passes {
            let saved = self.bf16_forward(forward, isa);
            let gradients = self.bf16_backward(backward, isa, &saved);
            let got = saved.iter().chain(&gradients);
            let exact = [(&o, &of_o), (&lse, &of_lse), (&dq, &of_dq), (&dk, &of_dk), (&dv, &of_dv)];
            for ((got, (exact, bound)), name) in got.zip(exact).zip(["o", "lse", "dq", "dk", "dv"]) {
                within(got, exact, bound)
                    .unwrap_or_else(|e| panic!("{what}, {rung} {isa}, {name}: {e}, {:?}", self.shape));
            }
        }
    }
}

fn emulated_forward(isa: Bf16Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    let mut tiles = Emulated::configured().expect("memory");
    let tiles = RefCell::new(&mut tiles);
    one_by_one::forward(inputs, o, lse, |task| {
        amx::forward::chunk(isa, &mut **tiles.borrow_mut(), inputs, task);
    });
}

fn emulated_backward(isa: Bf16Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    let mut tiles = Emulated::configured().expect("memory");
    let tiles = RefCell::new(&mut tiles);
    one_by_one::backward(inputs, gradients, |task| {
        amx::backward::chunk(isa, &mut **tiles.borrow_mut(), inputs, saved, task);
    });
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
fn short_sequences() {
    for (tq, tk, d) in [(64, 64, 32), (40, 64, 48), (20, 50, 32), (50, 19, 80)] {
        let case = |h_kv| Case::new(Shape { b: 2, h: 2, h_kv, tq, tk, d });
        for h_kv in [1, 2] {
            case(h_kv).check_bf16("causal");
            Case { causal: false, ..case(h_kv) }.check_bf16("full");
            Case { window: Some(13), ..case(h_kv) }.check_bf16("window");
            Case { window: Some(6), causal: false, scale: -0.4, ..case(h_kv) }.check_bf16("window, not causal");
        }
    }
}

/// On every machine, in memory.
#[test]
fn tiles_over_odd_shapes() {
    for (t, d) in [(1, 1), (7, 20), (33, 32), (64, 33), (130, 64)] {
        Case::new(square(1, 2, t, d)).check_tiles("causal");
    }
    for (tq, tk) in [(33, 130), (130, 33), (65, 64), (8, 300)] {
        let case = || Case::new(Shape { b: 1, h: 4, h_kv: 2, tq, tk, d: 20 });
        Case { causal: false, ..case() }.check_tiles("full");
        Case { window: Some(40), ..case() }.check_tiles("window");
        Case { window: Some(6), causal: false, scale: -0.4, ..case() }.check_tiles("window, not causal");
        Case { scale: 0.0, ..case() }.check_tiles("no scale");
    }
}

/// Bits of keys in every place of a group of 64 and of a block, some of them past the last key or before the window.
#[test]
fn dropout_and_masks_on_tiles() {
    for (what, case) in variety() {
        case.check_tiles(what);
    }
    for (t, d) in [(1, 1), (33, 32), (64, 33), (130, 64)] {
        Case { dropout: Some(DROPOUT), ..Case::new(square(2, 2, t, d)) }.check_tiles("dropout");
        Case::new(square(1, 2, t, d)).masked(false).check_tiles("mask");
    }
    for (tq, tk) in [(33, 130), (130, 33), (65, 64), (8, 300), (150, 90)] {
        let case = || Case { dropout: Some(DROPOUT), ..Case::new(Shape { b: 1, h: 4, h_kv: 2, tq, tk, d: 20 }) };
        Case { causal: false, ..case() }.check_tiles("dropout, full");
        Case { window: Some(40), ..case() }.check_tiles("dropout and window");
        Case { window: Some(6), causal: false, scale: -0.4, ..case() }.check_tiles("dropout and window, not causal");
        Case { causal: false, ..case() }.masked(true).check_tiles("dropout and broadcast mask");
        Case { window: Some(70), ..case() }.masked(false).check_tiles("all");
        Case { dropout: None, causal: false, ..case() }.masked(false).check_tiles("mask, full");
    }
    for p in [0.0, 0.999_99] {
        let dropout = Some(Dropout { p, ..DROPOUT });
        Case { dropout, ..Case::new(square(1, 2, 70, 20)) }.check_tiles("all or nothing");
    }
}

/// More keys than are packed at once, forward, and more queries, backward.
#[test]
fn long_sequences_on_tiles() {
    let check = |what, case: Case| {
        let forward = bf16::FORWARD_RUNGS.last().expect("a ladder has rungs");
        let backward = bf16::BACKWARD_RUNGS.last().expect("a ladder has rungs");
        let pass = (forward.name, Bf16Isa::active(), forward.run, backward.run);
        case.check_passes(what, std::iter::once(pass));
    };
    let keys = || Case::new(Shape { b: 1, h: 1, h_kv: 1, tq: 40, tk: 300, d: 1000 });
    check("many keys", keys());
    check("many keys, window", Case { window: Some(35), ..keys() });
    check("many keys, dropout", Case { window: Some(235), dropout: Some(DROPOUT), ..keys() });
    check("many keys, mask", Case { causal: false, ..keys() }.masked(false));
    let queries = || Case::new(Shape { b: 1, h: 2, h_kv: 1, tq: 1100, tk: 70, d: 8 });
    check("many queries", queries());
    check("many queries, full", Case { causal: false, ..queries() });
    check("many queries, dropout and mask", Case { dropout: Some(DROPOUT), ..queries() }.masked(false));
}

#[test]
fn large_logits() {
    for (t, d) in [(7, 1), (65, 20), (130, 64)] {
        let case = Case::new(square(1, 2, t, d));
        Case { scale: case.scale * 100.0, ..case }.check_bf16("large logits");
    }
}

/// Rounding makes them zero, at every level: the instruction would take them for zero anyway.
#[test]
fn denormal_operands_are_zero() {
    for shape in [square(1, 2, 7, 3), square(1, 2, 64, 32), square(1, 2, 130, 20)] {
        let queries = Case::new(shape).times([5e-39, 1e36, 1.0, 1.0]);
        Case { scale: 100.0 * queries.scale, ..queries }.check_bf16("denormal queries");
        let [values, gradients] = [[1.0, 1.0, 1e-40, 1e20], [1.0, 1.0, 1.0, 1e-40]].map(|f| Case::new(shape).times(f));
        let is_zero = |x: &[f32]| x.iter().all(|&x| x == 0.0 || x == POISON);
        let gradient_rungs = bf16_runs(bf16::BACKWARD_RUNGS);
        for ((name, isa, run), (.., run_back)) in bf16_runs(bf16::FORWARD_RUNGS).zip(gradient_rungs) {
            let saved = values.bf16_forward(run, isa);
            let [dq, dk, _] = values.bf16_backward(run_back, isa, &saved);
            assert!([&saved[0], &dq, &dk].into_iter().all(|x| is_zero(x)), "{name} {isa}: values, {shape:?}");
            let saved = gradients.bf16_forward(run, isa);
            let all = gradients.bf16_backward(run_back, isa, &saved);
            assert!(all.iter().all(|x| is_zero(x)), "{name} {isa}: gradients, {shape:?}");
        }
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
    for case in super::shapes_of_tasks() {
        let what = |name, isa| format!("{name} {isa}, {:?}", case.shape);
        for (name, isa, run) in bf16_runs(bf16::FORWARD_RUNGS) {
            assert_same_on_any_number_of_threads(&what(name, isa), || case.bf16_forward(run, isa));
        }
        let saved = case.bf16_forward(bf16::FORWARD_RUNGS.last().unwrap().run, Bf16Isa::active());
        for (name, isa, run) in bf16_runs(bf16::BACKWARD_RUNGS) {
            assert_same_on_any_number_of_threads(&what(name, isa), || case.bf16_backward(run, isa, &saved));
        }
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
    let qkv_apart = [&q, &k, &v].map(|x| view(x, s));
    bf16::forward(shape, &options, qkv_apart, (&mut o2, s), &mut lse2);
    assert_eq!((&o, &lse), (&o2, &lse2));
    let mut in_f32 = o.clone();
    super::super::forward_packed(shape, &options, &qkv, &mut in_f32, &mut lse2);
    assert_ne!(o, in_f32, "nothing was rounded");

    let mut d_qkv = vec![POISON; b * t * 3 * c];
    bf16::backward_packed(shape, &options, &qkv, &o, &lse, &d_o, &mut d_qkv);
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![POISON; b * t * c]);
    let gradients = [&mut dq, &mut dk, &mut dv].map(|x| (&mut x[..], s));
    bf16::backward(shape, &options, qkv_apart, view(&o, s), &lse, view(&d_o, s), gradients);
    let mut in_f32 = vec![POISON; d_qkv.len()];
    super::super::backward_packed(shape, &options, &qkv, &o, &lse, &d_o, &mut in_f32);
    assert_ne!(d_qkv, in_f32, "nothing was rounded");
    for (p, gradient) in [dq, dk, dv].iter().enumerate() {
        let packed: Vec<f32> = d_qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect();
        assert_eq!(&packed, gradient, "part {p}");
    }
}

/// Decoding is not rounded, and the functions do what the best rungs do.
#[test]
fn one_query_is_that_of_f32() {
    let shape = Shape { b: 2, h: 2, h_kv: 2, tq: 1, tk: 70, d: 20 };
    let (one, s) = (Strides { b: 40, h: 20, t: 20 }, Strides { b: 2 * 70 * 20, h: 70 * 20, t: 20 });
    let [q, k, v] = [(1, 80), (2, 5600), (3, 5600)].map(|(seed, len)| values(seed, len));
    let plain = Options { scale: 1.0, causal: false, window: None, mask: None, dropout: None };
    let [mut o, mut lse] = [vec![POISON; 80], vec![POISON; 4]];
    let qkv = [view(&q, one), view(&k, s), view(&v, s)];
    bf16::forward(shape, &plain, qkv, (&mut o, one), &mut lse);
    let [mut in_f32, mut lse_in_f32] = [vec![POISON; 80], vec![POISON; 4]];
    super::super::forward(shape, &plain, qkv, (&mut in_f32, one), &mut lse_in_f32);
    assert!(o == in_f32 && lse == lse_in_f32);
}
