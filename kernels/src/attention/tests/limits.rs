//! Hidden keys, NaN and large scores: what the contract says of them, for every rung.

use super::stored::{forward as forward_stored, stored as to_stored};
use super::{super::*, case::*};
use crate::Bf16Isa;
use crate::trials::{bf16_runs, runs};

/// Keys that no query sees, by the window and the causal rule or by the mask, and the problem.
fn hidden_keys() -> Vec<(&'static str, Vec<usize>, Case)> {
    let windowed = |tq, tk, d| Case { window: Some(9), ..Case::new(Shape { b: 2, h: 4, h_kv: 2, tq, tk, d }) };
    let masked = |tq, tk, d, causal| {
        let case = Case { causal, ..Case::new(Shape { b: 2, h: 4, h_kv: 2, tq, tk, d }) };
        let keep = (0..tq * tk).map(|i| if i % tk % 5 == 2 { 0.0 } else { 1.0 }).collect();
        Case { keep: Some((keep, [0, 0, tk])), ..case }
    };
    let fifths = |tk: usize| (2..tk).step_by(5).collect();
    vec![
        ("window", (0..33 - 5 - 8).collect(), windowed(5, 33, 20)),
        ("window over blocks of keys", (0..200 - 70 - 8).collect(), windowed(70, 200, 32)),
        ("window of one query", (0..130 - 1 - 8).collect(), windowed(1, 130, 64)),
        ("mask", fifths(33), masked(40, 33, 20, false)),
        ("mask in one block", fifths(64), masked(64, 64, 32, true)),
        ("mask over blocks of keys", fifths(130), masked(70, 130, 64, true)),
        ("mask of one query", fifths(130), masked(1, 130, 20, false)),
    ]
}

impl Case {
    fn copy(&self) -> Case {
        let [q, k, v, d_o] = [&self.q, &self.k, &self.v, &self.d_o].map(Vec::clone);
        Case { keep: self.keep.clone(), q, k, v, d_o, ..*self }
    }
}

/// Sets the rows of these keys.
fn set(case: &Case, data: &[f32], keys: &[usize], values: [f32; 2]) -> Vec<f32> {
    let (Shape { b, h_kv, tk, d, .. }, mut data) = (case.shape, data.to_vec());
    for_rows(b, h_kv, tk, case.strides()[1], |at| {
        let time = at % case.strides()[1].b / case.strides()[1].t;
        if keys.contains(&time) {
            (0..d).for_each(|x| data[at + x] = values[x % 2]);
        }
    });
    data
}

fn same_bits<const N: usize>(a: &[Vec<f32>; N], b: &[Vec<f32>; N]) -> bool {
    let same = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).all(|(a, b)| a == b);
    a.iter().zip(b).all(same)
}

/// Holds O and lse of both, of every rung, to be the same.
fn same_outputs(what: &str, clean: &Case, other: &Case) {
    let both = [clean, other];
    let decoding = if clean.shape.tq == 1 { DECODE_RUNGS } else { &[] };
    for (name, isa, run) in runs(FORWARD_RUNGS).chain(runs(decoding)) {
        let [expected, got] = both.map(|case| case.forward(run, isa));
        assert!(same_bits(&expected, &got), "{what}, {name} {isa}");
    }
    for (name, isa, run) in bf16_runs(bf16::FORWARD_RUNGS) {
        let [expected, got] = both.map(|case| case.bf16_forward(run, isa));
        assert!(same_bits(&expected, &got), "{what}, {name} {isa}, bf16");
    }
    if clean.shape.tq == 1 {
        let both = both.map(|case| to_stored(case.copy()));
        for (name, isa, run) in bf16_runs(bf16_cache::DECODE_RUNGS) {
            let [expected, got] = both.each_ref().map(|(case, kv)| forward_stored(case, kv, run, isa));
            assert!(same_bits(&expected, &got), "{what}, {name} {isa}, stored in bf16");
        }
    }
}

/// Products of hidden keys overflow to ∞ and to NaN; they and their values are only finite.
#[test]
fn what_is_hidden_changes_no_bit() {
    for (what, keys, clean) in hidden_keys() {
        let (k, v) = (set(&clean, &clean.k, &keys, [3e38, -3e38]), set(&clean, &clean.v, &keys, [1e30, 1e30]));
        let other = Case { k, v, ..clean.copy() };
        same_outputs(what, &clean, &other);
        for (name, isa, run) in bf16_runs(bf16::BACKWARD_RUNGS) {
            let saved = clean.bf16_forward(bf16::FORWARD_RUNGS.last().unwrap().run, Bf16Isa::active());
            let [expected, got] = [&clean, &other].map(|case| case.bf16_backward(run, isa, &saved));
            assert!(same_bits(&expected, &got), "{what}, {name} {isa}, gradients in bf16");
        }
        for (name, isa, run) in runs(BACKWARD_RUNGS) {
            let saved = clean.forward(FORWARD_RUNGS.last().unwrap().run, isa);
            let [expected, got] = [&clean, &other].map(|case| case.backward(run, isa, &saved));
            assert!(same_bits(&expected, &got), "{what}, {name} {isa}, gradients");
        }
    }
}

#[test]
fn nan_in_a_hidden_key_does_not_reach_the_output() {
    for (what, keys, clean) in hidden_keys() {
        for values in [[f32::NAN; 2], [f32::INFINITY, f32::NEG_INFINITY]] {
            let other = Case { k: set(&clean, &clean.k, &keys, values), ..clean.copy() };
            same_outputs(&format!("{what}, {values:?}"), &clean, &other);
        }
    }
}

/// One query is NaN: its row of O is, and the others are as they were.
#[test]
fn nan_in_sight_stays_in_its_row() {
    for (tq, tk, d) in [(5, 7, 3), (64, 64, 32), (70, 130, 64), (1, 130, 20)] {
        let clean = || Case::new(Shape { b: 2, h: 4, h_kv: 2, tq, tk, d });
        let mut other = clean();
        let row = tq / 2 * other.strides()[0].t;
        other.q[row + d / 2] = f32::NAN;
        let decoding = if tq == 1 { DECODE_RUNGS } else { &[] };
        for (name, isa, run) in runs(FORWARD_RUNGS).chain(runs(decoding)) {
            let [[mut expected, mut lse], got] = [&clean(), &other].map(|case| case.forward(run, isa));
            assert!(got[0][row..row + d].iter().all(|o| o.is_nan()), "{name} {isa}: {:?}", other.shape);
            assert!(got[1][tq / 2].is_nan(), "{name} {isa}: {:?}", other.shape);
            expected[row..row + d].copy_from_slice(&[0.0; 64][..d]);
            lse[tq / 2] = 0.0;
            let [mut o, mut got_lse] = got;
            o[row..row + d].copy_from_slice(&[0.0; 64][..d]);
            got_lse[tq / 2] = 0.0;
            assert!(same_bits(&[expected, lse], &[o, got_lse]), "{name} {isa}: {:?}", other.shape);
        }
    }
}

/// The largest Σ|scale·q·k| of a query and a key.
fn largest_score(case: &Case) -> f32 {
    let (inputs, Shape { b: batch, h: heads, tq, tk, d, .. }) = (case.inputs(), case.shape);
    let mut largest = 0.0_f32;
    for (b, h, i) in (0..batch * heads * tq).map(|r| (r / (heads * tq), r / tq % heads, r % tq)) {
        for j in 0..tk {
            let (q, k) = (inputs.q.row(b, h, i, d), inputs.k.row(b, inputs.kv_head(h), j, d));
            largest = largest.max(case.scale * q.iter().zip(k).map(|(x, y)| (x * y).abs()).sum::<f32>());
        }
    }
    largest
}

/// Every second key is as the one before it, so that P is shared and no gradient is nothing.
#[test]
fn gradients_lose_with_the_size_of_the_scores_what_the_contract_says() {
    for (t, d, factor) in
        [(20, 8), (64, 32), (130, 64)].into_iter().flat_map(|(t, d)| [1e3, 1e4, 1e5].map(|f| (t, d, f)))
    {
        let mut case = Case { causal: false, ..Case::new(square(1, 2, t, d)) };
        case.scale *= factor;
        let [_, Strides { t: step, h, .. }] = case.strides();
        for (head, j) in (0..2).flat_map(|head| (0..t / 2).map(move |j| (head, 2 * j))) {
            let from = head * h + j * step;
            case.k.copy_within(from..from + d, from + step);
        }
        let (score, term) = (largest_score(&case), case.largest_term());
        let [_, _, exact @ ..] = case.exact();
        for (name, isa, run) in runs(BACKWARD_RUNGS) {
            let forward = FORWARD_RUNGS.iter().find(|forward| forward.name == name).expect("a rung of this name");
            let got = case.backward(run, isa, &case.forward(forward.run, isa));
            for ((got, exact), of) in got.iter().zip(&exact).zip(["dq", "dk", "dv"]) {
                let rows = || got.iter().zip(exact).filter(|(_, e)| **e != f64::from(POISON));
                let largest = rows().fold(f64::from(term), |m, (_, e)| m.max(e.abs()));
                let worst = rows().map(|(g, e)| (f64::from(*g) - e).abs()).fold(0.0, f64::max);
                let bound = 1e-7 * f64::from(score) * largest;
                assert!(worst <= bound, "{name} {isa} {of}, scores up to {score:e}: {worst:e} off, not {bound:e}");
                assert!(of != "dv" || worst < largest, "{name} {isa}: the bound says nothing");
            }
        }
    }
}
