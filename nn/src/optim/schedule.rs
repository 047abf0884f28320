//! The learning rate over a run: a warm-up, for the moments know nothing yet, then half a cosine down.

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
            return self.learning_rate * (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        if step >= self.steps {
            return self.min_learning_rate;
        }
        let progress = (step - self.warmup) as f64 / (self.steps - self.warmup) as f64;
        let share = 0.5 * (1.0 + (PI * progress).cos());
        self.min_learning_rate + share * (self.learning_rate - self.min_learning_rate)
    }
}
