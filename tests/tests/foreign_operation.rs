//! An operation that `autograd` does not know: defined here, recorded, trained through, and gradient-checked.

use gradus_autograd::gradcheck::{Case, Op};
use gradus_autograd::tape::Backward;
use gradus_autograd::var::record;
use gradus_autograd::{Parameter, Tape, Tensor, Var};

/// y = ln(1 + eˣ), whose derivative is 1 / (1 + e⁻ˣ).
fn softplus(x: &Var) -> Var {
    let y =
        Tensor::from_slice(&x.value().to_vec::<f64>().iter().map(|x| x.exp().ln_1p()).collect::<Vec<_>>(), x.shape());
    record(&[x], y, |_| Softplus { x: x.value().clone() })
}

struct Softplus {
    x: Tensor,
}

const SOFTPLUS: &Op = &Op {
    name: "softplus",
    formula: "y = ln(1 + eˣ)",
    cases: || {
        vec![
            Case::new("odd size", &[&[3, 5]], |x| softplus(&x[0])),
            Case::new("a transposed view", &[&[3, 5]], |x| softplus(&x[0].transpose(0, 1))),
            Case::new("empty", &[&[0, 5]], |x| softplus(&x[0])),
        ]
    },
};

impl Backward for Softplus {
    fn op(&self) -> &'static Op {
        SOFTPLUS
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        vec![Some(&dy * Var::constant(self.x).sigmoid().value())]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("x", &self.x)]
    }
}

#[test]
fn its_gradient_is_right() {
    SOFTPLUS.check().unwrap();
}

/// softplus(w·x) is fitted to the values that w = (1, −2) gives.
#[test]
fn a_model_is_trained_through_it() {
    let x = Tensor::from_slice(&[1.0_f64, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 2.0], &[4, 2]);
    let wanted = softplus(&Var::constant(x.matmul(&Tensor::from_slice(&[1.0_f64, -2.0], &[2, 1]))));
    let w = Parameter::new(Tensor::from_slice(&[0.0_f64, 0.0], &[2, 1]));
    for _ in 0..2000 {
        let tape = Tape::new();
        let y = softplus(&Var::constant(x.clone()).matmul(&tape.parameter(&w)));
        let loss = (&y - &wanted).square().mean(&[0, 1], false);
        tape.backward(&loss);
        w.update(|value, gradient| *value = &*value + &(&gradient * -0.5));
    }
    let w = w.value().to_vec::<f64>();
    assert!((w[0] - 1.0).abs() < 1e-6 && (w[1] + 2.0).abs() < 1e-6, "{w:?}");
}

/// What a model records can be checked operation by operation, whoever defined it.
#[test]
fn the_tape_names_it_among_the_others() {
    let tape = Tape::new();
    let x = tape.leaf(Tensor::from_slice(&[0.5_f64, -1.0], &[2]));
    softplus(&x.tanh()).sum(&[0], false);
    let ops = tape.ops();
    assert_eq!(ops.iter().map(|op| op.name).collect::<Vec<_>>(), ["tanh", "softplus", "sum"]);
    ops.iter().for_each(|op| op.check().unwrap());
    assert!(tape.to_string().contains("softplus") && tape.to_dot().contains("softplus"));
}
