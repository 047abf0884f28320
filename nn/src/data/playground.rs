//! The data sets of the TensorFlow Playground (Smilkov et al. 2017, "Direct-Manipulation Visualization of Deep Networks"), and
//! two moons: points of a plane from −6 to 6, each with a number that a network is to answer.
//!
//! Generated from the description of the sets, by a generator of our own. `noise` is from 0 to ½.

use super::shuffled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::PI;

/// A point with the answer for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanePoint {
    /// Where it lies.
    pub at: [f32; 2],
    /// 1 or −1 where points are classified, and any number between where a function is to be learned.
    pub target: f32,
}

/// Which set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaneSet {
    /// A disc of radius 2.5 (1) within a ring from 3.5 to 5 (−1).
    Circle,
    /// The sign of x·y, with a gap of 0.3 beside each axis.
    Xor,
    /// A cloud around (2, 2) (1) and one around (−2, −2) (−1).
    Gauss,
    /// Two spirals of one and three quarter turns.
    Spiral,
    /// Two half-circles that reach into each other.
    Moons,
    /// A slope to learn: (x + y) / 10, at most 1 and at least −1.
    Plane,
    /// Six bumps and dents to learn, of radius 2.
    MultiGauss,
}

/// Centres of the bumps (1) and dents (−1).
const BUMPS: [([f64; 2], f64); 6] = [
    ([-4.0, 2.5], 1.0),
    ([0.0, 2.5], -1.0),
    ([4.0, 2.5], 1.0),
    ([-4.0, -2.5], -1.0),
    ([0.0, -2.5], 1.0),
    ([4.0, -2.5], -1.0),
];

impl PlaneSet {
    /// All of them.
    pub const ALL: [PlaneSet; 7] = [
        PlaneSet::Circle,
        PlaneSet::Xor,
        PlaneSet::Gauss,
        PlaneSet::Spiral,
        PlaneSet::Moons,
        PlaneSet::Plane,
        PlaneSet::MultiGauss,
    ];

    /// Its name: `multi-gauss`.
    pub fn name(self) -> &'static str {
        match self {
            PlaneSet::Circle => "circle",
            PlaneSet::Xor => "xor",
            PlaneSet::Gauss => "gauss",
            PlaneSet::Spiral => "spiral",
            PlaneSet::Moons => "moons",
            PlaneSet::Plane => "plane",
            PlaneSet::MultiGauss => "multi-gauss",
        }
    }

    /// Whether its targets are classes, 1 and −1, and not any numbers.
    pub fn is_classified(self) -> bool {
        !matches!(self, PlaneSet::Plane | PlaneSet::MultiGauss)
    }

    /// `count` points in random order; where there are two classes, half of them each. In `Circle`, `Xor`, `Plane` and
    /// `MultiGauss` noise moves the place at which the target is decided, by up to `noise` times the radius of the set, and in
    /// `Spiral` and `Moons` the point itself. In `Gauss` it widens the clouds: their variance is ½ + 7·`noise`.
    ///
    /// # Panics
    /// Where `noise` is not from 0 to ½.
    pub fn points(self, seed: u64, count: usize, noise: f64) -> Vec<PlanePoint> {
        assert!((0.0..=0.5).contains(&noise), "PlaneSet: noise is from 0 to 0.5, not {noise}");
        let mut draw = Draw { rng: ChaCha8Rng::seed_from_u64(seed), noise };
        let points: Vec<PlanePoint> = (0..count)
            .map(|i| {
                let (first, share) = (i % 2 == 0, (i / 2) as f64 / count.div_ceil(2) as f64);
                let ([x, y], target) = self.point(&mut draw, first, share);
                PlanePoint { at: [x as f32, y as f32], target: target as f32 }
            })
            .collect();
        (0..count).map(|at| points[shuffled(seed, at as u64, count)]).collect()
    }

    /// A point of the first class or the second; `share` grows from 0 to 1 over the points of a class.
    fn point(self, draw: &mut Draw, first: bool, share: f64) -> ([f64; 2], f64) {
        let sign = if first { 1.0 } else { -1.0 };
        match self {
            PlaneSet::Circle => {
                let radius = if first { draw.within(0.0, 2.5) } else { draw.within(3.5, 5.0) };
                let at = polar(radius, draw.within(0.0, 2.0 * PI));
                let [x, y] = draw.moved(at, 5.0);
                (at, if x.hypot(y) < 2.5 { 1.0 } else { -1.0 })
            }
            PlaneSet::Xor => {
                // Of the four quadrants, two belong to each class.
                let (x, y) = (draw.within(0.3, 5.3), draw.within(0.3, 5.3));
                let turned = if draw.within(0.0, 1.0) < 0.5 { -1.0 } else { 1.0 };
                let at = [turned * x, turned * sign * y];
                let [x, y] = draw.moved(at, 5.0);
                (at, if x * y >= 0.0 { 1.0 } else { -1.0 })
            }
            PlaneSet::Gauss => {
                let deviation = (0.5 + 7.0 * draw.noise).sqrt();
                ([0, 1].map(|_| 2.0 * sign + deviation * draw.normal()), sign)
            }
            PlaneSet::Spiral => {
                let angle = 1.75 * share * 2.0 * PI + if first { 0.0 } else { PI };
                (draw.moved(polar(5.0 * share, angle), 1.0), sign)
            }
            PlaneSet::Moons => {
                let [x, y] = polar(1.0, PI * share);
                // The second is the first turned by half a circle around the middle of both, (½, ¼).
                let [x, y] = [sign * (x - 0.5) * 3.0, sign * (y - 0.25) * 3.0];
                (draw.moved([x, y], 3.0), sign)
            }
            PlaneSet::Plane | PlaneSet::MultiGauss => {
                let at = [draw.within(-6.0, 6.0), draw.within(-6.0, 6.0)];
                let moved = draw.moved(at, 6.0);
                (at, if self == PlaneSet::Plane { slope(moved) } else { bump(moved) })
            }
        }
    }
}

/// The first of these as a share of all, rounded, to train on, and the rest to test with.
///
/// # Panics
/// Where `train_share` is not from 0 to 1.
pub fn train_and_test(points: &[PlanePoint], train_share: f64) -> (&[PlanePoint], &[PlanePoint]) {
    assert!((0.0..=1.0).contains(&train_share), "the share to train on is from 0 to 1, not {train_share}");
    points.split_at((points.len() as f64 * train_share).round() as usize)
}

/// (x + y) / 10 within −1 and 1.
fn slope([x, y]: [f64; 2]) -> f64 {
    ((x + y) / 10.0).clamp(-1.0, 1.0)
}

/// The bump or dent that is nearest: ±(1 − distance / 2), or 0 where none is within 2.
fn bump([x, y]: [f64; 2]) -> f64 {
    let height = |&([cx, cy], sign): &([f64; 2], f64)| sign * (1.0 - (x - cx).hypot(y - cy) / 2.0).max(0.0);
    BUMPS.iter().map(height).fold(0.0, |most: f64, h| if h.abs() > most.abs() { h } else { most })
}

fn polar(radius: f64, angle: f64) -> [f64; 2] {
    [radius * angle.cos(), radius * angle.sin()]
}

struct Draw {
    rng: ChaCha8Rng,
    noise: f64,
}

impl Draw {
    fn within(&mut self, from: f64, to: f64) -> f64 {
        self.rng.random_range(from..to)
    }

    fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.rng)
    }

    /// Moved by up to the noise times the radius along each axis.
    fn moved(&mut self, at: [f64; 2], radius: f64) -> [f64; 2] {
        at.map(|x| x + self.within(-1.0, 1.0) * radius * self.noise)
    }
}

#[cfg(test)]
mod tests;
