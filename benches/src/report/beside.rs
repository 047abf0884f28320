//! The bandwidth of the machine, measured in turn with a workload that memory may bound, so that a slow second of the
//! machine slows both down.

use crate::{
    machine::Gauge,
    timing::median,
    workload::{Unit, Work},
};

/// How long a turn of the bandwidth is.
const SECONDS: f64 = 0.05;

/// The turns of the bandwidth beside one workload; none where memory does not bound it.
pub(super) struct Beside<'a> {
    gauge: &'a mut Gauge,
    work: Work,
    seconds: Vec<f64>,
}

impl<'a> Beside<'a> {
    /// No turn so far.
    pub(super) fn new(gauge: &'a mut Gauge, work: Work) -> Beside<'a> {
        Beside { gauge, work, seconds: Vec::new() }
    }

    /// Its turn.
    pub(super) fn turn(&mut self) {
        if self.work.unit() == Unit::Bytes {
            self.seconds.push(self.gauge.beside(self.work, SECONDS));
        }
    }

    /// The least time for the traffic: the median of the turns.
    pub(super) fn limit(mut self) -> Option<f64> {
        (!self.seconds.is_empty()).then(|| median(&mut self.seconds))
    }
}
