//! Every kind of attention against what it is made of, written out with plain operations; and what has to hold for all kinds:
//! reading with a cache, padding, and that nothing of the future is seen.

mod common;

use common::{close, infer, input, shaken};
use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_nn::layers::{
    Attention, AttentionConfig, Block, BlockConfig, BlockInputs, FrequencyScaling, KvCache, Padding, Pairing,
    RotaryConfig,
};
use gradus_nn::{Init, Module};

const C: usize = 12;

/// Each setting by itself, and those of Llama and Qwen together.
fn causal_kinds() -> Vec<AttentionConfig> {
    let plain = || AttentionConfig::causal(C, 4);
    let rotary = |pairing| Some(RotaryConfig { pairing, ..RotaryConfig::half_split(50.0) });
    let grouped = || AttentionConfig { kv_heads: 2, head_size: Some(6), ..plain() };
    let llama_3 = RotaryConfig {
        scaling: FrequencyScaling::Llama3 { factor: 4.0, low: 1.0, high: 4.0, context: 16 },
        channels: Some(4),
        ..RotaryConfig::interleaved(10.0)
    };
    vec![
        plain(),
        AttentionConfig { window: Some(3), ..plain() },
        AttentionConfig { kv_heads: 1, qkv_bias: false, out_bias: false, ..plain() },
        grouped(),
        AttentionConfig { rotary: rotary(Pairing::HalfSplit), ..grouped() },
        AttentionConfig { rotary: rotary(Pairing::Interleaved), window: Some(2), ..grouped() },
        AttentionConfig { rotary: Some(llama_3), out_bias: false, ..grouped() },
        AttentionConfig { qk_norm: Some(1e-6), ..plain() },
        AttentionConfig { qk_norm: Some(1e-6), rotary: rotary(Pairing::HalfSplit), head_size: Some(8), ..grouped() },
    ]
}

fn kinds() -> Vec<AttentionConfig> {
    let seeing_all = |config| AttentionConfig { causal: false, window: None, ..config };
    causal_kinds().into_iter().flat_map(|config| [config.clone(), seeing_all(config)]).collect()
}

fn attention(config: &AttentionConfig, dtype: DType) -> Attention {
    shaken(Attention::new(&mut Init::with_dtype(1, dtype), config))
}

fn weight(module: &dyn Module, name: &str) -> Option<Tensor> {
    module.named_parameters().into_iter().find(|(own, _)| own == name).map(|(_, parameter)| parameter.value())
}

fn linear(module: &dyn Module, name: &str, x: &Tensor) -> Tensor {
    let w = weight(module, &format!("{name}.weight")).unwrap();
    let (b, t) = (x.shape()[0], x.shape()[1]);
    let y = x.reshape(&[b * t, x.shape()[2]]).matmul(&w.transpose(0, 1)).reshape(&[b, t, w.shape()[0]]);
    weight(module, &format!("{name}.bias")).map_or(y.clone(), |bias| &y + &bias)
}

/// The heads `from` to `to` of a projection as [B, heads, T, D], normed and turned as the configuration says, number by number.
fn heads(config: &AttentionConfig, x: &Tensor, [from, to]: [usize; 2], norm: Option<Tensor>, turned: bool) -> Tensor {
    let (b, t, d) = (x.shape()[0], x.shape()[1], config.head_size());
    let x = x.reshape(&[b, t, x.shape()[2] / d, d]).slice(2, from..to).permute(&[0, 2, 1, 3]).contiguous();
    let mut rows: Vec<f64> = x.to_vec();
    for (i, row) in rows.chunks_mut(d).enumerate() {
        if let Some(norm) = &norm {
            let mean = row.iter().map(|x| x * x).sum::<f64>() / d as f64;
            let eps = f64::from(config.qk_norm.unwrap());
            row.iter_mut().zip(norm.to_vec::<f64>()).for_each(|(x, w)| *x *= w / (mean + eps).sqrt());
        }
        let (Some(rotary), true) = (&config.rotary, turned) else { continue };
        let frequencies = rotary.frequencies(d);
        for (pair, frequency) in frequencies.iter().enumerate() {
            let (sin, cos) = ((i % t) as f64 * frequency).sin_cos();
            let (a, b) = match rotary.pairing {
                Pairing::Interleaved => (2 * pair, 2 * pair + 1),
                Pairing::HalfSplit => (pair, pair + frequencies.len()),
            };
            (row[a], row[b]) = (row[a] * cos - row[b] * sin, row[a] * sin + row[b] * cos);
        }
    }
    Tensor::from_slice(&rows, x.shape())
}

/// softmax(q·kᵀ/√D)·v with matrix products, each key head repeated; `sees` is asked for (row, query, key).
fn composed(q: &Tensor, k: &Tensor, v: &Tensor, sees: &dyn Fn(usize, usize, usize) -> bool) -> [Tensor; 2] {
    let ([b, h, t_q, d], t_k) = (<[usize; 4]>::try_from(q.shape()).unwrap(), k.shape()[2]);
    let group = h / k.shape()[1];
    let repeated = |x: &Tensor| {
        let parts: Vec<Tensor> = (0..h).map(|head| x.slice(1, head / group..head / group + 1)).collect();
        gradus_tensor::ops::shape::concat(&parts.iter().collect::<Vec<_>>(), 1).unwrap()
    };
    let scale = f64::from(1.0 / (d as f32).sqrt()); // a setting of the operation, and settings are f32
    let scores = &q.matmul(&repeated(k).transpose(2, 3)) * scale;
    let seen: Vec<f64> =
        (0..b * t_q * t_k).map(|at| f64::from(u8::from(sees(at / t_k / t_q, at / t_k % t_q, at % t_k)))).collect();
    let seen = Tensor::from_slice(&seen, &[b, 1, t_q, t_k]);
    let p = seen.select(&scores, &Tensor::scalar(DType::F64, f64::NEG_INFINITY)).softmax(3);
    let o = p.matmul(&repeated(v)).permute(&[0, 2, 1, 3]).contiguous();
    [o.reshape(&[b, t_q, h * d]), p]
}

/// Rows of 7 and 4 positions.
fn padding() -> Padding {
    Padding::from_lengths(&[7, 4], 7).unwrap()
}

#[test]
fn every_kind_is_a_composition_of_plain_operations() {
    let x = input(1, &[2, 7, C]);
    for config in kinds() {
        let layer = attention(&config, DType::F64);
        let (h, kv, packed) = (config.heads, config.kv_heads, linear(&layer, "qkv", &x));
        let q = heads(&config, &packed, [0, h], weight(&layer, "q_norm.weight"), true);
        let k = heads(&config, &packed, [h, h + kv], weight(&layer, "k_norm.weight"), true);
        let v = heads(&config, &packed, [h + kv, h + 2 * kv], None, false);
        for padding in [None, Some(padding())] {
            let sees = |row: usize, i: usize, j: usize| {
                let hidden = config.causal && (j > i || config.window.is_some_and(|window| i - j >= window));
                !hidden && padding.as_ref().is_none_or(|padding| padding.real()[row * 7 + j])
            };
            let [o, p] = composed(&q, &k, &v, &sees);
            let (tape, var) = (Tape::inference(), Var::constant(x.clone()));
            let got = layer.forward_with(&tape, &var, padding.as_ref(), None);
            let real = if padding.is_some() && config.window.is_some() { 4 } else { 7 }; // later queries of row 1 see nothing
            let part = |y: &Tensor, axis| y.slice(axis, 0..real);
            close(&part(got.value(), 1), &part(&linear(&layer, "out", &o), 1), 1e-12);
            close(&part(&layer.probabilities(&tape, &var, padding.as_ref()), 2), &part(&p, 2), 1e-7);
        }
    }
}

#[test]
fn cross_attention_is_a_composition_of_plain_operations() {
    let (x, other) = (input(1, &[2, 3, C]), input(2, &[2, 7, 10]));
    let cross = AttentionConfig::cross(C, 4, 10);
    let wide = AttentionConfig { kv_heads: 2, head_size: Some(6), qk_norm: Some(1e-6), ..cross.clone() };
    for config in [cross, wide] {
        let layer = attention(&config, DType::F64);
        let (h, kv, pair) = (config.heads, config.kv_heads, linear(&layer, "kv", &other));
        let q = heads(&config, &linear(&layer, "q", &x), [0, h], weight(&layer, "q_norm.weight"), false);
        let k = heads(&config, &pair, [0, kv], weight(&layer, "k_norm.weight"), false);
        let v = heads(&config, &pair, [kv, 2 * kv], None, false);
        for padding in [None, Some(padding())] {
            let sees =
                |row: usize, _: usize, j: usize| padding.as_ref().is_none_or(|padding| padding.real()[row * 7 + j]);
            let [o, p] = composed(&q, &k, &v, &sees);
            let (tape, x) = (Tape::inference(), Var::constant(x.clone()));
            let memory = layer.memory(&tape, &Var::constant(other.clone()), padding.as_ref());
            close(layer.forward_cross(&tape, &x, &memory).value(), &linear(&layer, "out", &o), 1e-12);
            close(&layer.cross_probabilities(&tape, &x, &memory), &p, 1e-7);
        }
    }
}

/// Weights of which each key head stands once for every query head of its group.
#[test]
fn grouped_heads_are_repeated_heads() {
    let config = AttentionConfig { kv_heads: 2, ..AttentionConfig::causal(C, 4) };
    let (grouped, d) = (attention(&config, DType::F64), config.head_size());
    let full = attention(&AttentionConfig { kv_heads: 4, ..config }, DType::F64);
    for ((name, own), (_, other)) in full.named_parameters().into_iter().zip(grouped.named_parameters()) {
        let value = if name.starts_with("qkv") {
            let rows = [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7].map(|head| other.value().slice(0, head * d..head * d + d));
            gradus_tensor::ops::shape::concat(&rows.each_ref(), 0).unwrap()
        } else {
            other.value()
        };
        own.set_value(value);
    }
    let x = input(1, &[2, 7, C]);
    close(&infer(&grouped, &x), &infer(&full, &x), 1e-13);
}

fn block(attention: &AttentionConfig, dtype: DType) -> Block {
    let config = BlockConfig { attention: attention.clone(), ..BlockConfig::gpt(C, 4) };
    shaken(Block::new(&mut Init::with_dtype(1, dtype), &config))
}

/// In any pieces, from a cache with room for one position where it may grow or slide.
#[test]
fn reading_with_a_cache_gives_what_reading_at_once_gives() {
    let (b, t) = (2, 11);
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-4)] {
        for config in causal_kinds() {
            let (block, x) = (block(&config, dtype), input(1, &[b, t, C]).to_dtype(dtype));
            let full = infer(&block, &x);
            let room = if config.rotary.is_some() { 1 } else { t };
            let mut cache = block.attention.new_cache(dtype, b, room);
            for pieces in [vec![11], vec![1; 11], vec![3, 1, 2, 5], vec![1, 9, 1]] {
                cache.clear();
                for piece in pieces {
                    let range = cache.next_position()..cache.next_position() + piece;
                    let new = Var::constant(x.slice(1, range.clone()));
                    let y = block.forward_cached(&Tape::inference(), &new, &mut cache);
                    close(y.value(), &full.slice(1, range), tolerance);
                }
            }
        }
    }
}

/// Sequences of several lengths, padded on the left, read in pieces.
#[test]
fn padding_and_a_cache_go_together() {
    let real: Vec<bool> = (0..2 * 9).map(|i| i >= 4).collect(); // row 0 begins at position 4
    let (padding, x) = (Padding::new(&real, 2).unwrap(), input(1, &[2, 9, C]));
    for config in causal_kinds() {
        let block = block(&config, DType::F64);
        let tape = Tape::inference();
        let at_once = |x: &Tensor| {
            let inputs = BlockInputs { padding: Some(&padding), ..BlockInputs::default() };
            block.forward_with(&tape, &Var::constant(x.clone()), inputs)
        };
        let full = at_once(&x);
        let mut cache = block.attention.new_cache(DType::F64, 2, 9);
        for piece in [4, 1, 3, 1] {
            let range = cache.next_position()..cache.next_position() + piece;
            let so_far: Vec<bool> = real.chunks(9).flat_map(|row| row[..range.end].to_vec()).collect();
            let so_far = Padding::new(&so_far, 2).unwrap();
            let inputs = BlockInputs { padding: Some(&so_far), cache: Some(&mut cache), memory: None };
            let y = block.forward_with(&tape, &Var::constant(x.slice(1, range.clone())), inputs);
            close(y.value(), &full.value().slice(1, range), 1e-12);
        }
        // Positions of rotary embeddings are distances: row 0 alone, without its padding, comes out the same.
        let alone = infer(&block, &x.slice(0, 0..1).slice(1, 4..9));
        close(&full.value().slice(0, 0..1).slice(1, 4..9), &alone, 1e-12);
    }
}

/// What stands at padded positions changes no output of a real one, in self-attention, an encoder block and a decoder's memory.
#[test]
fn padding_never_changes_a_real_position() {
    let (padding, x) = (padding(), input(1, &[2, 7, C]));
    let mut other = x.clone();
    let changed = &x.slice(0, 1..2).slice(1, 4..7) * -3.0;
    let mut row = x.slice(0, 1..2).contiguous();
    row.write_slice(1, 4, &changed);
    other.write_slice(0, 1, &row);
    let real = |y: &Tensor| [y.slice(0, 0..1).to_vec::<f64>(), y.slice(0, 1..2).slice(1, 0..4).to_vec::<f64>()];
    for config in kinds() {
        let (block, tape) = (block(&config, DType::F64), Tape::inference());
        let run = |x: &Tensor, padding| {
            let inputs = BlockInputs { padding, ..BlockInputs::default() };
            block.forward_with(&tape, &Var::constant(x.clone()), inputs).value().clone()
        };
        assert_eq!(real(&run(&x, Some(&padding))), real(&run(&other, Some(&padding))), "{config:?}");
        if !config.causal {
            assert_ne!(real(&run(&x, None)), real(&run(&other, None)), "without the padding it shows");
        }
        // The row alone, as long as it is.
        let alone = infer(&block, &x.slice(0, 1..2).slice(1, 0..4));
        close(&run(&x, Some(&padding)).slice(0, 1..2).slice(1, 0..4), &alone, 1e-12);
    }
    let decoder = shaken(Block::new(&mut Init::with_dtype(1, DType::F64), &BlockConfig::decoder(C, 4)));
    let (tape, target) = (Tape::inference(), Var::constant(input(3, &[2, 3, C])));
    let run = |x: &Tensor| {
        let memory = decoder.memory(&tape, &Var::constant(x.clone()), Some(&padding));
        let inputs = BlockInputs { memory: Some(&memory), ..BlockInputs::default() };
        decoder.forward_with(&tape, &target, inputs).value().to_vec::<f64>()
    };
    assert_eq!(run(&x), run(&other));
}

#[test]
fn causal_kinds_see_nothing_of_the_future_and_the_others_do() {
    let (t, x) = (9, input(1, &[1, 9, C]));
    for config in kinds() {
        let block = block(&config, DType::F64);
        let y = infer(&block, &x);
        for last in 0..t - 1 {
            let mut other = x.clone();
            other.write_slice(1, last + 1, &(&x.slice(1, last + 1..t) * -3.0));
            let z = infer(&block, &other);
            let past = |y: &Tensor| y.slice(1, 0..last + 1).to_vec::<f64>();
            assert_eq!(past(&y) == past(&z), config.causal, "{config:?}, position {last}");
        }
    }
}

/// The decoder of 2017 reads its memory once and its own past from a cache.
#[test]
fn a_decoder_with_a_cache_gives_what_it_gives_at_once() {
    let decoder = shaken(Block::new(&mut Init::with_dtype(1, DType::F64), &BlockConfig::decoder(C, 3)));
    let (tape, x) = (Tape::inference(), input(1, &[2, 6, C]));
    let memory = decoder.memory(&tape, &Var::constant(input(2, &[2, 7, C])), Some(&padding()));
    let run = |x: Tensor, cache: Option<&mut KvCache>| {
        let inputs = BlockInputs { memory: Some(&memory), cache, padding: None };
        decoder.forward_with(&tape, &Var::constant(x), inputs).value().clone()
    };
    let full = run(x.clone(), None);
    let mut cache = decoder.attention.new_cache(DType::F64, 2, 6);
    for position in 0..6 {
        let range = position..position + 1;
        close(&run(x.slice(1, range.clone()), Some(&mut cache)), &full.slice(1, range), 1e-12);
    }
}

#[test]
fn settings_that_do_not_fit_are_refused_in_one_line() {
    let causal = || AttentionConfig::causal(C, 4);
    let rotary = |channels| Some(RotaryConfig { channels, ..RotaryConfig::half_split(10.0) });
    let wrong = [
        (
            AttentionConfig::causal(C, 5),
            "5 heads do not divide the width 12: set the head size, or another number of heads",
        ),
        (
            AttentionConfig { kv_heads: 3, ..causal() },
            "3 heads of keys and values do not divide the 4 heads of queries",
        ),
        (
            AttentionConfig { window: Some(3), causal: false, ..causal() },
            "a window of 3 positions needs causal attention and at least 1 position",
        ),
        (
            AttentionConfig { window: Some(0), ..causal() },
            "a window of 0 positions needs causal attention and at least 1 position",
        ),
        (
            AttentionConfig { memory_width: Some(C), ..causal() },
            "cross-attention sees another sequence as a whole: it cannot be causal",
        ),
        (
            AttentionConfig { rotary: rotary(None), ..AttentionConfig::cross(C, 4, C) },
            "rotary positions are distances within one sequence: cross-attention reads two",
        ),
        (
            AttentionConfig { rotary: rotary(None), ..causal() },
            "rotary positions turn pairs of channels: 3 of a head of 3 are odd in number",
        ),
        (
            AttentionConfig { rotary: rotary(Some(4)), ..causal() },
            "rotary positions cannot turn 4 channels of a head of 3",
        ),
        (AttentionConfig { dropout: 1.0, ..causal() }, "a dropout of 1 is not in [0, 1)"),
        (AttentionConfig { qk_norm: Some(-1.0), ..causal() }, "the eps -1 of a norm is not 0 or more"),
    ];
    for (config, text) in wrong {
        let error = Attention::try_new(&mut Init::new(1), &config).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let narrow = BlockConfig { attention: AttentionConfig::causal(8, 4), ..BlockConfig::gpt(C, 4) };
    let error = Block::try_new(&mut Init::new(1), &narrow).unwrap_err();
    assert_eq!(error.to_string(), "the feed-forward layer has the width 12, the attention 8");
}

#[test]
#[should_panic(expected = "padding: it is of [2, 7] positions, and the keys are of [2, 6]")]
fn padding_of_other_positions_is_refused() {
    let x = Var::constant(input(1, &[2, 6, C]));
    let layer = attention(&AttentionConfig::causal(C, 4), DType::F64);
    layer.forward_with(&Tape::inference(), &x, Some(&padding()), None);
}

#[test]
#[should_panic(expected = "its cross-attention needs a memory to read")]
fn a_decoder_without_a_memory_is_refused() {
    let block = Block::new(&mut Init::with_dtype(1, DType::F64), &BlockConfig::decoder(C, 4));
    infer(&block, &input(1, &[1, 2, C]));
}
