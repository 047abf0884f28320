//! The hyperparameters: everything that is chosen before training, and not learned by it.

use super::{Activation, Feature, PRESETS};
use crate::data::PlaneSet;
use std::fmt;

/// What is added to the loss, so that weights stay small. Biases are not penalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Penalty {
    /// Nothing.
    None,
    /// λ·Σ|w|. It makes weights exactly 0.
    L1,
    /// ½·λ·Σw². It shrinks every weight by its own share.
    L2,
}

impl Penalty {
    /// All of them.
    pub const ALL: [Penalty; 3] = [Penalty::None, Penalty::L1, Penalty::L2];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Penalty::None => "none",
            Penalty::L1 => "l1",
            Penalty::L2 => "l2",
        }
    }
}

/// All of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Which points.
    pub data: PlaneSet,
    /// How many, from 2 to 5000.
    pub points: usize,
    /// From 0 to ½.
    pub noise: f64,
    /// The share of the points that is trained on, above 0 and below 1; the others test.
    pub train_share: f64,
    /// What the network is told, at least one, each once.
    pub features: Vec<Feature>,
    /// The units of each hidden layer: 0 to 6 layers of 1 to 8.
    pub hidden: Vec<usize>,
    /// The function of hidden units.
    pub activation: Activation,
    /// What keeps weights small.
    pub penalty: Penalty,
    /// λ, at most 10; above 0 with a penalty, and 0 without.
    pub penalty_rate: f64,
    /// The learning rate, above 0 and at most 10.
    pub learning_rate: f64,
    /// Points of a batch, at least 1. The last batch of an epoch may be smaller.
    pub batch: usize,
    /// How often every point is seen.
    pub epochs: u64,
    /// Decides points, first weights and the order of the points.
    pub seed: u64,
}

impl Default for Settings {
    /// Two hidden layers of 4 and 2 tanh units on the circle.
    fn default() -> Settings {
        Settings {
            data: PlaneSet::Circle,
            points: 500,
            noise: 0.0,
            train_share: 0.5,
            features: vec![Feature::X, Feature::Y],
            hidden: vec![4, 2],
            activation: Activation::Tanh,
            penalty: Penalty::None,
            penalty_rate: 0.0,
            learning_rate: 0.03,
            batch: 10,
            epochs: 200,
            seed: 1,
        }
    }
}

impl Settings {
    /// The set of [`PRESETS`] with this name.
    pub fn named(name: &str) -> Option<Settings> {
        PRESETS.iter().find(|(known, _)| *known == name).map(|(_, settings)| settings())
    }

    /// That a network can be trained with them.
    ///
    /// # Errors
    /// The first that is out of its range.
    pub fn validate(&self) -> Result<(), InvalidSettings> {
        let check = |name, value: String, rule, holds: bool| match holds {
            true => Ok(()),
            false => Err(InvalidSettings { name, value, rule }),
        };
        let list = |items: Vec<String>| items.join(",");
        let features = list(self.features.iter().map(|feature| feature.name().into()).collect());
        let twice = self.features.iter().enumerate().any(|(i, feature)| self.features[..i].contains(feature));
        let hidden = list(self.hidden.iter().map(usize::to_string).collect());
        let units = self.hidden.iter().all(|units| (1..=8).contains(units));
        check("points", self.points.to_string(), "must be from 2 to 5000", (2..=5000).contains(&self.points))?;
        check("noise", self.noise.to_string(), "must be from 0 to 0.5", (0.0..=0.5).contains(&self.noise))?;
        let trained = (self.points as f64 * self.train_share).round();
        let both = self.train_share > 0.0 && trained >= 1.0 && trained < self.points as f64;
        let rule = "must leave at least one point to train on and one to test with";
        check("train-share", self.train_share.to_string(), rule, both)?;
        check(
            "features",
            features.clone(),
            "must be at least one of x, y, x2, y2, xy, sinx, siny",
            !features.is_empty(),
        )?;
        check("features", features, "must name each feature once", !twice)?;
        check("hidden", hidden.clone(), "must be at most 6 layers", self.hidden.len() <= 6)?;
        check("hidden", hidden, "must be from 1 to 8 units in each layer", units)?;
        let rate = self.penalty_rate;
        check("penalty-rate", rate.to_string(), "must be from 0 to 10", (0.0..=10.0).contains(&rate))?;
        let (wanted, needed) = ("must be above 0 with a penalty, such as 0.03", "needs a penalty, l1 or l2");
        check("penalty-rate", rate.to_string(), wanted, self.penalty == Penalty::None || rate > 0.0)?;
        check("penalty-rate", rate.to_string(), needed, self.penalty != Penalty::None || rate == 0.0)?;
        let rate = self.learning_rate;
        check("lr", rate.to_string(), "must be above 0 and at most 10", rate > 0.0 && rate <= 10.0)?;
        check("batch", self.batch.to_string(), "must be at least 1", self.batch > 0)
    }
}

/// A setting that no network can be trained with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSettings {
    /// Its name on a command line.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What it has to be.
    pub rule: &'static str,
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.name, self.value, self.rule)
    }
}

impl std::error::Error for InvalidSettings {}
