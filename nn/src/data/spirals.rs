//! Two spirals around each other, three turns each: which of the two is a point on?
//!
//! Lang and Witbrock, "Learning to tell two spirals apart", 1988; the points are those of the CMU benchmark collection:
//! at step i the radius is 6.5·(104 − i)/104 and the angle i·π/16, for i = 0 to 96. The second spiral is the first turned
//! by half a circle. From the middle outwards the classes alternate in every direction, so a straight line,
//! or a few, are of no use: the border itself must be a spiral.

use super::Example;
use std::f64::consts::PI;

/// The 2·(96·density + 1) points, the two spirals in turn, from the outside in; label `true` is the spiral that begins at
/// (0, 6.5).
///
/// `density` 1 gives the 194 points of the paper, to learn from; 4 gives the 770 with three more between each two, which
/// show whether the spiral was learned or only its points.
///
/// # Panics
/// If `density` is 0.
pub fn two_spirals(density: usize) -> Vec<Example<2>> {
    assert!(density > 0, "two_spirals: the density must be at least 1");
    (0..=96 * density)
        .flat_map(|i| {
            let step = i as f64 / density as f64;
            let (radius, angle) = (6.5 * (104.0 - step) / 104.0, step * PI / 16.0);
            let [x, y] = [radius * angle.sin(), radius * angle.cos()].map(|x| x as f32);
            [Example { inputs: [x, y], label: true }, Example { inputs: [-x, -y], label: false }]
        })
        .collect()
}
