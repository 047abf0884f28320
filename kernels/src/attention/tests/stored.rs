//! The rungs that read keys and values in bf16 against the definition in `f64` on the numbers as they are stored.

use super::{super::*, case::*};
use crate::Bf16Isa;
use crate::trials::{assert_same_on_any_number_of_threads, bf16_runs};
use half::bf16 as Bf16;

/// A case whose keys and values are numbers of bf16, and these as they are stored; denormal ones stay.
pub(super) fn stored(case: Case) -> (Case, [Vec<Bf16>; 2]) {
    let of = |x: &[f32]| x.iter().map(|&x| Bf16::from_f32(x)).collect::<Vec<_>>();
    let kv = [of(&case.k), of(&case.v)];
    // What lies between the rows is not read; it stays what the cases know it by.
    let widened = |x: &[Bf16], from: &[f32]| -> Vec<f32> {
        x.iter().zip(from).map(|(x, &from)| if from == POISON { from } else { x.to_f32() }).collect()
    };
    let [k, v] = [widened(&kv[0], &case.k), widened(&kv[1], &case.v)];
    (Case { k, v, ..case }, kv)
}

pub(super) fn forward(case: &Case, [k, v]: &[Vec<Bf16>; 2], rung: bf16_cache::Forward, isa: Bf16Isa) -> [Vec<f32>; 2] {
    let Shape { b, h, tq, d, .. } = case.shape;
    let [queries, keys] = case.strides();
    let inputs = Inputs::new(case.shape, case.options(), view(&case.q, queries), view(k, keys), view(v, keys));
    let (mut o, mut lse) = (vec![POISON; len(b, queries)], vec![POISON; b * h * tq]);
    rung(isa, &inputs, Output::new("o", &mut o, [b, h, tq], queries, d), &mut lse);
    [o, lse]
}

fn check(what: &str, case: Case) {
    let (case, kv) = stored(case);
    let [o, lse, ..] = case.exact();
    let plain = forward(&case, &kv, bf16_cache::DECODE_RUNGS[0].run, Bf16Isa::Portable);
    assert_eq!(plain, case.forward(FORWARD_RUNGS[0].run, Isa::Portable), "{what}: the definition is that of f32");
    for (name, isa, run) in bf16_runs(bf16_cache::DECODE_RUNGS) {
        let got = forward(&case, &kv, run, isa);
        for (((got, plain), exact), tensor) in got.iter().zip(&plain).zip([&o, &lse]).zip(["o", "lse"]) {
            compare(got, plain, exact, 0.0)
                .unwrap_or_else(|e| panic!("{what}, {name} {isa}, {tensor}: {:?}: {e}", case.shape));
        }
    }
}

/// One query for each of four heads, which share two heads of keys.
fn one_query(tk: usize, d: usize) -> Case {
    Case::new(Shape { b: 2, h: 4, h_kv: 2, tq: 1, tk, d })
}

#[test]
fn every_rung_over_odd_shapes() {
    for tk in [0, 1, 7, 64, 130] {
        for d in [0, 1, 5, 16, 20, 31, 32, 33, 64, 100, 128] {
            check("causal", one_query(tk, d));
        }
        check("window and dropout", Case { window: Some(40), dropout: Some(DROPOUT), ..one_query(tk, 20) });
        check("window of nothing", Case { window: Some(0), ..one_query(tk, 20) });
        check("mask and dropout", Case { dropout: Some(DROPOUT), ..one_query(tk, 33) }.masked(true));
        check("mask", one_query(tk, 64).masked(false));
        check("large logits", Case { scale: 30.0, ..one_query(tk, 64) });
        check("a negative factor", Case { scale: -0.7, ..one_query(tk, 64) });
    }
}

#[test]
fn denormal_operands_and_results() {
    check("denormal values", one_query(130, 20).times([1.0, 1.0, 1e-39, 1.0]));
    check("denormal queries", Case { scale: 10.0, ..one_query(130, 20).times([5e-39, 1e36, 1.0, 1.0]) });
    check("denormal keys", Case { scale: 10.0, ..one_query(130, 20).times([1e36, 5e-39, 1.0, 1.0]) });
}

#[test]
fn every_key_hidden() {
    let (mut case, kv) = stored(one_query(9, 20));
    case.keep = Some((vec![0.0; 9], [0, 0, 0]));
    for (name, isa, run) in bf16_runs(bf16_cache::DECODE_RUNGS) {
        let [o, lse] = forward(&case, &kv, run, isa);
        assert!(o.iter().all(|&x| x == 0.0 || x == POISON), "{name} {isa}");
        assert!(lse.iter().all(|&x| x == f32::NEG_INFINITY), "{name} {isa}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (case, kv) = stored(Case::new(Shape { b: 3, h: 10, h_kv: 5, tq: 1, tk: 709, d: 61 }));
    for (name, isa, run) in bf16_runs(bf16_cache::DECODE_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa}"), || forward(&case, &kv, run, isa));
    }
}

/// A prompt, and one query: what callers see is attention to the widened cache.
#[test]
fn any_number_of_queries() {
    for tq in [1, 3, 20] {
        let (case, kv) = stored(Case::new(Shape { b: 2, h: 4, h_kv: 2, tq, tk: 20, d: 20 }));
        let [o, lse, ..] = case.exact();
        let plain = case.forward(FORWARD_RUNGS[0].run, Isa::Portable);
        let [queries, keys] = case.strides();
        let mut got = [vec![POISON; o.len()], vec![POISON; lse.len()]];
        let [got_o, got_lse] = &mut got;
        let kv = [view(&kv[0], keys), view(&kv[1], keys)];
        bf16_cache::forward(case.shape, &case.options(), view(&case.q, queries), kv, (got_o, queries), got_lse);
        for ((got, plain), exact) in got.iter().zip(&plain).zip([&o, &lse]) {
            compare(got, plain, exact, 0.0).unwrap_or_else(|e| panic!("{tq} queries: {e}"));
        }
    }
}

#[test]
#[should_panic(expected = "attention: v is too short")]
fn a_cache_that_is_too_short_is_refused() {
    let (case, [k, mut v]) = stored(one_query(9, 20));
    v.truncate(v.len() / 2);
    forward(&case, &[k, v], bf16_cache::DECODE_RUNGS[3].run, Bf16Isa::Portable);
}

#[test]
fn strides_of_no_elements_may_be_anything() {
    let shape = Shape { b: 2, h: 2, h_kv: 2, tq: 1, tk: 3, d: 0 };
    let anywhere = Strides { b: usize::MAX, h: usize::MAX, t: usize::MAX };
    let options = Options { scale: 1.0, causal: true, window: None, mask: None, dropout: None };
    let (q, kv, mut lse) = (view(&[], anywhere), [view(&[], anywhere); 2], [0.0; 4]);
    bf16_cache::forward(shape, &options, q, kv, (&mut [], anywhere), &mut lse);
    assert!(lse.iter().all(|&lse| (lse - 3.0_f32.ln()).abs() < 1e-6), "three scores of zero: {lse:?}");
    super::forward(shape, &options, [q; 3], (&mut [], anywhere), &mut lse);
    assert!(lse.iter().all(|&lse| (lse - 3.0_f32.ln()).abs() < 1e-6), "{lse:?}");
}
