//! Optimisers, the clipping of gradients, and the schedule of the learning rate.

pub mod adamw;
pub mod clip;
pub mod schedule;
pub mod setting;
pub mod sgd;

pub use adamw::{AdamW, AdamWConfig};
pub use clip::{clip_factor, global_norm, validate_max_norm};
pub use schedule::Schedule;
pub use setting::InvalidSetting;
pub use sgd::{Sgd, SgdConfig};
