//! Losses of two weights. They can be drawn, so that one sees how an optimiser walks.
//!
//! | landscape | loss | why |
//! | --- | --- | --- |
//! | [`Landscape::Valley`] | ½·(x² + s·y²) | s times as steep across as along: one learning rate does not suit both |
//! | [`Landscape::Banana`] | (1 − x)² + 100·(y − x²)² | its floor is a curve, and almost level (Rosenbrock 1960) |

use crate::module::{Module, Visitor};
use gradus_autograd::{Parameter, Tensor, Var};

/// A loss of two weights (x, y).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Landscape {
    /// ½·(x² + steep·y²): least at (0, 0), where it is 0. Its condition number is `steep`, where that is at least 1.
    Valley {
        /// How many times as steep it is along y as along x.
        steep: f64,
    },
    /// (1 − x)² + 100·(y − x²)²: least at (1, 1), where it is 0.
    Banana,
}

impl Landscape {
    /// The loss at a place.
    pub fn value(&self, [x, y]: [f64; 2]) -> f64 {
        match self {
            Landscape::Valley { steep } => 0.5 * (x * x + steep * y * y),
            Landscape::Banana => (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2),
        }
    }

    /// The loss at `at`, `[2]`, as a scalar that can be differentiated.
    ///
    /// # Panics
    /// Where `at` is not two numbers.
    #[track_caller]
    pub fn loss(&self, at: &Var) -> Var {
        assert_eq!(at.shape(), [2], "a landscape is a loss of two weights");
        let (x, y) = (at.slice(0, 0..1), at.slice(0, 1..2));
        let loss = match self {
            Landscape::Valley { steep } => &(&x.square() + &(&y.square() * *steep)) * 0.5,
            Landscape::Banana => &(&(-&x) + 1.0).square() + &(&(&y - &x.square()).square() * 100.0),
        };
        loss.reshape(&[])
    }

    /// Where it is least.
    pub fn lowest(&self) -> [f64; 2] {
        match self {
            Landscape::Valley { .. } => [0.0, 0.0],
            Landscape::Banana => [1.0, 1.0],
        }
    }
}

/// Weights without a network: what an optimiser moves.
#[derive(Clone, Debug)]
pub struct Place {
    /// \[N\], in `f64`.
    pub at: Parameter,
}

impl Place {
    /// Begins here.
    pub fn new(at: &[f64]) -> Place {
        Place { at: Parameter::new(Tensor::from_slice(at, &[at.len()])) }
    }

    /// Where it is now.
    pub fn now(&self) -> Vec<f64> {
        self.at.value().to_vec()
    }
}

impl Module for Place {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("at", &self.at);
    }
}
