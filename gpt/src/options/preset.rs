//! The names of three sets of settings that are known to work, from two minutes on a laptop to an evening. Their values
//! stand in the tables of `config`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A set of settings; every flag of `gradus train` changes one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 0.8 million parameters, 2000 steps: two minutes at most on two cores
    #[default]
    Demo,
    /// 0.8 million parameters, 2000 steps, smaller batches: nanoGPT's shakespeare_char for a CPU
    Small,
    /// 10.7 million parameters, 5000 steps, dropout: nanoGPT's shakespeare_char for a GPU
    Large,
}

impl Preset {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Demo => "demo",
            Preset::Small => "small",
            Preset::Large => "large",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
