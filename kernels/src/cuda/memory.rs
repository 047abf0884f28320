//! Memory of a device: buffers from the driver's pool, slices of them as kernels take them, and copies from and to the host.

use super::{Error, Gpu, Result, driver::check};
use crate::memory::Elements;
use bytemuck::Pod;
use cudarc::driver::{result, sys};
use std::{fmt, marker::PhantomData, ops::Range};

/// Memory of a device. When it is dropped, it returns to the driver's pool, in the order of the stream: what was launched
/// before may still use it.
#[derive(Debug)]
pub struct Buffer {
    gpu: Gpu,
    /// 0 where there are no bytes.
    address: sys::CUdeviceptr,
    bytes: usize,
}

impl Buffer {
    /// `bytes` bytes with whatever stood there before.
    ///
    /// # Errors
    /// Where the device has not so much memory.
    pub fn new(gpu: &Gpu, bytes: usize) -> Result<Buffer> {
        let mut buffer = Buffer { gpu: gpu.clone(), address: 0, bytes };
        if bytes == 0 {
            return Ok(buffer);
        }
        gpu.bind()?;
        // SAFETY: the stream is open; what is allocated is written before it is read, as on the host, or read as numbers of any
        // bits, which all element types are.
        let allocated = unsafe {
            if gpu.has_pool() { result::malloc_async(gpu.stream(), bytes) } else { result::malloc_sync(bytes) }
        };
        match allocated {
            Ok(address) => buffer.address = address,
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                buffer.bytes = 0;
                let (free, total) = gpu.memory_info()?;
                return Err(Error::OutOfMemory { asked: bytes, free, total });
            }
            Err(error) => return check("cuMemAllocAsync", Err(error)),
        }
        Ok(buffer)
    }

    /// A copy of elements of the host.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn from_host<E: Pod>(gpu: &Gpu, elements: &[E]) -> Result<Buffer> {
        let mut buffer = Buffer::new(gpu, size_of_val(elements))?;
        buffer.slice_mut(0..elements.len()).copy_from_host(elements)?;
        Ok(buffer)
    }

    /// A copy of all elements on the host, once all that was launched before is done.
    ///
    /// # Errors
    /// Where a kernel that was launched before failed.
    pub fn to_host<E: Pod>(&self) -> Result<Vec<E>> {
        let mut elements = vec![E::zeroed(); self.bytes / size_of::<E>()];
        self.slice(0..elements.len()).copy_to_host(&mut elements)?;
        Ok(elements)
    }

    /// The device that it belongs to.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The elements `range`.
    ///
    /// # Panics
    /// Where they are not within the buffer.
    pub fn slice<E: Pod>(&self, range: Range<usize>) -> Slice<'_, E> {
        self.check::<E>(&range);
        Slice { gpu: &self.gpu, address: self.address_of::<E>(range.start), len: range.len(), elements: PhantomData }
    }

    /// The elements `range`, to be written.
    ///
    /// # Panics
    /// Where they are not within the buffer.
    pub fn slice_mut<E: Pod>(&mut self, range: Range<usize>) -> SliceMut<'_, E> {
        self.check::<E>(&range);
        SliceMut { gpu: &self.gpu, address: self.address_of::<E>(range.start), len: range.len(), elements: PhantomData }
    }

    fn address_of<E>(&self, element: usize) -> sys::CUdeviceptr {
        self.address + (element * size_of::<E>()) as u64
    }

    fn check<E>(&self, range: &Range<usize>) {
        let end = range.end.checked_mul(size_of::<E>());
        let inside = range.start <= range.end && end.is_some_and(|end| end <= self.bytes);
        assert!(inside, "the elements {range:?} of {} bytes are not in a buffer of {}", size_of::<E>(), self.bytes);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.address == 0 || self.gpu.bind().is_err() {
            return;
        }
        // SAFETY: the address comes from the allocation of the same kind and is freed once. On a device that has failed this
        // fails too, and nothing is left to free.
        let _ = unsafe {
            if self.gpu.has_pool() {
                result::free_async(self.address, self.gpu.stream())
            } else {
                result::free_sync(self.address)
            }
        };
    }
}

/// Elements in a device's memory, to be read.
#[derive(Clone, Copy)]
pub struct Slice<'a, E> {
    gpu: &'a Gpu,
    address: sys::CUdeviceptr,
    len: usize,
    elements: PhantomData<&'a [E]>,
}

/// Elements in a device's memory, to be written.
pub struct SliceMut<'a, E> {
    gpu: &'a Gpu,
    address: sys::CUdeviceptr,
    len: usize,
    elements: PhantomData<&'a mut [E]>,
}

macro_rules! common {
    ($name:ident) => {
        impl<'a, E> $name<'a, E> {
            /// How many elements it has.
            pub fn len(&self) -> usize {
                self.len
            }

            /// Whether it has none.
            pub fn is_empty(&self) -> bool {
                self.len == 0
            }

            /// The device that holds them.
            pub fn gpu(&self) -> &'a Gpu {
                self.gpu
            }

            pub(super) fn address(&self) -> sys::CUdeviceptr {
                self.address
            }

            /// The part `range` of it.
            ///
            /// # Panics
            /// Where it is not within.
            pub fn range(self, range: Range<usize>) -> $name<'a, E> {
                let inside = range.start <= range.end && range.end <= self.len;
                assert!(inside, "the elements {range:?} are not among {}", self.len);
                let address = self.address + (range.start * size_of::<E>()) as u64;
                $name { address, len: range.len(), ..self }
            }
        }

        impl<E> Elements for $name<'_, E> {
            fn count(&self) -> usize {
                self.len
            }
        }

        impl<E> fmt::Debug for $name<'_, E> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} elements on {}", self.len, self.gpu)
            }
        }
    };
}
common!(Slice);
common!(SliceMut);

impl<E: Pod> SliceMut<'_, E> {
    /// The same elements for a shorter time.
    pub fn reborrow(&mut self) -> SliceMut<'_, E> {
        SliceMut { gpu: self.gpu, address: self.address, len: self.len, elements: PhantomData }
    }

    /// The same elements, to be read.
    pub fn as_slice(&self) -> Slice<'_, E> {
        Slice { gpu: self.gpu, address: self.address, len: self.len, elements: PhantomData }
    }

    /// Copies the elements from the host. They may change as soon as this returns: the driver has them in memory of its own.
    ///
    /// # Errors
    /// Where the device has failed.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn copy_from_host(&mut self, elements: &[E]) -> Result<()> {
        assert_eq!(self.len, elements.len(), "elements on the device and on the host");
        if elements.is_empty() {
            return Ok(());
        }
        self.gpu.bind()?;
        // SAFETY: both have `len` elements of a type of plain bits. From pageable memory the driver copies before it returns (CUDA
        // Driver API, "API synchronization behavior").
        check("cuMemcpyHtoDAsync", unsafe { result::memcpy_htod_async(self.address, elements, self.gpu.stream()) })
    }

    /// Copies the elements of another slice of the device.
    ///
    /// # Errors
    /// Where the device has failed.
    ///
    /// # Panics
    /// Where the lengths or the devices differ.
    pub fn copy_from(&mut self, elements: Slice<'_, E>) -> Result<()> {
        assert_eq!((self.len, self.gpu), (elements.len, elements.gpu), "elements of both slices");
        if self.len == 0 {
            return Ok(());
        }
        self.gpu.bind()?;
        let bytes = self.len * size_of::<E>();
        // SAFETY: both have `len` elements, and a slice that is written overlaps no other.
        check("cuMemcpyDtoDAsync", unsafe {
            result::memcpy_dtod_async(self.address, elements.address, bytes, self.gpu.stream())
        })
    }
}

impl<E: Pod> Slice<'_, E> {
    /// Whether it begins at a multiple of so many bytes.
    pub(crate) fn is_aligned(&self, bytes: u64) -> bool {
        self.address.is_multiple_of(bytes)
    }

    /// Copies the elements to the host, once all that was launched before is done.
    ///
    /// # Errors
    /// Where a kernel that was launched before failed.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn copy_to_host(&self, elements: &mut [E]) -> Result<()> {
        assert_eq!(self.len, elements.len(), "elements on the device and on the host");
        if elements.is_empty() {
            return Ok(());
        }
        self.gpu.bind()?;
        // SAFETY: both have `len` elements of a type that any bits are a value of, and the copy is waited for below.
        check("cuMemcpyDtoHAsync", unsafe { result::memcpy_dtoh_async(elements, self.address, self.gpu.stream()) })?;
        self.gpu.synchronize()
    }
}
