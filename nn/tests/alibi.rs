//! Attention with linear biases.

use gradus_autograd::gradcheck::{Case, gradcheck, values};
use gradus_autograd::ops::attention::Options;
use gradus_autograd::{DType, Tensor, Var};
use gradus_nn::layers::Alibi;

#[test]
fn slopes_are_those_of_the_paper() {
    let halves: Vec<f64> = (1..=8).map(|h| 0.5_f64.powi(h)).collect();
    assert_eq!(Alibi::new(8).slopes(), halves);
    // 12 heads: those of 8, then the first, third, … of 16.
    let roots: Vec<f64> = [1, 3, 5, 7].map(|h| 2_f64.powf(-f64::from(h) / 2.0)).to_vec();
    assert_eq!(Alibi::new(12).slopes(), [halves, roots].concat());
    assert_eq!(Alibi::new(1).slopes(), [1.0 / 256.0]);
}

#[test]
fn a_score_loses_the_slope_for_each_position_of_distance() {
    let infinite = f64::NEG_INFINITY;
    let alibi = Alibi::new(4); // the first slope is ¼
    let first = |queries, causal| alibi.bias(DType::F64, queries, 3, causal).slice(0, 0..1).to_vec::<f64>();
    assert_eq!(first(3, false), [-0.0, -0.25, -0.5, -0.25, -0.0, -0.25, -0.5, -0.25, -0.0]);
    assert_eq!(first(3, true), [-0.0, infinite, infinite, -0.25, -0.0, infinite, -0.5, -0.25, -0.0]);
    assert_eq!(first(1, true), [-0.5, -0.25, -0.0]); // the last of three, as in decoding
}

/// −m·(i − j) differs from m·j by what is the same in the whole row, which a softmax does not see. And m·j is a dot product
/// with one more channel: so the fused operation computes it too.
#[test]
fn causal_biases_are_a_channel_of_the_fused_operation() {
    let (heads, t, d) = (4, 5, 3);
    let x = |seed| Tensor::from_slice(&values(seed, heads * t * d), &[1, heads, t, d]);
    let [q, k, v] = [1, 2, 3].map(|seed| Var::constant(x(seed)));
    let alibi = Alibi::new(heads);
    let row = |f: &dyn Fn(usize, usize) -> f64| {
        let values: Vec<f64> = (0..heads * t).map(|at| f(at / t, at % t)).collect();
        Var::constant(Tensor::from_slice(&values, &[1, heads, t, 1]))
    };
    // The scale of the operation is an f32, and so is its precision here.
    let scale = 1.0 / (d as f32).sqrt();
    let ones = row(&|_, _| 1.0 / f64::from(scale));
    let distances = row(&|head, j| alibi.slopes()[head] * j as f64);
    let options = Options { causal: true, scale: Some(scale), ..Options::default() };
    let fused = Var::concat(&[&q, &ones], 3).attention(
        &Var::concat(&[&k, &distances], 3),
        &Var::concat(&[&v, &ones], 3),
        &options,
    );
    let fused = fused.slice(3, 0..d).value().to_vec::<f64>();
    let plain = alibi.attend(&q, &k, &v, true).value().to_vec::<f64>();
    assert!(fused.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-6), "{fused:?}\n{plain:?}");
}

#[test]
fn gradients_are_those_of_central_differences() {
    for causal in [false, true] {
        let shape: &[usize] = &[2, 3, 4, 2];
        let case = Case::new("alibi", &[shape; 3], move |x| Alibi::new(3).attend(&x[0], &x[1], &x[2], causal));
        gradcheck(&case).unwrap();
    }
}
