//! What several tests of layers share; each uses some of it.
#![allow(dead_code)]

use gradus_autograd::gradcheck::values;
use gradus_autograd::{Tape, Tensor, Var};
use gradus_nn::{Layer, Module};

/// Fixed values between −1 and 1, in `f64`.
pub fn input(seed: u64, shape: &[usize]) -> Tensor {
    Tensor::from_slice(&values(seed, shape.iter().product()), shape)
}

/// First values that are not 0 or 1 anywhere, so that every parameter shows in the result.
pub fn shaken<M: Module>(module: M) -> M {
    for (i, (_, parameter)) in module.named_parameters().into_iter().enumerate() {
        let shape = parameter.shape();
        let new = &parameter.value() + &(&input(100 + i as u64, &shape) * 0.5).to_dtype(parameter.value().dtype());
        parameter.set_value(new);
    }
    module
}

/// The output for x when nothing is recorded.
pub fn infer(layer: &dyn Layer, x: &Tensor) -> Tensor {
    layer.forward(&Tape::inference(), &Var::constant(x.clone())).value().contiguous()
}

/// Panics unless every element is within the tolerance.
#[track_caller]
pub fn close(got: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), expected.shape());
    for (a, b) in got.to_f64_vec().iter().zip(expected.to_f64_vec()) {
        assert!((a - b).abs() <= tolerance, "{a}, not {b}");
    }
}
