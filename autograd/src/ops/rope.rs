//! Rotary position embedding. A rotation is orthogonal, so the gradient is the rotation by the negative angles, and nothing
//! is saved but the angles.

use crate::gradcheck::{Case, Op, beside};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
pub use gradus_tensor::ops::rope::{Pairing, Rotation};

impl Var {
    /// The first `heads` heads of this [B, T, H, D] turned by the angles of their positions; see [`Rotation::apply`].
    ///
    /// # Panics
    /// Where the rotation does not fit.
    #[track_caller]
    pub fn rope(&self, heads: usize, rotation: &Rotation) -> Var {
        let y = crate::ok(rotation.apply(self.value(), heads));
        record(&[self], y, |_| Rope { heads, rotation: rotation.clone() })
    }
}

struct Rope {
    heads: usize,
    rotation: Rotation,
}

impl Backward for Rope {
    fn op(&self) -> &'static Op {
        ROPE
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        vec![Some(crate::ok(self.rotation.backward(&dy, self.heads)))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("cos", &self.rotation.cos), ("sin", &self.rotation.sin)]
    }
}

const ROPE: &Op = &Op {
    name: "rope",
    formula: "y = x turned by t·θᵢ",
    cases: || {
        let case = |name, shape: &[usize], heads: usize, pairs: usize, pairing: Pairing| {
            Case::new(name, &[shape], move |x| {
                let positions = x[0].shape().get(1).copied().unwrap_or(0);
                let angles: Vec<f64> = (0..positions * pairs).map(|n| n as f64 * 0.7 + 0.3).collect();
                let [cos, sin] = [f64::cos, f64::sin].map(|f| {
                    let values: Vec<f64> = angles.iter().map(|&angle| f(angle)).collect();
                    Tensor::from_slice(&values, &[positions, pairs])
                });
                let [cos, sin] = [cos, sin].map(|table| beside(x, &table));
                x[0].rope(heads, &Rotation { cos, sin, pairing })
            })
        };
        let view = case("a transposed view", &[2, 2, 3, 4], 2, 2, Pairing::HalfSplit).function;
        vec![
            case("neighbouring channels", &[2, 3, 2, 6], 2, 3, Pairing::Interleaved),
            case("halves", &[2, 3, 2, 6], 2, 3, Pairing::HalfSplit),
            case("some heads, some channels", &[1, 4, 3, 7], 2, 2, Pairing::HalfSplit),
            case("no pairs", &[1, 2, 1, 3], 1, 0, Pairing::Interleaved),
            Case::new("a transposed view", &[&[2, 2, 3, 4]], move |x| {
                view(&crate::Tape::inference(), &[x[0].transpose(1, 2)])
            }),
        ]
    },
};

/// The operation of this file, for the registry.
pub const OPS: &[&Op] = &[ROPE];
