//! Operations on another device held against those of the CPU: outputs and gradients of the cases of the gradient check.
//!
//! # In the place of central differences
//! A gradient check compares the gradient g(x) that an operation computes with a central difference, (f(x + h) − f(x − h)) / 2h, which
//! is off by O(h²) and by a rounding of f over h. In `f64` the best h leaves some ten digits. A device that computes in `f32` alone,
//! as CUDA does here, would keep four or five of its seven, too few to tell a wrong term from rounding. So the check has two steps:
//!
//! 1. On the CPU, in `f64`, central differences prove every case of every operation ([`Op::check`](crate::gradcheck::Op::check)).
//! 2. On the device the same cases run in `f32`, forward and backward, and are compared with those of the CPU in `f64`. The largest
//!    error of the output, and that of all gradients, may be at most twice that of the CPU in `f32`, and four units of rounding of the
//!    largest value (`gradus_kernels::oracle`).
//!
//! Both steps take their cases from one registry, so that no case is in one and not in the other.

use crate::gradcheck::{Case, Op, values};
use crate::{Tape, Var};
use gradus_kernels::oracle;
use gradus_tensor::{DType, Device, Tensor};

impl Op {
    /// Whether the operation does on `device` in `f32` what it does on the CPU, forward and backward, in every case.
    ///
    /// # Errors
    /// A line for each case that fails.
    pub fn agrees_on(&self, device: &Device) -> Result<(), String> {
        let failed =
            |case: &Case| agrees(device, case).err().map(|problem| format!("{}: {}: {problem}", self.name, case.name));
        let failures: Vec<String> = (self.cases)().iter().filter_map(failed).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    }
}

fn agrees(device: &Device, case: &Case) -> Result<(), String> {
    let exact = results(&Device::Cpu, DType::F64, case);
    let [plain, got] = [&Device::Cpu, device].map(|device| results(device, DType::F32, case));
    // All gradients at once: one that is 0 because large numbers cancel is as exact as those numbers are.
    for (i, what) in ["the output", "the gradients"].into_iter().enumerate() {
        let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let [got, plain] = [&got[i], &plain[i]].map(|x| narrow(x));
        oracle::check(&got, &plain, &exact[i]).map_err(|problem| format!("{what}: {problem}"))?;
    }
    Ok(())
}

/// The output, and the gradients of all inputs one after another.
fn results(device: &Device, dtype: DType, case: &Case) -> [Vec<f64>; 2] {
    let tape = Tape::new();
    let leaves: Vec<Var> = case.inputs.iter().map(|x| tape.leaf(x.to_dtype(dtype).to_device(device))).collect();
    let y = (case.function)(&tape, &leaves);
    let weights = Tensor::from_slice(&values(99, y.value().len()), y.shape()).to_dtype(dtype);
    let gradients = tape.backward_from(&y, weights.to_device(device));
    let gradient = |(leaf, x): (&Var, &Tensor)| gradients.get(leaf).map_or(vec![0.0; x.len()], Tensor::to_f64_vec);
    [y.value().to_f64_vec(), leaves.iter().zip(&case.inputs).flat_map(gradient).collect()]
}
