//! Positions: sines and cosines by their formulas, what rotary positions promise, and where learned ones end.

mod common;

use common::close;
use gradus_autograd::{DType, Tape, Tensor};
use gradus_nn::layers::{FrequencyScaling, LearnedPositions, Rotary, RotaryConfig, SinusoidalPositions};
use gradus_nn::{Init, Module};
use std::f64::consts::TAU;

#[test]
fn sinusoidal_rows_are_their_formula_at_any_position() {
    let positions = SinusoidalPositions::new(6, DType::F64).unwrap();
    for range in [0..5, 3..4, 4095..4099, 100_000..100_002, 2..2] {
        let rows = positions.forward(range.clone());
        let expected: Vec<f64> = range
            .clone()
            .flat_map(|t| (0..6).map(move |c| (t, c)))
            .map(|(t, c)| {
                let angle = t as f64 / 10_000_f64.powf((c - c % 2) as f64 / 6.0);
                if c % 2 == 0 { angle.sin() } else { angle.cos() }
            })
            .collect();
        close(rows.value(), &Tensor::from_slice(&expected, &[range.len(), 6]), 1e-10);
    }
    let error = SinusoidalPositions::new(7, DType::F64).unwrap_err();
    assert_eq!(error.to_string(), "sinusoidal positions fill pairs of channels: the width 7 is odd");
}

/// PE(t + k) is PE(t), each pair of channels turned by k·θᵢ: the same matrix for every t.
#[test]
fn a_distance_is_a_rotation() {
    let (width, distance) = (8, 5);
    let positions = SinusoidalPositions::new(width, DType::F64).unwrap();
    let rows = |range| positions.forward(range).value().to_vec::<f64>();
    for t in [0, 1, 40] {
        let (here, there) = (rows(t..t + 1), rows(t + distance..t + distance + 1));
        for pair in 0..width / 2 {
            let (sin, cos) = (distance as f64 * 10_000_f64.powf(-((2 * pair) as f64) / width as f64)).sin_cos();
            let (s, c) = (here[2 * pair], here[2 * pair + 1]);
            assert!((s * cos + c * sin - there[2 * pair]).abs() < 1e-12);
            assert!((c * cos - s * sin - there[2 * pair + 1]).abs() < 1e-12);
        }
    }
}

/// Rows that are kept and rows that are computed when they are asked for are the same, whatever was asked for before.
#[test]
fn a_rotation_is_a_function_of_the_position() {
    let config = RotaryConfig::half_split(10_000.0);
    let new = || Rotary::new(&config, 10, DType::F32).unwrap();
    let used = new();
    for range in [7..9, 0..3, 90..130, 4090..4096, 4095..4097, 5000..5003, 8..8] {
        let (again, fresh) = (used.rotation(range.clone()), new().rotation(range.clone()));
        assert_eq!(again.cos.shape(), [range.len(), 5]);
        assert_eq!(again.cos.to_vec::<f32>(), fresh.cos.to_vec::<f32>());
        assert_eq!(again.sin.to_vec::<f32>(), fresh.sin.to_vec::<f32>());
        for (row, t) in range.enumerate() {
            let angle = t as f64 * 10_000_f64.powf(-0.4); // pair 2 of 5
            assert_eq!(again.cos.to_vec::<f32>()[row * 5 + 2], angle.cos() as f32);
        }
    }
}

#[test]
fn frequencies_are_scaled_as_llama_3_does_it() {
    let (factor, low, high, context) = (8.0, 1.0, 4.0, 8192);
    let plain = RotaryConfig::half_split(500_000.0);
    let scaled = RotaryConfig { scaling: FrequencyScaling::Llama3 { factor, low, high, context }, ..plain.clone() };
    let mut kinds = [0; 3];
    for (before, after) in plain.frequencies(128).into_iter().zip(scaled.frequencies(128)) {
        let wavelength = TAU / before;
        let expected = if wavelength < context as f64 / high {
            kinds[0] += 1;
            before
        } else if wavelength > context as f64 / low {
            kinds[1] += 1;
            before / factor
        } else {
            kinds[2] += 1;
            let smooth = (context as f64 / wavelength - low) / (high - low);
            (1.0 - smooth) * before / factor + smooth * before
        };
        assert!((after / expected - 1.0).abs() < 1e-14);
    }
    assert!(kinds.iter().all(|&kind| kind > 3), "{kinds:?}: of each kind there are some");
    let linear = RotaryConfig { scaling: FrequencyScaling::Linear { factor: 4.0 }, ..plain.clone() };
    assert_eq!(linear.frequencies(8), plain.frequencies(8).iter().map(|x| x / 4.0).collect::<Vec<f64>>());
    for (scaling, text) in [
        (FrequencyScaling::Linear { factor: 0.0 }, "the rotary factor 0 is not above 0"),
        (
            FrequencyScaling::Llama3 { factor, low: 4.0, high: 4.0, context },
            "rotary frequencies cannot be scaled between 4 and 4 turns of 8192 positions",
        ),
    ] {
        let error = RotaryConfig { scaling, ..plain.clone() }.validate(8).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let error = RotaryConfig::half_split(-1.0).validate(8).unwrap_err();
    assert_eq!(error.to_string(), "the rotary base -1 is not above 0");
}

#[test]
fn learned_positions_are_rows_of_a_parameter() {
    let positions = LearnedPositions::new(&mut Init::new(1), 5, 3, 0.5);
    let (name, weight) = positions.named_parameters().swap_remove(0);
    assert_eq!(name, "weight");
    let rows = positions.forward(&Tape::inference(), 2..5);
    assert_eq!(rows.value().to_vec::<f32>(), weight.value().to_vec::<f32>()[6..]);
    let tape = Tape::new();
    tape.backward(&positions.forward(&tape, 1..2).sum(&[0, 1], false));
    let grad = weight.take_grad().unwrap().to_vec::<f32>();
    assert_eq!(grad, [[0.0; 3], [1.0; 3], [0.0; 3], [0.0; 3], [0.0; 3]].concat());
}

#[test]
#[should_panic(expected = "positions 3 to 6 are past the context of 5")]
fn learned_positions_end_at_the_context() {
    LearnedPositions::new(&mut Init::new(1), 5, 3, 0.5).forward(&Tape::inference(), 3..6);
}
