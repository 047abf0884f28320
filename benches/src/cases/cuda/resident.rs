//! Arrays of a case that lie in the memory of a device, and back.

use super::line;
use crate::Result;
use gradus_kernels::cuda::{Buffer, Gpu, Slice, SliceMut};
use half::bf16;

/// An array of the host, by the type of its elements.
pub(super) enum Array<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
    U32(&'a mut [u32]),
    Bf16(&'a mut [bf16]),
}

impl Array<'_> {
    /// A copy in the memory of a device.
    pub(super) fn uploaded(self, gpu: &Gpu) -> Result<Buffer> {
        match self {
            Array::F32(x) => Buffer::from_host(gpu, x),
            Array::F64(x) => Buffer::from_host(gpu, x),
            Array::U32(x) => Buffer::from_host(gpu, x),
            Array::Bf16(x) => Buffer::from_host(gpu, x),
        }
        .map_err(line)
    }

    /// Copies the elements into a buffer of as many.
    pub(super) fn upload(self, buffer: &mut Buffer) -> Result<()> {
        match self {
            Array::F32(x) => buffer.slice_mut(0..x.len()).copy_from_host(x),
            Array::F64(x) => buffer.slice_mut(0..x.len()).copy_from_host(x),
            Array::U32(x) => buffer.slice_mut(0..x.len()).copy_from_host(x),
            Array::Bf16(x) => buffer.slice_mut(0..x.len()).copy_from_host(x),
        }
        .map_err(line)
    }

    /// Copies the elements of a buffer back, once all that was started is done.
    pub(super) fn download(self, buffer: &Buffer) -> Result<()> {
        match self {
            Array::F32(x) => buffer.slice(0..x.len()).copy_to_host(x),
            Array::F64(x) => buffer.slice(0..x.len()).copy_to_host(x),
            Array::U32(x) => buffer.slice(0..x.len()).copy_to_host(x),
            Array::Bf16(x) => buffer.slice(0..x.len()).copy_to_host(x),
        }
        .map_err(line)
    }
}

/// All elements of a buffer.
pub(super) fn f32s(buffer: &Buffer) -> Slice<'_, f32> {
    buffer.slice(0..buffer.bytes() / size_of::<f32>())
}

/// All elements of a buffer, to be written.
pub(super) fn f32s_mut(buffer: &mut Buffer) -> SliceMut<'_, f32> {
    buffer.slice_mut(0..buffer.bytes() / size_of::<f32>())
}

/// All elements of a buffer of indices.
pub(super) fn u32s(buffer: &Buffer) -> Slice<'_, u32> {
    buffer.slice(0..buffer.bytes() / size_of::<u32>())
}

/// All elements of a buffer of bf16.
pub(super) fn bf16s(buffer: &Buffer) -> Slice<'_, bf16> {
    buffer.slice(0..buffer.bytes() / size_of::<bf16>())
}
