//! A table of vectors, one for each token or position.

use crate::init::Init;
use crate::module::{Module, Visitor};
use gradus_autograd::{Parameter, Tape, Tensor, Var};

/// Rows of a table [V, C] picked by id.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// The table, [V, C].
    pub weight: Parameter,
}

impl Embedding {
    /// A table of normally distributed rows.
    pub fn new(init: &mut Init, rows: usize, width: usize, standard_deviation: f64) -> Embedding {
        Embedding { weight: init.normal(&[rows, width], standard_deviation) }
    }

    /// ids [..] of type `u32` → [.., C].
    ///
    /// # Panics
    /// Where an id is not in the table.
    pub fn forward(&self, tape: &Tape, ids: &Tensor) -> Var {
        tape.parameter(&self.weight).embedding(ids)
    }
}

impl Module for Embedding {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &self.weight);
    }
}
