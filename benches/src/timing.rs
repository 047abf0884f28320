//! How a time is taken: warm up, repeat, keep the median and the minimum.
//!
//! The median is what a program gets; the minimum is what it gets when nobody else is on the machine. A mean would
//! hold every interruption. Work of a few microseconds is timed in groups, for a look at the clock takes 30 ns itself.

use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A measured time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The median over the repetitions, in seconds.
    pub median_s: f64,
    /// The least of them.
    pub minimum_s: f64,
    /// How many there were.
    pub repetitions: usize,
}

impl Timing {
    /// Of several runs of the same program one: the median of their medians, so that a run that was disturbed as a whole
    /// does not count.
    ///
    /// # Panics
    /// Where there are none.
    pub fn of_runs(runs: &[Timing]) -> Timing {
        let mut medians: Vec<f64> = runs.iter().map(|run| run.median_s).collect();
        Timing {
            median_s: median(&mut medians),
            minimum_s: runs.iter().map(|run| run.minimum_s).fold(f64::INFINITY, f64::min),
            repetitions: runs.iter().map(|run| run.repetitions).sum(),
        }
    }
}

/// How much a time is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Seconds for the repetitions of one figure.
    pub seconds: f64,
    /// The repetitions that there are at least, unless they take longer than [`PATIENCE_SECONDS`]; two in any case.
    pub least: usize,
}

impl Effort {
    /// What is spent on a figure that another one stands beside: half the time, and three repetitions.
    pub fn less(self) -> Effort {
        Effort { seconds: self.seconds / 2.0, least: self.least.min(3) }
    }
}

/// The most repetitions of one figure.
const MOST: usize = 500;
/// How long it may take to come to the least number of repetitions.
pub const PATIENCE_SECONDS: f64 = 0.8;
/// What takes longer is timed once.
const SLOW_SECONDS: f64 = 0.5;
/// The shortest stretch between two looks at the clock.
const GROUP_SECONDS: f64 = 20e-6;

/// Times `work`, which has run before, so that its memory is there and its first cost is paid.
pub fn measure(effort: Effort, mut work: impl FnMut()) -> Timing {
    let slow = seconds(&mut work);
    if slow > SLOW_SECONDS {
        return Timing { median_s: slow, minimum_s: slow, repetitions: 1 };
    }
    let once = seconds(&mut work);
    let group = (GROUP_SECONDS / once.max(1e-9)).ceil().clamp(1.0, 1000.0) as usize;
    repeat(effort, || {
        let all = seconds(|| (0..group).for_each(|_| work()));
        all / group as f64
    })
}

/// Times `work` with `before` run, untimed, ahead of each repetition: what a call takes whose data is in no cache.
pub fn measure_after(effort: Effort, mut before: impl FnMut(), mut work: impl FnMut()) -> Timing {
    repeat(effort, || {
        before();
        seconds(&mut work)
    })
}

fn repeat(effort: Effort, mut once: impl FnMut() -> f64) -> Timing {
    let (begun, mut times) = (Instant::now(), Vec::new());
    let wanted = |n: usize, elapsed: f64| {
        n < 2.min(effort.least)
            || (n < effort.least && elapsed < PATIENCE_SECONDS)
            || (n < MOST && elapsed < effort.seconds)
    };
    while wanted(times.len(), begun.elapsed().as_secs_f64()) {
        times.push(once());
    }
    Timing { median_s: median(&mut times), minimum_s: times[0], repetitions: times.len() }
}

/// Sorts them too.
fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0
}

/// The seconds of one call.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

/// Empties the caches of everything else: by going through more memory than they hold.
#[derive(Debug)]
pub struct Flush(Vec<u64>);

impl Flush {
    /// A buffer of twice `cache` bytes.
    pub fn new(cache: usize) -> Flush {
        Flush(vec![1; cache / 4])
    }

    /// Goes through all of it, and changes it, so that what was there before has left the caches.
    pub fn run(&mut self) {
        for line in self.0.chunks_mut(8) {
            line[0] = line[0].wrapping_add(1);
        }
        std::hint::black_box(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_minimum_are_those_of_the_repetitions() {
        let mut times = [5.0, 1.0, 2.0, 9.0].into_iter();
        let timing = repeat(Effort { seconds: 0.0, least: 4 }, || times.next().unwrap());
        assert_eq!(timing, Timing { median_s: 3.5, minimum_s: 1.0, repetitions: 4 });
    }

    #[test]
    fn of_several_runs_the_median_counts() {
        let run = |median_s, minimum_s| Timing { median_s, minimum_s, repetitions: 2 };
        let timing = Timing::of_runs(&[run(5.0, 4.0), run(1.0, 0.5), run(2.0, 1.0)]);
        assert_eq!(timing, Timing { median_s: 2.0, minimum_s: 0.5, repetitions: 6 });
    }

    #[test]
    fn work_runs_as_often_as_it_is_asked_to() {
        let mut calls = 0;
        let mut flushed = 0;
        let effort = Effort { seconds: 0.0, least: 3 };
        measure_after(effort, || flushed += 1, || calls += 1);
        assert_eq!((calls, flushed), (3, 3));
        assert!(measure(effort, || calls += 1).repetitions == 3 && calls > 6, "short work is timed in groups");
    }
}
