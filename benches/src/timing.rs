//! How a time is taken: warm up, repeat, keep the median and the minimum.
//!
//! The median is what a program gets; the minimum is what it gets when nobody else is on the machine. A mean would
//! include every interruption. Work of a few microseconds is timed in groups, because reading the clock takes 30 ns itself.
//!
//! What is compared takes turns ([`turn`]): a shared machine has seconds in which everything is slower, and they should
//! fall on all. The median of the medians of the turns stands ([`Timing::of_runs`]).

use gradus_kernels::parallel::with_spinning_pool;
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
    /// A single repetition.
    pub fn once(seconds: f64) -> Timing {
        Timing { median_s: seconds, minimum_s: seconds, repetitions: 1 }
    }

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

/// The turns of one of several that are compared.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    turns: Vec<Timing>,
    spent: f64,
}

impl Turns {
    /// Whether it takes part in the next round: what is slow has one turn, and nothing more than two where that takes
    /// longer than [`PATIENCE_SECONDS`].
    pub fn wants_another(&self) -> bool {
        let Some(last) = self.turns.last() else { return true };
        let is_slow = last.minimum_s > SLOW_SECONDS;
        !is_slow && (self.turns.len() < 2 || self.spent + last.median_s < PATIENCE_SECONDS)
    }

    /// One more.
    pub fn add(&mut self, turn: Timing) {
        self.spent += turn.median_s * turn.repetitions as f64;
        self.turns.push(turn);
    }

    /// What they come to: [`Timing::of_runs`]; nothing where there was none.
    pub fn timing(&self) -> Option<Timing> {
        (!self.turns.is_empty()).then(|| Timing::of_runs(&self.turns))
    }
}

/// How much a time is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Seconds for the repetitions of one figure.
    pub seconds: f64,
    /// The repetitions that there are at least, unless they take longer than [`PATIENCE_SECONDS`]; two in any case.
    pub least: usize,
    /// The turns that the seconds are divided into, where several are compared; zero in older reports.
    #[serde(default)]
    pub rounds: usize,
}

impl Effort {
    /// What is spent on a figure that another one stands beside: half the time, and three repetitions and rounds.
    pub fn less(self) -> Effort {
        Effort { seconds: self.seconds / 2.0, least: self.least.min(3), rounds: self.rounds.min(3) }
    }

    /// The seconds of a turn.
    pub fn turn(self) -> f64 {
        self.seconds / self.rounds.max(1) as f64
    }
}

/// The most repetitions of one figure.
const MOST: usize = 500;
/// How long it may take to come to the least number of repetitions.
pub const PATIENCE_SECONDS: f64 = 0.4;
/// What takes longer is timed once.
pub const SLOW_SECONDS: f64 = 0.5;
/// What takes longer has no untimed call before its turn: the first is hardly slower than the others.
const LONG_SECONDS: f64 = 0.02;
/// The shortest time between two readings of the clock.
const GROUP_SECONDS: f64 = 20e-6;

/// One turn of `work` for about `seconds`, once at least. A call took about `once`; where that is short, one goes before,
/// untimed, because the others' turns have emptied the caches.
pub fn turn(seconds_of_turn: f64, once: f64, mut work: impl FnMut()) -> Timing {
    let once = if once < LONG_SECONDS { seconds(&mut work).min(once) } else { once };
    let group = (GROUP_SECONDS / once.max(1e-9)).ceil().clamp(1.0, 1000.0) as usize;
    repeat(Effort { seconds: seconds_of_turn, least: 1, rounds: 1 }, || {
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
pub fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0
}

/// Does `work`, in which a rung is repeated, while the idle threads of the pool spin, as they do in a training step.
/// Without it, work of some 100 µs may end on one thread before another has woken up. With `peer` they do not spin: a peer
/// may have threads of its own, which need the cores.
pub fn spinning<R>(peer: bool, work: impl FnOnce() -> R) -> R {
    if peer { work() } else { with_spinning_pool(work) }
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
        let timing = repeat(Effort { seconds: 0.0, least: 4, rounds: 1 }, || times.next().unwrap());
        assert_eq!(timing, Timing { median_s: 3.5, minimum_s: 1.0, repetitions: 4 });
    }

    #[test]
    fn of_several_runs_the_median_counts() {
        let run = |median_s, minimum_s| Timing { median_s, minimum_s, repetitions: 2 };
        let timing = Timing::of_runs(&[run(5.0, 4.0), run(1.0, 0.5), run(2.0, 1.0)]);
        assert_eq!(timing, Timing { median_s: 2.0, minimum_s: 0.5, repetitions: 6 });
    }

    #[test]
    fn a_turn_has_an_untimed_call_first_where_it_is_short() {
        let mut calls = 0;
        assert_eq!((turn(0.0, 1.0, || calls += 1).repetitions, calls), (1, 1));
        calls = 0;
        let work = || {
            calls += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        assert_eq!(turn(0.0, 1e-3, work).repetitions, 1);
        assert_eq!(calls, 2);
    }

    #[test]
    fn who_is_slow_has_fewer_turns() {
        let turns = |seconds, repetitions| {
            let mut turns = Turns::default();
            let turn = Timing { repetitions, ..Timing::once(seconds) };
            (0..5).take_while(|_| turns.wants_another().then(|| turns.add(turn)).is_some()).count()
        };
        assert_eq!([turns(1.0, 1), turns(0.45, 1), turns(0.13, 1), turns(0.01, 5)], [1, 2, 3, 5]);
        assert_eq!(Turns::default().timing(), None);
    }

    #[test]
    fn work_runs_as_often_as_it_is_asked_to() {
        let mut calls = 0;
        let mut flushed = 0;
        let effort = Effort { seconds: 0.0, least: 3, rounds: 1 };
        measure_after(effort, || flushed += 1, || calls += 1);
        assert_eq!((calls, flushed), (3, 3));
    }
}
