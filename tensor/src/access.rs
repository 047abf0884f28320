//! How code gets at the elements of a tensor: kernels as their arguments, in `run!` alone, and the host where they are in its memory.

use crate::storage::Storage;
use crate::{Element, Tensor};
#[cfg(feature = "cuda")]
use gradus_kernels::cuda::{Slice, SliceMut};
use std::ops::Range;

/// An argument that a kernel reads. The parameter's type says where it has to be: a slice of Rust on the host, one of the device there.
pub(crate) trait Read<'a> {
    /// The elements `range` of the storage. Panics where they are of another type, or elsewhere.
    fn of(storage: &'a Storage, range: Range<usize>) -> Self;
}

/// An argument that a kernel writes, as [`Read`].
pub(crate) trait Write<'a> {
    /// The elements `range` of the storage. Panics where they are of another type, or elsewhere.
    fn of(storage: &'a mut Storage, range: Range<usize>) -> Self;
}

impl<'a, E: Element> Read<'a> for &'a [E] {
    fn of(storage: &'a Storage, range: Range<usize>) -> &'a [E] {
        &storage.slice()[range]
    }
}

impl<'a, E: Element> Write<'a> for &'a mut [E] {
    fn of(storage: &'a mut Storage, range: Range<usize>) -> &'a mut [E] {
        &mut storage.slice_mut()[range]
    }
}

#[cfg(feature = "cuda")]
impl<'a, E: Element> Read<'a> for Slice<'a, E> {
    fn of(storage: &'a Storage, range: Range<usize>) -> Slice<'a, E> {
        storage.cuda_slice(range)
    }
}

#[cfg(feature = "cuda")]
impl<'a, E: Element> Write<'a> for SliceMut<'a, E> {
    fn of(storage: &'a mut Storage, range: Range<usize>) -> SliceMut<'a, E> {
        storage.cuda_slice_mut(range)
    }
}

impl Tensor {
    /// From this tensor's first element in the storage to its last.
    fn span(&self) -> Range<usize> {
        // The offset of no elements may lie behind the end: an axis of size 0 has made the whole storage empty.
        if self.is_empty() { 0..0 } else { self.layout().offset()..self.layout().end() }
    }

    /// The storage from this tensor's first element to its last, as an argument of a kernel in `run!`.
    pub(crate) fn data<'a, S: Read<'a>>(&'a self) -> S {
        S::of(self.storage(), self.span())
    }

    /// The elements of a tensor that nobody shares, to be written by a kernel in `run!`.
    pub(crate) fn data_mut<'a, S: Write<'a>>(&'a mut self) -> S {
        let span = self.span();
        S::of(self.own_storage(), span)
    }

    /// The same, the elements `range` of them.
    pub(crate) fn data_mut_at<'a, S: Write<'a>>(&'a mut self, range: Range<usize>) -> S {
        let span = self.span();
        assert!(range.start <= range.end && range.end <= span.len(), "elements {range:?} of {}", span.len());
        S::of(self.own_storage(), span.start + range.start..span.start + range.end)
    }

    /// The elements of a contiguous tensor on the CPU, without a copy. [`Tensor::to_vec`] copies from any device.
    ///
    /// # Panics
    /// Where it is not contiguous, of another type, or on another device.
    #[track_caller]
    pub fn as_host_slice<E: Element>(&self) -> &[E] {
        assert!(self.is_contiguous(), "as_host_slice: {:?} is a view that is not contiguous", self.shape());
        self.assert_on_host("as_host_slice");
        self.data()
    }

    /// The elements in row-major order, to be changed by the host; where other tensors share them, or they are not
    /// contiguous, they are copied first.
    ///
    /// # Panics
    /// Where the elements are of another type, or on another device.
    #[track_caller]
    pub fn make_host_mut<E: Element>(&mut self) -> &mut [E] {
        self.assert_on_host("make_host_mut");
        self.make_own();
        self.data_mut()
    }

    #[track_caller]
    fn assert_on_host(&self, op: &str) {
        assert!(self.device().is_host(), "{op}: the tensor is on {}: to_device copies it to the cpu", self.device());
    }
}
