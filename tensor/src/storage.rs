//! Memory of tensors on their devices. On the host these are aligned buffers. When the last tensor of a buffer is dropped,
//! the buffer returns to a pool, keyed by size.
//!
//! After the first steps of a training run every size is in the pool, and a step allocates nothing.

use crate::{DType, Device, Element};
use bytemuck::{Pod, Zeroable};
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
    dtype: DType,
    len: usize,
    /// The two largest indices, where the host wrote them before they were copied to a device.
    indices: Option<LargestIndices>,
}

/// The memory of a device.
enum Memory {
    Host(Vec<Line>),
    #[cfg(feature = "foreign-device")]
    Foreign(Vec<Line>),
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
    /// `len` elements with whatever stood there before (NaN where debug assertions are on): write before you read.
    pub(crate) fn recycled(device: &Device, dtype: DType, len: usize) -> Storage {
        let lines = POOL.take((len * dtype.size()).div_ceil(size_of::<Line>()));
        let memory = match device {
            Device::Cpu => Memory::Host(lines),
            #[cfg(feature = "foreign-device")]
            Device::Foreign => Memory::Foreign(lines),
        };
        Storage { memory, dtype, len, indices: None }
    }

    /// A copy of the elements `range` on another device.
    pub(crate) fn copied_to(&self, device: &Device, range: Range<usize>) -> Storage {
        let mut copy = Storage::recycled(device, self.dtype, range.len());
        let size = self.dtype.size();
        let bytes = &bytemuck::cast_slice::<Line, u8>(self.memory.lines())[range.start * size..range.end * size];
        bytemuck::cast_slice_mut::<Line, u8>(copy.memory.lines_mut())[..bytes.len()].copy_from_slice(bytes);
        copy.indices = match self.dtype {
            DType::U32 if self.device().is_host() => Some(LargestIndices::of(&self.slice()[range])),
            _ => self.indices,
        };
        copy
    }

    /// The largest indices among all of the storage, where they are known without asking the device.
    pub(crate) fn largest_indices(&self) -> Option<LargestIndices> {
        self.indices
    }

    pub(crate) fn device(&self) -> &Device {
        match self.memory {
            Memory::Host(_) => &Device::Cpu,
            #[cfg(feature = "foreign-device")]
            Memory::Foreign(_) => &Device::Foreign,
        }
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The elements, for a kernel of the device or for the host where it is the host's; panics where they are of another
    /// type.
    pub(crate) fn slice<E: Element>(&self) -> &[E] {
        self.check::<E>();
        &bytemuck::cast_slice(self.memory.lines())[..self.len]
    }

    /// The elements, to be written; panics where they are of another type.
    pub(crate) fn slice_mut<E: Element>(&mut self) -> &mut [E] {
        self.check::<E>();
        self.indices = None;
        &mut bytemuck::cast_slice_mut(self.memory.lines_mut())[..self.len]
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
            #[cfg(feature = "foreign-device")]
            Memory::Foreign(lines) => lines,
        }
    }

    fn lines_mut(&mut self) -> &mut Vec<Line> {
        match self {
            Memory::Host(lines) => lines,
            #[cfg(feature = "foreign-device")]
            Memory::Foreign(lines) => lines,
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        POOL.give(std::mem::take(self.memory.lines_mut()));
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
