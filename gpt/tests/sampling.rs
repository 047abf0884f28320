//! Which tokens are kept, and with which probabilities, worked out by hand.

use gradus_gpt::sampler::{Sampler, Sampling};
use std::f32::consts::LN_2;

/// The tokens that may be drawn, each with its probability, the likeliest first.
fn kept(sampling: Sampling, logits: &[f32]) -> Vec<(u32, f64)> {
    let candidates = Sampler::new(sampling, 1).unwrap().candidates(logits).unwrap();
    candidates.into_iter().filter(|c| c.sampling > 0.0).map(|c| (c.token, c.sampling)).collect()
}

#[track_caller]
fn keeps(top_k: Option<usize>, top_p: Option<f64>, logits: &[f32], expected: &[(u32, f64)]) {
    let found = kept(Sampling { temperature: 1.0, top_k, top_p }, logits);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (&(token, chance), &(wanted, right)) in found.iter().zip(expected) {
        assert!(token == wanted && (chance - right).abs() < 1e-6, "{found:?}, not {expected:?}");
    }
}

/// Probabilities 1/2, 1/4, 1/8 and twice 1/16.
const HALVES: [f32; 5] = [-4.0 * LN_2, -2.0 * LN_2, -LN_2, -4.0 * LN_2, -3.0 * LN_2];

#[test]
fn top_p_counts_within_what_top_k_has_left() {
    // Of the two likeliest, with 1/2 and 1/4 of 3/4, the first alone has two thirds.
    keeps(Some(2), Some(0.6), &HALVES, &[(2, 1.0)]);
    keeps(Some(2), Some(0.7), &HALVES, &[(2, 2.0 / 3.0), (1, 1.0 / 3.0)]);
    keeps(None, Some(0.6), &HALVES, &[(2, 2.0 / 3.0), (1, 1.0 / 3.0)]);
    keeps(None, Some(0.76), &HALVES, &[(2, 4.0 / 7.0), (1, 2.0 / 7.0), (4, 1.0 / 7.0)]);
}

#[test]
fn top_p_that_is_met_exactly_takes_no_token_more() {
    keeps(None, Some(0.5), &[0.0, 0.0], &[(0, 1.0)]);
    keeps(None, Some(0.5), &[0.0; 4], &[(0, 0.5), (1, 0.5)]);
}

#[test]
fn only_differences_of_logits_count() {
    for far in [-3000.0, 0.0, 3000.0] {
        let found = kept(Sampling { temperature: 0.5, top_k: None, top_p: None }, &[far, far + 1.0]);
        let chance = 1.0 / (1.0 + (-2.0_f64).exp());
        assert!(found[0].0 == 1 && (found[0].1 - chance).abs() < 1e-9, "{far}: {found:?}");
    }
}
