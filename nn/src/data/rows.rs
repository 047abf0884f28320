//! Rows of numbers with a class each, as a classifier is trained on.

use super::shuffled;
use crate::training::Batches;
use gradus_autograd::Tensor;
use std::convert::Infallible;

/// Rows of one length, with their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledRows {
    inputs: Vec<f32>,
    labels: Vec<u32>,
}

/// Some of them.
#[derive(Clone, Debug)]
pub struct RowBatch {
    /// The rows, [B, N].
    pub inputs: Tensor,
    /// Their classes, \[B\].
    pub labels: Tensor,
}

impl LabelledRows {
    /// `labels[i]` is the class of the i-th row of `inputs`.
    ///
    /// # Errors
    /// Where there are no rows, the numbers are not divided evenly among the labels, or a label is not below `classes`.
    pub fn new(inputs: Vec<f32>, labels: Vec<u32>, classes: usize) -> Result<LabelledRows, String> {
        if labels.is_empty() || inputs.is_empty() || !inputs.len().is_multiple_of(labels.len()) {
            return Err(format!("{} numbers are not rows of one length for {} labels", inputs.len(), labels.len()));
        }
        match labels.iter().position(|&label| label as usize >= classes) {
            Some(row) => Err(format!("the label of row {row} is {}, and there are {classes} classes", labels[row])),
            None => Ok(LabelledRows { inputs, labels }),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none; that is never so.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The rows of these numbers, in this order.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn pick(&self, rows: &[usize]) -> RowBatch {
        let width = self.inputs.len() / self.len();
        let inputs: Vec<f32> =
            rows.iter().flat_map(|&row| &self.inputs[row * width..(row + 1) * width]).copied().collect();
        let labels: Vec<u32> = rows.iter().map(|&row| self.labels[row]).collect();
        RowBatch {
            inputs: Tensor::from_slice(&inputs, &[rows.len(), width]),
            labels: Tensor::from_slice(&labels, &[rows.len()]),
        }
    }
}

impl Batches for LabelledRows {
    type Batch = RowBatch;
    type Error = Infallible;

    /// Every row comes once in each epoch.
    fn batch(&self, seed: u64, index: u64, rows: usize) -> Result<RowBatch, Infallible> {
        let first = index * rows as u64;
        let rows: Vec<usize> = (first..first + rows as u64).map(|at| shuffled(seed, at, self.len())).collect();
        Ok(self.pick(&rows))
    }
}
