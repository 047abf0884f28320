//! A network on points of a plane, with every setting that the TensorFlow Playground has (Smilkov et al. 2017).
//!
//! Read in this order: [`Feature`] (what the network is told about a point), [`Settings`] (the hyperparameters, with sets of
//! them that are known to work), [`PlaneNetwork`] (the parameters), [`Playground`] (the training).
//! All of it computes in `f64` by the plainest kernels: the same bits on every machine, and networks of a few units need no more.

mod feature;
mod network;
mod presets;
mod settings;
mod training;

pub use feature::Feature;
pub use network::{Activation, PlaneNetwork};
pub use presets::{PRESETS, Preset};
pub use settings::{InvalidSettings, Penalty, Settings};
pub use training::{Losses, Playground};
