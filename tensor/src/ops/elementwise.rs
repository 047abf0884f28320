//! Element by element: functions of one tensor, operators of two under NumPy's broadcasting, selection, copies.

use super::{not_a_float, run, same_dtype, same_shape};
use crate::error::panicking;
use crate::layout::broadcast_shapes;
use crate::{DType, Element, Error, Layout, Result, Tensor};
pub use gradus_kernels::elementwise::{Binary, Domain, Saves, Unary};
use half::bf16;

impl Tensor {
    /// op(x) for each element.
    ///
    /// # Errors
    /// For indices.
    pub fn try_unary(&self, op: Unary) -> Result<Tensor> {
        let x = self.contiguous();
        let mut y = x.new_empty(x.shape())?;
        run!("unary", x, elementwise::unary(op, x.data(), y.data_mut()));
        Ok(y)
    }

    /// op(a, b) for each element, both broadcast to their common shape.
    ///
    /// # Errors
    /// Where the shapes do not broadcast, or the types differ.
    pub fn try_binary(&self, op: Binary, other: &Tensor) -> Result<Tensor> {
        let name = op.name();
        same_dtype(name, self, other)?;
        let shape = broadcast_shapes(name, self.shape(), other.shape())?;
        let (a, b) = (self.broadcast_to(&shape), other.broadcast_to(&shape));
        let mut y = self.new_empty(&shape)?;
        let (a_strides, b_strides) = (a.layout().strides(), b.layout().strides());
        match self.dtype() {
            dtype @ (DType::U32 | DType::Bf16) => return Err(not_a_float(name, dtype)),
            _ => run!(
                "binary",
                self,
                elementwise::binary(op, &shape, a.data(), a_strides, b.data(), b_strides, y.data_mut())
            ),
        }
        Ok(y)
    }

    /// `yes` where this is not zero, `no` elsewhere; all three are broadcast to their common shape.
    ///
    /// # Errors
    /// Where the shapes do not broadcast, or the types differ.
    pub fn try_select(&self, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
        same_dtype("select", yes, no)?;
        same_dtype("select", self, yes)?;
        let shape = broadcast_shapes("select", self.shape(), &broadcast_shapes("select", yes.shape(), no.shape())?)?;
        let (c, a, b) = (self.broadcast_to(&shape), yes.broadcast_to(&shape), no.broadcast_to(&shape));
        let mut y = self.new_empty(&shape)?;
        let strides = [&c, &a, &b].map(|t| t.layout().strides());
        run!(
            "select",
            self,
            elementwise::select(&shape, c.data(), strides[0], a.data(), strides[1], b.data(), strides[2], y.data_mut())
        );
        Ok(y)
    }

    /// The same numbers in another type, rounded to nearest; an index type drops fractions. In bf16 denormal numbers
    /// are zero, as they are for the instructions that compute with it.
    pub fn to_dtype(&self, dtype: DType) -> Tensor {
        if self.dtype() == dtype {
            return self.clone();
        }
        let cast = match dtype {
            DType::F32 => self.cast::<f32>(),
            DType::F64 => self.cast::<f64>(),
            DType::Bf16 => self.cast::<bf16>(),
            DType::U32 => self.cast::<u32>(),
        };
        cast.unwrap_or_else(|error| panic!("{error}"))
    }

    fn cast<Y: Element>(&self) -> Result<Tensor> {
        let x = self.contiguous();
        let mut y = x.new_empty_of(Y::DTYPE, x.shape())?;
        match x.dtype() {
            DType::F32 => run!(f32 x, cast::cast::<f32, Y>(x.data(), y.data_mut())),
            DType::F64 => run!(f32 x, cast::cast::<f64, Y>(x.data(), y.data_mut())),
            DType::Bf16 => run!(f32 x, cast::cast::<bf16, Y>(x.data(), y.data_mut())),
            DType::U32 => run!(f32 x, cast::cast::<u32, Y>(x.data(), y.data_mut())),
        }
        Ok(y)
    }

    /// A contiguous copy in memory of its own.
    ///
    /// # Panics
    /// Where the device has not so much memory, or has failed.
    #[track_caller]
    pub(crate) fn copied(&self) -> Tensor {
        self.try_copied().unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_copied(&self) -> Result<Tensor> {
        let mut copy = self.new_empty(self.shape())?;
        let y = copy.layout().clone();
        run!(any self, elementwise::copy(self.shape(), self.data(), self.layout().strides(), copy.data_mut(), y.strides()));
        Ok(copy)
    }

    /// self += other, in place; the memory is copied first where another tensor shares it.
    ///
    /// # Errors
    /// Where the shapes or types differ.
    pub fn try_accumulate(&mut self, other: &Tensor) -> Result<()> {
        same_shape("accumulate", self, other)?;
        let other = other.contiguous();
        self.make_own();
        run!("accumulate", other, elementwise::accumulate(self.data_mut(), other.data()));
        Ok(())
    }

    /// The sum over the axes that broadcasting added or repeated: the gradient of [`Tensor::broadcast_to`].
    ///
    /// # Errors
    /// Where this shape is not what `shape` broadcasts to.
    pub fn try_sum_to(&self, shape: &[usize]) -> Result<Tensor> {
        if self.shape() == shape {
            return Ok(self.clone());
        }
        let own = Layout::contiguous(shape)?;
        own.broadcast_to(self.shape()).map_err(|error| Error { op: "sum_to", ..error })?;
        let missing = self.rank() - shape.len();
        let repeated = |axis: &usize| *axis < missing || (shape[axis - missing] == 1 && self.shape()[*axis] != 1);
        let axes: crate::layout::Dims = (0..self.rank()).filter(repeated).collect();
        self.try_sum(&axes, true)?.try_reshape(shape)
    }
}

panicking! { Tensor {
    unary = try_unary(op: Unary) -> Tensor;
    binary = try_binary(op: Binary, other: &Tensor) -> Tensor;
    select = try_select(yes: &Tensor, no: &Tensor) -> Tensor;
    sum_to = try_sum_to(shape: &[usize]) -> Tensor;
} }

/// dx = dy · op′: from what the operation saves ([`Unary::saves`]), x or y; any tensor where it saves nothing. Where
/// nobody shares dy, dx takes its place.
///
/// # Errors
/// Where the shapes or types differ.
pub fn unary_backward(op: Unary, saved: Option<&Tensor>, dy: Tensor) -> Result<Tensor> {
    let mut dy = if dy.is_contiguous() { dy } else { dy.copied() };
    if let Some(saved) = saved {
        same_shape("unary_backward", saved, &dy)?;
    }
    let saved = saved.map(Tensor::contiguous);
    let empty = dy.new_empty(&[0])?;
    let saved = saved.as_ref().unwrap_or(&empty);
    if dy.dtype() == DType::F32 && dy.is_own() {
        run!(f32 saved, elementwise::unary_backward_in_place(op, saved.data(), dy.data_mut()));
        return Ok(dy);
    }
    let mut dx = dy.new_empty(dy.shape())?;
    run!("unary_backward", dy, elementwise::unary_backward(op, saved.data(), dy.data(), dx.data_mut()));
    Ok(dx)
}

macro_rules! operators {
    ($($trait:ident :: $method:ident = $op:ident),*) => {$(
        impl std::ops::$trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                self.binary(Binary::$op, other)
            }
        }
        impl std::ops::$trait<f64> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f64) -> Tensor {
                self.binary(Binary::$op, &self.new_full(other, &[]))
            }
        }
    )*};
}
operators!(Add::add = Add, Sub::sub = Sub, Mul::mul = Mul, Div::div = Div);

impl std::ops::Neg for &Tensor {
    type Output = Tensor;
    fn neg(self) -> Tensor {
        self.unary(Unary::Neg)
    }
}
