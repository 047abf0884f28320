//! The flags of `gradus plan`.

use super::parse::{real, size};
use super::precision::Precision;
use super::preset::Preset;
use crate::plan::{Card, Cluster, KnownModel};
use clap::Args;

/// The flags of `gradus plan`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct PlanArgs {
    /// Model to plan for
    #[arg(long, value_name = "MODEL", default_value = "llama2-70b")]
    pub model: KnownModel,
    /// Tokens that it is trained on, such as 2e12
    #[arg(long, value_name = "N", default_value = "2e12", value_parser = real, allow_negative_numbers = true)]
    pub tokens: f64,
    /// Tokens between two updates
    #[arg(long, value_name = "N", default_value = "4e6", value_parser = real, allow_negative_numbers = true)]
    pub batch_tokens: f64,
    /// Card that it is trained on and runs on
    #[arg(long, value_name = "CARD", default_value = "a100")]
    pub card: Card,
    /// Number of cards
    #[arg(long, value_name = "N", default_value = "6000", value_parser = size, allow_negative_numbers = true)]
    pub gpus: usize,
    /// Share of the data sheet's FLOP/s that the training gets out of a card
    #[arg(long, value_name = "X", default_value = "0.45", value_parser = real, allow_negative_numbers = true)]
    pub utilisation: f64,
    /// Price of one card for an hour
    #[arg(long, value_name = "X", default_value = "1.2", value_parser = real, allow_negative_numbers = true)]
    pub price: f64,
    /// What the data centre draws for each watt of its cards
    #[arg(long, value_name = "X", default_value = "1.1", value_parser = real, allow_negative_numbers = true)]
    pub overhead: f64,
    /// Predict the time of a training step of a preset on this machine instead, and measure it
    #[arg(long, value_name = "PRESET", conflicts_with_all = ["model", "tokens", "batch_tokens", "card", "gpus", "utilisation", "price", "overhead"])]
    pub here: Option<Preset>,
    /// With --here: what products round their operands to
    #[arg(long, default_value = "f32", requires = "here")]
    pub precision: Precision,
    /// With --here: number of threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true, requires = "here")]
    pub threads: Option<usize>,
}

impl PlanArgs {
    /// The cards.
    pub fn cluster(&self) -> Cluster {
        Cluster {
            card: self.card,
            cards: self.gpus as u64,
            utilisation: self.utilisation,
            price_per_hour: self.price,
            overhead: self.overhead,
        }
    }
}
