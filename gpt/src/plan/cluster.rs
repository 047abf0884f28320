//! Cards, as their data sheets describe them, and how many of them work together.

use crate::error::{Error, Result};

/// A card with the figures of NVIDIA's data sheet: dense bf16 on tensor cores, memory, bandwidth, power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Card {
    /// A100 SXM with 80 GB
    A100,
    /// H100 SXM with 80 GB
    H100,
    /// H200 SXM with 141 GB
    H200,
    /// GeForce RTX 4090 with 24 GB
    #[value(name = "rtx4090")]
    Rtx4090,
}

/// What a card can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Specification {
    /// The name.
    pub name: &'static str,
    /// FLOP/s in bf16 on tensor cores, without sparsity.
    pub flops: f64,
    /// Bytes of memory.
    pub memory: f64,
    /// Bytes a second from that memory.
    pub bandwidth: f64,
    /// Watts, of the card alone.
    pub watts: f64,
}

impl Card {
    /// Its figures.
    pub fn specification(self) -> Specification {
        let card = |name, tera_flops: f64, gigabytes: f64, terabytes: f64, watts| Specification {
            name,
            flops: tera_flops * 1e12,
            memory: gigabytes * 1e9,
            bandwidth: terabytes * 1e12,
            watts,
        };
        match self {
            Card::A100 => card("A100", 312.0, 80.0, 2.039, 400.0),
            Card::H100 => card("H100", 989.4, 80.0, 3.35, 700.0),
            Card::H200 => card("H200", 989.4, 141.0, 4.8, 700.0),
            Card::Rtx4090 => card("RTX 4090", 165.2, 24.0, 1.008, 450.0),
        }
    }
}

/// Equal cards that work together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cluster {
    /// Which.
    pub card: Card,
    /// How many.
    pub cards: u64,
    /// The share of the data sheet's FLOP/s that a training gets out of them, above 0 and at most 1.
    pub utilisation: f64,
    /// What an hour of one card costs.
    pub price_per_hour: f64,
    /// What the whole data centre draws for a watt of its computers (power usage effectiveness), at least 1.
    pub overhead: f64,
}

impl Cluster {
    /// That it can compute.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first setting that is out of its range.
    pub fn validate(&self) -> Result<()> {
        let rule = |holds: bool, name, value: String, problem: &str| match holds {
            true => Ok(()),
            false => Err(Error::setting(name, value, problem)),
        };
        let Cluster { cards, utilisation, price_per_hour, overhead, .. } = *self;
        rule(cards > 0, "gpus", cards.to_string(), "must be at least 1")?;
        let share = utilisation > 0.0 && utilisation <= 1.0;
        rule(share, "utilisation", utilisation.to_string(), "must be above 0 and at most 1")?;
        let price = price_per_hour.is_finite() && price_per_hour >= 0.0;
        rule(price, "price", price_per_hour.to_string(), "must be 0 or more")?;
        let factor = overhead.is_finite() && overhead >= 1.0;
        rule(factor, "overhead", overhead.to_string(), "must be at least 1: the cards themselves draw 1")
    }

    /// FLOP/s that a training gets out of it.
    pub fn flops(&self) -> f64 {
        self.cards as f64 * self.card.specification().flops * self.utilisation
    }
}
