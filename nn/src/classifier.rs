//! A classifier of rows of numbers: linear layers with max(0, x) between them, and one score for each class.

use crate::data::{LabelledRows, RowBatch};
use crate::init::Init;
use crate::layers::Linear;
use crate::loss::multiclass_hinge;
use crate::module::{Layer, Module, Visitor};
use crate::training::{Score, Scored, Trainable};
use gradus_autograd::ops::cross_entropy::Options;
use gradus_autograd::{Tape, Tensor, Var};

/// What a [`Classifier`] makes small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassLoss {
    /// −ln of the probability that softmax gives to the right class.
    CrossEntropy,
    /// [`multiclass_hinge`]: with a single layer, a linear support vector machine.
    Hinge,
}

/// Linear layers with ReLU between them, none after the last.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// From the input to the scores.
    pub layers: Vec<Linear>,
    /// What it makes small.
    pub loss: ClassLoss,
}

impl Classifier {
    /// Layers between these sizes, `[784, 128, 10]` for 784 numbers, 128 hidden units and 10 classes. Weights have the variance
    /// 2 / inputs, because ReLU lets half of a signal through (He et al. 2015).
    ///
    /// # Panics
    /// Where there are fewer than two sizes, or one is 0.
    pub fn new(init: &mut Init, sizes: &[usize], loss: ClassLoss) -> Classifier {
        assert!(sizes.len() > 1 && !sizes.contains(&0), "a classifier needs inputs and classes, and not {sizes:?}");
        let layer = |pair: &[usize]| Linear::new(init, pair[0], pair[1], true, (2.0 / pair[0] as f64).sqrt());
        Classifier { layers: sizes.windows(2).map(layer).collect(), loss }
    }

    fn ends(&self) -> (usize, usize) {
        let (first, last) = (&self.layers[0], &self.layers[self.layers.len() - 1]);
        (first.weight.shape()[1], last.weight.shape()[0])
    }

    /// That these rows can be classified: before training, because an operation panics later.
    ///
    /// # Errors
    /// Where a row has another length than the input, or a label is no class.
    pub fn accepts(&self, rows: &LabelledRows) -> Result<(), String> {
        let (inputs, classes) = self.ends();
        if rows.width() != inputs {
            return Err(format!("the rows have {} numbers each, and the model takes {inputs}", rows.width()));
        }
        match rows.labels().iter().position(|&label| label as usize >= classes) {
            Some(row) => {
                Err(format!("row {row} has the label {}, and the model has {classes} classes", rows.labels()[row]))
            }
            None => Ok(()),
        }
    }

    /// The class with the highest score for each row of `inputs` [B, N]; the first of equals.
    pub fn predict(&self, inputs: &Tensor) -> Vec<u32> {
        highest(self.scores(&Tape::inference(), inputs).value())
    }
}

fn highest(scores: &Tensor) -> Vec<u32> {
    let better = |row: &[f64]| (1..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best }) as u32;
    scores.to_f64_vec().chunks(scores.last_size()).map(better).collect()
}

impl Layer for Classifier {
    /// Scores [B, classes] for rows [B, N].
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(tape, &if i == 0 { x } else { x.relu() });
        }
        x
    }
}

impl Module for Classifier {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (i, layer) in self.layers.iter().enumerate() {
            visitor.module(&format!("layers.{i}"), layer);
        }
    }
}

impl Trainable for Classifier {
    type Batch = RowBatch;

    fn loss(&self, tape: &Tape, batch: &RowBatch) -> Var {
        self.loss_of(&self.scores(tape, &batch.inputs), &batch.labels)
    }
}

impl Classifier {
    /// Rows are `f32`; a model of another type gets them in its own.
    fn scores(&self, tape: &Tape, inputs: &Tensor) -> Var {
        let dtype = self.layers[0].weight.value().dtype();
        self.forward(tape, &Var::constant(inputs.to_dtype(dtype)))
    }

    fn loss_of(&self, scores: &Var, labels: &Tensor) -> Var {
        match self.loss {
            ClassLoss::CrossEntropy => scores.cross_entropy(labels, Options::default()),
            ClassLoss::Hinge => multiclass_hinge(scores, labels),
        }
    }
}

impl Scored for Classifier {
    fn score(&self, batch: &RowBatch) -> Score {
        let scores = self.scores(&Tape::inference(), &batch.inputs);
        let labels = batch.labels.to_vec::<u32>();
        let right = highest(scores.value()).iter().zip(&labels).filter(|(answer, label)| answer == label).count();
        let loss = self.loss_of(&scores, &batch.labels).value().item() * labels.len() as f64;
        Score { loss, right, count: labels.len() }
    }
}
