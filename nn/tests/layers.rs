//! The layers of a Transformer: names, first values, formulas, and that nothing looks into the future.

mod common;

use common::{close, infer, input, shaken};
use gradus_autograd::{DType, Parameter, Tape, Tensor, Var};
use gradus_nn::layers::{
    Activation, Attention, AttentionConfig, Block, BlockConfig, Dropout, Embedding, FeedForward, FeedForwardConfig,
    KvCache, LayerNorm, Linear, Projection, RmsNorm,
};
use gradus_nn::{Init, Layer, Mlp, Module};

fn config(width: usize, heads: usize) -> BlockConfig {
    BlockConfig::gpt(width, heads).with_initial_weights(0.02, 6)
}

fn qkv(attention: &Attention) -> &Linear {
    match &attention.projection {
        Projection::Own { qkv } => qkv,
        Projection::Cross { .. } => panic!("self-attention has one projection"),
    }
}

#[test]
fn the_parameters_of_a_block_have_these_names_and_shapes() {
    let block = Block::new(&mut Init::new(1), &config(6, 3));
    let found: Vec<(String, Vec<usize>)> =
        block.named_parameters().into_iter().map(|(name, parameter)| (name, parameter.shape())).collect();
    let expected: [(&str, &[usize]); 12] = [
        ("norm1.weight", &[6]),
        ("norm1.bias", &[6]),
        ("attention.qkv.weight", &[18, 6]),
        ("attention.qkv.bias", &[18]),
        ("attention.out.weight", &[6, 6]),
        ("attention.out.bias", &[6]),
        ("norm2.weight", &[6]),
        ("norm2.bias", &[6]),
        ("feed_forward.up.weight", &[24, 6]),
        ("feed_forward.up.bias", &[24]),
        ("feed_forward.down.weight", &[6, 24]),
        ("feed_forward.down.bias", &[6]),
    ];
    assert_eq!(found, expected.map(|(name, shape)| (name.to_owned(), shape.to_vec())));
}

#[test]
fn parameters_are_counted() {
    let count =
        |bias: bool, width: usize| Block::new(&mut Init::new(1), &config(width, 1).with_bias(bias)).parameter_count();
    for c in [1, 6, 64] {
        assert_eq!(count(true, c), 12 * c * c + 13 * c);
        assert_eq!(count(false, c), 12 * c * c + 2 * c);
    }
    let mlp = Mlp::new(&mut Init::new(1), &[2, 16, 3, 1]);
    assert_eq!(mlp.parameter_count(), (2 * 16 + 16) + (16 * 3 + 3) + (3 + 1));
    let names: Vec<String> = mlp.named_parameters().into_iter().map(|(name, _)| name).collect();
    let expected =
        ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "layers.2.weight", "layers.2.bias"];
    assert_eq!(names, expected);
    assert_eq!(Dropout { p: 0.1 }.parameter_count(), 0);
}

#[test]
#[should_panic(expected = "4 heads do not divide the width 6")]
fn heads_must_divide_the_width() {
    Block::new(&mut Init::new(1), &config(6, 4));
}

/// Mean and standard deviation of a sample of n have themselves the deviations σ/√n and σ/√(2n); four of each are allowed.
#[track_caller]
fn is_normal(parameter: &Parameter, sigma: f64) {
    let values = parameter.value().to_f64_vec();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let beyond_two = values.iter().filter(|x| x.abs() > 2.0 * sigma).count() as f64 / n;
    assert!(mean.abs() < 4.0 * sigma / n.sqrt(), "mean {mean}");
    assert!((deviation / sigma - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "deviation {deviation}, not {sigma}");
    assert!((beyond_two - 0.0455).abs() < 4.0 * (0.0455 / n).sqrt(), "{beyond_two} of a normal sample beyond 2σ");
}

#[test]
fn first_values_are_gpt_2s() {
    let mut init = Init::new(7);
    let block = Block::new(&mut init, &config(256, 8));
    let residual = 0.02 / 12_f64.sqrt();
    is_normal(&qkv(&block.attention).weight, 0.02);
    is_normal(&block.attention.out.weight, residual);
    is_normal(&block.feed_forward.up.weight, 0.02);
    is_normal(&block.feed_forward.down.weight, residual);
    is_normal(&Embedding::new(&mut init, 1000, 128, 0.02).weight, 0.02);
    is_normal(&Mlp::new(&mut init, &[400, 500, 1]).layers[0].weight, 1.0 / 20.0);
    for (name, parameter) in block.named_parameters() {
        let constant = if name.ends_with("bias") { 0.0 } else { 1.0 };
        let is_constant = parameter.value().to_f64_vec().iter().all(|&x| x == constant);
        assert_eq!(is_constant, name.ends_with("bias") || name.starts_with("norm"), "{name}");
    }
}

#[test]
fn a_seed_gives_the_same_first_values_and_another_one_others() {
    let weights = |seed: u64| Mlp::new(&mut Init::new(seed), &[3, 5]).layers[0].weight.value().to_vec::<f32>();
    assert_eq!(weights(3), weights(3));
    assert_ne!(weights(3), weights(4));
    let f64s = Mlp::new(&mut Init::with_dtype(3, DType::F64), &[3, 5]).layers[0].weight.value().to_vec::<f64>();
    assert_eq!(weights(3), f64s.iter().map(|&x| x as f32).collect::<Vec<f32>>(), "one sequence for both types");
}

#[test]
fn linear_is_its_formula() {
    let linear = shaken(Linear::new(&mut Init::with_dtype(1, DType::F64), 3, 2, true, 0.5));
    let (x, w) = (input(1, &[5, 3]), linear.weight.value().to_vec::<f64>());
    let b = linear.bias.as_ref().unwrap().value().to_vec::<f64>();
    let y: Vec<f64> = x
        .to_vec::<f64>()
        .chunks(3)
        .flat_map(|x| [0, 1].map(|o| (0..3).map(|i| x[i] * w[o * 3 + i]).sum::<f64>() + b[o]))
        .collect();
    close(&infer(&linear, &x), &Tensor::from_slice(&y, &[5, 2]), 1e-14);
}

/// (x − mean) / √(variance + eps) · weight + bias, and x / √(mean of x² + eps) · weight.
#[test]
fn norms_are_their_formulas() {
    for c in [1, 7, 33] {
        for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 2e-6)] {
            let mut init = Init::with_dtype(1, dtype);
            let (layer, rms) = (shaken(LayerNorm::new(&mut init, c, true)), shaken(RmsNorm::new(&mut init, c)));
            let x = (&input(2, &[4, c]) + 0.25).to_dtype(dtype);
            let (gamma, beta) = (layer.weight.value().to_f64_vec(), layer.bias.as_ref().unwrap().value().to_f64_vec());
            let scale = rms.weight.value().to_f64_vec();
            let (mut layered, mut rooted) = (Vec::new(), Vec::new());
            for row in x.to_f64_vec().chunks(c) {
                let mean_of = |f: &dyn Fn(f64) -> f64| row.iter().map(|&x| f(x)).sum::<f64>() / c as f64;
                let mean = mean_of(&|x| x);
                let deviation = (mean_of(&|x| (x - mean).powi(2)) + 1e-5_f32 as f64).sqrt();
                let root = (mean_of(&|x| x * x) + 1e-5_f32 as f64).sqrt();
                layered.extend((0..c).map(|i| (row[i] - mean) / deviation * gamma[i] + beta[i]));
                rooted.extend((0..c).map(|i| row[i] / root * scale[i]));
            }
            close(&infer(&layer, &x), &Tensor::from_slice(&layered, &[4, c]), tolerance);
            close(&infer(&rms, &x), &Tensor::from_slice(&rooted, &[4, c]), tolerance);
        }
    }
}

#[test]
fn embedding_picks_rows() {
    let table = Embedding::new(&mut Init::new(1), 5, 3, 1.0);
    let rows = table.weight.value().to_vec::<f32>();
    let ids = Tensor::from_slice(&[4_u32, 0, 4, 2], &[2, 2]);
    let picked = table.forward(&Tape::inference(), &ids);
    assert_eq!(picked.shape(), [2, 2, 3]);
    let expected: Vec<f32> = [4, 0, 4, 2].iter().flat_map(|&id| rows[id * 3..id * 3 + 3].to_vec()).collect();
    assert_eq!(picked.value().to_vec::<f32>(), expected);
}

#[test]
fn dropout_acts_in_training_only() {
    let (layer, n) = (Dropout { p: 0.25 }, 40_000);
    let x = Tensor::full(3.0_f32, &[n]);
    let run = |tape: &Tape| layer.forward(tape, &Var::constant(x.clone())).value().to_vec::<f32>();
    for tape in [Tape::inference(), Tape::new()] {
        assert_eq!(run(&tape), x.to_vec::<f32>());
    }
    let tape = Tape::training(5, 0);
    let (first, second) = (run(&tape), run(&tape));
    let dropped = first.iter().filter(|&&y| y == 0.0).count() as f64 / n as f64;
    assert!((dropped - 0.25).abs() < 4.0 * (0.25 * 0.75 / n as f64).sqrt(), "{dropped} dropped");
    assert!(first.iter().all(|&y| y == 0.0 || y == 4.0), "what is kept is scaled by 1 / (1 − p)");
    assert_ne!(first, second, "each use has a mask of its own");
    assert_eq!(run(&Tape::training(5, 0)), first, "the same seed and step, the same mask");
    assert_ne!(run(&Tape::training(5, 1)), first, "another step, another mask");
    let all_kept = Dropout { p: 0.0 }.forward(&Tape::training(5, 0), &Var::constant(x.clone()));
    assert_eq!(all_kept.value().to_vec::<f32>(), x.to_vec::<f32>());
}

/// Both halves drop outputs, and the attention probabilities too: what it keeps is not only scaled.
#[test]
fn a_block_drops_in_training_only() {
    let (p, shape) = (0.5, [4, 16, 64]);
    let block = shaken(Block::new(&mut Init::new(1), &config(64, 4).with_dropout(p)));
    let x = input(1, &shape).to_dtype(DType::F32);
    let run = |layer: &dyn Layer, tape: Tape| layer.forward(&tape, &Var::constant(x.clone())).value().to_vec::<f32>();
    assert_eq!(run(&block, Tape::inference()), run(&block, Tape::new()));
    for (layer, only_scaled) in [(&block.attention as &dyn Layer, false), (&block.feed_forward, true)] {
        let (whole, dropped) = (run(layer, Tape::inference()), run(layer, Tape::training(1, 1)));
        let zeros = dropped.iter().filter(|&&y| y == 0.0).count() as f64 / dropped.len() as f64;
        assert!((zeros - 0.5).abs() < 4.0 * 0.5 / (dropped.len() as f64).sqrt(), "{zeros} dropped");
        let scaled = dropped.iter().zip(&whole).all(|(&y, &w)| y == 0.0 || y == w / (1.0 - p));
        assert_eq!(scaled, only_scaled);
    }
}

/// The known values of x·Φ(x), with Φ the normal distribution: the exact GELU, as in nanoGPT, not its tanh form.
#[test]
fn the_feed_forward_layer_is_its_formula() {
    let layer = FeedForward::new(&mut Init::with_dtype(1, DType::F64), &FeedForwardConfig::new(1, Activation::Gelu));
    layer.up.weight.set_value(Tensor::from_slice(&[1.0_f64, -1.0, 2.0, -2.0], &[4, 1]));
    layer.up.bias.as_ref().unwrap().set_value(Tensor::from_slice(&[0.0_f64, 0.0, 0.0, 2.0], &[4]));
    layer.down.weight.set_value(Tensor::from_slice(&[1.0_f64, 10.0, 100.0, 1000.0], &[1, 4]));
    layer.down.bias.as_ref().unwrap().set_value(Tensor::from_slice(&[0.5_f64], &[1]));
    let gelu = [0.841_344_746_068_542_9, -0.158_655_253_931_457_07, 1.954_499_736_103_641_6, 0.0];
    let expected = gelu[0] + 10.0 * gelu[1] + 100.0 * gelu[2] + 0.5;
    close(&infer(&layer, &Tensor::from_slice(&[1.0_f64], &[1, 1])), &Tensor::from_slice(&[expected], &[1, 1]), 1e-12);
}

#[test]
fn a_block_normalises_before_each_half_and_adds_after_it() {
    let block = shaken(Block::new(&mut Init::with_dtype(1, DType::F64), &config(12, 3)));
    let x = input(4, &[2, 5, 12]);
    let between = &x + &infer(&block.attention, &infer(&block.norm1, &x));
    let y = &between + &infer(&block.feed_forward, &infer(&block.norm2, &between));
    close(&infer(&block, &x), &y, 1e-14);
}

/// softmax(q·kᵀ / √D)·v of each head, position by position, then the merging projection.
#[test]
fn attention_is_its_formula() {
    let (b, t, heads, d) = (2, 5, 3, 4); // √D is exact
    let c = heads * d;
    let attention = shaken(Attention::new(&mut Init::with_dtype(1, DType::F64), &AttentionConfig::causal(c, heads)));
    let x = input(3, &[b, t, c]);
    let projected = infer(qkv(&attention), &x).to_vec::<f64>();
    let at = |which: usize, b: usize, t: usize, h: usize| &projected[((b * 5 + t) * 3 + which) * c + h * d..][..d];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut merged = Vec::new();
    for (b, t, h) in (0..b).flat_map(|b| (0..t).flat_map(move |t| (0..heads).map(move |h| (b, t, h)))) {
        let scores: Vec<f64> =
            (0..=t).map(|s| (dot(at(0, b, t, h), at(1, b, s, h)) / (d as f64).sqrt()).exp()).collect();
        let sum: f64 = scores.iter().sum();
        merged.extend((0..d).map(|i| (0..=t).map(|s| scores[s] / sum * at(2, b, s, h)[i]).sum::<f64>()));
    }
    let expected = infer(&attention.out, &Tensor::from_slice(&merged, &[b, t, c]));
    close(&infer(&attention, &x), &expected, 1e-13);
}

/// Positions after t are changed, and not one bit of the output up to t may differ.
#[test]
fn nothing_of_the_future_is_seen() {
    let (t, c) = (37, 24);
    let block = shaken(Block::new(&mut Init::new(1), &config(c, 3)));
    for (name, layer) in [("attention", &block.attention as &dyn Layer), ("block", &block)] {
        let x = input(1, &[2, t, c]).to_dtype(DType::F32);
        let y = infer(layer, &x);
        for last in 0..t - 1 {
            let mut other = x.clone();
            other.write_slice(1, last + 1, &(&x.slice(1, last + 1..t) * -3.0));
            let z = infer(layer, &other);
            let part = |y: &Tensor, range| y.slice(1, range).to_vec::<f32>();
            assert_eq!(part(&y, 0..last + 1), part(&z, 0..last + 1), "{name}: position {last} saw the future");
            assert_ne!(part(&y, last + 1..last + 2), part(&z, last + 1..last + 2), "{name}: a change must show");
        }
    }
}

#[test]
fn the_past_is_seen() {
    let (t, c) = (9, 12);
    let attention = shaken(Attention::new(&mut Init::new(1), &AttentionConfig::causal(c, 2)));
    let x = input(1, &[1, t, c]).to_dtype(DType::F32);
    let mut other = x.clone();
    other.write_slice(1, 0, &(&x.slice(1, 0..1) * -3.0));
    let (y, z) = (infer(&attention, &x), infer(&attention, &other));
    for position in 0..t {
        let at = |y: &Tensor| y.slice(1, position..position + 1).to_vec::<f32>();
        assert_ne!(at(&y), at(&z), "position {position} sees the first one");
    }
}

/// Whatever the pieces in which the text is read, and again after the cache was cleared.
#[test]
fn reading_with_a_cache_gives_the_same() {
    let (b, t, c, heads) = (2, 7, 12, 3);
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-5)] {
        let block = shaken(Block::new(&mut Init::with_dtype(1, dtype), &config(c, heads)));
        let x = input(1, &[b, t, c]).to_dtype(dtype);
        let full = infer(&block, &x);
        let mut cache = KvCache::new(dtype, b, heads, t, c / heads);
        for pieces in [vec![7], vec![1; 7], vec![3, 1, 2, 1], vec![1, 6]] {
            cache.clear();
            assert!(cache.is_empty());
            for piece in pieces {
                let range = cache.len()..cache.len() + piece;
                let new = Var::constant(x.slice(1, range.clone()));
                let y = block.forward_cached(&Tape::inference(), &new, &mut cache);
                close(y.value(), &full.slice(1, range.clone()), tolerance);
                assert_eq!(cache.len(), range.end);
            }
        }
    }
}

fn read(tape: &Tape, positions: usize, context: usize) {
    let attention = Attention::new(&mut Init::new(1), &AttentionConfig::causal(4, 1));
    let mut cache = KvCache::new(DType::F32, 1, 1, context, 4);
    attention.forward_with(tape, &Var::constant(Tensor::zeros(&[1, positions, 4])), None, Some(&mut cache));
}

#[test]
#[should_panic(expected = "room for 2 positions, not 3")]
fn a_full_cache_is_refused() {
    read(&Tape::inference(), 3, 2);
}

#[test]
#[should_panic(expected = "no gradient flows through a cache")]
fn a_cache_is_not_for_training() {
    read(&Tape::new(), 1, 2);
}
