//! The checkpoint of any model in training: its parameters and its optimiser's moments by name.

use super::{Checkpoint, Expected, MODEL, NamedArray, load_model, load_optimizer, optimizer_path};
use crate::error::{Error, Result};
use crate::files::FileSystem;
use gradus_autograd::{Device, Tensor};
use gradus_nn::training::{Trainable, Trainer};
use gradus_nn::{Module, Parameter};
use std::path::Path;

/// Saves weights and moments into `dir`. `meaning` says in words what the weights compute.
///
/// # Errors
/// Those of [`Checkpoint::save`].
pub fn save<M: Trainable>(trainer: &Trainer<M>, meaning: &str, files: &dyn FileSystem, dir: &Path) -> Result<()> {
    let state = trainer.optimizer().state().into_iter().map(|(name, moment)| (name, on_host(moment)));
    let (model, state) = (weights(trainer.model()), state.collect::<Vec<_>>());
    let (model, optimizer) = (&arrays(&model), &arrays(&state));
    Checkpoint { step: trainer.step_count(), meaning, model, optimizer }.save(files, dir)
}

/// Saves the weights alone into `dir`: a model to infer with.
///
/// # Errors
/// Those of [`Checkpoint::save_model`].
pub fn save_weights(model: &dyn Module, step: u64, meaning: &str, files: &dyn FileSystem, dir: &Path) -> Result<()> {
    Checkpoint { step, meaning, model: &arrays(&weights(model)), optimizer: &[] }.save_model(files, dir)
}

/// Reads the weights in `dir` into the parameters of `model`, and returns the step that they were saved at.
///
/// # Errors
/// Those of [`load_model`].
pub fn load_weights(model: &dyn Module, meaning: &str, dir: &Path) -> Result<Option<u64>> {
    let parameters = model.named_parameters();
    let expected: Vec<Expected> =
        parameters.iter().map(|(name, parameter)| Expected { name: name.clone(), shape: parameter.shape() }).collect();
    let put = |i: usize, values: Vec<f32>| {
        let parameter: &Parameter = &parameters[i].1;
        parameter.set_value(Tensor::from_slice(&values, &parameter.shape()));
    };
    load_model(dir, meaning, &expected, put)
}

/// Goes on with the checkpoint in `dir`: its weights, moments and step.
///
/// # Errors
/// Those of [`load_model`] and [`load_optimizer`].
pub fn resume<M: Trainable>(trainer: &mut Trainer<M>, meaning: &str, dir: &Path) -> Result<()> {
    let step = load_weights(trainer.model(), meaning, dir)?.ok_or_else(|| {
        Error::damaged(&dir.join(MODEL), "it does not say at which step it was saved, so it cannot be resumed")
    })?;
    let moments = trainer.optimizer().state();
    let expected: Vec<Expected> =
        moments.iter().map(|(name, moment)| Expected { name: name.clone(), shape: moment.shape().to_vec() }).collect();
    let mut arrays = Vec::with_capacity(expected.len());
    let put = |i: usize, values: Vec<f32>| arrays.push(Tensor::from_slice(&values, &expected[i].shape));
    load_optimizer(dir, step, meaning, &expected, put)?;
    let mut arrays = arrays.into_iter();
    let loaded = trainer.load_moments(step, |_| arrays.next());
    loaded.map_err(|problem| Error::damaged(&optimizer_path(dir, step), problem))
}

fn weights(model: &dyn Module) -> Vec<(String, Tensor)> {
    model.named_parameters().into_iter().map(|(name, parameter)| (name, on_host(parameter.value()))).collect()
}

fn on_host(tensor: Tensor) -> Tensor {
    tensor.to_device(&Device::Cpu)
}

fn arrays(tensors: &[(String, Tensor)]) -> Vec<NamedArray<'_>> {
    tensors.iter().map(|(name, t)| NamedArray { name, shape: t.shape(), data: t.as_host_slice() }).collect()
}
