//! Rows of numbers with a class each, as a classifier is trained on.

use super::shuffled;
use crate::training::{Batches, Examples};
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

    /// The rows of a table: on each line the inputs and then the class, with commas between them. Each input is multiplied
    /// by `scale`.
    ///
    /// # Errors
    /// Where a line has another length than the first, something is no number, or a class is not below `classes`: with the
    /// line, counted from 1, and both sides of what does not agree.
    pub fn from_csv(text: &str, classes: usize, scale: f32) -> Result<LabelledRows, String> {
        let (mut inputs, mut labels, mut columns) = (Vec::new(), Vec::new(), None);
        for (line, row) in text.lines().enumerate().map(|(i, row)| (i + 1, row)).filter(|(_, row)| !row.is_empty()) {
            let numbers: Vec<&str> = row.split(',').map(str::trim).collect();
            let (first, expected) = *columns.get_or_insert((line, numbers.len()));
            if numbers.len() != expected {
                let given = numbers.len();
                return Err(format!("line {line} has {given} columns, and line {first} has {expected}"));
            }
            let Some((label, numbers)) = numbers.split_last() else { continue };
            for (column, number) in numbers.iter().enumerate() {
                let read = number.parse().ok().filter(|number: &f32| number.is_finite());
                let wrong = || format!("line {line}, column {} is {number:?}, and not a finite number", column + 1);
                inputs.push(read.ok_or_else(wrong)? * scale);
            }
            let read = label.parse().ok().filter(|label: &u32| (*label as usize) < classes);
            let wrong = || format!("line {line} has the class {label:?}, and the classes are 0 to {}", classes - 1);
            labels.push(read.ok_or_else(wrong)?);
        }
        LabelledRows::new(inputs, labels, classes)
    }

    /// How many numbers a row has.
    pub fn width(&self) -> usize {
        self.inputs.len() / self.len()
    }

    /// All numbers, row by row.
    pub fn inputs(&self) -> &[f32] {
        &self.inputs
    }

    /// The class of each row.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// These rows mixed, and cut into the first `count` and the others.
    ///
    /// # Errors
    /// Where one of the two would be empty.
    pub fn split(&self, seed: u64, count: usize) -> Result<(LabelledRows, LabelledRows), String> {
        if count == 0 || count >= self.len() {
            return Err(format!("{} rows cannot be cut into {count} and others", self.len()));
        }
        let part = |places: std::ops::Range<usize>| {
            let rows = || places.clone().map(|at| shuffled(seed, at as u64, self.len()));
            let width = self.width();
            let inputs = rows().flat_map(|row| &self.inputs[row * width..(row + 1) * width]).copied().collect();
            LabelledRows { inputs, labels: rows().map(|row| self.labels[row]).collect() }
        };
        Ok((part(0..count), part(count..self.len())))
    }

    /// The rows of these numbers, in this order.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn pick(&self, rows: &[usize]) -> RowBatch {
        let width = self.width();
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

impl Examples for LabelledRows {
    fn count(&self) -> usize {
        self.len()
    }

    fn in_order(&self, first: usize, rows: usize) -> Result<RowBatch, Infallible> {
        let rows: Vec<usize> = (first..(first + rows).min(self.len())).collect();
        Ok(self.pick(&rows))
    }
}
