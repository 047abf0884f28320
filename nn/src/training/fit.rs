//! Epochs: training on a whole data set again and again, with a look at other data after each, until that no longer helps.

use super::{Batches, Step, StepError, Trainable, Trainer};
use crate::module::Module;
use gradus_autograd::Tensor;
use std::ops::{AddAssign, ControlFlow};

/// A model whose answers on a batch can be scored.
pub trait Scored: Trainable {
    /// Loss and right answers of a batch; nothing is recorded, and nothing is dropped out.
    fn score(&self, batch: &Self::Batch) -> Score;
}

/// Data of a known number of examples, which can also be read from first to last.
pub trait Examples: Batches {
    /// How many there are; at least one.
    fn count(&self) -> usize;

    /// Examples `first` to `first + rows`, fewer at the end.
    ///
    /// # Errors
    /// Those of reading them.
    fn in_order(&self, first: usize, rows: usize) -> Result<Self::Batch, Self::Error>;
}

/// Sums over examples, so that batches of different sizes add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The losses of all examples together.
    pub loss: f64,
    /// The answers that are right.
    pub right: usize,
    /// The examples.
    pub count: usize,
}

impl Score {
    /// The mean loss.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.count as f64
    }

    /// The share of right answers, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.count as f64
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Score) {
        self.loss += other.loss;
        self.right += other.right;
        self.count += other.count;
    }
}

/// The score on all examples, `rows` at a time.
///
/// # Errors
/// Those of reading the data.
///
/// # Panics
/// Where `rows` is 0.
pub fn score<M: Scored, D: Examples<Batch = M::Batch>>(model: &M, data: &D, rows: usize) -> Result<Score, D::Error> {
    let mut sum = Score::default();
    for first in (0..data.count()).step_by(rows) {
        sum += model.score(&data.in_order(first, rows)?);
    }
    Ok(sum)
}

/// How long [`Trainer::fit`] goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FitConfig {
    /// Epochs at most.
    pub epochs: u64,
    /// Early stopping: after how many epochs in a row without a new least validation loss training ends, at least 1.
    /// `None`: never.
    pub patience: Option<u64>,
}

/// What [`Trainer::fit`] tells while it works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// A step was made: which of this call, counted from 1, of how many at most, and what it showed.
    Step(u64, u64, Step),
    /// An epoch ended.
    Epoch(&'a Epoch),
}

/// What one epoch showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Which, counted from 1.
    pub epoch: u64,
    /// The mean loss of its steps, each before its update.
    pub training_loss: f64,
    /// The score on the validation data, after it.
    pub validation: Score,
    /// Whether no epoch before had so small a validation loss.
    pub is_best: bool,
}

/// How a training went.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Every epoch that was finished.
    pub epochs: Vec<Epoch>,
    /// Why it ended.
    pub end: End,
}

impl Fitted {
    /// The epoch with the least validation loss, whose weights the model has; `None` where no epoch was finished.
    pub fn best(&self) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|epoch| epoch.is_best)
    }
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All epochs were made.
    Done,
    /// The validation loss had not fallen for as many epochs as the patience allows.
    NoLongerBetter,
    /// Whoever was told of an event said so.
    Told,
}

impl<M: Scored> Trainer<M> {
    /// Trains for some epochs, scores the model on the validation data after each, and leaves it with the weights of the
    /// epoch whose validation loss was least. `tell` hears of every step and epoch, and may end the training.
    ///
    /// An epoch ends with the first step after which every example has come once more. A batch may hold the end of one epoch
    /// and the beginning of the next.
    ///
    /// # Errors
    /// [`StepError`]; what was learned before stays.
    ///
    /// # Panics
    /// Where a batch has no rows.
    pub fn fit<D: Examples<Batch = M::Batch>>(
        &mut self,
        training: &D,
        validation: &D,
        config: FitConfig,
        mut tell: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Fitted, StepError<D::Error>> {
        let rows = self.config.batch * self.config.grad_accum;
        let until = |epoch: u64| (epoch * training.count() as u64).div_ceil(rows as u64);
        let (mut epochs, mut best, mut step) = (Vec::new(), Best::none(), 0);
        let mut end = End::Done;
        'epochs: for epoch in 1..=config.epochs {
            let (mut losses, steps) = (0.0, until(epoch) - step);
            while step < until(epoch) {
                let made = self.step(training)?;
                (step, losses) = (step + 1, losses + f64::from(made.loss));
                if tell(Event::Step(step, until(config.epochs), made)).is_break() {
                    end = End::Told;
                    break 'epochs;
                }
            }
            let validation = score(&self.model, validation, self.config.batch).map_err(StepError::Data)?;
            let is_best = best.offer(epoch, validation.mean_loss(), &self.model);
            epochs.push(Epoch { epoch, training_loss: losses / steps as f64, validation, is_best });
            if tell(Event::Epoch(&epochs[epochs.len() - 1])).is_break() {
                end = End::Told;
                break;
            }
            if config.patience.is_some_and(|patience| epoch - best.epoch >= patience.max(1)) && epoch < config.epochs {
                end = End::NoLongerBetter;
                break;
            }
        }
        best.restore(&self.model);
        Ok(Fitted { epochs, end })
    }
}

/// The weights of the epoch with the least validation loss.
struct Best {
    epoch: u64,
    loss: f64,
    weights: Vec<Tensor>,
}

impl Best {
    fn none() -> Best {
        Best { epoch: 0, loss: f64::INFINITY, weights: Vec::new() }
    }

    /// Keeps these weights if the loss is less than any before. A loss that is not a number never is.
    fn offer(&mut self, epoch: u64, loss: f64, model: &dyn Module) -> bool {
        let better = loss < self.loss;
        if better {
            // These handles keep the numbers: the optimiser copies what is shared before it changes it.
            let weights = model.distinct_parameters().iter().map(|(_, parameter)| parameter.value()).collect();
            *self = Best { epoch, loss, weights };
        }
        better
    }

    fn restore(self, model: &dyn Module) {
        for ((_, parameter), weights) in model.distinct_parameters().iter().zip(self.weights) {
            parameter.set_value(weights);
        }
    }
}
