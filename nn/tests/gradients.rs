//! Layers as wholes: their gradients against central differences.

use gradus_autograd::gradcheck::values;
use gradus_autograd::{DType, Tape, Tensor};
use gradus_nn::layers::{
    Block, BlockConfig, Dropout, Embedding, FeedForward, LayerNorm, Linear, MultiHeadAttention, RmsNorm,
};
use gradus_nn::{Init, Layer, Mlp, Module};

fn config(bias: bool, dropout: f32) -> BlockConfig {
    BlockConfig { width: 6, heads: 2, bias, dropout, standard_deviation: 0.5, layers: 1 }
}

/// A layer with every parameter moved away from where it begins: a scale of 1 or a shift of 0 hides mistakes.
fn moved<M: Module>(layer: M) -> M {
    for (seed, (_, parameter)) in layer.named_parameters().into_iter().enumerate() {
        let value = parameter.value();
        let noise = Tensor::from_slice(&values(seed as u64 + 50, value.len()), value.shape());
        parameter.set_value(&value + &(&noise * 0.3));
    }
    layer
}

/// Holds the gradients of Σ w∘layer(x), in x and in every parameter, against central differences.
fn check(name: &str, layer: &dyn Layer, shape: &[usize]) {
    const H: f64 = 1e-6;
    let x = Tensor::from_slice(&values(1, shape.iter().product()), shape);
    let forward = |x: &Tensor| {
        let tape = Tape::training(3, 1); // always the same masks
        let x = tape.leaf(x.clone());
        let y = layer.forward(&tape, &x);
        (tape, x, y)
    };
    let (tape, leaf, y) = forward(&x);
    let weights = Tensor::from_slice(&values(2, y.value().len()), y.shape());
    let gradients = tape.backward_from(&y, weights.clone());
    let objective = |x: &Tensor| -> f64 {
        let y = forward(x).2.value().to_vec::<f64>();
        y.iter().zip(weights.as_host_slice::<f64>()).map(|(y, w)| y * w).sum()
    };
    let near = |what: &str, i: usize, analytic: f64, numeric: f64| {
        let close = (analytic - numeric).abs() <= 1e-8 + 1e-6 * analytic.abs().max(numeric.abs());
        assert!(close, "{name}: {what}[{i}]: {analytic:e}, numerically {numeric:e}");
    };
    for (i, &analytic) in gradients.get(&leaf).unwrap().to_vec::<f64>().iter().enumerate() {
        let at = |h: f64| {
            let mut x = x.clone();
            x.make_host_mut::<f64>()[i] += h;
            objective(&x)
        };
        near("x", i, analytic, (at(H) - at(-H)) / (2.0 * H));
    }
    for (what, parameter) in layer.named_parameters() {
        let original = parameter.value();
        let grad = parameter.take_grad().unwrap_or_else(|| panic!("{name}: {what} got no gradient"));
        for (i, &analytic) in grad.to_vec::<f64>().iter().enumerate() {
            let at = |h: f64| {
                let mut value = original.clone();
                value.make_host_mut::<f64>()[i] += h;
                parameter.set_value(value);
                objective(&x)
            };
            near(&what, i, analytic, (at(H) - at(-H)) / (2.0 * H));
        }
        parameter.set_value(original);
    }
}

#[test]
fn gradients() {
    let mut init = Init::with_dtype(4, DType::F64);
    check("linear", &moved(Linear::new(&mut init, 6, 5, true, 0.5)), &[2, 3, 6]);
    check("linear without a shift", &moved(Linear::new(&mut init, 6, 1, false, 0.5)), &[4, 6]);
    check("layer norm", &moved(LayerNorm::new(&mut init, 6, true)), &[2, 3, 6]);
    check("RMS norm", &moved(RmsNorm::new(&mut init, 6)), &[2, 3, 6]);
    check("dropout", &Dropout { p: 0.4 }, &[2, 3, 6]);
    check("feed-forward", &moved(FeedForward::new(&mut init, &config(true, 0.3))), &[2, 3, 6]);
    check("attention", &moved(MultiHeadAttention::new(&mut init, &config(true, 0.0))), &[2, 3, 6]);
    check("attention with dropout", &moved(MultiHeadAttention::new(&mut init, &config(false, 0.3))), &[2, 3, 6]);
    check("block", &moved(Block::new(&mut init, &config(true, 0.0))), &[2, 3, 6]);
    check("block with dropout", &moved(Block::new(&mut init, &config(false, 0.3))), &[1, 5, 6]);
    check("MLP", &moved(Mlp::new(&mut init, &[3, 7, 4, 2])), &[5, 3]);
}

#[test]
fn an_embedding_adds_up_what_repeated_ids_bring() {
    let table = Embedding::new(&mut Init::with_dtype(1, DType::F64), 4, 3, 0.5);
    let tape = Tape::new();
    let y = table.forward(&tape, &Tensor::from_slice(&[2_u32, 0, 2], &[3]));
    assert_eq!(y.value().slice(0, 0..1).to_vec::<f64>(), table.weight.value().slice(0, 2..3).to_vec::<f64>());
    tape.backward(&y.sum(&[0, 1], false));
    let grad = table.weight.take_grad().unwrap().to_vec::<f64>();
    assert_eq!(grad, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0]);
}

#[test]
#[should_panic(expected = "4 heads do not divide the width 6")]
fn heads_have_to_divide_the_width() {
    Block::new(&mut Init::new(1), &BlockConfig { heads: 4, ..config(true, 0.0) });
}
