//! Layers as wholes: their gradients against central differences.

use gradus_autograd::gradcheck::values;
use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_nn::layers::{
    Activation, Attention, AttentionConfig, Block, BlockConfig, BlockInputs, Dropout, Embedding, FeedForward,
    FeedForwardConfig, LayerNorm, Linear, NormPlacement, Padding, Pairing, RmsNorm, RotaryConfig,
};
use gradus_nn::{Init, Layer, Mlp, Module, Visitor};

fn config(bias: bool, dropout: f32) -> BlockConfig {
    BlockConfig::gpt(6, 2).with_bias(bias).with_dropout(dropout).with_initial_weights(0.5, 1)
}

/// A layer with every parameter moved away from where it begins: a scale of 1 or a bias of 0 hides mistakes.
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
    check("linear without a bias", &moved(Linear::new(&mut init, 6, 1, false, 0.5)), &[4, 6]);
    check("layer norm", &moved(LayerNorm::new(&mut init, 6, true)), &[2, 3, 6]);
    check("RMS norm", &moved(RmsNorm::new(&mut init, 6)), &[2, 3, 6]);
    check("dropout", &Dropout { p: 0.4 }, &[2, 3, 6]);
    check("block", &moved(Block::new(&mut init, &config(true, 0.0))), &[2, 3, 6]);
    check("block with dropout", &moved(Block::new(&mut init, &config(false, 0.3))), &[1, 5, 6]);
    check("MLP", &moved(Mlp::new(&mut init, &[3, 7, 4, 2])), &[5, 3]);
}

#[test]
fn gradients_of_every_feed_forward_layer() {
    let mut init = Init::with_dtype(4, DType::F64);
    let with =
        |activation| FeedForwardConfig { hidden: 5, standard_deviation: 0.5, ..FeedForwardConfig::new(6, activation) };
    for activation in [Activation::Relu, Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
        for (gated, bias) in [(false, true), (true, true), (true, false)] {
            let config = FeedForwardConfig { gated, bias, dropout: 0.3, ..with(activation) };
            check(&format!("{config:?}"), &moved(FeedForward::new(&mut init, &config)), &[2, 3, 6]);
        }
    }
}

#[test]
fn gradients_of_every_self_attention() {
    let mut init = Init::with_dtype(4, DType::F64);
    let causal = || AttentionConfig { standard_deviation: 0.5, ..AttentionConfig::causal(6, 2) };
    let rotary = |pairing| Some(RotaryConfig { pairing, ..RotaryConfig::half_split(100.0) });
    let grouped = || AttentionConfig { heads: 4, kv_heads: 2, head_size: Some(4), ..causal() };
    for config in [
        causal(),
        AttentionConfig { causal: false, ..causal() },
        AttentionConfig { dropout: 0.3, qkv_bias: false, ..causal() },
        AttentionConfig { window: Some(2), ..causal() },
        grouped(),
        AttentionConfig { rotary: rotary(Pairing::HalfSplit), ..grouped() },
        AttentionConfig { rotary: rotary(Pairing::Interleaved), out_bias: false, ..grouped() },
        AttentionConfig { qk_norm: Some(1e-6), rotary: rotary(Pairing::HalfSplit), dropout: 0.3, ..grouped() },
    ] {
        check(&format!("{config:?}"), &moved(Attention::new(&mut init, &config)), &[2, 4, 6]);
    }
}

/// The first two positions of x ask, the others are the sequence that is read: so x has the gradients of both.
struct Crossed<M>(M, Padding);

impl<M: Module> Module for Crossed<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.0.visit(visitor);
    }
}

fn two_sequences(x: &Var) -> [Var; 2] {
    [x.slice(1, 0..2), x.slice(1, 2..x.shape()[1])]
}

impl Layer for Crossed<Attention> {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let [x, other] = two_sequences(x);
        self.0.forward_cross(tape, &x, &self.0.memory(tape, &other, Some(&self.1)))
    }
}

impl Layer for Crossed<Block> {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let [x, other] = two_sequences(x);
        let memory = self.0.memory(tape, &other, Some(&self.1));
        self.0.forward_with(tape, &x, BlockInputs { memory: Some(&memory), ..BlockInputs::default() })
    }
}

#[test]
fn gradients_of_cross_attention() {
    let mut init = Init::with_dtype(4, DType::F64);
    let padding = || Padding::from_lengths(&[3, 1], 3).unwrap();
    let cross = || AttentionConfig { standard_deviation: 0.5, dropout: 0.3, ..AttentionConfig::cross(6, 2, 6) };
    for config in [cross(), AttentionConfig { kv_heads: 1, head_size: Some(4), qk_norm: Some(1e-6), ..cross() }] {
        let attention = moved(Attention::new(&mut init, &config));
        check(&format!("{config:?}"), &Crossed(attention, padding()), &[2, 5, 6]);
    }
    for placement in [NormPlacement::Before, NormPlacement::After] {
        let config =
            BlockConfig { placement, ..BlockConfig::decoder(6, 2) }.with_dropout(0.3).with_initial_weights(0.5, 1);
        check(&format!("{config:?}"), &Crossed(moved(Block::new(&mut init, &config)), padding()), &[2, 5, 6]);
    }
}

#[test]
fn gradients_of_blocks() {
    let mut init = Init::with_dtype(4, DType::F64);
    let llama = BlockConfig::llama(6, 3, 1, 5, RotaryConfig::half_split(100.0));
    for config in [BlockConfig::bert(6, 2), BlockConfig::encoder(6, 2), llama] {
        let config = config.with_dropout(0.3).with_initial_weights(0.5, 1);
        check(&format!("{config:?}"), &moved(Block::new(&mut init, &config)), &[2, 3, 6]);
    }
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
    Block::new(&mut Init::new(1), &BlockConfig::gpt(6, 4));
}
