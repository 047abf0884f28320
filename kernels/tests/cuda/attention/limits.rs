//! Hidden keys, NaN and large scores: what the contract says of them, for every rung.

use super::case::{Case, POISON, square};
use crate::device::{Device, device};
use gradus_kernels::attention::{Shape, cuda};

/// Every forward rung, in `f32` and in bf16, and for few queries those of decoding.
fn forward_rungs(device: &Device, shape: Shape) -> Vec<(&'static str, cuda::Forward)> {
    let decoding = if shape.tq <= 4 { &cuda::DECODE_CUDA_RUNGS[..] } else { &[] };
    let all = cuda::FORWARD_CUDA_RUNGS.iter().chain(&cuda::bf16::FORWARD_CUDA_RUNGS).chain(decoding);
    let runs = all.filter(|rung| rung.needs <= device.gpu.properties().capability);
    runs.map(|rung| (rung.name, rung.run)).collect()
}

fn backward_rungs(device: &Device) -> Vec<(&'static str, cuda::Backward)> {
    let all = cuda::BACKWARD_CUDA_RUNGS.iter().chain(&cuda::bf16::BACKWARD_CUDA_RUNGS);
    let runs = all.filter(|rung| rung.needs <= device.gpu.properties().capability);
    runs.map(|rung| (rung.name, rung.run)).collect()
}

/// Problems with keys that no query sees, and which these are.
fn hidden_keys() -> Vec<(&'static str, Vec<usize>, Case)> {
    let windowed = |tq, tk, d| Case { window: Some(9), ..Case::new(Shape { b: 1, h: 2, h_kv: 1, tq, tk, d }) };
    let masked = |tq, tk, d| {
        let case = Case { causal: false, ..Case::new(Shape { b: 1, h: 2, h_kv: 1, tq, tk, d }) };
        let keep = (0..tq * tk).map(|i| if i % tk % 5 == 2 { 0.0 } else { 1.0 }).collect();
        Case { keep: Some((keep, [0, 0, tk])), ..case }
    };
    vec![
        ("window", (0..33 - 5 - 8).collect(), windowed(5, 33, 20)),
        ("window over tiles", (0..150 - 40 - 8).collect(), windowed(40, 150, 12)),
        ("window of one query", (0..130 - 1 - 8).collect(), windowed(1, 130, 64)),
        ("mask", (2..33).step_by(5).collect(), masked(20, 33, 20)),
        ("mask of one query", (2..130).step_by(5).collect(), masked(1, 130, 20)),
    ]
}

/// The rows of these keys set to `value`.
fn set(case: &Case, data: &[f32], keys: &[usize], value: f32) -> Vec<f32> {
    let (Shape { h_kv, d, .. }, strides, mut data) = (case.shape, case.strides()[1], data.to_vec());
    for (key, head) in keys.iter().flat_map(|&key| (0..h_kv).map(move |head| (key, head))) {
        data[key * strides.t + head * strides.h..][..d].fill(value);
    }
    data
}

#[test]
fn hidden_keys_are_seen_by_nothing() {
    let Some(device) = device() else { return };
    for (what, keys, case) in hidden_keys() {
        let with_nan = Case { k: set(&case, &case.k, &keys, f32::NAN), ..case.clone() };
        for (name, run) in forward_rungs(&device, case.shape) {
            assert_eq!(case.forward(&device, run), with_nan.forward(&device, run), "{what}, {name}");
        }
        // Scores that overflow, values and gradients that do not.
        let far = |factor: f32| Case {
            k: set(&case, &case.k, &keys, 1e30 * factor),
            v: set(&case, &case.v, &keys, 1e20 * factor),
            q: case.q.iter().map(|&x| if x == POISON { x } else { x * 1e3 }).collect(),
            ..case.clone()
        };
        let (clean, large) = (far(0.0), Case { scale: case.scale, ..far(1.0) });
        let saved = clean.forward(&device, cuda::FORWARD_CUDA_RUNGS[0].run);
        for (name, run) in backward_rungs(&device) {
            let [expected, got] = [&clean, &large].map(|case| case.backward(&device, run, &saved));
            assert_eq!(expected, got, "{what}, {name}");
        }
    }
}

/// A NaN in a query makes its row of O NaN, and no other.
#[test]
fn nan_in_sight_stays_in_its_row() {
    let Some(device) = device() else { return };
    for (shape, query) in [(square(1, 1, 40, 12), 17), (Shape { b: 1, h: 2, h_kv: 1, tq: 3, tk: 50, d: 12 }, 1)] {
        let (clean, at) = (Case::new(shape), Case::new(shape).strides()[0].t * query);
        let mut case = clean.clone();
        case.q[at + 3] = f32::NAN;
        for (name, run) in forward_rungs(&device, shape) {
            let [[expected, expected_lse], [got, lse]] = [&clean, &case].map(|case| case.forward(&device, run));
            assert!(got[at..at + shape.d].iter().all(|x| x.is_nan()) && lse[query].is_nan(), "{name}: no NaN");
            for (i, (x, y)) in expected.iter().zip(&got).enumerate() {
                assert!(x == y || (at..at + shape.d).contains(&i), "{name}: element {i}");
            }
            assert_eq!(lse.iter().filter(|x| x.is_nan()).count(), 1, "{name}");
            assert_eq!(expected_lse[0], lse[0], "{name}");
        }
    }
}

/// All scores that `f32` can hold are right forward.
#[test]
fn scores_beyond_the_exponential() {
    let Some(device) = device() else { return };
    let case = Case::new(square(1, 1, 33, 8));
    let case = Case { scale: 1e30, ..case };
    case.check(&device, "huge", &cuda::FORWARD_CUDA_RUNGS, &[]);
    let few = Case { scale: 1e30, ..Case::new(Shape { b: 1, h: 2, h_kv: 1, tq: 2, tk: 300, d: 8 }) };
    few.check(&device, "huge", &cuda::DECODE_CUDA_RUNGS, &[]);
}
