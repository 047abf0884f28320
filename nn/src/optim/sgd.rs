//! Stochastic gradient descent with momentum (Polyak 1964).

use super::setting::{InvalidSetting, not_negative};
use crate::module::Module;
use gradus_autograd::{Parameter, Tensor};
use gradus_tensor::ops::optimizer;

/// The settings of [`Sgd`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdConfig {
    /// The factor by which the velocity decays at each step, in [0, 1) for convergence; 0 is plain SGD.
    pub momentum: f32,
    /// L2 regularisation: this times the weight is added to the gradient.
    pub weight_decay: f32,
    /// Whether the step uses the gradient one step ahead (Nesterov 1983).
    pub nesterov: bool,
}

impl SgdConfig {
    /// That both numbers are finite and at least 0.
    ///
    /// # Errors
    /// The first setting that is not.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        not_negative("momentum", self.momentum)?;
        not_negative("weight_decay", self.weight_decay)
    }
}

/// v ← momentum·v + g, p ← p − lr·v.
pub struct Sgd {
    config: SgdConfig,
    slots: Vec<(Parameter, Tensor)>,
}

impl Sgd {
    /// Velocities of zero for every parameter of the module.
    ///
    /// # Panics
    /// Where [`SgdConfig::validate`] refuses the settings.
    pub fn new(module: &dyn Module, config: SgdConfig) -> Sgd {
        config.validate().unwrap_or_else(|error| panic!("SGD: {error}"));
        let slot = |(_, parameter): (String, Parameter)| {
            let value = parameter.value();
            let velocity = value.new_zeros(value.shape());
            (parameter, velocity)
        };
        Sgd { config, slots: module.distinct_parameters().into_iter().map(slot).collect() }
    }

    /// One step with the accumulated gradients times `grad_scale`; it clears the gradients.
    pub fn step(&mut self, learning_rate: f32, grad_scale: f32) {
        let SgdConfig { momentum, weight_decay, nesterov } = self.config;
        let options = optimizer::Sgd { lr: learning_rate, momentum, weight_decay, nesterov, grad_scale };
        for (parameter, velocity) in &mut self.slots {
            parameter.update(|p, grad| {
                optimizer::sgd(options, p, &grad, velocity).expect("a gradient has the shape of its parameter");
            });
        }
    }
}
