//! The tensor: a layout over shared storage. This file creates, views and reads tensors; `ops` computes with them.

use crate::error::panicking;
use crate::layout::{Layout, checked_len};
use crate::ops::run;
use crate::storage::Storage;
use crate::{DType, Device, Element, Error, Result};
use gradus_kernels::simd::bf16::round;
use half::bf16;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// An array of numbers with a shape. Cloning it and taking views of it shares the storage.
///
/// ```
/// use gradus_tensor::Tensor;
/// let a = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
/// let column = a.slice(1, 1..2);
/// assert_eq!(column.to_vec::<f32>(), [2.0, 5.0]);
/// assert_eq!((&a + &column).to_vec::<f32>(), [3.0, 4.0, 5.0, 9.0, 10.0, 11.0]);
/// ```
#[derive(Clone)]
pub struct Tensor {
    storage: Arc<Storage>,
    layout: Layout,
}

impl Tensor {
    /// A tensor whose elements are still to be written: whatever stood in the recycled memory (NaN in debug builds).
    fn recycled(device: &Device, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let layout = Layout::contiguous(shape)?;
        Ok(Tensor { storage: Arc::new(Storage::recycled(device, dtype, layout.len())?), layout })
    }

    /// A tensor on this one's device and of its type, whose elements are still to be written.
    pub(crate) fn new_empty(&self, shape: &[usize]) -> Result<Tensor> {
        self.new_empty_of(self.dtype(), shape)
    }

    /// A tensor on this one's device whose elements are still to be written.
    pub(crate) fn new_empty_of(&self, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        Tensor::recycled(self.device(), dtype, shape)
    }

    /// A tensor on this one's device and of its type with all elements `value`, rounded to the type.
    ///
    /// # Panics
    /// As [`Tensor::zeros_of`].
    #[track_caller]
    pub fn new_full(&self, value: f64, shape: &[usize]) -> Tensor {
        self.try_new_full(value, shape).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_new_full(&self, value: f64, shape: &[usize]) -> Result<Tensor> {
        let mut tensor = self.new_empty(shape)?;
        run!(any self, cast::fill(value, tensor.data_mut()));
        Ok(tensor)
    }

    /// Zeros on this tensor's device and of its type.
    ///
    /// # Panics
    /// As [`Tensor::zeros_of`].
    #[track_caller]
    pub fn new_zeros(&self, shape: &[usize]) -> Tensor {
        self.new_full(0.0, shape)
    }

    /// All elements zero, of type `dtype`, on the CPU.
    ///
    /// # Panics
    /// Where the shape has more than `MAX_DIMS` axes or more elements than can be addressed.
    #[track_caller]
    pub fn zeros_of(dtype: DType, shape: &[usize]) -> Tensor {
        match dtype {
            DType::F32 => Tensor::full(0.0_f32, shape),
            DType::F64 => Tensor::full(0.0_f64, shape),
            DType::Bf16 => Tensor::full(bf16::ZERO, shape),
            DType::U32 => Tensor::full(0_u32, shape),
        }
    }

    /// All elements 0, in `f32`, on the CPU.
    #[track_caller]
    pub fn zeros(shape: &[usize]) -> Tensor {
        Tensor::full(0.0_f32, shape)
    }

    /// All elements `value`, on the CPU.
    ///
    /// # Panics
    /// As [`Tensor::zeros_of`].
    #[track_caller]
    pub fn full<E: Element>(value: E, shape: &[usize]) -> Tensor {
        let mut tensor = Tensor::recycled(&Device::Cpu, E::DTYPE, shape).unwrap_or_else(|error| panic!("{error}"));
        tensor.data_mut::<&mut [E]>().fill(value);
        tensor
    }

    /// A number as a scalar tensor (no axes), on the CPU.
    pub fn scalar(dtype: DType, value: f64) -> Tensor {
        match dtype {
            DType::F32 => Tensor::full(value as f32, &[]),
            DType::F64 => Tensor::full(value, &[]),
            DType::Bf16 => Tensor::full(round(value as f32), &[]),
            DType::U32 => Tensor::full(value as u32, &[]),
        }
    }

    /// A copy of `data`, row-major, under `shape`, on the CPU.
    ///
    /// # Errors
    /// Where the number of elements differs from that of the shape.
    pub fn try_from_slice<E: Element>(data: &[E], shape: &[usize]) -> Result<Tensor> {
        if checked_len("from_slice", shape)? != data.len() {
            let error = Error::new("from_slice", "the number of elements is not that of the shape").shape(shape);
            return Err(error.hint(format!("{} elements", data.len())));
        }
        let mut tensor = Tensor::recycled(&Device::Cpu, E::DTYPE, shape)?;
        tensor.data_mut::<&mut [E]>().copy_from_slice(data);
        Ok(tensor)
    }

    /// [`Tensor::try_from_slice`] that panics with the text of its error.
    #[track_caller]
    pub fn from_slice<E: Element>(data: &[E], shape: &[usize]) -> Tensor {
        Tensor::try_from_slice(data, shape).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// How the shape lies in the storage.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.layout.rank()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    /// The size of the last axis, 1 where there are no axes.
    pub fn last_size(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// The device that holds the elements and computes with them.
    pub fn device(&self) -> &Device {
        self.storage.device()
    }

    /// The same numbers on another device: a copy, or this tensor where it is there already.
    ///
    /// ```
    /// use gradus_tensor::{Device, Tensor};
    /// let a = Tensor::from_slice(&[1.0_f32, 2.0], &[2]);
    /// assert!(a.to_device(&Device::Cpu).shares_storage_with(&a));
    /// ```
    ///
    /// # Panics
    /// Where the device has not so much memory, or one of them has failed.
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Tensor {
        self.try_to_device(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`Tensor::to_device`] that returns its error.
    ///
    /// # Errors
    /// Where the device has not so much memory, or one of them has failed.
    pub fn try_to_device(&self, device: &Device) -> Result<Tensor> {
        if self.device() == device {
            return Ok(self.clone());
        }
        let x = self.contiguous();
        let range = if x.is_empty() { 0..0 } else { x.layout.offset()..x.layout.end() };
        let layout = Layout::contiguous(x.shape())?;
        Ok(Tensor { storage: Arc::new(x.storage.copied_to(device, range)?), layout })
    }

    /// The largest element of a tensor of indices besides `ignored`, or `None` where there is no other. On a device it
    /// may be a larger one of the storage behind a view, or `limit` or more where the exact one is not needed: the host
    /// knows it from before it copied the indices there, and only where that is not below `limit` it waits for a copy.
    pub(crate) fn largest_index(&self, ignored: Option<u32>, limit: usize) -> Option<u32> {
        if let Some(known) = self.storage.largest_indices() {
            let largest = known.0.into_iter().flatten().find(|&index| Some(index) != ignored);
            if largest.is_none_or(|index| (index as usize) < limit) {
                return largest;
            }
        }
        let indices = self.contiguous().to_device(&Device::Cpu);
        indices.as_host_slice::<u32>().iter().copied().filter(|&index| Some(index) != ignored).max()
    }

    /// The bytes that the elements take.
    pub fn bytes(&self) -> usize {
        self.len() * self.dtype().size()
    }

    /// Whether the elements stand side by side in row-major order.
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// Whether both read the same storage.
    pub fn shares_storage_with(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.storage, &other.storage)
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The storage of a tensor that nobody shares.
    pub(crate) fn own_storage(&mut self) -> &mut Storage {
        Arc::get_mut(&mut self.storage).expect("an output is written before it is shared")
    }

    /// Whether it is contiguous and nobody shares its storage.
    pub(crate) fn is_own(&mut self) -> bool {
        Arc::get_mut(&mut self.storage).is_some() && self.is_contiguous()
    }

    /// Makes it contiguous and its storage its own, copying where needed, so that a kernel may write to it in place.
    pub(crate) fn make_own(&mut self) {
        if !self.is_own() {
            *self = self.copied();
        }
    }

    /// A copy of the elements in row-major order on the host. Where they are on a device, the host waits for them.
    ///
    /// # Panics
    /// Where they are of another type.
    pub fn to_vec<E: Element>(&self) -> Vec<E> {
        self.contiguous().to_device(&Device::Cpu).as_host_slice().to_vec()
    }

    /// A copy of the elements in row-major order as `f64`, whatever their type and device.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        match self.dtype() {
            DType::F32 => self.to_vec::<f32>().into_iter().map(f64::from).collect(),
            DType::F64 => self.to_vec(),
            DType::Bf16 => self.to_vec::<bf16>().into_iter().map(f64::from).collect(),
            DType::U32 => self.to_vec::<u32>().into_iter().map(f64::from).collect(),
        }
    }

    /// The only element, as `f64`. Where it is on a device, the host waits for it.
    ///
    /// # Panics
    /// Where there is not exactly one.
    #[track_caller]
    pub fn item(&self) -> f64 {
        assert_eq!(self.len(), 1, "item: {:?} has not one element", self.shape());
        let on_host = self.to_device(&Device::Cpu);
        match self.dtype() {
            DType::F32 => f64::from(on_host.data::<&[f32]>()[0]),
            DType::F64 => on_host.data::<&[f64]>()[0],
            DType::Bf16 => on_host.data::<&[bf16]>()[0].to_f64(),
            DType::U32 => f64::from(on_host.data::<&[u32]>()[0]),
        }
    }

    fn view(&self, layout: Result<Layout>) -> Result<Tensor> {
        Ok(Tensor { storage: self.storage.clone(), layout: layout? })
    }

    /// A view under another shape; see [`Layout::reshape`].
    ///
    /// # Errors
    /// Where the number of elements differs, or no strides express it.
    pub fn try_reshape(&self, shape: &[usize]) -> Result<Tensor> {
        self.view(self.layout.reshape(shape))
    }

    /// A view with the axes in another order; see [`Layout::permute`].
    ///
    /// # Errors
    /// Where `axes` is no permutation.
    pub fn try_permute(&self, axes: &[usize]) -> Result<Tensor> {
        self.view(self.layout.permute(axes))
    }

    /// A view with two axes exchanged.
    ///
    /// # Errors
    /// Where there is no such axis.
    pub fn try_transpose(&self, a: usize, b: usize) -> Result<Tensor> {
        self.layout.check_axis("transpose", a)?;
        self.layout.check_axis("transpose", b)?;
        let mut axes: crate::layout::Dims = (0..self.rank()).collect();
        axes.swap(a, b);
        self.try_permute(&axes)
    }

    /// A view of the elements `range` along `axis`.
    ///
    /// # Errors
    /// Where there is no such axis, or the range leaves it.
    pub fn try_slice(&self, axis: usize, range: Range<usize>) -> Result<Tensor> {
        self.view(self.layout.slice(axis, range))
    }

    /// A view that repeats axes of size 1, and adds axes in front; see [`Layout::broadcast_to`].
    ///
    /// # Errors
    /// Where an axis has another size.
    pub fn try_broadcast_to(&self, shape: &[usize]) -> Result<Tensor> {
        self.view(self.layout.broadcast_to(shape))
    }

    /// This tensor where it is contiguous, else a contiguous copy.
    pub fn contiguous(&self) -> Tensor {
        if self.is_contiguous() { self.clone() } else { self.copied() }
    }
}

panicking! { Tensor {
    reshape = try_reshape(shape: &[usize]) -> Tensor;
    permute = try_permute(axes: &[usize]) -> Tensor;
    transpose = try_transpose(a: usize, b: usize) -> Tensor;
    slice = try_slice(axis: usize, range: Range<usize>) -> Tensor;
    broadcast_to = try_broadcast_to(shape: &[usize]) -> Tensor;
} }

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let first: Vec<f64> = self.to_f64_vec().into_iter().take(SHOWN).collect();
        write!(f, "Tensor {}{:?}", self.dtype(), self.shape())?;
        if !self.device().is_host() {
            write!(f, " on {}", self.device())?;
        }
        write!(f, " {first:?}")?;
        if self.len() > SHOWN { write!(f, " …") } else { Ok(()) }
    }
}
