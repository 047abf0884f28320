//! How work is cut into tasks for rayon: by its size alone, never by the number of threads.
//!
//! A result is then bitwise the same on 1, 2 or N threads, and small work stays on the thread that has it.

mod contention;
mod spinning;

pub use spinning::with_spinning_pool;

/// The least work, in elementary operations (about one per nanosecond and lane), that is worth a task of its own.
///
/// It is as small as a few µs because a worker without a task goes to sleep after some 20 µs, and waking it costs more than a
/// small task does. Measurements are in docs/performance-notes.md.
pub const GRAIN: usize = 1 << 14;

/// How many of `items` one task takes, where each costs `cost` elementary operations: as many tasks as there are grains
/// of work, but a power of two of them and at most 64, so that 2, 4 or 8 threads get equal shares.
///
/// ```
/// use gradus_kernels::parallel::{GRAIN, items_per_task};
/// assert_eq!(items_per_task(10, 1), 10); // one task: not worth a second thread
/// assert_eq!(items_per_task(768, GRAIN / 200), 384); // 3.84 grains: two equal tasks
/// assert_eq!(items_per_task(1 << 20, 1 << 16), 1 << 14); // 64 tasks
/// assert_eq!(items_per_task(0, 1), 1);
/// ```
pub fn items_per_task(items: usize, cost: usize) -> usize {
    let grains = (items as u128 * cost as u128 / GRAIN as u128).clamp(1, 64) as u32;
    items.div_ceil(1 << grains.ilog2()).max(1)
}
