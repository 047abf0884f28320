//! The precision of the tape reaches every product of a layer, also where keys and values come from a cache.

use gradus_autograd::gradcheck::values;
use gradus_autograd::{DType, Precision, Tape, Tensor, Var};
use gradus_nn::layers::{Attention, AttentionConfig, KvCache, RmsNorm};
use gradus_nn::{Init, Layer, Module};

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let differences = a.to_f64_vec().into_iter().zip(b.to_f64_vec()).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max)
}

/// Attention reads the same text at once and in pieces, in `f32` and in bf16. Where the text is one piece, both have the same bits.
#[test]
fn attention_with_a_cache_rounds_as_attention_without() {
    let (t, c, heads) = (16, 32, 2);
    let config = AttentionConfig {
        standard_deviation: 0.5,
        residual_standard_deviation: 0.5,
        ..AttentionConfig::causal(c, heads)
    };
    let attention = Attention::new(&mut Init::new(1), &config);
    let input: Vec<f32> = values(2, t * c).into_iter().map(|x| x as f32).collect();
    let x = Tensor::from_slice(&input, &[1, t, c]);
    let tape = |precision| Tape::inference().with_precision(precision);
    let whole = |precision| {
        let tape = tape(precision);
        let x = Var::constant(x.clone());
        attention.forward(&tape, &x).value().contiguous()
    };
    let cached = |precision, pieces: &[usize]| {
        let tape = tape(precision);
        let mut cache = KvCache::new(DType::F32, 1, heads, t, c / heads);
        let parts: Vec<Var> = pieces
            .iter()
            .map(|&piece| {
                let new = Var::constant(x.slice(1, cache.len()..cache.len() + piece));
                attention.forward_with(&tape, &new, None, Some(&mut cache))
            })
            .collect();
        Var::concat(&parts.iter().collect::<Vec<_>>(), 1).value().contiguous()
    };
    assert!(distance(&whole(Precision::F32), &whole(Precision::Bf16)) > 1e-3, "bf16 has to show in the result");
    for precision in [Precision::F32, Precision::Bf16] {
        assert_eq!(distance(&whole(precision), &cached(precision, &[t])), 0.0, "{precision:?}");
        assert_eq!(cached(precision, &[7, 9]).shape(), [1, t, c]);
    }
    assert!(distance(&whole(Precision::F32), &cached(Precision::F32, &[7, 1, 8])) < 1e-5);
}

#[test]
fn rms_norm_has_its_scale_as_parameter() {
    let norm = RmsNorm::new(&mut Init::new(1), 3);
    let named: Vec<(String, Vec<usize>)> =
        norm.named_parameters().into_iter().map(|(name, p)| (name, p.shape())).collect();
    assert_eq!(named, [("weight".to_owned(), vec![3])]);
}
