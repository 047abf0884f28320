//! Whether another program competes with a thread for its core, and for how long the thread should then stay away.

use std::fs::File;
use std::io::{Read, Seek};
use std::time::{Duration, Instant};

/// How often the waiting time of a thread is read, at most: a read takes about a microsecond.
const SAMPLE_EVERY: Duration = Duration::from_millis(2);

/// The stretch of time that is judged as one.
const WINDOW: Duration = Duration::from_millis(20);

/// The least waiting time in a window that counts as competition. Kernel threads and short wake-ups stay below it; one
/// turn of another busy program does not, for the scheduler of Linux changes turns every 3 to 4 ms.
const LEAST_WAIT: Duration = Duration::from_millis(4);

/// Where a window was longer than [`WINDOW`], the part of it that must have been waiting: one in `WAIT_SHARE`.
const WAIT_SHARE: u32 = 5;

/// The shortest and the longest time to stay away.
const ABSENCE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// The times a thread was ready to run and something else had its core, judged window by window.
///
/// Each window with competition doubles the time that the thread stays away, and each without halves it, as in the
/// exponential back-off of networks: the cost of checking whether the core is free again stays about one per cent.
struct Judge {
    begun: Duration,
    waited: Duration,
    absence: Duration,
}

impl Judge {
    fn new() -> Judge {
        Judge { begun: Duration::ZERO, waited: Duration::ZERO, absence: ABSENCE[0] }
    }

    /// Begins a window at the time `now`, when the thread has waited for `waited` in all.
    fn restart(&mut self, now: Duration, waited: Duration) {
        (self.begun, self.waited) = (now, waited);
    }

    /// For how long the thread should stay away, where it should.
    fn observe(&mut self, now: Duration, waited: Duration) -> Option<Duration> {
        let (window, wait) = (now.saturating_sub(self.begun), waited.saturating_sub(self.waited));
        if wait >= LEAST_WAIT.max(window / WAIT_SHARE) {
            let absence = self.absence;
            self.absence = (absence * 2).min(ABSENCE[1]);
            self.restart(now, waited);
            return Some(absence);
        }
        if window >= WINDOW {
            self.absence = (self.absence / 2).max(ABSENCE[0]);
            self.restart(now, waited);
        }
        None
    }
}

/// A thread whose waiting times are observed; other threads may do so too.
pub(super) struct Watch {
    run_delay: RunDelay,
    created: Instant,
    next_sample: Instant,
    judge: Judge,
}

impl Watch {
    /// Of the thread that calls this.
    pub(super) fn of_this_thread() -> Watch {
        let now = Instant::now();
        Watch { run_delay: RunDelay::of_this_thread(), created: now, next_sample: now, judge: Judge::new() }
    }

    /// For how long the thread should stay away from its core, where another program competes for it. `None` also where the
    /// last reading is less than 2 ms old, or the system does not count waiting times.
    pub(super) fn contended(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if now < self.next_sample {
            return None;
        }
        self.next_sample = now + SAMPLE_EVERY;
        self.judge.observe(now - self.created, self.run_delay.read()?)
    }

    /// Reports no competition, whatever else the machine does.
    #[cfg(test)]
    pub(super) fn blind() -> Watch {
        Watch { run_delay: RunDelay(None), ..Watch::of_this_thread() }
    }

    /// Forgets the waiting times until now.
    pub(super) fn restart(&mut self) {
        if let Some(waited) = self.run_delay.read() {
            self.judge.restart(self.created.elapsed(), waited);
        }
    }
}

/// The time that a thread was ready to run and waited for a core, as Linux counts it in `/proc/thread-self/schedstat`
/// (`sched-stats.rst` of the kernel's documentation). Other systems have no such file, and then no competition is seen.
struct RunDelay(Option<File>);

impl RunDelay {
    fn of_this_thread() -> RunDelay {
        RunDelay(File::open("/proc/thread-self/schedstat").ok())
    }

    fn read(&self) -> Option<Duration> {
        let (mut file, mut line) = (self.0.as_ref()?, [0; 64]);
        file.rewind().ok()?;
        let len = file.read(&mut line).ok()?;
        run_delay(str::from_utf8(&line[..len]).ok()?)
    }
}

/// The second of three numbers, in nanoseconds: time on a core, time waiting for one, turns.
fn run_delay(schedstat: &str) -> Option<Duration> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// What a judge says to a thread that waits `wait` of every `every` milliseconds, over the next `times` observations.
    fn verdicts(judge: &mut Judge, every: u64, wait: u64, times: u64) -> Vec<u128> {
        let (begun, waited) = (judge.begun, judge.waited);
        let at = |i| judge.observe(begun + ms(i * every), waited + ms(i * wait));
        (1..=times).filter_map(at).map(|absence| absence.as_millis()).collect()
    }

    #[test]
    fn a_thread_that_shares_its_core_stays_away_longer_and_longer() {
        let mut judge = Judge::new();
        assert_eq!(verdicts(&mut judge, 8, 4, 7), [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(verdicts(&mut judge, 20, 0, 2), [0; 0]); // 1000 becomes 500, then 250
        assert_eq!(verdicts(&mut judge, 8, 4, 1), [250]);
        assert_eq!(verdicts(&mut judge, 20, 0, 100), [0; 0]);
        assert_eq!(verdicts(&mut judge, 8, 4, 1), [50], "the shortest absence again");
    }

    #[test]
    fn waits_add_up_within_a_window_and_not_beyond() {
        assert_eq!(verdicts(&mut Judge::new(), 5, 2, 2), [50], "4 ms of 10");
        assert_eq!(verdicts(&mut Judge::new(), 20, 3, 50), [0; 0], "3 ms of every 20");
    }

    #[test]
    fn a_long_window_is_judged_by_its_share_of_waiting() {
        assert_eq!(verdicts(&mut Judge::new(), 1000, 150, 3), [0; 0]);
        assert_eq!(verdicts(&mut Judge::new(), 1000, 200, 1), [50]);
    }

    #[test]
    fn what_was_before_a_restart_does_not_count() {
        let mut judge = Judge::new();
        judge.restart(ms(1000), ms(600));
        assert_eq!(judge.observe(ms(1010), ms(603)), None);
        assert_eq!(judge.observe(ms(1012), ms(604)), Some(ABSENCE[0]));
    }

    #[test]
    fn the_waiting_time_is_the_second_number() {
        assert_eq!(run_delay("4181000 71116 12\n"), Some(Duration::from_nanos(71_116)));
        assert_eq!(run_delay("4181000\n"), None);
        assert_eq!(run_delay("a b c"), None);
    }

    #[test]
    fn linux_tells_the_waiting_time_where_it_counts_it() {
        let counted = std::fs::exists("/proc/thread-self/schedstat").unwrap();
        assert_eq!(RunDelay::of_this_thread().read().is_some(), counted);
    }
}
