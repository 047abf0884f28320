//! Reductions over any axes: sum, mean, max, min, variance, argmax.

use super::run;
use crate::error::panicking;
use crate::layout::Dims;
use crate::{Error, Result, Tensor};
pub use gradus_kernels::elementwise::Binary;
pub use gradus_kernels::reduce::Reduce;

/// The axes of a reduction: what is kept and what is reduced, with shapes and strides.
struct Axes {
    kept: (Dims, Dims),
    reduced: (Dims, Dims),
    result: Dims,
}

fn axes(op: &'static str, x: &Tensor, axes: &[usize], keep_axes: bool) -> Result<Axes> {
    let is_reduced = x.layout().check_axes(op, axes)?;
    let part = |reduced: bool| -> (Dims, Dims) {
        let of = |axis: &usize| is_reduced[*axis] == reduced;
        let pick = |sizes: &[usize]| (0..x.rank()).filter(of).map(|axis| sizes[axis]).collect();
        (pick(x.shape()), pick(x.layout().strides()))
    };
    let result = (0..x.rank()).filter(|&axis| keep_axes || !is_reduced[axis]);
    let result = result.map(|axis| if is_reduced[axis] { 1 } else { x.shape()[axis] }).collect();
    Ok(Axes { kept: part(false), reduced: part(true), result })
}

fn name(op: Reduce) -> &'static str {
    match op {
        Reduce::Sum => "sum",
        Reduce::Mean => "mean",
        Reduce::Max => "max",
        Reduce::Min => "min",
        Reduce::Variance { .. } => "variance",
    }
}

impl Tensor {
    /// One number for all elements along `axes`, which stay as axes of size 1 where `keep_axes` is set.
    ///
    /// # Errors
    /// Where there is no such axis, one is named twice, or for indices.
    pub fn try_reduce(&self, op: Reduce, axes: &[usize], keep_axes: bool) -> Result<Tensor> {
        let Axes { kept, reduced, result } = self::axes(name(op), self, axes, keep_axes)?;
        let mut y = self.new_empty(&result)?;
        run!("reduce", self, reduce::reduce(op, &kept.0, &kept.1, &reduced.0, &reduced.1, self.data(), y.data_mut()));
        Ok(y)
    }

    /// The sum along `axes`.
    ///
    /// # Errors
    /// As [`Tensor::try_reduce`].
    pub fn try_sum(&self, axes: &[usize], keep_axes: bool) -> Result<Tensor> {
        self.try_reduce(Reduce::Sum, axes, keep_axes)
    }

    /// The mean along `axes`; NaN of none.
    ///
    /// # Errors
    /// As [`Tensor::try_reduce`].
    pub fn try_mean(&self, axes: &[usize], keep_axes: bool) -> Result<Tensor> {
        self.try_reduce(Reduce::Mean, axes, keep_axes)
    }

    /// Where along `axis` the largest element stands: the first of equals, a NaN before all.
    ///
    /// # Errors
    /// Where there is no such axis, or for indices; where the axis has no elements to choose from.
    pub fn try_argmax(&self, axis: usize) -> Result<Tensor> {
        let Axes { kept, reduced, result } = axes("argmax", self, &[axis], false)?;
        if self.shape()[axis] == 0 && result.iter().all(|&size| size > 0) {
            return Err(Error::new("argmax", "there is nothing to choose from").shape(self.shape()).axis(axis));
        }
        let mut y = self.new_empty_of(crate::DType::U32, &result)?;
        run!("argmax", self, reduce::argmax(&kept.0, &kept.1, &reduced.0, &reduced.1, self.data(), y.data_mut()));
        Ok(y)
    }
}

panicking! { Tensor {
    reduce = try_reduce(op: Reduce, axes: &[usize], keep_axes: bool) -> Tensor;
    sum = try_sum(axes: &[usize], keep_axes: bool) -> Tensor;
    mean = try_mean(axes: &[usize], keep_axes: bool) -> Tensor;
    argmax = try_argmax(axis: usize) -> Tensor;
} }
