//! AdamW: a step size of its own for every weight, and weight decay that does not depend on the gradient.

use super::setting::{InvalidSetting, check, not_negative};
use crate::module::Module;
use gradus_autograd::{Parameter, Tensor};
use gradus_tensor::ops::optimizer;

/// The settings of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// The decay rate of the first moment, the running mean of the gradient, in [0, 1).
    pub beta1: f32,
    /// The decay rate of the second moment, the running mean of the squared gradient, in [0, 1).
    pub beta2: f32,
    /// Added to the root of the second moment in the denominator; above 0.
    pub eps: f32,
    /// The share of a weight, times the learning rate, that is taken away at each step; at least 0. It acts on matrices
    /// only: biases and the scales of norms are not decayed.
    pub weight_decay: f32,
}

impl AdamWConfig {
    /// That a step can be computed with these settings. They are checked as `f32`, in which the kernels compute: a beta
    /// that is below 1 in `f64` may be 1 here.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            check(name, beta, "must be at least 0 and below 1", (0.0..1.0).contains(&beta))?;
        }
        check("eps", self.eps, "must be above 0", self.eps > 0.0 && self.eps.is_finite())?;
        not_negative("weight_decay", self.weight_decay)
    }
}

impl Default for AdamWConfig {
    fn default() -> AdamWConfig {
        AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 }
    }
}

/// Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2) over two groups: parameters of two and more axes
/// are decayed, the others are not.
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    step: u64,
}

struct Slot {
    name: String,
    parameter: Parameter,
    m: Tensor,
    v: Tensor,
}

impl AdamW {
    /// Moments of zero for every parameter of the module.
    ///
    /// # Panics
    /// Where [`AdamWConfig::validate`] refuses the settings.
    pub fn new(module: &dyn Module, config: AdamWConfig) -> AdamW {
        config.validate().unwrap_or_else(|error| panic!("AdamW: {error}"));
        let slot = |(name, parameter): (String, Parameter)| {
            let value = parameter.value();
            let zeros = || value.new_zeros(value.shape());
            Slot { name, m: zeros(), v: zeros(), parameter }
        };
        AdamW { config, slots: module.distinct_parameters().into_iter().map(slot).collect(), step: 0 }
    }

    /// One step with the accumulated gradients times `grad_scale`; it clears the gradients. A parameter without a gradient
    /// does not change.
    pub fn step(&mut self, learning_rate: f32, grad_scale: f32) {
        self.step += 1;
        for Slot { parameter, m, v, .. } in &mut self.slots {
            parameter.update(|p, grad| {
                let options = optimizer::AdamW {
                    lr: learning_rate,
                    beta1: self.config.beta1,
                    beta2: self.config.beta2,
                    eps: self.config.eps,
                    weight_decay: if p.rank() >= 2 { self.config.weight_decay } else { 0.0 },
                    step: self.step,
                    grad_scale,
                };
                optimizer::adamw(options, p, &grad, m, v).expect("a gradient has the shape of its parameter");
            });
        }
    }

    /// How many steps have been made.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The moments by name: `m/NAME` and `v/NAME`.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let both =
            |slot: &Slot| [(format!("m/{}", slot.name), slot.m.clone()), (format!("v/{}", slot.name), slot.v.clone())];
        self.slots.iter().flat_map(both).collect()
    }

    /// Goes on from a saved state after `steps` steps.
    ///
    /// # Errors
    /// With the name of the first moment that is missing or has another shape or type; those before it are taken over.
    pub fn load_state(&mut self, steps: u64, mut find: impl FnMut(&str) -> Option<Tensor>) -> Result<(), String> {
        for slot in &mut self.slots {
            for (prefix, moment) in [("m", &mut slot.m), ("v", &mut slot.v)] {
                let name = format!("{prefix}/{}", slot.name);
                let saved = find(&name).ok_or_else(|| format!("the optimiser state lacks {name}"))?;
                if saved.shape() != moment.shape() || saved.dtype() != moment.dtype() {
                    let [is, needed] =
                        [&saved, &*moment].map(|tensor| format!("{} {:?}", tensor.dtype(), tensor.shape()));
                    return Err(format!("{name} is {is}, not {needed}"));
                }
                *moment = saved.to_device(moment.device());
            }
        }
        self.step = steps;
        Ok(())
    }
}
