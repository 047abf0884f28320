//! From logits to the next token.
//!
//! The model computes a number for every token, the logit. softmax(logits / temperature) turns them into probabilities,
//! from which the next token is drawn. A temperature below 1 sharpens the distribution; at 0 only the likeliest token is
//! left, which is greedy decoding. Top-k keeps the k likeliest tokens, and top-p (nucleus sampling: Holtzman et al., "The
//! Curious Case of Neural Text Degeneration", 2020) the fewest whose probabilities add up to p. Both cut off the long tail
//! of tokens that are each unlikely, but together are not.

use crate::error::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How the next token is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What the logits are divided by; 0 takes the likeliest token.
    pub temperature: f64,
    /// How many of the likeliest tokens are kept.
    pub top_k: Option<usize>,
    /// The share of the probability that the kept tokens must reach.
    pub top_p: Option<f64>,
}

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub token: u32,
    /// Its probability by the model, softmax(logits).
    pub model: f64,
    /// The probability that it is drawn with, after temperature, top-k and top-p; 0 where they leave it out.
    pub sampling: f64,
}

impl Sampling {
    /// Always the likeliest token.
    pub const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: None, top_p: None };

    /// Checks the values; [`Sampler::new`] does it too.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::setting(
                "temperature",
                self.temperature,
                "must be a finite number of 0 or more; 0 is greedy",
            ));
        }
        if self.top_k == Some(0) {
            return Err(Error::setting("top-k", 0, "must be at least 1"));
        }
        match self.top_p {
            Some(p) if !(p > 0.0 && p <= 1.0) => Err(Error::setting("top-p", p, "must be above 0 and at most 1")),
            _ => Ok(()),
        }
    }
}

/// Draws tokens; the same seed and logits give the same tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
    choices: Vec<(u32, f64)>, // token and probability
}

impl Sampler {
    /// A sampler with its own random sequence.
    ///
    /// # Errors
    /// Those of [`Sampling::validate`].
    pub fn new(sampling: Sampling, seed: u64) -> Result<Sampler> {
        sampling.validate()?;
        Ok(Sampler { sampling, random: ChaCha8Rng::seed_from_u64(seed), choices: Vec::new() })
    }

    /// The next token.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where a logit is NaN or +∞, or none is above −∞.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32> {
        let best = best(logits)?;
        if self.sampling.temperature == 0.0 {
            return Ok(best);
        }
        self.weigh(logits, best, self.sampling.temperature);
        self.cut();
        let total: f64 = self.choices.iter().map(|(_, chance)| chance).sum();
        let mut left = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * total; // 53 bits: [0, 1)
        let chosen = self.choices.iter().find(|(_, chance)| {
            left -= chance;
            left < 0.0
        });
        Ok(chosen.map_or(best, |(token, _)| *token)) // rounding may leave a crumb behind the last
    }

    /// Every token with its probabilities, the likeliest first; draws nothing.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn candidates(&mut self, logits: &[f32]) -> Result<Vec<Candidate>> {
        let best = best(logits)?;
        self.weigh(logits, best, 1.0);
        self.sort();
        let by_model = self.choices.clone();
        let mut sampling = vec![0.0; logits.len()];
        if self.sampling.temperature == 0.0 {
            sampling[best as usize] = 1.0;
        } else {
            self.weigh(logits, best, self.sampling.temperature);
            self.cut();
            let total: f64 = self.choices.iter().map(|(_, chance)| chance).sum();
            self.choices.iter().for_each(|&(token, chance)| sampling[token as usize] = chance / total);
        }
        let candidate = |(token, model)| Candidate { token, model, sampling: sampling[token as usize] };
        Ok(by_model.into_iter().map(candidate).collect())
    }

    /// Fills `choices` with softmax(logits / temperature).
    fn weigh(&mut self, logits: &[f32], best: u32, temperature: f64) {
        let highest = f64::from(logits[best as usize]);
        let weight = |logit: f32| ((f64::from(logit) - highest) / temperature).exp();
        let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
        self.choices.clear();
        self.choices.extend(logits.iter().zip(0..).map(|(&logit, token)| (token, weight(logit) / total)));
    }

    fn sort(&mut self) {
        self.choices.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }

    fn cut(&mut self) {
        let Sampling { top_k, top_p, .. } = self.sampling;
        if top_k.is_none() && top_p.is_none() {
            return;
        }
        self.sort();
        self.choices.truncate(top_k.unwrap_or(usize::MAX));
        if let Some(p) = top_p {
            let mut wanted = p * self.choices.iter().map(|(_, chance)| chance).sum::<f64>();
            let nucleus = self.choices.iter().take_while(|(_, chance)| {
                let needed = wanted > 0.0;
                wanted -= chance;
                needed
            });
            let kept = nucleus.count().max(1);
            self.choices.truncate(kept);
        }
    }
}

/// The first of the highest logits.
fn best(logits: &[f32]) -> Result<u32> {
    let mut best = 0;
    for (i, &logit) in logits.iter().enumerate() {
        if logit.is_nan() || logit == f32::INFINITY {
            return Err(runaway());
        }
        if logit > logits[best] {
            best = i;
        }
    }
    match logits.get(best) {
        Some(logit) if logit.is_finite() => Ok(best as u32),
        _ => Err(runaway()),
    }
}

fn runaway() -> Error {
    Error::NotFinite { what: "a logit", at: None, hint: "this model cannot be used; train again with a smaller --lr" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 3.0, 1.0, 2.0, -1.0]; // chances 0.032, 0.636, 0.086, 0.234, 0.012

    fn counts(temperature: f64, top_k: Option<usize>, top_p: Option<f64>) -> [usize; 5] {
        let mut sampler = Sampler::new(Sampling { temperature, top_k, top_p }, 5).unwrap();
        let mut counts = [0; 5];
        (0..10_000).for_each(|_| counts[sampler.sample(&LOGITS).unwrap() as usize] += 1);
        counts
    }

    #[test]
    fn tokens_come_as_often_as_their_chances_say() {
        for temperature in [0.5, 1.0, 2.0] {
            let weights = LOGITS.map(|logit| (f64::from(logit) / temperature).exp());
            let total: f64 = weights.iter().sum();
            for (count, weight) in counts(temperature, None, None).into_iter().zip(weights) {
                let p = weight / total;
                let deviation = (10_000.0 * p * (1.0 - p)).sqrt();
                assert!((count as f64 - 10_000.0 * p).abs() < 4.0 * deviation, "{temperature}: {count} of {p}");
            }
        }
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_likeliest() {
        assert_eq!(counts(0.0, None, None), [0, 10_000, 0, 0, 0]);
        assert_eq!(Sampler::new(Sampling::GREEDY, 0).unwrap().sample(&[1.0, 2.0, 2.0]).unwrap(), 1);
        assert_eq!(Sampler::new(Sampling::GREEDY, 0).unwrap().sample(&[f32::NEG_INFINITY, -5.0]).unwrap(), 1);
    }

    #[test]
    fn top_k_and_top_p_leave_the_likeliest() {
        let left = |top_k, top_p| counts(1.0, top_k, top_p).map(|count| count > 0);
        assert_eq!(left(Some(1), None), [false, true, false, false, false]);
        assert_eq!(left(Some(3), None), [false, true, true, true, false]);
        assert_eq!(left(Some(99), None), [true; 5]);
        assert_eq!(left(None, Some(1e-9)), [false, true, false, false, false]);
        assert_eq!(left(None, Some(0.6)), [false, true, false, false, false]);
        assert_eq!(left(None, Some(0.7)), [false, true, false, true, false]);
        assert_eq!(left(None, Some(1.0)), [true; 5]);
        assert_eq!(left(Some(3), Some(0.95)), [false, true, true, true, false]);
        let share = counts(1.0, Some(2), None)[1] as f64 / 1e4;
        assert!((share - 0.731).abs() < 0.02, "the two that are left share all: e³/(e³ + e²) = 0.731, not {share}");
    }

    #[test]
    fn the_same_seed_makes_the_same_text() {
        let text = |seed| {
            let mut sampler = Sampler::new(Sampling { temperature: 1.0, top_k: None, top_p: None }, seed).unwrap();
            (0..50).map(|_| sampler.sample(&LOGITS).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    fn candidates(sampling: Sampling, logits: &[f32]) -> Vec<Candidate> {
        Sampler::new(sampling, 0).unwrap().candidates(logits).unwrap()
    }

    #[test]
    fn candidates_have_the_probabilities_of_the_model() {
        let all = candidates(Sampling::GREEDY, &LOGITS);
        assert_eq!(all.iter().map(|candidate| candidate.token).collect::<Vec<_>>(), [1, 3, 2, 0, 4]);
        let total: f64 = LOGITS.iter().map(|&logit| f64::from(logit).exp()).sum();
        for Candidate { token, model, .. } in all {
            assert!((model - f64::from(LOGITS[token as usize]).exp() / total).abs() < 1e-12);
        }
        let even = candidates(Sampling::GREEDY, &[0.0; 2]);
        assert_eq!(
            even.iter().map(|candidate| (candidate.token, candidate.model)).collect::<Vec<_>>(),
            [(0, 0.5), (1, 0.5)]
        );
    }

    #[test]
    fn candidates_have_the_probabilities_that_tokens_are_drawn_with() {
        for sampling in [
            Sampling::GREEDY,
            Sampling { temperature: 1.0, top_k: None, top_p: None },
            Sampling { temperature: 0.7, top_k: Some(3), top_p: None },
            Sampling { temperature: 1.5, top_k: Some(4), top_p: Some(0.8) },
        ] {
            let counts = counts(sampling.temperature, sampling.top_k, sampling.top_p);
            let all = candidates(sampling, &LOGITS);
            assert!((all.iter().map(|candidate| candidate.sampling).sum::<f64>() - 1.0).abs() < 1e-12);
            for Candidate { token, sampling: p, .. } in all {
                let (count, deviation) = (counts[token as usize] as f64, (10_000.0 * p * (1.0 - p)).sqrt());
                assert!((count - 10_000.0 * p).abs() <= 4.0 * deviation, "{sampling:?}: token {token}, {count} of {p}");
            }
        }
    }

    #[test]
    fn looking_at_candidates_changes_no_choice() {
        let sampling = Sampling { temperature: 1.0, top_k: Some(4), top_p: Some(0.9) };
        let (mut looked, mut not) = (Sampler::new(sampling, 3).unwrap(), Sampler::new(sampling, 3).unwrap());
        for _ in 0..50 {
            looked.candidates(&LOGITS).unwrap();
            assert_eq!(looked.sample(&LOGITS).unwrap(), not.sample(&LOGITS).unwrap());
        }
    }

    #[test]
    fn huge_logits_stay_finite_and_wrong_ones_are_refused() {
        let mut sampler = Sampler::new(Sampling { temperature: 0.1, top_k: Some(2), top_p: Some(0.9) }, 0).unwrap();
        assert_eq!(sampler.sample(&[3e38, -3e38]).unwrap(), 0);
        for wrong in [&[f32::NAN, 1.0][..], &[1.0, f32::NAN], &[f32::INFINITY], &[f32::NEG_INFINITY; 2], &[]] {
            assert!(matches!(sampler.sample(wrong), Err(Error::NotFinite { .. })), "{wrong:?}");
            assert!(sampler.candidates(wrong).is_err());
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let problem =
            |temperature, top_k, top_p| Sampling { temperature, top_k, top_p }.validate().unwrap_err().to_string();
        assert!(problem(-1.0, None, None).starts_with("temperature -1"));
        assert!(problem(f64::NAN, None, None).starts_with("temperature NaN"));
        assert!(problem(1.0, Some(0), None).starts_with("top-k 0"));
        assert!(problem(1.0, None, Some(0.0)).starts_with("top-p 0"));
        assert!(problem(1.0, None, Some(1.5)).starts_with("top-p 1.5"));
    }
}
