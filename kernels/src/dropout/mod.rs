//! Dropout (Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014).
//!
//! yᵢ = xᵢ / (1 − p) where element i is kept, 0 where it is dropped, which happens with probability p. Since what is
//! kept is scaled while training, nothing is done when a model is used.
//!
//! Which elements are dropped follows from (seed, stream, i) alone, by [`crate::philox`]: the backward pass, which is
//! the same function on the gradient, computes the mask again, so none is stored.
//!
//! Cost for n elements: 8·n bytes, and ten rounds of Philox, some 60 integer operations, for eight elements.
//!
//! The ladder: [`naive`], [`simd`], [`threads`].

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod naive;
pub mod simd;
#[cfg(test)]
mod tests;
pub mod threads;

pub use crate::philox::Dropout;

use crate::{Isa, Rung};

/// `(isa, dropout, x, y)`
pub type Apply = fn(Isa, Dropout, &[f32], &mut [f32]);

/// The rungs, from the specification upwards.
pub static RUNGS: [Rung<Apply>; 3] = [
    Rung {
        name: "naive",
        idea: "a block of Philox for every element",
        run: |_, dropout, x, y| naive::apply(dropout, x, y),
        simd: false,
    },
    Rung {
        name: "simd",
        idea: "8 or 4 counters at a time, whose eight halves of words serve 64 or 32 elements",
        run: simd::apply,
        simd: true,
    },
    Rung {
        name: "threads",
        idea: "chunks on all cores: any part of the sequence can be made by itself",
        run: threads::apply,
        simd: true,
    },
];

fn expect(dropout: Dropout, x: usize, y: usize) {
    assert!((0.0..1.0).contains(&dropout.p), "dropout with probability {}", dropout.p);
    assert_eq!(x, y, "x has {x} elements, y has {y}");
}

/// y = x·keep / (1 − p), a copy for p = 0. On dy it gives dx.
///
/// # Panics
/// Unless `x` and `y` are of one length and 0 ≤ p < 1.
///
/// ```
/// use gradus_kernels::dropout::{Dropout, apply};
/// let mut y = [0.0; 100];
/// apply(Dropout { p: 0.5, seed: 1, stream: 0 }, &[1.0; 100], &mut y);
/// assert!(y.iter().all(|&y| y == 0.0 || y == 2.0));
/// ```
pub fn apply(dropout: Dropout, x: &[f32], y: &mut [f32]) {
    threads::apply(Isa::active(), dropout, x, y);
}
