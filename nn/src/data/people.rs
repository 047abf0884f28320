//! People who decide about a film: each has reasons of different strength, and a weighting that we do not see.
//!
//! A reason is a number from 0 to 1 in steps of 1/32: how good the weather is, how cheap the ticket, how dear the friend who
//! comes along. Everybody weighs them alike and goes if w·x > θ. With whole weights w·x is a multiple of 1/32, so a
//! threshold halfway between two of these leaves room on both sides of the line, and sums in `f32` are exact.

use super::Example;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Steps between the weakest and the strongest reason.
const STEPS: u32 = 32;

/// How a crowd decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilmGoers {
    /// How much each reason weighs: weather, price, friend.
    pub weights: [f32; 3],
    /// They go if the weighted sum is more than this.
    pub threshold: f32,
    /// The share of people who do the opposite of what their reasons say; 0 for none.
    pub moody: f64,
}

impl FilmGoers {
    /// Weights 6, 3 and 2 with the threshold 5 + 1/64, and nobody moody.
    pub const STEADY: FilmGoers = FilmGoers { weights: [6.0, 3.0, 2.0], threshold: 5.0 + 1.0 / 64.0, moody: 0.0 };

    /// `count` people: their reasons, each equally likely, and what they did. The same seed gives the same people, and the
    /// same reasons whatever the weights are.
    ///
    /// # Panics
    /// Where `moody` is not from 0 to 1.
    pub fn people(&self, seed: u64, count: usize) -> Vec<Example<3>> {
        assert!((0.0..=1.0).contains(&self.moody), "FilmGoers: moody is a share from 0 to 1, not {}", self.moody);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut person = || {
            let inputs = std::array::from_fn(|_| rng.random_range(0..=STEPS) as f32 / STEPS as f32);
            let opposite = rng.random::<f64>() < self.moody;
            Example { inputs, label: self.go(&inputs) != opposite }
        };
        (0..count).map(|_| person()).collect()
    }

    fn go(&self, inputs: &[f32; 3]) -> bool {
        self.weights.iter().zip(inputs).map(|(w, x)| w * x).sum::<f32>() > self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_people_do_what_their_reasons_say() {
        let people = FilmGoers::STEADY.people(1, 10_000);
        for person in &people {
            let [weather, price, friend] = person.inputs;
            assert!(person.inputs.iter().all(|x| (0.0..=1.0).contains(x) && (x * 32.0).fract() == 0.0), "{person:?}");
            assert_eq!(person.label, 6.0 * weather + 3.0 * price + 2.0 * friend > 5.0 + 1.0 / 64.0, "{person:?}");
        }
        // Each of 33 values is equally likely: a mean of ½, whose standard error is 0.003.
        for reason in 0..3 {
            let mean = people.iter().map(|person| f64::from(person.inputs[reason])).sum::<f64>() / 10_000.0;
            assert!((mean - 0.5).abs() < 0.015, "reason {reason}: {mean}");
        }
        assert_eq!(people, FilmGoers::STEADY.people(1, 10_000));
        assert_ne!(people, FilmGoers::STEADY.people(2, 10_000));
    }

    #[test]
    fn a_share_of_moody_people_does_the_opposite() {
        let moody = FilmGoers { moody: 0.1, ..FilmGoers::STEADY };
        let pairs = || std::iter::zip(moody.people(1, 10_000), FilmGoers::STEADY.people(1, 10_000));
        assert!(pairs().all(|(a, b)| a.inputs == b.inputs));
        let opposite = pairs().filter(|(a, b)| a.label != b.label).count();
        assert!((850..1150).contains(&opposite), "{opposite} of 10,000 expected about 1000"); // five standard errors
    }

    #[test]
    #[should_panic(expected = "a share from 0 to 1")]
    fn more_than_all_cannot_be_moody() {
        FilmGoers { moody: 1.5, ..FilmGoers::STEADY }.people(1, 1);
    }
}
