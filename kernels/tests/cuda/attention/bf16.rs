//! The bf16 rungs against the definition in `f64` on rounded operands.

use super::case::{Case, DROPOUT, POISON, square, view};
use crate::device::{Device, device, sizes};
use gradus_kernels::attention::{Shape, Strides, bf16::rounded, cuda};
use gradus_kernels::philox::Dropout;

/// Half a unit of bf16: what rounding loses of a number at most, relative to it.
const HALF_UNIT: f64 = 1.0 / 512.0;

fn keep_factor(case: &Case, [b, h, i, j]: [usize; 4]) -> f64 {
    let Shape { h: heads, tq, tk, .. } = case.shape;
    let element = (((b * heads + h) * tq + i) * tk.div_ceil(64) * 64 + j) as u64;
    let kept = |dropout: Dropout| if dropout.keeps(element) { f64::from(dropout.scale()) } else { 0.0 };
    case.dropout.map_or(1.0, kept)
}

/// How far O, dQ, dK and dV may be off (with their gaps): what rounding of P and dS, and of O in δ, can do at most.
fn bounds(case: &Case, [o, lse]: [&Vec<f64>; 2]) -> [Vec<f64>; 4] {
    let Shape { b, h, h_kv, tq, tk, d } = case.shape;
    let ([queries, keys], scale) = (case.strides(), f64::from(case.scale).abs());
    let at = |s: Strides, b: usize, h: usize, t: usize| b * s.b + h * s.h + t * s.t;
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let [mut of_o, mut of_dq] = [(); 2].map(|()| vec![0.0; b * queries.b]);
    let [mut of_dk, mut of_dv] = [(); 2].map(|()| vec![0.0; b * keys.b]);
    for (b, head, i) in (0..b * h * tq).map(|r| (r / (h * tq), r / tq % h, r % tq)) {
        let (kv, row) = (head * h_kv / h, at(queries, b, head, i));
        let (q, d_o) = (&case.q[row..][..d], &case.d_o[row..][..d]);
        let seen: Vec<usize> = (0..tk).filter(|&j| case.sees([b, head, i, j])).collect();
        let key = |j: usize| view(&case.k, keys).row(b, kv, j, d);
        let value = |j: usize| view(&case.v, keys).row(b, kv, j, d);
        let p = |j: usize| (f64::from(case.scale) * dot(q, key(j)) - lse[(b * h + head) * tq + i]).exp();
        let keep = |j: usize| keep_factor(case, [b, head, i, j]);
        for &j in &seen {
            for (x, &v) in value(j).iter().enumerate() {
                of_o[row + x] += HALF_UNIT * p(j) * keep(j) * f64::from(v.abs());
            }
        }
        let delta: f64 = (0..d).map(|x| f64::from(d_o[x]) * o[row + x]).sum();
        let of_delta: f64 = (0..d).map(|x| f64::from(d_o[x].abs()) * of_o[row + x]).sum();
        for &j in &seen {
            let ds = p(j) * (keep(j) * dot(d_o, value(j)) - delta);
            let of_ds = scale * (HALF_UNIT * ds.abs() + p(j) * of_delta);
            let column = at(keys, b, kv, j);
            for x in 0..d {
                of_dq[row + x] += of_ds * f64::from(case.k[column + x].abs());
                of_dk[column + x] += of_ds * f64::from(q[x].abs());
                of_dv[column + x] += HALF_UNIT * p(j) * keep(j) * f64::from(d_o[x].abs());
            }
        }
    }
    [of_o, of_dq, of_dk, of_dv]
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

fn check(device: &Device, what: &str, case: &Case) {
    let [q, k, v, d_o] = [&case.q, &case.k, &case.v, &case.d_o].map(|x| rounded(x));
    let reference = Case { q, k, v, d_o, ..case.clone() };
    let [o, lse, dq, dk, dv] = reference.exact();
    let [of_o, of_dq, of_dk, of_dv] = bounds(&reference, [&o, &lse]);
    let of_lse = vec![0.0; lse.len()];
    let compare = |rung: &str, name: &str, got: &[f32], exact: &[f64], bound: &[f64]| {
        within(got, exact, bound).unwrap_or_else(|e| panic!("{what}, {rung}, {name}: {e}, {:?}", case.shape));
    };
    let capability = device.gpu.properties().capability;
    let mut saved = None;
    for rung in cuda::bf16::FORWARD_CUDA_RUNGS.iter().filter(|rung| rung.needs <= capability) {
        let got = case.forward(device, rung.run);
        compare(rung.name, "o", &got[0], &o, &of_o);
        compare(rung.name, "lse", &got[1], &lse, &of_lse);
        saved = Some(got);
    }
    let saved = saved.expect("a ladder has rungs");
    for rung in cuda::bf16::BACKWARD_CUDA_RUNGS.iter().filter(|rung| rung.needs <= capability) {
        let [got_dq, got_dk, got_dv] = case.backward(device, rung.run, &saved);
        compare(rung.name, "dq", &got_dq, &dq, &of_dq);
        compare(rung.name, "dk", &got_dk, &dk, &of_dk);
        compare(rung.name, "dv", &got_dv, &dv, &of_dv);
    }
}

#[test]
fn everything_in_every_schedule() {
    let Some(device) = device() else { return };
    let case = Case::new(Shape { b: 1, h: 2, h_kv: 1, tq: 40, tk: 140, d: 20 });
    let case = Case { dropout: Some(DROPOUT), window: Some(90), ..case }.masked(false);
    device.in_every_schedule(|schedule| check(&device, schedule, &case));
}

#[test]
fn every_option() {
    let Some(device) = device() else { return };
    for (n, (what, case)) in Case::variety().into_iter().enumerate() {
        let scale = if n % 2 == 0 { case.scale } else { -case.scale };
        check(&device, what, &Case { scale, ..case });
    }
}

#[test]
fn odd_shapes() {
    let Some(device) = device() else { return };
    let all = [(2, 1), (7, 33), (33, 20), (65, 8), (17, 65), (70, 128), (9, 130), (130, 64)];
    for (t, d) in sizes(&all, &[(65, 8), (70, 128), (9, 130), (70, 64)]) {
        check(&device, "causal", &Case::new(square(1, 1, t, d)));
    }
}

#[test]
fn several_tiles() {
    let Some(device) = device() else { return };
    // The queries that see a block of keys are one more than fill whole tiles.
    check(&device, "window of two", &Case { window: Some(2), ..Case::new(square(1, 1, 70, 12)) });
    for (tq, tk) in [(33, 200), (130, 33)] {
        let case = || Case::new(Shape { b: 1, h: 2, h_kv: 1, tq, tk, d: 12 });
        check(&device, "full", &Case { causal: false, ..case() });
        check(&device, "window and dropout", &Case { window: Some(40), dropout: Some(DROPOUT), ..case() });
        check(&device, "mask and dropout", &Case { causal: false, dropout: Some(DROPOUT), ..case() }.masked(true));
    }
}

#[test]
fn large_scores() {
    let Some(device) = device() else { return };
    let case = Case::new(square(1, 1, 65, 20));
    check(&device, "large scores", &Case { scale: case.scale * 100.0, ..case });
}

#[test]
fn denormal_operands_are_zero() {
    let Some(device) = device() else { return };
    let times =
        |x: &[f32], factor: f32| x.iter().map(|&x| if x == POISON { x } else { x * factor }).collect::<Vec<_>>();
    let case = Case::new(square(1, 1, 33, 20));
    let values = Case { v: times(&case.v, 1e-40), ..case.clone() };
    let gradients = Case { d_o: times(&case.d_o, 1e-40), ..case };
    let is_zero = |x: &[f32]| x.iter().all(|&x| x == 0.0 || x == POISON);
    for rung in &cuda::bf16::FORWARD_CUDA_RUNGS {
        assert!(is_zero(&values.forward(&device, rung.run)[0]), "{}: values", rung.name);
    }
    for rung in &cuda::bf16::BACKWARD_CUDA_RUNGS {
        let saved = gradients.forward(&device, cuda::bf16::FORWARD_CUDA_RUNGS[0].run);
        let all = gradients.backward(&device, rung.run, &saved);
        assert!(all.iter().all(|x| is_zero(x)), "{}: gradients", rung.name);
    }
}

#[test]
fn empty_operands() {
    let Some(device) = device() else { return };
    for (b, h, tq, tk, d) in [(0, 2, 3, 3, 4), (1, 0, 3, 3, 4), (1, 2, 0, 3, 4), (1, 2, 3, 0, 4), (1, 2, 3, 3, 0)] {
        let shape = Shape { b, h, h_kv: h.max(1), tq, tk, d };
        check(&device, "empty", &Case { dropout: Some(DROPOUT), causal: false, ..Case::new(shape) }.masked(true));
    }
}
