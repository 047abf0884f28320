//! The matrix product and the linear layer. For C = A·B: dA = dC·Bᵀ, dB = Aᵀ·dC; the transposes are views.
//!
//! All three products are computed at the precision of their values ([`Var::precision`]): in bf16 their operands, dC
//! too, are rounded, and A, B and the gradients are kept as they are.

use crate::gradcheck::{Case, Op};
use crate::kept::Kept;
use crate::tape::Backward;
use crate::var::{Var, lowest_precision, record};
use gradus_tensor::layout::Dims;
use gradus_tensor::ops::matmul::linear;
use gradus_tensor::{Precision, Tensor};

impl Var {
    /// C = A·B over the last two axes, [.., M, K] × [.., K, N] → [.., M, N]; the axes before them are broadcast.
    ///
    /// # Panics
    /// Where the shapes do not fit.
    #[track_caller]
    pub fn matmul(&self, other: &Var) -> Var {
        let (a, b, precision) = (self.value(), other.value(), lowest_precision(&[self, other]));
        record(&[self, other], a.matmul_at(b, precision), |_| Matmul { a: a.clone(), b: b.clone(), precision })
    }

    /// y = x·Wᵀ + bias: x [.., K], weight [N, K], bias \[N\] → [.., N]. All rows of x are one matrix product.
    ///
    /// # Panics
    /// Where the shapes do not fit.
    #[track_caller]
    pub fn linear(&self, weight: &Var, bias: Option<&Var>) -> Var {
        let (x, w, precision) = (self.value(), weight.value(), lowest_precision(&[self, weight]));
        let y = crate::ok(linear(x, w, precision));
        let y = record(&[self, weight], y, |_| Linear { x: self.keep(), w: w.clone(), precision });
        match bias {
            Some(bias) => &y + bias,
            None => y,
        }
    }
}

/// [.., K] as [rows, K].
fn as_rows(x: &Tensor) -> Tensor {
    let (k, leading) = x.shape().split_last().expect("operands of products have axes");
    x.contiguous().reshape(&[leading.iter().product(), *k])
}

fn transposed(x: &Tensor) -> Tensor {
    x.transpose(x.rank() - 2, x.rank() - 1)
}

struct Matmul {
    a: Tensor,
    b: Tensor,
    precision: Precision,
}

impl Backward for Matmul {
    fn op(&self) -> &'static Op {
        MATMUL
    }

    fn backward(self: Box<Self>, dy: Tensor, needed: &[bool]) -> Vec<Option<Tensor>> {
        let da = needed[0].then(|| dy.matmul_at(&transposed(&self.b), self.precision).sum_to(self.a.shape()));
        // One B for a whole batch of A: its gradient is one long product, not a sum of short ones.
        let db = needed[1].then(|| {
            if self.b.rank() == 2 && self.a.rank() > 2 {
                as_rows(&self.a).transpose(0, 1).matmul_at(&as_rows(&dy), self.precision)
            } else {
                transposed(&self.a).matmul_at(&dy, self.precision).sum_to(self.b.shape())
            }
        });
        vec![da, db]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("a", &self.a), ("b", &self.b)]
    }
}

struct Linear {
    x: Kept,
    w: Tensor,
    precision: Precision,
}

impl Backward for Linear {
    fn op(&self) -> &'static Op {
        LINEAR
    }

    fn backward(self: Box<Self>, dy: Tensor, needed: &[bool]) -> Vec<Option<Tensor>> {
        let shape: Dims = dy.shape()[..dy.rank() - 1].iter().copied().chain([self.w.shape()[1]]).collect();
        let dy = as_rows(&dy);
        let dw = needed[1].then(|| dy.transpose(0, 1).matmul_at(&as_rows(&self.x.get()), self.precision));
        let dx = needed[0].then(|| dy.matmul_at(&self.w, self.precision).reshape(&shape));
        vec![dx, dw]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        let x = self.x.value().map(|x| ("x", x));
        x.into_iter().chain([("w", &self.w)]).collect()
    }
}

const MATMUL: &Op = &Op {
    name: "matmul",
    formula: "C = A·B",
    cases: || {
        let product = |x: &[Var]| x[0].matmul(&x[1]);
        vec![
            Case::new("odd sizes", &[&[3, 5], &[5, 7]], product),
            Case::new("one element", &[&[1, 1], &[1, 1]], product),
            Case::new("batched", &[&[2, 3, 4], &[2, 4, 5]], product),
            Case::new("one matrix for a batch", &[&[2, 3, 4], &[4, 5]], product),
            Case::new("a batch for one matrix", &[&[3, 4], &[2, 4, 5]], product),
            Case::new("broadcast batches", &[&[2, 1, 3, 4], &[3, 4, 2]], product),
            Case::new("transposed views (TN, NT)", &[&[5, 3], &[7, 5]], |x| {
                x[0].transpose(0, 1).matmul(&x[1].transpose(0, 1))
            }),
            Case::new("no inner elements", &[&[3, 0], &[0, 2]], product),
            Case::new("no rows", &[&[0, 3], &[3, 2]], product),
        ]
    },
};

const LINEAR: &Op = &Op {
    name: "linear",
    formula: "y = x·Wᵀ + b",
    cases: || {
        vec![
            Case::new("with bias", &[&[2, 3, 5], &[7, 5], &[7]], |x| x[0].linear(&x[1], Some(&x[2]))),
            Case::new("without bias, a view", &[&[5, 3], &[2, 5]], |x| x[0].transpose(0, 1).linear(&x[1], None)),
            Case::new("empty", &[&[0, 5], &[7, 5]], |x| x[0].linear(&x[1], None)),
        ]
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[MATMUL, LINEAR];
