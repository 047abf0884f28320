//! Text as batches: windows of the training part, with the token after each as its target.

use crate::dataset::{Dataset, Part};
use crate::error::{Error, Result};
use gradus_autograd::Tensor;
pub use gradus_nn::data::TextBatch;
use gradus_nn::training::Batches;
use std::cell::RefCell;

/// Windows at random places of the training part of a text.
#[derive(Debug)]
pub struct Windows<'a> {
    data: &'a Dataset,
    context: usize,
    /// Inputs and targets, kept so that a batch allocates nothing.
    buffers: RefCell<(Vec<u32>, Vec<u32>)>,
}

impl<'a> Windows<'a> {
    /// Windows of `context` tokens.
    pub fn new(data: &'a Dataset, context: usize) -> Windows<'a> {
        Windows { data, context, buffers: RefCell::default() }
    }

    /// T: the tokens of a window.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The text that they are cut from.
    pub fn data(&self) -> &'a Dataset {
        self.data
    }
}

impl Batches for Windows<'_> {
    type Batch = TextBatch;
    type Error = Error;

    fn batch(&self, seed: u64, index: u64, rows: usize) -> Result<TextBatch> {
        let (inputs, targets) = &mut *self.buffers.borrow_mut();
        self.data.batch(Part::Training, seed, index, rows, self.context, inputs, targets)?;
        let shape = [rows, self.context];
        Ok(TextBatch { ids: Tensor::from_slice(inputs, &shape), targets: Tensor::from_slice(targets, &shape) })
    }
}
