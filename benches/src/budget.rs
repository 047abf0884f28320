//! Which rungs are left out where they would take too long, and why.
//!
//! A ladder is there to be read from the bottom up, but a naive product of 2048³ takes half a minute to say what one of
//! 512³ says in a tenth of a second. So a rung without vectors has a budget of FLOPs, and one that was slow on a smaller
//! workload of its operation is not tried on one that would take it longer than its time.

use crate::{
    cases::Entry,
    workload::{Precision, Workload},
};
use std::collections::HashMap;

/// The most work that a rung is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// FLOPs of a rung without vectors: a run of the naive product takes two to six seconds for 2.1·10⁹ of them.
    pub scalar_flops: u64,
    /// Seconds of one run, as foretold by the last workload.
    pub seconds: f64,
}

impl Budget {
    /// That of a report.
    pub const WHOLE: Budget = Budget { scalar_flops: 2_100_000_000, seconds: 1.5 };
    /// That of a report in short, and of the ten samples of criterion.
    pub const SHORT: Budget = Budget { scalar_flops: 450_000_000, seconds: 0.4 };
}

/// How fast each rung was so far.
#[derive(Debug)]
pub struct Pace {
    budget: Budget,
    /// For operation, direction and rung the seconds of one unit of work, on the workload named last.
    seen: HashMap<[&'static str; 3], (f64, String)>,
}

impl Pace {
    /// Nothing is known yet.
    pub fn new(budget: Budget) -> Pace {
        Pace { budget, seen: HashMap::new() }
    }

    /// One run of a rung took so long.
    pub fn record(&mut self, entry: &Entry, workload: &Workload, seconds: f64) {
        let for_each = seconds / workload.problem.work().amount() as f64;
        self.seen.insert([workload.operation, workload.direction, entry.name], (for_each, workload.id()));
    }

    /// Why a rung is left out on a workload, if it is.
    pub fn reason_to_skip(&self, entry: &Entry, workload: &Workload) -> Option<String> {
        let (work, budget) = (workload.problem.work(), self.budget);
        if workload.problem.tokens().is_some() {
            return None;
        }
        // The naive rung of bf16 says nothing that the one of f32 beside it does not, but on small problems.
        let in_bf16 = entry.precision == Precision::Bf16;
        let most = if in_bf16 { Budget::SHORT.scalar_flops / 3 } else { budget.scalar_flops };
        if !entry.simd && !entry.peer && work.flops > most {
            let giga = |flops: u64| flops as f64 / 1e9;
            let [flops, most] = [work.flops, most].map(giga);
            return Some(format!("{flops:.2} GFLOP, over the {most:.2} of a rung without vectors"));
        }
        let (for_each, id) = self.seen.get(&[workload.operation, workload.direction, entry.name])?;
        let seconds = for_each * work.amount() as f64;
        (seconds > budget.seconds).then(|| format!("{seconds:.1} s a run at its pace on {id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload;

    const ENTRY: Entry = Entry { name: "x", idea: "", simd: true, peer: false, precision: Precision::F32 };

    fn find(id: &str) -> Workload {
        workload::all().into_iter().find(|w| w.id() == id).unwrap()
    }

    #[test]
    fn rungs_without_vectors_are_left_out_by_their_flops() {
        let (large, small) = (find("matmul/gpt_large/mlp_up/forward"), find("matmul/gpt_small/proj/forward"));
        let pace = Pace::new(Budget::WHOLE);
        let reason = pace.reason_to_skip(&Entry { simd: false, ..ENTRY }, &large).unwrap();
        assert_eq!(reason, "19.33 GFLOP, over the 2.10 of a rung without vectors");
        assert_eq!(pace.reason_to_skip(&ENTRY, &large), None);
        let in_bf16 = pace.reason_to_skip(
            &Entry { simd: false, precision: Precision::Bf16, ..ENTRY },
            &find("matmul_bf16/square/512/nn"),
        );
        assert_eq!(in_bf16.unwrap(), "0.27 GFLOP, over the 0.15 of a rung without vectors");
        assert_eq!(pace.reason_to_skip(&Entry { simd: false, peer: true, ..ENTRY }, &large), None);
        assert_eq!(Pace::new(Budget::SHORT).reason_to_skip(&Entry { simd: false, ..ENTRY }, &small), None);
    }

    #[test]
    fn a_rung_that_was_slow_on_a_smaller_workload_is_left_out_on_a_larger_one() {
        let (smaller, larger) = (find("matmul/square/1024/nt"), find("matmul/square/2048/nt"));
        let mut pace = Pace::new(Budget::WHOLE);
        pace.record(&ENTRY, &smaller, 0.5);
        assert_eq!(pace.reason_to_skip(&ENTRY, &larger).unwrap(), "4.0 s a run at its pace on matmul/square/1024/nt");
        assert_eq!(pace.reason_to_skip(&ENTRY, &find("matmul/square/2048/nn")), None, "another layout");
        assert_eq!(pace.reason_to_skip(&Entry { name: "y", ..ENTRY }, &larger), None, "another rung");
        let peer = Entry { simd: false, peer: true, ..ENTRY };
        pace.record(&peer, &smaller, 0.5);
        assert!(pace.reason_to_skip(&peer, &larger).is_some(), "a peer, too");
        pace.record(&ENTRY, &smaller, 0.1);
        assert_eq!(pace.reason_to_skip(&ENTRY, &larger), None);
    }
}
