//! Memory of tensors on their devices. On the host these are aligned buffers. When the last tensor of a buffer is dropped,
//! the buffer returns to a pool, keyed by size.
//!
//! After the first steps of a training run every size is in the pool, and a step allocates nothing.

use crate::{DType, Device, Element, Result};
use bytemuck::{Pod, Zeroable};
#[cfg(feature = "cuda")]
use gradus_kernels::cuda::{Buffer, Slice, SliceMut};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A cache line; a `Vec` of them starts on one, so that no vector load straddles two.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// The elements of one or more tensors.
pub(crate) struct Storage {
    memory: Memory,
    device: Device,
    dtype: DType,
    len: usize,
    /// The two largest indices, where the host wrote them before they were copied to a device.
    indices: Option<LargestIndices>,
}

/// The memory of a device.
enum Memory {
    /// Of the CPU, and of the foreign device of tests.
    Host(Vec<Line>),
    #[cfg(feature = "cuda")]
    Cuda(Buffer),
}

/// The largest index and the largest below it, if any. With them the host knows whether all indices are in range without
/// waiting for a device. There are two, because a loss ignores one value.
#[derive(Clone, Copy)]
pub(crate) struct LargestIndices(pub(crate) [Option<u32>; 2]);

impl LargestIndices {
    fn of(indices: &[u32]) -> LargestIndices {
        let first = indices.iter().copied().max();
        LargestIndices([first, indices.iter().copied().filter(|&index| Some(index) != first).max()])
    }
}

impl Storage {
    /// `len` elements with whatever stood there before (on the host NaN where debug assertions are on): write before you read.
    ///
    /// # Errors
    /// Where the device has not so much memory.
    pub(crate) fn recycled(device: &Device, dtype: DType, len: usize) -> Result<Storage> {
        let bytes = len * dtype.size();
        let memory = match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => Memory::Cuda(Buffer::new(gpu, bytes)?),
            _ => Memory::Host(POOL.take(bytes.div_ceil(size_of::<Line>()))),
        };
        Ok(Storage { memory, device: device.clone(), dtype, len, indices: None })
    }

    /// A copy of the elements `range` on another device.
    ///
    /// # Errors
    /// Where that has not so much memory, or a device has failed.
    pub(crate) fn copied_to(&self, device: &Device, range: Range<usize>) -> Result<Storage> {
        let mut copy = Storage::recycled(device, self.dtype, range.len())?;
        let size = self.dtype.size();
        copy.memory.copy_from(&self.memory, range.start * size..range.end * size)?;
        copy.indices = match self.dtype {
            DType::U32 if self.device.is_host() => Some(LargestIndices::of(&self.slice()[range])),
            _ => self.indices,
        };
        Ok(copy)
    }

    /// The largest indices among all of the storage, where they are known without asking the device.
    pub(crate) fn largest_indices(&self) -> Option<LargestIndices> {
        self.indices
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The elements, for the host or a kernel on it; panics where they are of another type, or not in its memory.
    pub(crate) fn slice<E: Element>(&self) -> &[E] {
        self.check::<E>();
        &bytemuck::cast_slice(self.memory.lines())[..self.len]
    }

    /// The elements, to be written; panics as [`Storage::slice`].
    pub(crate) fn slice_mut<E: Element>(&mut self) -> &mut [E] {
        self.check::<E>();
        self.indices = None;
        &mut bytemuck::cast_slice_mut(self.memory.lines_mut())[..self.len]
    }

    /// The elements `range`, for a kernel on CUDA; panics where they are of another type, or not there.
    #[cfg(feature = "cuda")]
    pub(crate) fn cuda_slice<E: Element>(&self, range: Range<usize>) -> Slice<'_, E> {
        self.check::<E>();
        self.memory.buffer().slice(range)
    }

    /// The elements `range`, to be written by a kernel on CUDA; panics as [`Storage::cuda_slice`].
    #[cfg(feature = "cuda")]
    pub(crate) fn cuda_slice_mut<E: Element>(&mut self, range: Range<usize>) -> SliceMut<'_, E> {
        self.check::<E>();
        self.indices = None;
        self.memory.buffer_mut().slice_mut(range)
    }

    fn check<E: Element>(&self) {
        assert_eq!(self.dtype, E::DTYPE, "the tensor holds {}, not {}", self.dtype, E::DTYPE);
        #[cfg(feature = "foreign-device")]
        crate::device::foreign::assert_may_touch(self.device());
    }
}

impl Memory {
    fn lines(&self) -> &[Line] {
        match self {
            Memory::Host(lines) => lines,
            #[cfg(feature = "cuda")]
            Memory::Cuda(_) => panic!("the host reads memory of a CUDA device: to_device copies it"),
        }
    }

    fn lines_mut(&mut self) -> &mut [Line] {
        match self {
            Memory::Host(lines) => lines,
            #[cfg(feature = "cuda")]
            Memory::Cuda(_) => panic!("the host writes memory of a CUDA device: to_device copies it"),
        }
    }

    #[cfg(feature = "cuda")]
    fn buffer(&self) -> &Buffer {
        match self {
            Memory::Cuda(buffer) => buffer,
            Memory::Host(_) => panic!("a kernel on CUDA is given memory of the host"),
        }
    }

    #[cfg(feature = "cuda")]
    fn buffer_mut(&mut self) -> &mut Buffer {
        match self {
            Memory::Cuda(buffer) => buffer,
            Memory::Host(_) => panic!("a kernel on CUDA is given memory of the host"),
        }
    }

    /// Copies the bytes `range` of other memory here.
    fn copy_from(&mut self, from: &Memory, range: Range<usize>) -> Result<()> {
        let bytes = range.len();
        match (self, from) {
            (Memory::Host(to), Memory::Host(from)) => {
                let from = &bytemuck::cast_slice::<Line, u8>(from)[range];
                bytemuck::cast_slice_mut::<Line, u8>(to)[..bytes].copy_from_slice(from);
            }
            #[cfg(feature = "cuda")]
            (Memory::Cuda(to), Memory::Host(from)) => {
                to.slice_mut(0..bytes).copy_from_host(&bytemuck::cast_slice::<Line, u8>(from)[range])?;
            }
            #[cfg(feature = "cuda")]
            (Memory::Host(to), Memory::Cuda(from)) => {
                from.slice(range).copy_to_host(&mut bytemuck::cast_slice_mut::<Line, u8>(to)[..bytes])?;
            }
            #[cfg(feature = "cuda")]
            (Memory::Cuda(to), Memory::Cuda(from)) if to.gpu() == from.gpu() => {
                to.slice_mut::<u8>(0..bytes).copy_from(from.slice(range))?;
            }
            #[cfg(feature = "cuda")]
            (Memory::Cuda(to), Memory::Cuda(from)) => {
                let mut through_host = vec![0_u8; bytes];
                from.slice(range).copy_to_host(&mut through_host)?;
                to.slice_mut(0..bytes).copy_from_host(&through_host)?;
            }
        }
        Ok(())
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        match &mut self.memory {
            Memory::Host(lines) => POOL.give(std::mem::take(lines)),
            #[cfg(feature = "cuda")]
            Memory::Cuda(_) => {} // the buffer gives its memory back itself
        }
    }
}

/// Free buffers by their number of lines.
struct Pool(Mutex<Option<State>>);

#[derive(Default)]
struct State {
    free: HashMap<usize, Vec<Vec<Line>>>,
    stats: PoolStats,
}

static POOL: Pool = Pool(Mutex::new(None));

/// What the pool holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Held by tensors.
    pub in_use: usize,
    /// The most that tensors ever held.
    pub peak_in_use: usize,
    /// Free, and kept for the next tensor.
    pub free: usize,
    /// How many buffers were allocated since the process began.
    pub allocations: usize,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, lines: usize) -> Vec<Line> {
        if lines == 0 {
            return Vec::new();
        }
        let bytes = lines * size_of::<Line>();
        let recycled = {
            let mut guard = self.lock();
            let state = guard.get_or_insert_default();
            let recycled = state.free.get_mut(&lines).and_then(Vec::pop);
            state.stats.in_use += bytes;
            state.stats.peak_in_use = state.stats.peak_in_use.max(state.stats.in_use);
            match recycled {
                Some(_) => state.stats.free -= bytes,
                None => state.stats.allocations += 1,
            }
            recycled
        };
        let mut buffer = recycled.unwrap_or_else(|| bytemuck::allocation::zeroed_vec(lines));
        if cfg!(debug_assertions) {
            bytemuck::cast_slice_mut(&mut buffer).fill(u64::MAX); // NaN in f32 and f64: what is not written shows
        }
        buffer
    }

    fn give(&self, buffer: Vec<Line>) {
        if buffer.is_empty() {
            return;
        }
        let bytes = buffer.len() * size_of::<Line>();
        let mut guard = self.lock();
        let state = guard.get_or_insert_default();
        state.stats.in_use -= bytes;
        state.stats.free += bytes;
        state.free.entry(buffer.len()).or_default().push(buffer);
    }
}

/// What the pool of tensor memory holds now.
pub fn pool_stats() -> PoolStats {
    POOL.lock().as_ref().map_or_else(PoolStats::default, |state| state.stats)
}

/// Frees the buffers of the pool that no tensor holds: for use after work whose sizes will not recur.
pub fn trim_pool() {
    if let Some(state) = POOL.lock().as_mut() {
        state.free.clear();
        state.stats.free = 0;
    }
}
