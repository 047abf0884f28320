//! The flags of `gradus play`. One that is not given has the value of the named settings.

use super::parse::{real, size, whole};
use crate::error::{Error, Result};
use clap::Args;
use gradus_nn::data::PlaneSet;
use gradus_nn::playground::{Activation, Feature, PRESETS, Penalty, Settings};
use std::{path::PathBuf, str::FromStr};

/// The flags of `gradus play`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct PlayArgs {
    /// Named settings, of which the other options change some: circle, xor, gauss, spiral, moons, plane, multi-gauss, overfit, l2, more-data
    #[arg(long, value_name = "NAME", value_parser = preset, default_value = "circle")]
    pub settings: String,
    /// Points to learn: circle, xor, gauss, spiral and moons are classes, plane and multi-gauss functions
    #[arg(long, value_name = "SET", value_parser = data)]
    pub data: Option<PlaneSet>,
    /// Number of points, from 2 to 5000
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub points: Option<usize>,
    /// Noise of the points, from 0 to 0.5
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub noise: Option<f64>,
    /// Share of the points to train on; the others test
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub train_share: Option<f64>,
    /// What the network is told about a point, with commas: some of x, y, x2, y2, xy, sinx, siny
    #[arg(long, value_name = "LIST")]
    pub features: Option<Features>,
    /// Units of each hidden layer, with commas, or none: at most 6 layers of 1 to 8 units
    #[arg(long, value_name = "LIST")]
    pub hidden: Option<Units>,
    /// Function of the hidden units: relu, tanh, sigmoid or linear
    #[arg(long, value_name = "NAME", value_parser = activation)]
    pub activation: Option<Activation>,
    /// What keeps weights small: none, l1 or l2
    #[arg(long, value_name = "NAME", value_parser = penalty)]
    pub penalty: Option<Penalty>,
    /// Strength of the penalty, from 0 to 10
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub penalty_rate: Option<f64>,
    /// Learning rate, at most 10
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// Points of a batch
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// How often every training point is seen
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub epochs: Option<u64>,
    /// Seed of the points, the first weights and the order of the points
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Picture of the network to write [default: out/play.svg]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl PlayArgs {
    /// The named settings with what the flags change.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that no network can be trained with.
    pub fn merged(&self) -> Result<Settings> {
        let of = Settings::named(&self.settings).unwrap_or_default();
        // Without a penalty its strength means nothing, so it need not be taken back by hand.
        let free = self.penalty == Some(Penalty::None);
        let settings = Settings {
            data: self.data.unwrap_or(of.data),
            points: self.points.unwrap_or(of.points),
            noise: self.noise.unwrap_or(of.noise),
            train_share: self.train_share.unwrap_or(of.train_share),
            features: self.features.clone().map_or(of.features, |features| features.0),
            hidden: self.hidden.clone().map_or(of.hidden, |units| units.0),
            activation: self.activation.unwrap_or(of.activation),
            penalty: self.penalty.unwrap_or(of.penalty),
            penalty_rate: self.penalty_rate.unwrap_or(if free { 0.0 } else { of.penalty_rate }),
            learning_rate: self.lr.unwrap_or(of.learning_rate),
            batch: self.batch.unwrap_or(of.batch),
            epochs: self.epochs.unwrap_or(of.epochs),
            seed: self.seed.unwrap_or(of.seed),
        };
        settings.validate().map_err(|wrong| Error::setting(wrong.name, wrong.value, wrong.rule))?;
        Ok(settings)
    }
}

/// Features, as `x,y,x2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Features(pub Vec<Feature>);

/// The units of hidden layers, as `4,2`, or `none`.
#[derive(Clone, Debug, PartialEq)]
pub struct Units(pub Vec<usize>);

impl FromStr for Features {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Features, String> {
        text.split(',')
            .map(|name| named(name.trim(), &Feature::ALL, Feature::name))
            .collect::<std::result::Result<_, _>>()
            .map(Features)
    }
}

impl FromStr for Units {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Units, String> {
        if text == "none" {
            return Ok(Units(Vec::new()));
        }
        let units = text.split(',').map(|units| units.trim().parse()).collect::<std::result::Result<_, _>>();
        units.map(Units).map_err(|_| "give the units of each hidden layer, such as 4,2, or none".into())
    }
}

/// The value with this name.
fn named<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> std::result::Result<T, String> {
    let names = || all.iter().map(|value| name(*value)).collect::<Vec<_>>().join(", ");
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| format!("give one of {}", names()))
}

fn preset(text: &str) -> std::result::Result<String, String> {
    let names: Vec<&'static str> = PRESETS.iter().map(|(name, _)| *name).collect();
    named(text, &names, |name| name).map(String::from)
}

fn data(text: &str) -> std::result::Result<PlaneSet, String> {
    named(text, &PlaneSet::ALL, PlaneSet::name)
}

fn activation(text: &str) -> std::result::Result<Activation, String> {
    named(text, &Activation::ALL, Activation::name)
}

fn penalty(text: &str) -> std::result::Result<Penalty, String> {
    named(text, &Penalty::ALL, Penalty::name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::{CommandFactory, Parser};

    fn merged(flags: &str) -> Result<Settings> {
        let line = ["gradus", "play"].into_iter().chain(flags.split_whitespace());
        let Command::Play(args) = Cli::try_parse_from(line).unwrap().command() else { panic!("{flags}") };
        args.merged()
    }

    #[test]
    fn every_flag_changes_its_setting() {
        assert_eq!(merged("").unwrap(), Settings::named("circle").unwrap());
        let all = "--settings spiral --data xor --points 40 --noise 0.1 --train-share 0.25 --features x,sinx --hidden 3,1 \
                   --activation relu --penalty l1 --penalty-rate 0.01 --lr 0.3 --batch 7 --epochs 9 --seed 5";
        let expected = Settings {
            data: PlaneSet::Xor,
            points: 40,
            noise: 0.1,
            train_share: 0.25,
            features: vec![Feature::X, Feature::SinX],
            hidden: vec![3, 1],
            activation: Activation::Relu,
            penalty: Penalty::L1,
            penalty_rate: 0.01,
            learning_rate: 0.3,
            batch: 7,
            epochs: 9,
            seed: 5,
        };
        assert_eq!(merged(all).unwrap(), expected);
        assert!(merged("--hidden none").unwrap().hidden.is_empty());
        let free = merged("--settings l2 --penalty none").unwrap();
        assert_eq!((free.penalty, free.penalty_rate), (Penalty::None, 0.0));
    }

    #[test]
    fn a_penalty_and_its_rate_belong_together() {
        let refused = |flags| merged(flags).unwrap_err().to_string();
        assert!(refused("--penalty l2").starts_with("penalty-rate 0: must be above 0"));
        assert!(refused("--penalty-rate 0.1").starts_with("penalty-rate 0.1: needs"));
    }

    #[test]
    fn the_help_names_every_settings() {
        let mut gradus = <Cli as CommandFactory>::command();
        gradus.build();
        let help = gradus.find_subcommand_mut("play").unwrap().render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        assert!(help.contains(&names.join(", ")), "{help}");
    }
}
