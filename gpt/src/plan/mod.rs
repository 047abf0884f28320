//! What a language model costs, from first principles: its parameters, the arithmetic of its training, the memory that it needs,
//! the bytes that cards send each other, time, energy and money. Nothing is looked up that can be computed.
//!
//! | file | computes |
//! | --- | --- |
//! | [`shape`] | how many parameters a decoder of given sizes has |
//! | [`cluster`] | what cards can do, and what they cost |
//! | [`training`] | FLOPs, days, energy, money, memory and traffic of a training |
//! | [`inference`] | the size of the file, the cache, and the most tokens that a memory can feed in a second |
//! | [`here`] | the time of a training step on this machine, from measured rates |

pub mod cluster;
pub mod here;
pub mod inference;
pub mod shape;
pub mod training;

pub use cluster::{Card, Cluster};
pub use here::{Forecast, Part, StepWork};
pub use inference::InferenceCost;
pub use shape::{KnownModel, Shape};
pub use training::{TrainingCost, TrainingPlan};
