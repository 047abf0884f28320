//! Digits drawn by a program, for a machine without handwritten ones: ten glyphs of 5×7 dots on 8×8 pixels, each example
//! pushed aside, with ink of its own strength, lost dots and grey noise.

use super::LabelledRows;
use gradus_kernels::philox;

/// The pixels along a side.
pub const DIGIT_SIDE: usize = 8;
const PIXELS: usize = DIGIT_SIDE * DIGIT_SIDE;
/// The share of dots that are lost, and of the background that is grey at most.
const LOST: f32 = 0.16;
const NOISE: f32 = 0.6;

/// Rows of five dots, the left one first.
const GLYPHS: [[u8; 7]; 10] = [
    [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
    [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
    [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111],
    [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
    [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
    [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
    [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
    [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
    [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
    [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
];

/// `count` drawings of the digits 0 to 9 in turn: rows of 64 numbers from 0, white, to 1, ink.
///
/// # Panics
/// Where `count` is 0.
pub fn drawn_digits(seed: u64, count: usize) -> LabelledRows {
    let labels: Vec<u32> = (0..count).map(|example| example as u32 % 10).collect();
    let inputs = labels.iter().enumerate().flat_map(|(example, digit)| drawing(seed, example as u32, *digit as usize));
    LabelledRows::new(inputs.collect(), labels, 10).unwrap_or_else(|error| panic!("{error}"))
}

fn drawing(seed: u64, example: u32, digit: usize) -> [f32; PIXELS] {
    const PURPOSE: u32 = 0x6469_6769; // "digi"
    let random = |pixel: u32| {
        let words = philox::block([example, pixel, 0, PURPOSE], [seed as u32, (seed >> 32) as u32]);
        words.map(|word| word as f32 / 2_f32.powi(32))
    };
    // Three places to the right, two down; ink from 0.6 to 1.
    let [right, down, ink, _] = random(PIXELS as u32);
    let (right, down, ink) = ((right * 3.99) as usize, (down * 1.99) as usize, 0.6 + 0.4 * ink);
    std::array::from_fn(|pixel| {
        let [lost, noise, ..] = random(pixel as u32);
        let place = ((pixel / DIGIT_SIDE).checked_sub(down), (pixel % DIGIT_SIDE).checked_sub(right));
        let dot = matches!(place, (Some(y @ 0..7), Some(x @ 0..5)) if GLYPHS[digit][y] >> (4 - x) & 1 == 1);
        let ink = if dot && lost >= LOST { ink } else { 0.0 };
        (ink + NOISE * (noise - 0.5)).clamp(0.0, 1.0)
    })
}
