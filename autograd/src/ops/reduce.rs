//! Reductions. The gradient of a sum is the same for every element that went in: a broadcast, which is a view.

use crate::gradcheck::{Case, Op};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
use gradus_tensor::layout::Dims;
use gradus_tensor::ops::reduce::{Binary, Reduce};

impl Var {
    /// One number for all elements along `axes`, which stay as axes of size 1 where `keep_axes` is set. Equal largest
    /// (or smallest) elements share the gradient.
    ///
    /// # Panics
    /// Where there is no such axis, or one is named twice.
    #[track_caller]
    pub fn reduce(&self, op: Reduce, axes: &[usize], keep_axes: bool) -> Var {
        let x = self.value();
        let y = x.reduce(op, axes, keep_axes);
        record(&[self], y, |y| {
            let shape: Dims = x.shape().iter().copied().collect();
            let kept = (0..x.rank()).map(|axis| if axes.contains(&axis) { 1 } else { x.shape()[axis] }).collect();
            let count = axes.iter().map(|&axis| x.shape()[axis]).product();
            let needs_x = matches!(op, Reduce::Max | Reduce::Min | Reduce::Variance { .. });
            let needs_y = matches!(op, Reduce::Max | Reduce::Min);
            let axes = axes.iter().copied().collect();
            ReduceBackward {
                op,
                axes,
                shape,
                kept,
                count,
                x: needs_x.then(|| x.clone()),
                y: needs_y.then(|| y.clone()),
            }
        })
    }

    /// The sum along `axes`.
    #[track_caller]
    pub fn sum(&self, axes: &[usize], keep_axes: bool) -> Var {
        self.reduce(Reduce::Sum, axes, keep_axes)
    }

    /// The mean along `axes`.
    #[track_caller]
    pub fn mean(&self, axes: &[usize], keep_axes: bool) -> Var {
        self.reduce(Reduce::Mean, axes, keep_axes)
    }

    /// The largest along `axes`.
    #[track_caller]
    pub fn max(&self, axes: &[usize], keep_axes: bool) -> Var {
        self.reduce(Reduce::Max, axes, keep_axes)
    }

    /// The smallest along `axes`.
    #[track_caller]
    pub fn min(&self, axes: &[usize], keep_axes: bool) -> Var {
        self.reduce(Reduce::Min, axes, keep_axes)
    }

    /// Σ (x − mean)² / (n − correction) along `axes`.
    #[track_caller]
    pub fn variance(&self, axes: &[usize], correction: usize, keep_axes: bool) -> Var {
        self.reduce(Reduce::Variance { correction }, axes, keep_axes)
    }
}

struct ReduceBackward {
    op: Reduce,
    axes: Dims,
    shape: Dims,
    /// The shape with 1 at the reduced axes.
    kept: Dims,
    count: usize,
    x: Option<Tensor>,
    y: Option<Tensor>,
}

impl Backward for ReduceBackward {
    fn op(&self) -> &'static Op {
        match self.op {
            Reduce::Sum => SUM,
            Reduce::Mean => MEAN,
            Reduce::Max => MAX_ALONG,
            Reduce::Min => MIN_ALONG,
            Reduce::Variance { .. } => VARIANCE,
        }
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let dy = dy.contiguous().reshape(&self.kept);
        let dx = match (self.op, &self.x, &self.y) {
            (Reduce::Max | Reduce::Min, Some(x), Some(y)) => {
                let chosen = x.binary(Binary::Eq, &y.contiguous().reshape(&self.kept));
                &chosen * &(&dy / &chosen.sum(&self.axes, true))
            }
            (Reduce::Variance { correction }, Some(x), _) => {
                // The mean's own derivative drops out: Σ (x − mean) = 0.
                let centred = x - &x.mean(&self.axes, true);
                &centred * &(&dy * (2.0 / (self.count as f64 - correction as f64)))
            }
            (Reduce::Mean, ..) => (&dy * (1.0 / self.count as f64)).broadcast_to(&self.shape),
            _ => dy.broadcast_to(&self.shape),
        };
        vec![Some(dx)]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        let all = [("x", &self.x), ("y", &self.y)];
        all.into_iter().filter_map(|(name, tensor)| Some((name, tensor.as_ref()?))).collect()
    }
}

fn cases(op: Reduce) -> Vec<Case> {
    let case = |name, shape: &[usize], axes: &'static [usize], keep_axes| {
        Case::new(name, &[shape], move |x| x[0].reduce(op, axes, keep_axes))
    };
    vec![
        case("the last axis", &[3, 7], &[1], false),
        case("the first axis, kept", &[5, 3], &[0], true),
        case("two axes around one", &[3, 5, 2], &[0, 2], false),
        case("all", &[3, 5], &[0, 1], false),
        case("no rows", &[0, 3], &[1], false),
        Case::new("a transposed view", &[&[3, 5]], move |x| x[0].transpose(0, 1).reduce(op, &[1], false)),
    ]
}

const SUM: &Op = &Op { name: "sum", formula: "y = Σ x", cases: || cases(Reduce::Sum) };

const MEAN: &Op = &Op { name: "mean", formula: "y = Σ x / n", cases: || cases(Reduce::Mean) };

const MAX_ALONG: &Op = &Op { name: "max_along", formula: "y = max x", cases: || cases(Reduce::Max) };

const MIN_ALONG: &Op = &Op { name: "min_along", formula: "y = min x", cases: || cases(Reduce::Min) };

const VARIANCE: &Op = &Op {
    name: "variance",
    formula: "y = Σ (x − mean)² / (n − correction)",
    cases: || {
        [cases(Reduce::Variance { correction: 0 }), cases(Reduce::Variance { correction: 1 })]
            .into_iter()
            .flatten()
            .collect()
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[SUM, MEAN, MAX_ALONG, MIN_ALONG, VARIANCE];
