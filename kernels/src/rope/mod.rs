//! Rotary position embedding (RoPE; Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021, eq. 34).
//!
//! # What is computed
//! The channels of a head are taken in pairs, and pair i of a row at position t is turned by the angle t·θᵢ, as a point of the
//! plane is:
//!
//! ```text
//! y_a = x_a·cos(t·θᵢ) − x_b·sin(t·θᵢ)
//! y_b = x_b·cos(t·θᵢ) + x_a·sin(t·θᵢ)          θᵢ = base^(−2i/R)
//! ```
//!
//! The dot product of a query at position t and a key at position s then depends on t − s alone: rotations preserve lengths,
//! and only the difference of two angles is left. The [`Pairing`] says which two channels (a, b) make pair i. Only the first
//! R channels of a head are turned; the others are copied. So are the heads from `rotated` on: in a packed projection
//! \[B,T,H+2·Hkv,D\] the heads of q and k come first and turn, and those of v stay as they are.
//!
//! The cosines and sines are arguments: tables with a row for each position. So base, scaling of the frequencies and the
//! first position are decided by the caller.
//!
//! # Derivative
//! A rotation is orthogonal: dx is dy turned by the negative angles, which is the same function with [`InputOf::inverse`].
//!
//! # Shapes and cost
//! x, y \[B,T,H,D\] and cos, sin \[T,R/2\], all contiguous; R ≤ D. For n elements 3·n FLOPs and 8·n bytes: memory is the
//! limit, and the tables stay in the cache, because all batch entries and heads share a row.
//!
//! The ladder: [`naive`], [`simd`], [`threads`].

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod naive;
pub mod simd;
#[cfg(test)]
mod tests;
pub mod threads;

use crate::{Isa, Rung, memory::Elements};

/// Which two channels of a head are turned together, of the R that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pairing {
    /// Channels 2i and 2i + 1: as in the paper, GPT-J and llama2.c.
    Interleaved,
    /// Channels i and i + R/2: as in GPT-NeoX and Hugging Face's Llama.
    HalfSplit,
}

impl Pairing {
    /// The two channels of pair i of `pairs`.
    pub fn channels(self, i: usize, pairs: usize) -> [usize; 2] {
        match self {
            Pairing::Interleaved => [2 * i, 2 * i + 1],
            Pairing::HalfSplit => [i, i + pairs],
        }
    }
}

/// The sizes of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// B: the batch.
    pub b: usize,
    /// T: the positions.
    pub t: usize,
    /// H: all heads.
    pub h: usize,
    /// How many of the heads turn, the first ones.
    pub rotated: usize,
    /// D: the channels of a head.
    pub d: usize,
    /// R/2: the pairs of channels of a head that turn.
    pub pairs: usize,
}

/// What is turned, and how.
#[derive(Clone, Copy, Debug)]
pub struct InputOf<S> {
    /// The sizes.
    pub shape: Shape,
    /// Which channels make a pair.
    pub pairing: Pairing,
    /// Whether by the negative angles, as gradients are.
    pub inverse: bool,
    /// \[B,T,H,D\]
    pub x: S,
    /// cos(t·θᵢ), \[T,R/2\].
    pub cos: S,
    /// sin(t·θᵢ), \[T,R/2\].
    pub sin: S,
}

/// The same in the memory of the CPU.
pub type Input<'a, E = f32> = InputOf<&'a [E]>;

impl<S: Elements> InputOf<S> {
    /// Panics where a length does not fit.
    #[track_caller]
    fn check(&self, y: usize) {
        let Shape { b, t, h, rotated, d, pairs } = self.shape;
        let elements = [t, h, d].iter().try_fold(b, |n, &size| n.checked_mul(size));
        assert_eq!([Some(self.x.count()), Some(y)], [elements; 2], "rope: x and y must be [{b},{t},{h},{d}]");
        let table = t.checked_mul(pairs);
        assert_eq!(
            [Some(self.cos.count()), Some(self.sin.count())],
            [table; 2],
            "rope: cosines and sines must be [{t},{pairs}]"
        );
        assert!(pairs <= d / 2, "rope: {pairs} pairs of channels do not fit a head of {d}");
        assert!(rotated <= h, "rope: {rotated} of {h} heads cannot turn");
    }
}

/// `(isa, input, y)`
pub type Rotate = for<'a> fn(Isa, Input<'a>, &mut [f32]);

/// The rungs, from the specification upwards.
pub static RUNGS: [Rung<Rotate>; 3] = [
    Rung {
        name: "naive",
        idea: "the definition: one pair of channels after the other",
        run: |_, input, y| naive::rotate(input, y),
        simd: false,
    },
    Rung {
        name: "simd",
        idea: "vectors of pairs; neighbouring channels are exchanged in registers",
        run: simd::rotate,
        simd: true,
    },
    Rung { name: "threads", idea: "chunks of positions on all cores", run: threads::rotate, simd: true },
];

/// y = x turned by the angles of its positions; on dy with [`InputOf::inverse`] it gives dx.
///
/// # Panics
/// Where a length does not fit the shape, the pairs do not fit a head, or more heads turn than there are.
///
/// ```
/// use gradus_kernels::rope::{Input, Pairing, Shape, rotate};
/// let shape = Shape { b: 1, t: 1, h: 1, rotated: 1, d: 2, pairs: 1 };
/// let (x, cos, sin) = ([3.0, 1.0], [0.0], [1.0]); // a quarter turn
/// let mut y = [0.0; 2];
/// rotate(Input { shape, pairing: Pairing::HalfSplit, inverse: false, x: &x, cos: &cos, sin: &sin }, &mut y);
/// assert_eq!(y, [-1.0, 3.0]);
/// ```
pub fn rotate(input: Input<'_>, y: &mut [f32]) {
    threads::rotate(Isa::active(), input, y);
}
