//! A pool whose idle threads spin while a piece of work runs, unless another program competes for their cores.

use super::contention::Watch;
use std::cell::Cell;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many polls without a task a spinning thread makes before it returns to rayon: some 0.2 ms, longer than the serial
/// stretches of a small training step.
const PATIENCE: u32 = 1 << 12;

/// How many polls lie between two checks whether another program competes for the core.
const POLLS_BETWEEN_CHECKS: u32 = 1 << 6;

/// The longest sleep of a thread that stays away; after it the thread returns to rayon before it sleeps again.
const NAP: Duration = Duration::from_millis(10);

/// The threads that can run at the same time.
static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

thread_local! {
    /// The waiting times of this thread.
    static WATCH: Arc<Mutex<Watch>> = Arc::new(Mutex::new(Watch::of_this_thread()));
    /// Until when this thread stays away, because another program competes for its core.
    static AWAY_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `work` while the other threads of its pool spin: they poll the queues of the pool for tasks instead of sleeping.
///
/// rayon's idle threads sleep after some 20 µs, about as long as the serial operations of a small training step take, and
/// waking one takes longer than a small operation. Outside a pool, or with one thread, this is `work()`.
///
/// No more threads take part than the machine has cores; where the pool has more, the others sleep.
///
/// A spinning thread gives way to other programs. Where it, or the thread of `work`, has to wait for its core again and
/// again, it stays away for 50 ms to 1 s, and the others do its share: a started task cannot be taken from a thread that
/// the system does not run, so two threads of which one waits are slower than one. The result is the same, since tasks do
/// not depend on who does them.
pub fn with_spinning_pool<R>(work: impl FnOnce() -> R) -> R {
    let Some(caller) = rayon::current_thread_index().filter(|_| rayon::current_num_threads() > 1) else {
        return work();
    };
    let region = Arc::new(Region { done: AtomicBool::new(false), caller, watch: WATCH.with(Arc::clone) });
    let _end = EndOnDrop(region.clone());
    rayon::spawn_broadcast(move |_| spin(region.clone()));
    work()
}

/// The work for which the threads of a pool spin.
struct Region {
    done: AtomicBool,
    /// The index of the thread that runs the work.
    caller: usize,
    /// The waiting times of that thread, which the others read while it works.
    watch: Arc<Mutex<Watch>>,
}

/// Polls the queues of the pool for tasks, or leaves the core to other programs for a while.
///
/// A thread that finds nothing for some 0.2 ms, or has slept for [`NAP`], returns to rayon before it goes on, and must: it
/// may have come here in the middle of a task, while that waited for a part of itself that another thread had taken. The
/// work then waits for the task, which cannot go on before its thread has left this function.
fn spin(region: Arc<Region>) {
    let Some(index) = rayon::current_thread_index().filter(|&index| index != region.caller) else { return };
    let surplus = !may_spin(index, region.caller, rayon::current_num_threads(), *CORES);
    let mut in_vain = 0;
    while in_vain < PATIENCE {
        if region.done.load(Ordering::Acquire) {
            return;
        }
        if surplus {
            thread::sleep(NAP);
            break;
        }
        if in_vain % POLLS_BETWEEN_CHECKS == 0 && stays_away(&region) {
            break;
        }
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            in_vain = 0;
        } else {
            in_vain += 1;
            std::hint::spin_loop();
        }
    }
    rayon::spawn(move || spin(region));
}

/// Whether a thread of a pool may spin for the work of another: not more of them than there are cores beside that one.
fn may_spin(index: usize, caller: usize, threads: usize, cores: usize) -> bool {
    let distance = (index + threads - caller) % threads;
    (1..cores).contains(&distance)
}

/// Where another program competes for the core of this thread, or for that of the thread of the work: sleeps, for at most
/// [`NAP`], and returns true.
fn stays_away(region: &Region) -> bool {
    let now = Instant::now();
    let Some(until) = AWAY_UNTIL.get() else {
        let absence = contended(&WATCH.with(Arc::clone)).or_else(|| contended(&region.watch));
        AWAY_UNTIL.set(absence.map(|absence| now + absence));
        return absence.is_some();
    };
    if now < until {
        thread::sleep(NAP.min(until - now));
    } else {
        AWAY_UNTIL.set(None);
        WATCH.with(|own| lock(own).restart());
    }
    true
}

fn contended(watch: &Mutex<Watch>) -> Option<Duration> {
    lock(watch).contended()
}

/// A watch is whole at any time, so a panic of another thread does not spoil it.
fn lock(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks the work as done, also where it panicked, so that the other threads stop spinning.
struct EndOnDrop(Arc<Region>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start")
    }

    /// Lets this thread stay away as if another program had wanted its core.
    fn leave() {
        AWAY_UNTIL.set(Some(Instant::now() + Duration::from_secs(3600)));
    }

    #[test]
    fn parallel_work_inside_finishes_on_any_number_of_threads() {
        let sum = || with_spinning_pool(|| (0..1000_u64).into_par_iter().sum::<u64>());
        assert_eq!(sum(), 499_500); // outside a pool
        for threads in [1, 2, 5, 64] {
            assert_eq!(pool(threads).install(sum), 499_500);
            assert_eq!(pool(threads).install(|| with_spinning_pool(sum)), 499_500, "one inside another");
        }
    }

    #[test]
    fn work_finishes_while_threads_stay_away() {
        let pool = pool(3);
        pool.broadcast(|_| leave());
        for _ in 0..20 {
            let sum =
                || with_spinning_pool(|| (0..1000_u32).into_par_iter().with_max_len(1).map(u64::from).sum::<u64>());
            assert_eq!(pool.install(sum), 499_500);
        }
        assert!(pool.broadcast(|_| AWAY_UNTIL.get().is_some()).into_iter().all(|away| away), "an hour is not over");
    }

    /// A pool whose threads see no other program: they leave [`spin`] for the reasons of a test alone.
    fn undisturbed_pool(threads: usize) -> rayon::ThreadPool {
        let pool = pool(threads);
        pool.broadcast(|_| WATCH.with(|watch| *lock(watch) = Watch::blind()));
        pool
    }

    /// A task that has begun waits, and its thread meanwhile comes to spin for the very work that needs it.
    fn the_work_needs_a_task_beneath_one_who_spins(before_it_spins: impl Fn() + Sync) {
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
            before_it_spins();
            assert_eq!(rayon::yield_now(), Some(rayon::Yield::Executed), "it is asked to spin");
            set(&task_done);
        };
        let other = || {
            wait_for(&task_began);
            with_spinning_pool(work);
        };
        undisturbed_pool(2).install(|| rayon::join(other, task));
    }

    #[test]
    fn work_goes_on_where_it_needs_a_task_beneath_one_who_spins() {
        the_work_needs_a_task_beneath_one_who_spins(|| ());
    }

    #[test]
    fn work_goes_on_where_it_needs_a_task_beneath_one_who_stays_away() {
        the_work_needs_a_task_beneath_one_who_spins(leave);
    }

    #[test]
    fn a_panic_of_the_work_sends_the_others_home() {
        let outcome = pool(3).install(|| std::panic::catch_unwind(|| with_spinning_pool(|| panic!("on purpose"))));
        assert!(outcome.is_err());
    }

    #[test]
    fn as_many_threads_spin_as_there_are_cores_beside_the_caller() {
        let spinning = |caller, threads, cores| -> Vec<usize> {
            (0..threads).filter(|&index| may_spin(index, caller, threads, cores)).collect()
        };
        assert_eq!(spinning(0, 2, 2), [1]);
        assert_eq!(spinning(1, 2, 2), [0]);
        assert_eq!(spinning(62, 64, 4), [0, 1, 63]);
        assert_eq!(spinning(2, 4, 64), [0, 1, 3]);
        assert_eq!(spinning(0, 4, 1), [0; 0]);
    }
}
