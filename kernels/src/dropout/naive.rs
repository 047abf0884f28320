//! The specification: for each element a block of random bits.
//!
//! Ten rounds of Philox, with two products of 64 bits each, make 128 random bits, and an element takes 16 of them.
//! The seven other elements of the block compute it again, so seven eighths of the work are wasted. A round
//! needs the one before it, so ten of them are a chain of ten products: 18 ns an element (Zen 4).

use super::{Dropout, expect};
use crate::{Float, philox};

/// Whether dropout keeps an element. A counter has four words, eight halves, and eight counters serve 64 elements: the
/// first sixteen take the first words of the eight counters, each word its low half and then its high half, the next
/// sixteen the second words, and so on.
pub fn keeps(dropout: Dropout, element: u64) -> bool {
    let (group, inside) = (element / 64, element % 64);
    let (word, pair, half) = (inside / 16, inside % 16 / 2, inside % 2);
    let counter = 8 * group + pair;
    let halves = |x: u64| [(x & 0xffff_ffff) as u32, (x >> 32) as u32];
    let ([c0, c1], [c2, c3]) = (halves(counter), halves(dropout.stream));
    let words = philox::block([c0, c1, c2, c3], halves(dropout.seed));
    let bits = if half == 0 { words[word as usize] & 0xffff } else { words[word as usize] >> 16 };
    // With 2¹⁶ equally likely values of the bits, p of them are those below p·2¹⁶.
    f64::from(bits) >= (f64::from(dropout.p) * 65_536.0).round().min(65_535.0)
}

/// y = x·keep / (1 − p). Panics as [`super::apply`].
pub fn apply<E: Float>(dropout: Dropout, x: &[E], y: &mut [E]) {
    expect(dropout, x.len(), y.len());
    let scale = E::of(f64::from(dropout.scale()));
    for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        *y = if keeps(dropout, i as u64) { x * scale } else { E::zero() };
    }
}
