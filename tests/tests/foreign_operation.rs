//! An operation that `autograd` does not know: defined here, recorded, trained through, and gradient-checked.

use gradus_autograd::gradcheck::{Case, Op};
use gradus_autograd::tape::Backward;
use gradus_autograd::var::record;
use gradus_autograd::{Parameter, Tape, Tensor, Var};
use gradus_tensor::ops::elementwise::Unary;

/// y = x / (1 + |x|), whose derivative is 1 / (1 + |x|)².
fn softsign(x: &Var) -> Var {
    let y: Vec<f64> = x.value().to_vec::<f64>().iter().map(|x| x / (1.0 + x.abs())).collect();
    record(&[x], Tensor::from_slice(&y, x.shape()), |_| Softsign { x: x.value().clone() })
}

struct Softsign {
    x: Tensor,
}

const SOFTSIGN: &Op = &Op {
    name: "softsign",
    formula: "y = x / (1 + |x|)",
    cases: || {
        vec![
            Case::new("odd size", &[&[3, 5]], |x| softsign(&x[0])),
            Case::new("a transposed view", &[&[3, 5]], |x| softsign(&x[0].transpose(0, 1))),
            Case::new("empty", &[&[0, 5]], |x| softsign(&x[0])),
        ]
    },
};

impl Backward for Softsign {
    fn op(&self) -> &'static Op {
        SOFTSIGN
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let divisor = &self.x.unary(Unary::Abs) + 1.0;
        vec![Some(&dy / &(&divisor * &divisor))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("x", &self.x)]
    }
}

#[test]
fn its_gradient_is_right() {
    SOFTSIGN.check().unwrap();
}

/// softsign(w·x) is fitted to the values that w = (1, −2) gives.
#[test]
fn a_model_is_trained_through_it() {
    let x = Tensor::from_slice(&[1.0_f64, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 2.0], &[4, 2]);
    let wanted = softsign(&Var::constant(x.matmul(&Tensor::from_slice(&[1.0_f64, -2.0], &[2, 1]))));
    let w = Parameter::new(Tensor::from_slice(&[0.0_f64, 0.0], &[2, 1]));
    for _ in 0..2000 {
        let tape = Tape::new();
        let y = softsign(&Var::constant(x.clone()).matmul(&tape.parameter(&w)));
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
    softsign(&x.tanh()).sum(&[0], false);
    let ops = tape.ops();
    assert_eq!(ops.iter().map(|op| op.name).collect::<Vec<_>>(), ["tanh", "softsign", "sum"]);
    ops.iter().for_each(|op| op.check().unwrap());
    assert!(tape.to_string().contains("softsign") && tape.to_dot().contains("softsign"));
}
