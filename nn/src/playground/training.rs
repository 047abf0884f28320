//! The training: gradient descent in batches on the loss ½·(answer − target)², and the penalty.

use super::{InvalidSettings, Penalty, PlaneNetwork, Settings};
use crate::data::{PlanePoint, shuffled, train_and_test};
use crate::loss::mean_squared_error;
use crate::module::{Layer, Module};
use gradus_autograd::{Tape, Tensor, Var};

/// The mean of ½·(answer − target)² over the points that are trained on, and over those that are not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// Of the training points.
    pub train: f64,
    /// Of the test points.
    pub test: f64,
}

/// A network in training.
pub struct Playground {
    settings: Settings,
    network: PlaneNetwork,
    train: Vec<PlanePoint>,
    test: Vec<PlanePoint>,
    inputs: Vec<f64>,
    epoch: u64,
}

impl Playground {
    /// Points and first weights.
    ///
    /// # Errors
    /// The first setting that [`Settings::validate`] refuses.
    pub fn new(settings: Settings) -> Result<Playground, InvalidSettings> {
        settings.validate()?;
        let Settings { data, points, noise, train_share, features, hidden, activation, seed, .. } = &settings;
        let points = data.points(*seed, *points, *noise);
        let (train, test) = train_and_test(&points, *train_share);
        let network = PlaneNetwork::new(*seed, features, hidden, *activation, data.is_classified());
        let inputs = network.inputs(&places(train)).to_vec();
        Ok(Playground { network, train: train.to_vec(), test: test.to_vec(), inputs, epoch: 0, settings })
    }

    /// How it is trained.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The network as it is now.
    pub fn network(&self) -> &PlaneNetwork {
        &self.network
    }

    /// The points that are trained on.
    pub fn train(&self) -> &[PlanePoint] {
        &self.train
    }

    /// The points that are not.
    pub fn test(&self) -> &[PlanePoint] {
        &self.test
    }

    /// Epochs so far.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every training point once, in a random order of this epoch, a step after each batch:
    ///
    /// > w ← w − η·(∂L/∂w + λ·w) with L2; with L1 w ← w − η·∂L/∂w, and then η·λ nearer to 0, at most to 0 (the proximal step
    /// > of λ·|w|: Tibshirani 1996; Langford, Li and Zhang 2009, section 3.3)
    pub fn train_epoch(&mut self) {
        let count = self.train.len();
        let first = self.epoch * count as u64;
        let order: Vec<usize> = (0..count as u64).map(|i| shuffled(self.settings.seed, first + i, count)).collect();
        for batch in order.chunks(self.settings.batch) {
            self.gradients(batch);
            self.step();
        }
        self.epoch += 1;
    }

    /// Adds the gradients of the mean loss of these training points to the parameters, without those of the penalty.
    fn gradients(&self, batch: &[usize]) {
        let width = self.network.features.len();
        let inputs: Vec<f64> =
            batch.iter().flat_map(|&row| &self.inputs[row * width..(row + 1) * width]).copied().collect();
        let targets: Vec<f64> = batch.iter().map(|&row| f64::from(self.train[row].target)).collect();
        let tape = Tape::new();
        let x = Var::constant(Tensor::from_slice(&inputs, &[batch.len(), width]));
        let y = Tensor::from_slice(&targets, &[batch.len(), 1]);
        let loss = &mean_squared_error(&self.network.forward(&tape, &x), &y) * 0.5;
        tape.backward(&loss);
    }

    fn step(&self) {
        let Settings { learning_rate, penalty, penalty_rate, .. } = self.settings;
        for (_, parameter) in self.network.named_parameters() {
            parameter.update(|value, gradient| {
                let penalty = if value.rank() == 2 { penalty } else { Penalty::None };
                let gradient = gradient.to_vec::<f64>();
                for (w, g) in value.make_host_mut::<f64>().iter_mut().zip(gradient) {
                    *w = descended(*w, g, learning_rate, penalty, penalty_rate);
                }
            });
        }
    }

    /// The losses as they are now, without the penalty. Infinite where the weights have left the numbers.
    pub fn losses(&self) -> Losses {
        Losses { train: self.loss(&self.train), test: self.loss(&self.test) }
    }

    fn loss(&self, points: &[PlanePoint]) -> f64 {
        let answers = self.network.answers(&places(points));
        let sum: f64 = answers.iter().zip(points).map(|(y, p)| 0.5 * (y - f64::from(p.target)).powi(2)).sum();
        if sum.is_nan() { f64::INFINITY } else { sum / points.len() as f64 }
    }

    /// How many of these points have an answer of the sign of their target.
    pub fn right(&self, points: &[PlanePoint]) -> usize {
        let answers = self.network.answers(&places(points));
        answers.iter().zip(points).filter(|(y, p)| **y * f64::from(p.target) > 0.0).count()
    }
}

/// One weight after a step with gradient g.
fn descended(w: f64, g: f64, learning_rate: f64, penalty: Penalty, rate: f64) -> f64 {
    match penalty {
        Penalty::None => w - learning_rate * g,
        Penalty::L2 => w - learning_rate * (g + rate * w),
        Penalty::L1 => {
            let w = w - learning_rate * g;
            w.signum() * (w.abs() - learning_rate * rate).max(0.0)
        }
    }
}

fn places(points: &[PlanePoint]) -> Vec<[f32; 2]> {
    points.iter().map(|point| point.at).collect()
}

#[cfg(test)]
mod tests;
