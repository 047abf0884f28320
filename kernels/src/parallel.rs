//! How work is cut into tasks for rayon: by its size alone, never by the number of threads.
//!
//! A result is then bitwise the same on 1, 2 or N threads, and small work stays on the thread that has it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

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

/// How often a thread that is kept awake looks for a task in vain: some 0.2 ms, longer than the serial stretches of a
/// small step.
const PATIENCE: u32 = 1 << 12;

/// Runs `work` while the other threads of its pool keep looking for tasks instead of going to sleep.
///
/// rayon's idle workers sleep after some 20 µs, about as long as the serial operations of a small training step take, and
/// waking one takes longer than a small operation. A step of the small preset (2 threads, AVX-512, medians of four runs
/// in turn) went from 29.8 to 31.1 thousand tokens a second. Outside a pool, or with one thread, this is `work()`.
///
/// A thread that finds nothing for some 0.2 ms goes back to rayon before it looks again, and must: it may have come here in
/// the middle of a task, while that waited for a part of itself that another thread had taken. `work` then waits for the
/// task, which cannot go on before its thread has left. When threads looked until the end of `work`, one of 43 runs of
/// `gradus sample`, of some thousand tokens each, stood still for ever.
pub fn keep_awake<R>(work: impl FnOnce() -> R) -> R {
    let Some(caller) = rayon::current_thread_index().filter(|_| rayon::current_num_threads() > 1) else {
        return work();
    };
    let done = Arc::new(AtomicBool::new(false));
    let _end = OnDrop(done.clone());
    rayon::spawn_broadcast(move |_| stay_awake(done.clone(), caller));
    work()
}

/// Looks for tasks; and where there were none for long, once more, when nothing is beneath this one that could go on.
fn stay_awake(done: Arc<AtomicBool>, caller: usize) {
    let mut in_vain = 0;
    while in_vain < PATIENCE && rayon::current_thread_index() != Some(caller) && !done.load(Ordering::Acquire) {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            in_vain = 0;
        } else {
            in_vain += 1;
            std::hint::spin_loop();
        }
    }
    if in_vain == PATIENCE {
        rayon::spawn(move || stay_awake(done, caller));
    }
}

/// Says that the work is done, also where it panicked: the others need not look for tasks any longer.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::time::{Duration, Instant};

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

    /// A task that has begun waits, and its thread meanwhile comes to look for tasks for the very work that needs it.
    #[test]
    fn work_goes_on_where_it_needs_a_task_beneath_one_who_looks() {
        let [task_began, work_began, task_done] = [const { AtomicBool::new(false) }; 3];
        let set = |flag: &AtomicBool| flag.store(true, Ordering::Release);
        let begun = Instant::now();
        let wait_for = |flag: &AtomicBool| {
            while !flag.load(Ordering::Acquire) {
                assert!(begun.elapsed() < Duration::from_secs(60), "the task that the work needs stands still");
                std::hint::spin_loop();
            }
        };
        let work = || {
            set(&work_began);
            wait_for(&task_done);
        };
        let task = || {
            set(&task_began);
            wait_for(&work_began);
            assert_eq!(rayon::yield_now(), Some(rayon::Yield::Executed), "it is asked to stay awake");
            set(&task_done);
        };
        let other = || {
            wait_for(&task_began);
            keep_awake(work);
        };
        pool(2).install(|| rayon::join(other, task));
    }

    #[test]
    fn a_panic_of_the_work_sends_the_others_home() {
        let outcome = pool(3).install(|| std::panic::catch_unwind(|| keep_awake(|| panic!("on purpose"))));
        assert!(outcome.is_err());
    }
}
