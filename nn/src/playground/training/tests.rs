use super::*;
use crate::data::PlaneSet;
use crate::playground::{Activation, Feature, PRESETS};

fn tiny() -> Settings {
    Settings { points: 20, epochs: 1, ..Settings::default() }
}

/// ½·(answer − target)² over these training points by hand, from the public answers.
fn mean_loss(playground: &Playground, batch: &[usize]) -> f64 {
    let answers = playground.network().answers(&places(playground.train()));
    let half = |&row: &usize| 0.5 * (answers[row] - f64::from(playground.train()[row].target)).powi(2);
    batch.iter().map(half).sum::<f64>() / batch.len() as f64
}

#[test]
fn gradients_are_central_differences_of_the_loss() {
    const H: f64 = 1e-6;
    for activation in Activation::ALL {
        for data in [PlaneSet::Circle, PlaneSet::MultiGauss] {
            let features = Feature::ALL.to_vec();
            let playground =
                Playground::new(Settings { activation, data, features, hidden: vec![3, 2], ..tiny() }).unwrap();
            let batch = [4, 0, 7];
            playground.gradients(&batch);
            for (name, parameter) in playground.network().named_parameters() {
                let (value, gradient) = (parameter.value(), parameter.take_grad().unwrap().to_vec::<f64>());
                for (i, analytic) in gradient.into_iter().enumerate() {
                    let at = |h: f64| {
                        let mut moved = value.clone();
                        moved.make_host_mut::<f64>()[i] += h;
                        parameter.set_value(moved);
                        mean_loss(&playground, &batch)
                    };
                    let numeric = (at(H) - at(-H)) / (2.0 * H);
                    parameter.set_value(value.clone());
                    let close = (analytic - numeric).abs() < 1e-8 + 1e-6 * numeric.abs();
                    assert!(close, "{} {name}[{i}]: {analytic} and {numeric}", activation.name());
                }
            }
        }
    }
}

#[test]
fn a_step_follows_its_formula() {
    // w = 2, gradient 3, learning rate 0.1: 2 − 0.3 = 1.7; L2 takes off another 0.1·0.5·2 = 0.1, L1 0.1·0.5 = 0.05.
    let close = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-12, "{got}, not {expected}");
    close(descended(2.0, 3.0, 0.1, Penalty::None, 0.5), 1.7);
    close(descended(2.0, 3.0, 0.1, Penalty::L2, 0.5), 1.6);
    close(descended(2.0, 3.0, 0.1, Penalty::L1, 0.5), 1.65);
    close(descended(-2.0, -3.0, 0.1, Penalty::L1, 0.5), -1.65);
    assert_eq!(descended(0.02, 0.0, 0.1, Penalty::L1, 0.5), 0.0, "L1 stops at 0 and does not go past it");
}

#[test]
fn an_epoch_is_a_step_for_each_batch_with_every_point_once() {
    let settings = Settings { batch: 4, hidden: vec![2], ..tiny() };
    let mut trained = Playground::new(settings.clone()).unwrap();
    trained.train_epoch();
    let by_hand = Playground::new(settings).unwrap();
    let order: Vec<usize> = (0..10).map(|i| shuffled(1, i, 10)).collect();
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(sorted, (0..10).collect::<Vec<_>>());
    for batch in [&order[..4], &order[4..8], &order[8..]] {
        by_hand.gradients(batch);
        for (_, parameter) in by_hand.network().named_parameters() {
            parameter.update(|value, gradient| *value = &*value - &(&gradient * 0.03));
        }
    }
    assert_eq!(trained.epoch(), 1);
    let both = std::iter::zip(trained.network().named_parameters(), by_hand.network().named_parameters());
    for ((name, a), (_, b)) in both {
        for (a, b) in a.value().to_vec::<f64>().iter().zip(b.value().to_vec::<f64>()) {
            assert!((a - b).abs() < 1e-14, "{name}: {a}, by hand {b}");
        }
    }
    assert!((trained.losses().train - mean_loss(&trained, &order)).abs() < 1e-14);
}

#[test]
fn l1_makes_weights_zero_and_l2_makes_them_small_and_biases_are_left_alone() {
    let weights = |penalty| {
        let penalty_rate = if penalty == Penalty::None { 0.0 } else { 0.2 };
        let settings =
            Settings { penalty, penalty_rate, learning_rate: 0.1, features: Feature::ALL.to_vec(), ..tiny() };
        let mut playground = Playground::new(Settings { data: PlaneSet::Gauss, hidden: vec![], ..settings }).unwrap();
        (0..200).for_each(|_| playground.train_epoch());
        playground.network().layers[0].weight.value().to_vec::<f64>()
    };
    let [none, l1, l2] = Penalty::ALL.map(weights);
    let norm = |w: &[f64]| w.iter().map(|w| w * w).sum::<f64>();
    assert!(none.iter().chain(&l2).all(|w| *w != 0.0) && l1.iter().filter(|w| **w == 0.0).count() >= 3, "{l1:?}");
    assert!(norm(&l2) < 0.5 * norm(&none), "{l2:?} {none:?}");
    // Targets of −1 only: all that a huge penalty leaves is the bias, and the answer is −1.
    let points = PlaneSet::Gauss.points(1, 20, 0.0).into_iter().filter(|p| p.target < 0.0).collect::<Vec<_>>();
    let settings = Settings { penalty: Penalty::L2, penalty_rate: 9.0, learning_rate: 0.1, hidden: vec![], ..tiny() };
    let mut playground = Playground::new(settings).unwrap();
    playground.inputs = playground.network.inputs(&places(&points)).to_vec();
    playground.train = points;
    (0..400).for_each(|_| playground.train_epoch());
    assert!(playground.network().layers[0].bias.as_ref().unwrap().value().to_vec::<f64>()[0] < -1.5);
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |settings: Settings| Playground::new(settings).err().expect("refused").to_string();
    let base = Settings::default;
    assert_eq!(refused(Settings { points: 1, ..base() }), "points 1: must be from 2 to 5000");
    assert_eq!(refused(Settings { noise: 0.51, ..base() }), "noise 0.51: must be from 0 to 0.5");
    assert_eq!(refused(Settings { noise: f64::NAN, ..base() }), "noise NaN: must be from 0 to 0.5");
    for train_share in [0.0, 0.0001, 0.9999, 1.0, -1.0, f64::NAN] {
        assert!(refused(Settings { train_share, ..base() }).contains("train-share"), "{train_share}");
    }
    assert!(refused(Settings { features: vec![], ..base() }).contains("at least one of x, y"));
    let features = vec![Feature::X, Feature::X];
    assert_eq!(refused(Settings { features, ..base() }), "features x,x: must name each feature once");
    assert_eq!(refused(Settings { hidden: vec![1; 7], ..base() }), "hidden 1,1,1,1,1,1,1: must be at most 6 layers");
    for units in [0, 9] {
        let rule = format!("hidden 4,{units}: must be from 1 to 8 units in each layer");
        assert_eq!(refused(Settings { hidden: vec![4, units], ..base() }), rule);
    }
    for learning_rate in [0.0, -1.0, 11.0, f64::NAN] {
        assert!(refused(Settings { learning_rate, ..base() }).starts_with("lr "), "{learning_rate}");
    }
    assert!(refused(Settings { penalty_rate: -0.1, ..base() }).starts_with("penalty-rate "));
    let penalty = Penalty::L2;
    assert_eq!(refused(Settings { penalty, ..base() }), "penalty-rate 0: must be above 0 with a penalty, such as 0.03");
    assert_eq!(refused(Settings { penalty_rate: 0.1, ..base() }), "penalty-rate 0.1: needs a penalty, l1 or l2");
    assert_eq!(refused(Settings { batch: 0, ..base() }), "batch 0: must be at least 1");
    assert!(Playground::new(Settings { hidden: vec![8; 6], ..base() }).is_ok());
}

#[test]
fn presets_are_valid_and_have_names_of_their_own() {
    for (i, (name, settings)) in PRESETS.iter().enumerate() {
        assert_eq!(settings().validate(), Ok(()), "{name}");
        assert_eq!(Settings::named(name), Some(settings()));
        assert!(PRESETS[..i].iter().all(|(other, _)| other != name));
    }
    assert_eq!(Settings::named("nonsense"), None);
}
