//! Tensors put together and taken apart along an axis.

use super::{run, same_dtype};
use crate::error::panicking;
use crate::layout::Dims;
use crate::{Error, Layout, Result, Tensor};

impl Tensor {
    /// The parts of `sizes` elements along `axis`, as views.
    ///
    /// # Errors
    /// Where there is no such axis, or the sizes do not add up to it.
    pub fn try_split(&self, axis: usize, sizes: &[usize]) -> Result<Vec<Tensor>> {
        self.layout().check_axis("split", axis)?;
        let total = sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size));
        if total != Some(self.shape()[axis]) {
            let error = Error::new("split", "the sizes do not add up").shape(self.shape()).shape(sizes);
            return Err(error.axis(axis));
        }
        let mut start = 0;
        let part = |&size: &usize| {
            start += size;
            self.try_slice(axis, start - size..start)
        };
        sizes.iter().map(part).collect()
    }
}

impl Tensor {
    /// Writes `part` over the elements from `start` on along `axis`, in place where nobody else holds the storage.
    ///
    /// # Panics
    /// Where `part` does not fit, or the types or devices differ.
    #[track_caller]
    pub fn write_slice(&mut self, axis: usize, start: usize, part: &Tensor) {
        assert!(axis < part.rank(), "write_slice: the part has no axis {axis}: {:?}", part.shape());
        let region = self.slice(axis, start..start.saturating_add(part.shape()[axis]));
        assert_eq!(region.shape(), part.shape(), "write_slice: the part does not fit");
        assert_eq!(self.dtype(), part.dtype(), "write_slice: types differ");
        assert_eq!(self.device(), part.device(), "write_slice: devices differ");
        drop(region);
        if !part.is_empty() {
            self.make_own(); // only now are the strides those of a contiguous tensor
            let layout = self.layout().clone();
            let from = start * layout.strides()[axis];
            copy_to(part, self, from, &layout).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// Copies `part` to where `layout` leads to from element `from` of y on, which nobody shares.
fn copy_to(part: &Tensor, y: &mut Tensor, from: usize, layout: &Layout) -> Result<()> {
    let (shape, strides, rest) = (part.shape(), part.layout().strides(), from..y.len());
    run!(any part, elementwise::copy(shape, part.data(), strides, y.data_mut_at(rest.clone()), layout.strides()));
    Ok(())
}

panicking! { Tensor {
    split = try_split(axis: usize, sizes: &[usize]) -> Vec<Tensor>;
} }

/// The tensors one after another along `axis`; the other axes have to agree.
///
/// # Errors
/// Where there are none, or shapes or types differ.
pub fn concat(parts: &[&Tensor], axis: usize) -> Result<Tensor> {
    let first = parts.first().ok_or_else(|| Error::new("concat", "there is nothing to concatenate"))?;
    first.layout().check_axis("concat", axis)?;
    let mut shape: Dims = first.shape().iter().copied().collect();
    shape[axis] = 0;
    for part in parts {
        same_dtype("concat", first, part)?;
        let differs = |a: &usize| *a != axis && part.shape()[*a] != first.shape()[*a];
        if part.rank() != first.rank() || (0..first.rank()).any(|a| differs(&a)) {
            return Err(Error::new("concat", "other axes differ").shape(first.shape()).shape(part.shape()).axis(axis));
        }
        shape[axis] += part.shape()[axis];
    }
    let mut y = first.new_empty(&shape)?;
    let layout = y.layout().clone();
    let mut start = 0;
    for part in parts {
        let from = start * layout.strides()[axis];
        start += part.shape()[axis];
        if !part.is_empty() {
            copy_to(part, &mut y, from, &layout)?;
        }
    }
    Ok(y)
}
