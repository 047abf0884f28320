//! Every rung against the definition.

mod bf16;
mod bf16_rounding;
mod case;
mod entry;
mod gradients;
mod limits;
mod stored;

use super::*;
use crate::trials::{assert_same_on_any_number_of_threads, runs};
use case::*;

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

/// Shapes that the rung `short_sequence` takes.
#[test]
fn short_sequences() {
    for (tq, tk, d) in [(64, 64, 32), (40, 64, 48), (64, 40, 16), (20, 50, 32), (50, 19, 80)] {
        let case = |h_kv| Case::new(Shape { b: 2, h: 2, h_kv, tq, tk, d });
        for h_kv in [1, 2] {
            case(h_kv).check("causal");
            Case { causal: false, ..case(h_kv) }.check("full");
            Case { window: Some(13), ..case(h_kv) }.check("window");
            Case { window: Some(6), causal: false, scale: -0.4, ..case(h_kv) }.check("window, not causal");
        }
    }
}

#[test]
fn large_logits() {
    for (t, d) in [(7, 1), (64, 32), (65, 20), (130, 64)] {
        let case = Case::new(square(1, 2, t, d));
        Case { scale: case.scale * 100.0, ..case }.check("large logits");
    }
}

/// Values, gradients of the output, and queries or keys in turn; scores are of size 1 all the same.
#[test]
fn denormal_operands_and_results() {
    let cases = || {
        let shapes = [square(1, 2, 7, 3), square(1, 2, 64, 32), square(1, 2, 65, 20)];
        let grouped = [
            Shape { b: 1, h: 2, h_kv: 1, tq: 1, tk: 130, d: 20 },
            Shape { b: 1, h: 2, h_kv: 1, tq: 33, tk: 130, d: 64 },
        ];
        shapes.into_iter().chain(grouped).map(Case::new)
    };
    for case in cases() {
        case.times([1.0, 1.0, 1e-40, 1e20]).check("denormal values");
    }
    for case in cases() {
        case.times([1.0, 1.0, 1.0, 1e-40]).check("denormal gradients");
    }
    for case in cases() {
        let scale = 100.0 * case.scale;
        Case { scale, ..case.times([5e-39, 1e36, 1.0, 1.0]) }.check("denormal queries");
    }
    for case in cases() {
        let scale = 100.0 * case.scale;
        Case { scale, ..case.times([1e36, 5e-39, 1.0, 1.0]) }.check("denormal keys");
    }
}

#[test]
fn factors_that_are_negative_or_nothing() {
    for scale in [-0.7, 0.0] {
        Case { scale, ..Case::new(square(1, 2, 33, 20)) }.check("scale");
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

/// Shapes whose work is cut into tasks in different ways.
fn shapes_of_tasks() -> [Case; 4] {
    let short = Case::new(square(8, 4, 64, 32));
    let dropout = |shape| Case { dropout: Some(DROPOUT), ..Case::new(shape) };
    let each_head = dropout(square(2, 3, 307, 64));
    let several_for_each = dropout(Shape { b: 1, h: 4, h_kv: 2, tq: 601, tk: 709, d: 32 });
    let many_keys = dropout(Shape { b: 1, h: 2, h_kv: 1, tq: 71, tk: 2111, d: 19 });
    [short, each_head, several_for_each, many_keys]
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for case in shapes_of_tasks() {
        let what = |name, isa| format!("{name} {isa}, {:?}", case.shape);
        for (name, isa, run) in runs(FORWARD_RUNGS) {
            assert_same_on_any_number_of_threads(&what(name, isa), || case.forward(run, isa));
        }
        let saved = case.forward(FORWARD_RUNGS.last().unwrap().run, Isa::active());
        for (name, isa, run) in runs(BACKWARD_RUNGS) {
            assert_same_on_any_number_of_threads(&what(name, isa), || case.backward(run, isa, &saved));
        }
    }
    let decoding = Case::new(Shape { b: 3, h: 10, h_kv: 5, tq: 1, tk: 709, d: 61 });
    for (name, isa, run) in runs(DECODE_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa}"), || decoding.forward(run, isa));
    }
    let [.., several_for_each, _] = shapes_of_tasks();
    several_for_each.check("several tasks for each head");
}
