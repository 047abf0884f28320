//! Neural networks on the autograd tape, from one threshold unit to a Transformer block.
//!
//! Read in this order: [`perceptron`] (1958: a weighted vote and a rule that learns it), [`mlp`] (layers of them),
//! [`module`] (named parameters), [`layers`] (the parts of a Transformer), [`optim`] (how weights are changed),
//! [`playground`] (every setting of a small one),
//! [`training`] (a step of any model), [`language_model`] (what any model generates). [`data`] holds the small data sets,
//! [`loss`] what a network is to make small, [`init`] the first values of its weights.
//! The lessons that train them are in the folder `course`.
#![forbid(unsafe_code)]

pub mod classifier;
pub mod data;
pub mod deep;
pub mod encoder;
pub mod init;
pub mod landscape;
pub mod language_model;
pub mod layers;
pub mod loss;
pub mod mlp;
pub mod module;
pub mod optim;
pub mod perceptron;
pub mod playground;
pub mod scalar_mlp;
pub mod training;

pub use classifier::{ClassLoss, Classifier};
pub use deep::{Deep, DeepConfig, DeepNorm};
pub use encoder::{Encoder, EncoderConfig, Order};
pub use gradus_autograd::Parameter;
pub use init::Init;
pub use language_model::{LanguageModel, Reader};
pub use mlp::Mlp;
pub use module::{Layer, Module, Visitor};
pub use perceptron::Perceptron;
