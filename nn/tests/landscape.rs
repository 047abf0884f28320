//! Landscapes against numbers worked out by hand, and their gradients against central differences.

use gradus_autograd::gradcheck::{Case, gradcheck};
use gradus_autograd::{Tape, Tensor, Var};
use gradus_nn::landscape::{Landscape, Place};

const VALLEY: Landscape = Landscape::Valley { steep: 25.0 };

#[test]
fn values_and_gradients_are_those_worked_out_by_hand() {
    for (landscape, at, value, gradient) in [
        (VALLEY, [10.0, 1.0], 62.5, [10.0, 25.0]),
        (VALLEY, [0.0, -2.0], 50.0, [0.0, -50.0]),
        // y − x² = −0.44, 1 − x = 2.2: 4.84 + 100·0.1936, and −400·x·(y − x²) − 2·(1 − x), 200·(y − x²).
        (Landscape::Banana, [-1.2, 1.0], 24.2, [-215.6, -88.0]),
        (Landscape::Banana, [0.0, 1.0], 101.0, [-2.0, 200.0]),
    ] {
        let (tape, leaf) = (Tape::new(), Tensor::from_slice(&at, &[2]));
        let leaf = tape.leaf(leaf);
        let loss = landscape.loss(&leaf);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12 * b.abs().max(1.0);
        assert!(loss.shape().is_empty() && close(loss.value().item(), value), "{landscape:?} {at:?}");
        assert!(close(landscape.value(at), value), "{landscape:?} {at:?}");
        let got = tape.backward(&loss).get(&leaf).unwrap().to_vec::<f64>();
        assert!(got.iter().zip(gradient).all(|(a, b)| close(*a, b)), "{landscape:?} {at:?}: {got:?}");
    }
}

#[test]
fn landscapes_pass_gradcheck() {
    for landscape in [VALLEY, Landscape::Banana] {
        gradcheck(&Case::new("landscape", &[&[2]], move |x| landscape.loss(&x[0]))).unwrap();
    }
}

#[test]
fn the_lowest_place_is_lower_than_all_around_it() {
    for landscape in [VALLEY, Landscape::Valley { steep: 0.5 }, Landscape::Banana] {
        let [x, y] = landscape.lowest();
        assert_eq!(landscape.value([x, y]), 0.0);
        for turn in 0..16 {
            let (sin, cos) = f64::from(turn).sin_cos();
            assert!(landscape.value([x + 0.01 * cos, y + 0.01 * sin]) > 0.0, "{landscape:?}");
        }
    }
}

#[test]
#[should_panic(expected = "two weights")]
fn three_weights_are_no_place_in_a_landscape() {
    VALLEY.loss(&Var::constant(Place::new(&[1.0, 2.0, 3.0]).at.value()));
}
