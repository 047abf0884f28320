use super::*;
use crate::data::{FILM_THRESHOLD, FILM_WEIGHTS, film, two_spirals, xor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn given_weights_decide_about_the_film() {
    let unit = Perceptron::new(FILM_WEIGHTS, FILM_THRESHOLD);
    assert!(film().iter().all(|case| unit.decide(&case.inputs) == case.label));
    assert_eq!(unit.weighted_sum(&[1.0, 0.0, 1.0]), 12.0);
    assert!(!unit.decide(&[1.0, 0.0, 0.0]), "8 is not more than 8");
}

#[test]
fn the_rule_moves_by_the_example_and_only_after_a_mistake() {
    let mut unit = Perceptron::zeros();
    let wrong_no = Example { inputs: [2.0, -3.0], label: true };
    assert!(unit.learn(&wrong_no));
    assert_eq!(unit, Perceptron::new([2.0, -3.0], -1.0));
    assert!(!unit.learn(&wrong_no), "right by now");
    assert_eq!(unit, Perceptron::new([2.0, -3.0], -1.0));
    assert!(unit.learn(&Example { inputs: [1.0, 0.5], label: false }));
    assert_eq!(unit, Perceptron::new([1.0, -3.5], 0.0));
}

#[test]
fn the_film_is_learned_within_the_bound() {
    let mut unit = Perceptron::zeros();
    let mistakes = unit.fit(&film(), 1000);
    assert_eq!(mistakes.last(), Some(&0));
    assert!(film().iter().all(|case| unit.decide(&case.inputs) == case.label));
    // With threshold 10 the given weights have a margin: 2 of |(8, 4, 4, 10)| = 14; and R = |(1, 1, 1, −1)| = 2.
    let teacher = Perceptron::new(FILM_WEIGHTS, 10.0);
    assert!((teacher.margin(&film()) - 1.0 / 7.0).abs() < 1e-12);
    let bound = teacher.novikoff_bound(&film()).unwrap();
    assert!((bound - 196.0).abs() < 1e-9, "{bound}");
    assert!(mistakes.iter().sum::<usize>() as f64 <= bound);
}

#[test]
fn mistakes_stay_within_novikoffs_bound() {
    for seed in 0..50 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = || rng.random_range(-1.0_f32..1.0);
        let teacher = Perceptron::new([uniform(), uniform(), uniform()], 0.3 * uniform());
        let examples: Vec<_> = std::iter::repeat_with(|| [uniform(), uniform(), uniform()])
            .map(|inputs| Example { inputs, label: teacher.decide(&inputs) })
            .filter(|example| teacher.margin(std::slice::from_ref(example)) > 0.05)
            .take(200)
            .collect();
        let bound = teacher.novikoff_bound(&examples).unwrap();
        let (mut unit, mut total) = (Perceptron::zeros(), 0);
        loop {
            let mistakes = unit.epoch(&examples);
            total += mistakes;
            assert!(total > 0 && total as f64 <= bound, "seed {seed}: {total} mistakes, bound {bound}");
            if mistakes == 0 {
                break;
            }
        }
        assert!(unit.margin(&examples) >= 0.0);
    }
}

#[test]
fn the_bound_is_reached() {
    // One example, R = γ: exactly one mistake.
    let one = [Example { inputs: [3.0], label: true }];
    let teacher = Perceptron::new([3.0], -1.0);
    assert!((teacher.novikoff_bound(&one).unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(Perceptron::zeros().fit(&one, 10), [1, 0]);
}

#[test]
fn xor_is_never_learned_and_the_weights_walk_in_a_circle() {
    let (mut unit, mut seen) = (Perceptron::zeros(), Vec::new());
    while !seen.contains(&unit) {
        seen.push(unit.clone());
        assert!(seen.len() < 100, "no circle so far: {unit:?}");
        assert!(unit.epoch(&xor()) > 0);
    }
    // The rule has no memory but the weights: what comes back once, comes back for ever.
    assert_eq!(Perceptron::zeros().fit(&xor(), 500).len(), 500);
}

#[test]
fn no_line_separates_the_spirals() {
    let mut unit = Perceptron::zeros();
    let points = two_spirals(1);
    assert!(unit.fit(&points, 200).iter().all(|&mistakes| mistakes > 0));
    assert_eq!(unit.novikoff_bound(&points), None);
}

#[test]
fn nothing_to_learn_and_nothing_known() {
    assert_eq!(Perceptron::<2>::zeros().fit(&[], 10), [0]);
    assert_eq!(Perceptron::<2>::zeros().fit(&xor(), 0), []);
    assert_eq!(Perceptron::<2>::zeros().margin(&xor()), 0.0);
    assert_eq!(Perceptron::<2>::zeros().novikoff_bound(&xor()), None);
    assert_eq!(Perceptron::new([1.0, 1.0], 0.5).novikoff_bound(&[]), Some(0.0));
}
