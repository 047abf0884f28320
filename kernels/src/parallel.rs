//! How work is cut into tasks for rayon: by its size alone, never by the number of threads.
//!
//! A result is then bitwise the same on 1, 2 or N threads, and small work stays on the thread that has it.

use std::sync::atomic::{AtomicBool, Ordering};

/// The least work, in elementary operations (about one per nanosecond and lane), that is worth a task of its own.
///
/// It is small, a few µs, because of what the other threads do meanwhile: a worker that finds nothing to do for some
/// 20 µs goes to sleep, and waking it costs more than a small task does. Training the small preset (2 threads, AVX-512,
/// medians of four runs in turn, thousand tokens a second) made 29.8 with 2¹⁴, 28.2 with 2¹⁵ and 28.2 with 2¹⁶; in another
/// hour 27.4 with 2¹⁴ and 27.2 with 2¹². Runs of one binary scatter by 20%, so this is a hint and no proof.
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

/// Runs `work` while the other threads of its pool keep looking for tasks instead of going to sleep.
///
/// rayon's idle workers sleep after some 20 µs, about as long as the serial operations of a small training step take, and
/// waking one takes longer than a small operation. A step of the small preset (2 threads, AVX-512, medians of four runs
/// in turn) went from 29.8 to 31.1 thousand tokens a second. Outside a pool, or with one thread, this is `work()`.
pub fn keep_awake<R>(work: impl FnOnce() -> R) -> R {
    let Some(caller) = rayon::current_thread_index().filter(|_| rayon::current_num_threads() > 1) else {
        return work();
    };
    let done = AtomicBool::new(false);
    rayon::in_place_scope(|scope| {
        scope.spawn_broadcast(|_, context| {
            while context.index() != caller && !done.load(Ordering::Acquire) {
                if rayon::yield_now() != Some(rayon::Yield::Executed) {
                    std::hint::spin_loop();
                }
            }
        });
        let _end = OnDrop(&done);
        work()
    })
}

/// Says that the work is done, also where it panicked: the others must not look for tasks for ever.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start")
    }

    #[test]
    fn parallel_work_inside_finishes_on_any_number_of_threads() {
        let sum = || keep_awake(|| (0..1000_u64).into_par_iter().sum::<u64>());
        assert_eq!(sum(), 499_500); // outside a pool
        for threads in [1, 2, 5] {
            assert_eq!(pool(threads).install(sum), 499_500);
            assert_eq!(pool(threads).install(|| keep_awake(sum)), 499_500, "one inside another");
        }
    }

    #[test]
    fn a_panic_of_the_work_sends_the_others_home() {
        let outcome = pool(3).install(|| std::panic::catch_unwind(|| keep_awake(|| panic!("on purpose"))));
        assert!(outcome.is_err());
    }
}
