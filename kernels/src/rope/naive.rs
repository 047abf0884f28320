//! The specification: each pair of channels by the formula of the [module](super).
//!
//! Generic over the number type; in `f64` it is the oracle of the other rungs.

use super::{Input, Shape};
use crate::Float;

/// y = x turned by the angles of its positions; arguments as [`super::rotate`].
///
/// # Panics
/// As [`super::rotate`].
pub fn rotate<E: Float>(input: Input<'_, E>, y: &mut [E]) {
    input.check(y.len());
    y.copy_from_slice(input.x);
    let Shape { b: batch, t: positions, h: heads, rotated, d, pairs } = input.shape;
    for (b, t, h) in (0..batch).flat_map(|b| (0..positions).flat_map(move |t| (0..rotated).map(move |h| (b, t, h)))) {
        let first = ((b * positions + t) * heads + h) * d;
        for i in 0..pairs {
            let (cos, sin) = (input.cos[t * pairs + i], input.sin[t * pairs + i]);
            let sin = if input.inverse { -sin } else { sin };
            let [a, b] = input.pairing.channels(i, pairs).map(|channel| first + channel);
            y[a] = input.x[a] * cos - input.x[b] * sin;
            y[b] = input.x[b] * cos + input.x[a] * sin;
        }
    }
}
