//! The rate of work that all threads do at once, round by round.

use std::{
    hint, iter,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How often a waiting thread checks the gate before it yields its core.
const SPINS: usize = 20_000;

/// A barrier at which threads spin: one that sleeps would begin its round long after the others.
struct Gate {
    threads: usize,
    arrived: AtomicUsize,
}

impl Gate {
    fn wait(&self) {
        let ticket = self.arrived.fetch_add(1, Ordering::AcqRel);
        let open = (ticket / self.threads + 1) * self.threads;
        let mut spins = 0;
        while self.arrived.load(Ordering::Acquire) < open {
            spins += 1;
            if spins < SPINS { hint::spin_loop() } else { thread::yield_now() }
        }
    }
}

/// The rate of each round, in 10⁹ units in a second, the fastest first: of `work` done at once by a thread for each of
/// `data`, where one call is `units` units. There are rounds for about `time`, three at least.
///
/// A round lasts from the first thread's beginning to the last one's end: where one of them was kept from beginning, the
/// others had the machine to themselves, and their own times would add up to a rate that it does not have.
pub(super) fn rates<D: Send>(data: &mut [D], time: Duration, units: usize, work: impl Fn(&mut D) + Sync) -> Vec<f64> {
    let threads = data.len();
    let (gate, rounds) = (Gate { threads, arrived: AtomicUsize::new(0) }, AtomicUsize::new(0));
    let timed = |data: &mut D| {
        gate.wait();
        let begun = Instant::now();
        work(data);
        (begun, Instant::now())
    };
    let run = |leads: bool, data: &mut D| -> Vec<(Instant, Instant)> {
        work(data);
        let (begun, ended) = timed(data);
        if leads {
            let once = (ended - begun).as_secs_f64().max(1e-6);
            rounds.store((time.as_secs_f64() / once).clamp(3.0, 1000.0) as usize, Ordering::Relaxed);
        }
        gate.wait(); // also makes the number known to all
        (0..rounds.load(Ordering::Relaxed)).map(|_| timed(data)).collect()
    };
    let all: Vec<Vec<(Instant, Instant)>> = thread::scope(|scope| {
        let Some((mine, others)) = data.split_first_mut() else { return Vec::new() };
        let others: Vec<_> = others.iter_mut().map(|data| scope.spawn(|| run(false, data))).collect();
        let mine = run(true, mine);
        let others = others.into_iter().map(|other| other.join().expect("a probe does not panic"));
        iter::once(mine).chain(others).collect()
    });
    let wall = |i: usize| {
        let begun = all.iter().map(|rounds| rounds[i].0).min()?;
        Some(all.iter().map(|rounds| rounds[i].1).max()?.duration_since(begun).as_secs_f64())
    };
    let walls = (0..all.first().map_or(0, Vec::len)).filter_map(wall);
    let mut rates: Vec<f64> = walls.map(|wall| (units * threads) as f64 / wall.max(1e-9) / 1e9).collect();
    rates.sort_unstable_by(|a, b| b.total_cmp(a));
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_as_long_as_all_threads_take_together() {
        let mut data = [(0_u64, 4), (0, 1)];
        let rates = rates(&mut data, Duration::from_millis(20), 1000, |(calls, milliseconds)| {
            *calls += 1;
            thread::sleep(Duration::from_millis(*milliseconds));
        });
        assert!(rates.len() >= 3 && rates.is_sorted_by(|a, b| a >= b));
        assert_eq!(data[0].0, rates.len() as u64 + 2, "one to warm up, one to know how long it takes");
        assert_eq!(data[0].0, data[1].0);
        // 2000 units in 4 ms at least, not 1000 in 4 ms and 1000 in 1 ms.
        assert!(rates[0] <= 2000.0 / 4e-3 / 1e9, "{rates:?}");
    }
}
