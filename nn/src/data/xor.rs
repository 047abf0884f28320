//! Exclusive or: one or the other, not both. The smallest question that no single threshold unit can answer.
//!
//! Suppose that weights v, w and a threshold θ could. The four cases ask:
//! (0,0): 0 ≤ θ;  (0,1): w > θ;  (1,0): v > θ;  (1,1): v + w ≤ θ.
//! The middle two add up to v + w > 2θ, and 2θ ≥ θ since θ ≥ 0: so v + w > θ, against the last. (Minsky and Papert,
//! "Perceptrons", 1969.) A hidden layer solves it: `or` and `not and` are lines, and `xor` is both of them.

use super::Example;

/// The four cases.
pub fn xor() -> [Example<2>; 4] {
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
        .map(|inputs: [f32; 2]| Example { inputs, label: inputs[0] != inputs[1] })
}
