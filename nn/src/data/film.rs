//! Do we go to the film? Three reasons: is the weather good, is the ticket cheap, does a friend come along.
//!
//! The weather weighs 8, the price 4, the friend 4, and we go if the sum is *more* than the threshold, 8. So good weather
//! is not enough by itself (8 is not more than 8), nor are a cheap ticket and a friend (4 + 4) in bad weather; good
//! weather with either of them is. In words: weather, and price or friend.

use super::Example;

/// How much each reason weighs: weather, price, friend.
pub const FILM_WEIGHTS: [f32; 3] = [8.0, 4.0, 4.0];

/// We go if the sum of the weights of the reasons that hold is more than this.
pub const FILM_THRESHOLD: f32 = 8.0;

/// All 8 cases, counted in binary: inputs (weather, price, friend), each 0 or 1, and the answer.
pub fn film() -> [Example<3>; 8] {
    std::array::from_fn(|case| {
        let inputs = [case >> 2 & 1, case >> 1 & 1, case & 1].map(|bit| bit as f32);
        let sum: f32 = inputs.iter().zip(FILM_WEIGHTS).map(|(x, w)| x * w).sum();
        Example { inputs, label: sum > FILM_THRESHOLD }
    })
}
