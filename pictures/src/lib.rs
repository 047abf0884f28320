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
//!
//! Each is a struct whose fields say what is to be drawn, and a method `svg`. [`save`] writes the text to a file.
#![forbid(unsafe_code)]

mod bars;
mod contour;
mod error;
mod heat_map;
mod level;
mod line_chart;
mod plane;
mod save;
mod style;

pub use bars::{Bars, Group};
pub use contour::Contour;
pub use error::{Error, Result};
pub use heat_map::{HeatMap, Scale};
pub use line_chart::{LineChart, Series};
pub use plane::{Plane, Point};
pub use save::save;
