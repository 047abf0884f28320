//! Two phases of tasks in one parallel region: first panels are packed, then blocks of C are multiplied.
//!
//! Two parallel regions would wake the workers twice, and half of the work would wait for a worker that starts late. Here
//! every worker starts with an equal share of the task numbers, taken from a counter, and then takes from the shares of
//! others, the first phase before the second. If the first phase is not finished, a worker waits for at most one task, which
//! a running thread has. A task depends on its number alone, so the result is the same whoever runs it.
//!
//! A share is a stretch of rows, the same in product after product, so a core with a large second-level cache finds there
//! what it wrote itself.

use rayon::prelude::*;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How often a waiting worker looks before it lets another program have the core, and before it sleeps between two looks.
/// The core of a sleeping worker is free, so the system can run the worker that is waited for on it.
const PATIENCE: [usize; 2] = [1 << 10, 1 << 11];

/// The sleep between two looks.
const NAP: Duration = Duration::from_micros(50);

/// Most shares that the tasks of a round are cut into; further workers begin with the share of another.
const SHARES: usize = 16;

/// The tasks of a round, in shares.
struct Round {
    tasks: usize,
    shares: usize,
    taken: [AtomicUsize; SHARES],
}

impl Round {
    fn new(tasks: usize, workers: usize) -> Round {
        Round { tasks, shares: workers.clamp(1, SHARES), taken: [const { AtomicUsize::new(0) }; SHARES] }
    }

    /// A number that nobody has taken, of this worker's share first; `None` when there are no more.
    fn take(&self, worker: usize) -> Option<usize> {
        let begin = |share: usize| share * self.tasks / self.shares;
        (0..self.shares).map(|later| (worker + later) % self.shares).find_map(|share| {
            let task = begin(share) + self.taken[share].fetch_add(1, Ordering::Relaxed);
            (task < begin(share + 1)).then_some(task)
        })
    }
}

/// `first(i)` for all i below `firsts`, and when all of them are done `second(i)` for all i below `seconds`.
pub(super) fn run(firsts: usize, first: impl Fn(usize) + Sync, seconds: usize, second: impl Fn(usize) + Sync) {
    let workers = rayon::current_num_threads().min(seconds).max(1);
    let rounds = [firsts, seconds].map(|tasks| Round::new(tasks, workers));
    let done = AtomicUsize::new(0);
    let work = |worker: usize| {
        while let Some(i) = rounds[0].take(worker) {
            let _done = Done(&done);
            first(i);
        }
        let mut looks = 0;
        while done.load(Ordering::Acquire) < firsts {
            looks += 1;
            wait(looks);
        }
        while let Some(i) = rounds[1].take(worker) {
            second(i);
        }
    };
    if workers == 1 {
        work(0);
    } else {
        (0..workers).into_par_iter().with_max_len(1).for_each(work);
    }
}

/// Passes some time before the next look, the more the more looks there were.
fn wait(looks: usize) {
    if looks < PATIENCE[0] {
        std::hint::spin_loop();
    } else if looks < PATIENCE[1] {
        thread::yield_now();
    } else {
        thread::sleep(NAP);
    }
}

/// Counts a task as done when dropped, after a panic too: nobody then waits for ever.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// A slice cut into pieces of equal length but for the last, which tasks fill, and read in the next round.
pub(super) struct Pieces<'a> {
    start: *mut f32,
    len: usize,
    piece: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: `piece` and `all` make their callers answer for what overlaps.
unsafe impl Sync for Pieces<'_> {}

impl<'a> Pieces<'a> {
    pub(super) fn new(all: &'a mut [f32], piece: usize) -> Pieces<'a> {
        Pieces { start: all.as_mut_ptr(), len: all.len(), piece, lifetime: PhantomData }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.len.div_ceil(self.piece)
    }

    /// One piece.
    ///
    /// # Safety
    /// While it lives nobody else has it, or `all`.
    #[allow(clippy::mut_from_ref)] // the caller answers for it
    pub(super) unsafe fn piece(&self, index: usize) -> &mut [f32] {
        assert!(index < self.count(), "a piece of the slice");
        let from = index * self.piece;
        // SAFETY: inside the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), self.piece.min(self.len - from)) }
    }

    /// All of them.
    ///
    /// # Safety
    /// While it lives nobody has a piece.
    pub(super) unsafe fn all(&self) -> &[f32] {
        // SAFETY: the slice.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}
