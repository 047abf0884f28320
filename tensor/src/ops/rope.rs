//! Rotary position embedding: pairs of channels are rotated by angles that grow with the position.

use super::{run, same_dtype};
use crate::{Device, Error, Result, Tensor};
use gradus_kernels::rope;
pub use gradus_kernels::rope::Pairing;

/// The angles by which the rows of T positions are rotated.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// cos(t·θᵢ), [T, R/2].
    pub cos: Tensor,
    /// sin(t·θᵢ), [T, R/2].
    pub sin: Tensor,
    /// Which two channels make pair i.
    pub pairing: Pairing,
}

impl Rotation {
    /// The same angles on another device.
    pub fn to_device(&self, device: &Device) -> Rotation {
        Rotation { cos: self.cos.to_device(device), sin: self.sin.to_device(device), pairing: self.pairing }
    }

    /// The first `heads` heads of x [B, T, H, D] rotated by the angles of their positions, in their first R channels (Su et al.
    /// 2021, eq. 34); the other channels and heads are copied. `x.shape()[2]` rotates all heads.
    ///
    /// # Errors
    /// Where the tables are not of T positions, R is larger than D, there are not so many heads, or the types differ.
    pub fn apply(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        self.rotate(x, heads, false)
    }

    /// The gradient of the input of [`Rotation::apply`] from that of its output: the rotation by the negative angles.
    ///
    /// # Errors
    /// As [`Rotation::apply`].
    pub fn backward(&self, dy: &Tensor, heads: usize) -> Result<Tensor> {
        self.rotate(dy, heads, true)
    }

    fn rotate(&self, x: &Tensor, heads: usize, inverse: bool) -> Result<Tensor> {
        let shape = self.shape_of(x, heads)?;
        let [x, cos, sin] = [x, &self.cos, &self.sin].map(Tensor::contiguous);
        let mut y = x.new_empty(x.shape())?;
        run!(
            "rope",
            x,
            rope::rotate(
                rope::InputOf { shape, pairing: self.pairing, inverse, x: x.data(), cos: cos.data(), sin: sin.data() },
                y.data_mut(),
            )
        );
        Ok(y)
    }

    fn shape_of(&self, x: &Tensor, rotated: usize) -> Result<rope::Shape> {
        let error = |problem: &str| Error::new("rope", problem).shape(x.shape()).shape(self.cos.shape());
        same_dtype("rope", x, &self.cos)?;
        same_dtype("rope", x, &self.sin)?;
        let ([b, t, h, d], [positions, pairs]) = (x.shape(), self.cos.shape()) else {
            return Err(error("x needs the axes [B, T, H, D], the tables [T, R/2]"));
        };
        if self.cos.shape() != self.sin.shape() {
            return Err(error("cosines and sines differ").shape(self.sin.shape()));
        }
        if t != positions {
            return Err(error("the tables are of other positions").axis(1).hint(format!("{t} ≠ {positions}")));
        }
        if *pairs > d / 2 {
            return Err(error("a head has too few channels").axis(3).hint(format!("{d} < 2·{pairs}")));
        }
        if rotated > *h {
            return Err(error("there are fewer heads").axis(2).hint(format!("{h} < {rotated}")));
        }
        Ok(rope::Shape { b: *b, t: *t, h: *h, rotated, d: *d, pairs: *pairs })
    }
}
