//! The learning rate over a run: a warm-up, while the moments have few gradients to average, then half a cosine down.

use super::setting::{InvalidSetting, check, not_negative};
use std::f64::consts::PI;

/// Linear warm-up, then a cosine from the full rate to the least (Loshchilov and Hutter 2017, eq. 5, one cycle).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// After the warm-up.
    pub learning_rate: f64,
    /// What the cosine comes down to at the end of the run, and the rate from there on.
    pub min_learning_rate: f64,
    /// The steps of the warm-up.
    pub warmup: u64,
    /// The steps of the run.
    pub steps: u64,
}

impl Schedule {
    /// That every rate is a finite number of at least 0, and the minimum is not above the full rate. The rates are
    /// checked as `f32`, in which optimisers take them. A rate above 0 that rounds to 0 there is refused: nothing would
    /// be learned with it. Any `warmup` and `steps` will do.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let Schedule { learning_rate, min_learning_rate, .. } = *self;
        let (full, least) = (learning_rate as f32, min_learning_rate as f32);
        not_negative("learning_rate", full)?;
        not_negative("min_learning_rate", least)?;
        let vanishes = learning_rate > 0.0 && full == 0.0;
        check("learning_rate", full, "must be 0 or at least 1e-45, the smallest number of f32", !vanishes)?;
        let rule = "must not be above the learning rate: it falls from that to this";
        check("min_learning_rate", least, rule, min_learning_rate <= learning_rate)
    }

    /// The rate of a step, counted from 0.
    ///
    /// ```
    /// use gradus_nn::optim::Schedule;
    /// let schedule = Schedule { learning_rate: 1.0, min_learning_rate: 0.1, warmup: 3, steps: 103 };
    /// assert_eq!(schedule.at(0), 0.25);
    /// assert_eq!(schedule.at(3), 1.0);
    /// assert!((schedule.at(53) - 0.55).abs() < 1e-12); // half way
    /// assert_eq!(schedule.at(1000), 0.1);
    /// ```
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step as f64 + 1.0) / (self.warmup as f64 + 1.0); // in f64: u64::MAX + 1 is no u64
        }
        if step >= self.steps {
            return self.min_learning_rate;
        }
        let progress = (step - self.warmup) as f64 / (self.steps - self.warmup) as f64;
        let share = 0.5 * (1.0 + (PI * progress).cos());
        self.min_learning_rate + share * (self.learning_rate - self.min_learning_rate)
    }
}
