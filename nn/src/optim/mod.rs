//! Optimisers, the clipping of gradients, and the schedule of the learning rate.

pub mod adamw;
pub mod clip;
pub mod schedule;
pub mod sgd;

pub use adamw::{AdamW, AdamWConfig};
pub use clip::{clip_factor, global_norm};
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdConfig};

use crate::module::Module;
use gradus_autograd::Parameter;

/// The parameters of a module, each once, also where two layers share one.
fn distinct_parameters(module: &dyn Module) -> Vec<(String, Parameter)> {
    let mut distinct: Vec<(String, Parameter)> = Vec::new();
    for (name, parameter) in module.named_parameters() {
        if !distinct.iter().any(|(_, known)| known.is_same(&parameter)) {
            distinct.push((name, parameter));
        }
    }
    distinct
}
