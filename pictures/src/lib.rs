//! Pictures as SVG, which needs no font, no window and no library on the machine. They know numbers and labels, and nothing of
//! tensors or models.
//!
//! | picture | shows |
//! | --- | --- |
//! | [`LineChart`] | curves: a loss over steps, a function over its inputs |
//! | [`HeatMap`] | a matrix: scores, attention weights, positions, confusion |
//! | [`Bars`] | a few numbers beside each other: the chances of the next token |
//! | [`Contour`] | a function of two numbers as lines of equal height, and paths across it |
//! | [`Plane`] | what a network of two inputs answers in every place, and where its answer turns |
//! | [`Unit`] | one unit: inputs, weights, sum, threshold, answer |
//! | [`Network`] | a network on a plane: what every unit answers in every place, and all weights |
//!
//! Each is a struct whose fields say what is to be drawn, and a method `svg`. [`save`] writes the text to a file.
#![forbid(unsafe_code)]

mod bars;
mod contour;
mod error;
mod heat_map;
mod level;
mod line_chart;
mod network;
mod plane;
mod save;
mod style;
mod unit;

pub use bars::{Bars, Group};
pub use contour::Contour;
pub use error::{Error, Result};
pub use heat_map::{HeatMap, Scale};
pub use line_chart::{LineChart, Series};
pub use network::{NetPoint, NetUnit, Network};
pub use plane::{Plane, Point};
pub use save::save;
pub use unit::{Input, Unit};
