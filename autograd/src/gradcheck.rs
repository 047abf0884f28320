//! Gradients held against central differences, in `f64`.
//!
//! (f(x + h) − f(x − h)) / 2h has an error of order h² (from the formula) and of order ε/h (from rounding); with
//! h = 1e-6 and ε = 1e-16 both are far below the tolerance.

use crate::{Tape, Var};
use gradus_tensor::{DType, Device, Tensor};

/// A function of inputs, which runs on a tape.
pub type Function = dyn Fn(&Tape, &[Var]) -> Var;

/// A function to be checked, and where.
pub struct Case {
    /// What is special about it.
    pub name: &'static str,
    /// The values of its inputs, `f64`.
    pub inputs: Vec<Tensor>,
    /// The function, of inputs that are all tracked.
    pub function: Box<Function>,
}

impl Case {
    /// A function of inputs of these shapes, filled with fixed values between −1 and 1.
    pub fn new(name: &'static str, shapes: &[&[usize]], function: impl Fn(&[Var]) -> Var + 'static) -> Case {
        Case::scaled(name, shapes, 1.0, 0.0, function)
    }

    /// The same with values between `shift` − `scale` and `shift` + `scale`: for domains such as that of the logarithm.
    pub fn scaled(
        name: &'static str,
        shapes: &[&[usize]],
        scale: f64,
        shift: f64,
        function: impl Fn(&[Var]) -> Var + 'static,
    ) -> Case {
        let input = |(seed, shape): (usize, &&[usize])| {
            let values: Vec<f64> =
                values(seed as u64 + 1, shape.iter().product()).into_iter().map(|x| x * scale + shift).collect();
            Tensor::from_slice(&values, shape)
        };
        let inputs = shapes.iter().enumerate().map(input).collect();
        Case { name, inputs, function: Box::new(move |_, x| function(x)) }
    }

    /// The function run on a new tape, with the tracked inputs and the result.
    pub fn record(&self) -> (Tape, Vec<Var>, Var) {
        self.record_on(&Device::Cpu)
    }

    fn record_on(&self, device: &Device) -> (Tape, Vec<Var>, Var) {
        let tape = Tape::new();
        let leaves: Vec<Var> = self.inputs.iter().map(|x| tape.leaf(x.to_device(device))).collect();
        let y = (self.function)(&tape, &leaves);
        (tape, leaves, y)
    }
}

/// A differentiable operation, of this crate or of another: what [`Backward::op`](crate::tape::Backward::op) returns.
pub struct Op {
    /// Its name, on the tape and in errors.
    pub name: &'static str,
    /// What it computes.
    pub formula: &'static str,
    /// Where its gradient is checked: broadcasting, views, odd and empty sizes.
    pub cases: fn() -> Vec<Case>,
}

impl Op {
    /// Checks the gradient in every case.
    ///
    /// # Errors
    /// A line for each case that fails, or for an operation without a case, or with a case that does not record it.
    pub fn check(&self) -> Result<(), String> {
        self.check_on(&Device::Cpu)
    }

    /// [`Op::check`] with the inputs on another device.
    ///
    /// # Errors
    /// As [`Op::check`].
    pub fn check_on(&self, device: &Device) -> Result<(), String> {
        let cases = (self.cases)();
        if cases.is_empty() {
            return Err(format!("{} has no case for its gradient check", self.name));
        }
        let failures: Vec<String> = cases.iter().filter_map(|case| self.check_in(device, case).err()).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    }

    fn check_in(&self, device: &Device, case: &Case) -> Result<(), String> {
        gradcheck_on(device, case).map_err(|problem| format!("{}: {problem}", self.name))?;
        let recorded = case.record().0.ops().iter().any(|op| op.name == self.name);
        if recorded { Ok(()) } else { Err(format!("{}: {}: the case does not record it", self.name, case.name)) }
    }
}

/// A constant of a case, such as indices or a mask, on the device of its inputs and, but for indices, of their type.
pub fn beside(inputs: &[Var], constant: &Tensor) -> Tensor {
    let input = inputs[0].value();
    let constant = if constant.dtype().is_float() { constant.to_dtype(input.dtype()) } else { constant.clone() };
    constant.to_device(input.device())
}

/// Fixed values between −1 and 1.
pub fn values(seed: u64, len: usize) -> Vec<f64> {
    gradus_kernels::oracle::values(seed, len).into_iter().map(f64::from).collect()
}

/// Holds the gradient of Σ w∘f(x), with fixed weights w, against central differences in every element of every input.
///
/// # Errors
/// A line with the first element at which the two differ by more than 1e-6 of the larger, or 1e-8.
///
/// ```
/// use gradus_autograd::gradcheck::{Case, gradcheck};
/// gradcheck(&Case::new("x² e^y", &[&[3], &[3]], |x| &(&x[0] * &x[0]) * &x[1].exp())).unwrap();
/// ```
pub fn gradcheck(case: &Case) -> Result<(), String> {
    gradcheck_on(&Device::Cpu, case)
}

/// [`gradcheck`] with the inputs on another device.
///
/// # Errors
/// As [`gradcheck`].
pub fn gradcheck_on(device: &Device, case: &Case) -> Result<(), String> {
    const H: f64 = 1e-6;
    assert!(case.inputs.iter().all(|x| x.dtype() == DType::F64), "gradcheck runs on f64");
    let (tape, leaves, y) = case.record_on(device);
    if !y.is_tracked() {
        return Err(format!("{}: the result is not tracked", case.name));
    }
    let weights = Tensor::from_slice(&values(99, y.value().len()), y.shape());
    let gradients = tape.backward_from(&y, weights.to_device(device));

    let objective = |inputs: &[Tensor]| -> f64 {
        let inputs: Vec<Var> = inputs.iter().map(|x| Var::constant(x.to_device(device))).collect();
        let y = (case.function)(&Tape::inference(), &inputs).value().to_vec::<f64>();
        y.iter().zip(weights.as_host_slice::<f64>()).map(|(y, w)| y * w).sum()
    };
    for (i, input) in case.inputs.iter().enumerate() {
        let analytic = gradients.get(&leaves[i]).map_or(vec![0.0; input.len()], Tensor::to_vec::<f64>);
        for (element, &a) in analytic.iter().enumerate() {
            let moved = |h: f64| {
                let mut inputs = case.inputs.clone();
                inputs[i].make_host_mut::<f64>()[element] += h;
                objective(&inputs)
            };
            let numeric = (moved(H) - moved(-H)) / (2.0 * H);
            let close = (a - numeric).abs() <= 1e-8 + 1e-6 * a.abs().max(numeric.abs());
            if !close {
                return Err(format!("{}: input {i}, element {element}: {a:e}, numerically {numeric:e}", case.name));
            }
        }
    }
    Ok(())
}
