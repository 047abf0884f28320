//! A trained vector for each position.

use crate::init::Init;
use crate::module::{Module, Visitor};
use gradus_autograd::{Parameter, Tape, Var};
use std::ops::Range;

/// A table [context, C] of which row t is added to the embedding at position t (Devlin et al. 2018; Radford et al. 2019).
#[derive(Clone, Debug)]
pub struct LearnedPositions {
    /// The table, [context, C].
    pub weight: Parameter,
}

impl LearnedPositions {
    /// Normally distributed rows for the positions below `context`.
    pub fn new(init: &mut Init, context: usize, width: usize, standard_deviation: f64) -> LearnedPositions {
        LearnedPositions { weight: init.normal(&[context, width], standard_deviation) }
    }

    /// The rows [T, C] of these positions.
    ///
    /// # Panics
    /// Where one is past the context: nothing has been learned for it.
    pub fn forward(&self, tape: &Tape, positions: Range<usize>) -> Var {
        let table = tape.parameter(&self.weight);
        let (Range { start, end }, context) = (positions.clone(), table.shape()[0]);
        assert!(end <= context, "positions {start} to {end} are past the context of {context}");
        table.slice(0, positions)
    }
}

impl Module for LearnedPositions {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &self.weight);
    }
}
