//! The order of the examples of each epoch, as a function: no list is shuffled and none has to be saved.

use gradus_kernels::philox;

/// Which of `count` examples stands at place `at` of an endless sequence in which every epoch of `count` places has each
/// example once, in an order of its own.
///
/// A Feistel network of four rounds is a permutation of the numbers of 2·b bits, whatever its rounds compute (Luby and
/// Rackoff 1988). It is applied until the result is below `count`, which makes it one of 0..count (Black and Rogaway 2002).
///
/// # Panics
/// Where there are no examples.
pub fn shuffled(seed: u64, at: u64, count: usize) -> usize {
    assert!(count > 0, "there are no examples to draw from");
    let (epoch, place) = (at / count as u64, at % count as u64);
    let bits = (64 - (count as u64 - 1).leading_zeros()).div_ceil(2).max(1); // of each half
    let mut x = permuted(seed, epoch, place, bits);
    while x >= count as u64 {
        x = permuted(seed, epoch, x, bits);
    }
    x as usize
}

fn permuted(seed: u64, epoch: u64, x: u64, bits: u32) -> u64 {
    const PURPOSE: u32 = 0x7368_7566; // "shuf": dropout draws from the same seed and must not see the same numbers
    let mask = u64::MAX >> (64 - bits);
    let (mut left, mut right) = (x >> bits, x & mask);
    for round in 0..4 {
        let counter = [right as u32, epoch as u32, (epoch >> 32) as u32, PURPOSE ^ round];
        let [random, ..] = philox::block(counter, [seed as u32, (seed >> 32) as u32]);
        (left, right) = (right, left ^ (u64::from(random) & mask));
    }
    left << bits | right
}
