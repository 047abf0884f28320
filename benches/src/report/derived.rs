//! What follows from the times of a report. `report.json` holds it too, so that a figure can be looked up there as it is
//! quoted.

use super::data::{Figure, Measured, Report};
use crate::{machine::Machine, workload::Unit};
use serde::{Deserialize, Serialize};

/// What follows from the time of a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// 10⁹ of `unit` in a second.
    pub rate: f64,
    /// What the rate counts.
    pub unit: Unit,
    /// The least time that the peaks of the machine allow, over the time.
    pub of_limit: f64,
    /// The same by the bandwidth in turn with it: [`Measured::limit_beside_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_limit_beside: Option<f64>,
    /// The time of the rung below, over the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_below: Option<f64>,
    /// PyTorch's time, over the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_pytorch: Option<f64>,
    /// Of a whole program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
}

impl Report {
    /// With all that follows from its times.
    pub fn derive(&mut self) {
        for measured in &mut self.ladders {
            let steps = measured.steps();
            let derived: Vec<_> = (0..steps.len()).map(|i| measured.derived(i, steps[i], &self.machine)).collect();
            for (figure, derived) in measured.figures.iter_mut().zip(derived) {
                figure.derived = Some(derived);
            }
        }
    }
}

impl Measured {
    fn derived(&self, figure: usize, over_below: Option<f64>, machine: &Machine) -> Derived {
        let seconds = self.figures[figure].warm.median_s;
        Derived {
            rate: self.rate(seconds),
            unit: self.work.unit(),
            of_limit: machine.least_seconds(self.work, self.problem.precision()) / seconds,
            of_limit_beside: self.limit_beside_s.map(|least| least / seconds),
            over_below,
            times_pytorch: self.pytorch.map(|pytorch| pytorch.median_s / seconds),
            tokens_per_second: self.problem.tokens().map(|tokens| tokens as f64 / seconds),
        }
    }

    /// For each figure how many times as fast it is as the rung below; none for the first rung, for one of other people,
    /// and for a rung at an older instruction set.
    pub fn steps(&self) -> Vec<Option<f64>> {
        let mut below: Option<&Figure> = None;
        let step = |figure| {
            let figure: &Figure = figure;
            if figure.peer || below.is_some_and(|below| below.rung == figure.rung) {
                return None;
            }
            below.replace(figure).map(|below| below.warm.median_s / figure.warm.median_s)
        };
        self.figures.iter().map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};

    #[test]
    fn what_follows_is_kept_with_the_times() {
        let mut report = example();
        report.derive();
        let derived: Vec<&Derived> = report.ladders[0].figures.iter().flat_map(|figure| &figure.derived).collect();
        let rates: Vec<f64> = derived.iter().map(|derived| derived.rate).collect();
        assert_eq!(rates, [4.0, 100.0, 125.0]);
        assert_eq!((derived[1].of_limit, derived[1].over_below), (0.5, Some(25.0)));
        assert_eq!(derived[1].times_pytorch, Some(0.1 / 3.0 / 0.02));
        assert_eq!((derived[0].over_below, derived[2].over_below), (None, None), "the first, and other people's");
    }
}
