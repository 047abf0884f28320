//! Settings that are known to work, or to fail in a way that teaches something.

use super::{Feature, Penalty, Settings};
use crate::data::PlaneSet;

/// A name, and what makes the settings.
pub type Preset = (&'static str, fn() -> Settings);

/// All of them.
pub const PRESETS: &[Preset] = &[
    ("circle", circle),
    ("xor", xor),
    ("gauss", gauss),
    ("spiral", spiral),
    ("moons", moons),
    ("plane", plane),
    ("multi-gauss", multi_gauss),
    ("overfit", overfit),
    ("l2", l2),
    ("more-data", more_data),
];

fn circle() -> Settings {
    Settings { hidden: vec![6], learning_rate: 0.3, epochs: 100, ..Settings::default() }
}

fn xor() -> Settings {
    Settings { data: PlaneSet::Xor, hidden: vec![4, 2], ..circle() }
}

fn gauss() -> Settings {
    Settings { data: PlaneSet::Gauss, hidden: vec![], learning_rate: 0.1, epochs: 40, ..circle() }
}

fn spiral() -> Settings {
    let (data, features) = (PlaneSet::Spiral, Feature::ALL.to_vec());
    Settings { data, features, hidden: vec![8, 8], learning_rate: 0.1, epochs: 200, ..circle() }
}

/// 100 points to train on, as in micrograd's demonstration.
fn moons() -> Settings {
    Settings { data: PlaneSet::Moons, points: 200, noise: 0.1, hidden: vec![8, 8], learning_rate: 0.1, ..circle() }
}

fn plane() -> Settings {
    Settings { data: PlaneSet::Plane, hidden: vec![], learning_rate: 0.01, epochs: 20, ..circle() }
}

fn multi_gauss() -> Settings {
    let base = Settings { data: PlaneSet::MultiGauss, points: 1200, hidden: vec![8, 8, 8], ..circle() };
    Settings { learning_rate: 0.2, epochs: 200, ..base }
}

/// Few points of two clouds that overlap, and a network with many weights.
fn overfit() -> Settings {
    let base = Settings { data: PlaneSet::Gauss, points: 300, noise: 0.5, train_share: 0.1, seed: 2, ..circle() };
    Settings { hidden: vec![8, 8, 8], learning_rate: 0.1, epochs: 600, ..base }
}

/// The same with a penalty on large weights.
fn l2() -> Settings {
    Settings { penalty: Penalty::L2, penalty_rate: 0.1, ..overfit() }
}

/// The same with ten times as many points to train on, and as many steps.
fn more_data() -> Settings {
    Settings { points: 570, train_share: 300.0 / 570.0, epochs: 60, ..overfit() }
}
