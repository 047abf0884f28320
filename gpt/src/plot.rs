//! Pictures as SVG, which needs no font, no window and no library on the machine.

mod attention;
mod axis;
mod curve;
mod loss;
mod playground;
mod shades;
mod spread;
mod text;

pub use attention::{AttentionMaps, attention_map};
pub use loss::loss_curve;
pub use playground::{network_blocks, network_picture};
