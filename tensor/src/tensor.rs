//! The tensor: a layout over shared storage. Here are its making, its views and its reading; `ops` computes.

use crate::error::panicking;
use crate::layout::{Layout, checked_len};
use crate::storage::Storage;
use crate::{DType, Element, Error, Result};
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
    pub(crate) fn recycled(dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let layout = Layout::contiguous(shape)?;
        Ok(Tensor { storage: Arc::new(Storage::recycled(dtype, layout.len())), layout })
    }

    /// All elements zero, of type `dtype`.
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

    /// All elements 0, in `f32`.
    #[track_caller]
    pub fn zeros(shape: &[usize]) -> Tensor {
        Tensor::full(0.0_f32, shape)
    }

    /// All elements `value`.
    ///
    /// # Panics
    /// As [`Tensor::zeros_of`].
    #[track_caller]
    pub fn full<E: Element>(value: E, shape: &[usize]) -> Tensor {
        let mut tensor = Tensor::recycled(E::DTYPE, shape).unwrap_or_else(|error| panic!("{error}"));
        tensor.data_mut::<E>().fill(value);
        tensor
    }

    /// A number as a tensor of no axes, in the type of another tensor.
    pub fn scalar(dtype: DType, value: f64) -> Tensor {
        match dtype {
            DType::F32 => Tensor::full(value as f32, &[]),
            DType::F64 => Tensor::full(value, &[]),
            DType::Bf16 => Tensor::full(round(value as f32), &[]),
            DType::U32 => Tensor::full(value as u32, &[]),
        }
    }

    /// A copy of `data`, row-major, under `shape`.
    ///
    /// # Errors
    /// Where the number of elements differs from that of the shape.
    pub fn try_from_slice<E: Element>(data: &[E], shape: &[usize]) -> Result<Tensor> {
        if checked_len("from_slice", shape)? != data.len() {
            let error = Error::new("from_slice", "the number of elements is not that of the shape").shape(shape);
            return Err(error.hint(format!("{} elements", data.len())));
        }
        let mut tensor = Tensor::recycled(E::DTYPE, shape)?;
        tensor.data_mut::<E>().copy_from_slice(data);
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

    /// The storage from this tensor's first element to its last: for kernels that take strides.
    pub(crate) fn data<E: Element>(&self) -> &[E] {
        let storage = self.storage.slice::<E>();
        if self.is_empty() {
            return &[]; // its offset may lie behind the end: an axis of size 0 has made the whole storage empty
        }
        &storage[self.layout.offset()..self.layout.end()]
    }

    /// The elements of a tensor that nobody shares, to be written.
    pub(crate) fn data_mut<E: Element>(&mut self) -> &mut [E] {
        if self.is_empty() {
            return &mut [];
        }
        let (first, end) = (self.layout.offset(), self.layout.end());
        let storage = Arc::get_mut(&mut self.storage).expect("an output is written before it is shared");
        &mut storage.slice_mut::<E>()[first..end]
    }

    /// The elements of a contiguous tensor.
    ///
    /// # Panics
    /// Where it is not contiguous, or of another type.
    #[track_caller]
    pub fn as_slice<E: Element>(&self) -> &[E] {
        assert!(self.is_contiguous(), "as_slice: {:?} is a view that is not contiguous", self.shape());
        self.data()
    }

    /// Whether it is contiguous and nobody shares its storage.
    pub(crate) fn is_own(&mut self) -> bool {
        Arc::get_mut(&mut self.storage).is_some() && self.is_contiguous()
    }

    /// The elements of a contiguous tensor, to be changed; where other tensors share them, they are copied first.
    ///
    /// # Panics
    /// Where the elements are of another type.
    pub fn make_mut<E: Element>(&mut self) -> &mut [E] {
        if !self.is_own() {
            *self = self.copied();
        }
        self.data_mut()
    }

    /// The elements in row-major order.
    ///
    /// # Panics
    /// Where they are of another type.
    pub fn to_vec<E: Element>(&self) -> Vec<E> {
        self.contiguous().as_slice().to_vec()
    }

    /// The elements in row-major order as `f64`, whatever their type.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        match self.dtype() {
            DType::F32 => self.to_vec::<f32>().into_iter().map(f64::from).collect(),
            DType::F64 => self.to_vec(),
            DType::Bf16 => self.to_vec::<bf16>().into_iter().map(f64::from).collect(),
            DType::U32 => self.to_vec::<u32>().into_iter().map(f64::from).collect(),
        }
    }

    /// The only element, as `f64`.
    ///
    /// # Panics
    /// Where there is not exactly one.
    #[track_caller]
    pub fn item(&self) -> f64 {
        assert_eq!(self.len(), 1, "item: {:?} has not one element", self.shape());
        match self.dtype() {
            DType::F32 => f64::from(self.data::<f32>()[0]),
            DType::F64 => self.data::<f64>()[0],
            DType::Bf16 => self.data::<bf16>()[0].to_f64(),
            DType::U32 => f64::from(self.data::<u32>()[0]),
        }
    }

    fn view(&self, layout: Result<Layout>) -> Result<Tensor> {
        Ok(Tensor { storage: self.storage.clone(), layout: layout? })
    }

    /// A view under another shape; see [`Layout::reshape`].
    ///
    /// # Errors
    /// Where the number of elements differs, or the strides cannot say it.
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
        write!(f, "Tensor {}{:?} {first:?}", self.dtype(), self.shape())?;
        if self.len() > SHOWN { write!(f, " …") } else { Ok(()) }
    }
}
