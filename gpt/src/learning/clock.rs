//! The training time of a run, and its tokens per second.

use crate::{config::RunConfig, metrics::Metric};
use std::time::Duration;

/// Counts the time and the tokens of the training steps. Validation and saving do not count.
#[derive(Clone, Debug)]
pub struct Clock {
    tokens_per_step: usize,
    seconds_before: f64,
    total: Count,
    lap: Count,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    time: Duration,
    tokens: u128,
}

impl Count {
    fn add(&mut self, time: Duration, tokens: usize) {
        self.time += time;
        self.tokens += tokens as u128;
    }

    /// Tokens per second; 0 where no time has passed, since JSON has no infinity.
    fn rate(self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.tokens as f64 / self.time.as_secs_f64() }
    }
}

impl Clock {
    /// A clock for `run`, which goes on from the last of the metrics that the run has so far.
    pub fn new(run: &RunConfig, metrics: &[Metric]) -> Clock {
        Clock {
            tokens_per_step: run.train.batch * run.train.grad_accum * run.model.context,
            seconds_before: metrics.last().map_or(0.0, |metric| metric.elapsed_s),
            total: Count::default(),
            lap: Count::default(),
        }
    }

    /// Counts one step, all its micro-batches together, that took `time`.
    pub fn step(&mut self, time: Duration) {
        for count in [&mut self.total, &mut self.lap] {
            count.add(time, self.tokens_per_step);
        }
    }

    /// Tokens per second since the last call, or since the start; 0 where there was no step.
    pub fn lap(&mut self) -> f64 {
        std::mem::take(&mut self.lap).rate()
    }

    /// Tokens per second since the start of this process; 0 where there was no step.
    pub fn tokens_per_second(&self) -> f64 {
        self.total.rate()
    }

    /// Seconds of training, those before the run was resumed included.
    pub fn elapsed_s(&self) -> f64 {
        self.seconds_before + self.total.time.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::FORMAT,
        preset::Preset,
        tokenizer::{Tokenizer, TokenizerKind},
    };

    const HALF_A_SECOND: Duration = Duration::from_millis(500);

    /// 2 windows of 8 tokens, 5 times: 80 tokens in a step.
    fn run() -> RunConfig {
        let (mut model, mut train, _) = Preset::Small.settings();
        (model.context, train.batch, train.grad_accum) = (8, 2, 5);
        RunConfig { format: FORMAT, model, train, tokenizer: Tokenizer::new(TokenizerKind::Byte, "") }
    }

    fn metric(elapsed_s: f64) -> Metric {
        let tokens_per_second = 1.0;
        Metric {
            step: 1,
            train_loss: 1.0,
            val_loss: None,
            val_tokens: None,
            val_standard_error: None,
            lr: 1e-3,
            grad_norm: 1.0,
            tokens_per_second,
            elapsed_s,
        }
    }

    #[test]
    fn the_tokens_of_every_micro_batch_count() {
        let mut clock = Clock::new(&run(), &[]);
        clock.step(HALF_A_SECOND);
        clock.step(HALF_A_SECOND * 3);
        assert_eq!(clock.lap(), 80.0, "160 tokens in 2 seconds");
        assert_eq!((clock.tokens_per_second(), clock.elapsed_s()), (80.0, 2.0));
    }

    #[test]
    fn a_lap_counts_the_steps_since_the_last_one_and_the_total_all() {
        let mut clock = Clock::new(&run(), &[]);
        clock.step(HALF_A_SECOND * 3);
        assert_eq!(clock.lap(), 80.0 / 1.5);
        clock.step(HALF_A_SECOND);
        assert_eq!(clock.lap(), 160.0);
        assert_eq!(clock.lap(), 0.0, "no step since");
        assert_eq!((clock.tokens_per_second(), clock.elapsed_s()), (80.0, 2.0));
    }

    #[test]
    fn the_time_goes_on_after_a_resume_and_the_rate_begins_anew() {
        let mut clock = Clock::new(&run(), &[metric(3.0), metric(7.25)]);
        assert_eq!((clock.elapsed_s(), clock.tokens_per_second()), (7.25, 0.0));
        clock.step(HALF_A_SECOND);
        assert_eq!((clock.elapsed_s(), clock.tokens_per_second()), (7.75, 160.0));
    }

    #[test]
    fn a_step_of_no_time_has_a_finite_rate() {
        let mut clock = Clock::new(&run(), &[]);
        clock.step(Duration::ZERO);
        assert_eq!((clock.lap(), clock.tokens_per_second(), clock.elapsed_s()), (0.0, 0.0, 0.0));
    }
}
