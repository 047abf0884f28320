//! What decoding is made of, one operation each, against the operations that it stands for: attention with a cache of keys
//! and values, and the linear layer.

use gradus_tensor::ops::attention::{Heads, Options, packed_backward, packed_forward};
use gradus_tensor::ops::kv_cache::KvCache;
use gradus_tensor::ops::matmul::linear;
use gradus_tensor::ops::shape::concat;
use gradus_tensor::{DType, Precision, Tensor};

fn numbers(seed: u64, shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    Tensor::from_slice(&gradus_kernels::oracle::values(seed, len), shape).to_dtype(DType::F64)
}

fn close(got: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!((got.shape(), got.dtype()), (expected.shape(), expected.dtype()));
    for (a, b) in got.to_f64_vec().into_iter().zip(expected.to_f64_vec()) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} and {b}");
    }
}

/// In any pieces, of a view too, with any options that apply, and once more after the cache was cleared.
#[test]
fn a_cache_gives_what_attention_to_everything_gives() {
    let (b, t, heads, d) = (2, 9, 3, 5);
    let whole = numbers(1, &[b, t, 3 * heads * d]);
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-5)] {
        let qkv = whole.to_dtype(dtype);
        for options in [Options::default(), Options { scale: Some(0.3), window: Some(4), ..Options::default() }] {
            let causal = Options { causal: true, ..options.clone() };
            let (expected, _) = packed_forward(&qkv, heads, &causal).unwrap();
            let mut cache = KvCache::new(dtype, b, heads, t, d);
            for pieces in [vec![9], vec![1; 9], vec![4, 1, 3, 1]] {
                cache.clear();
                for piece in pieces {
                    let range = cache.len()..cache.len() + piece;
                    let o = cache.attend(&qkv.slice(1, range.clone()), &options);
                    close(&o, &expected.slice(1, range), tolerance);
                }
            }
        }
    }
}

/// Keys and values in bf16 are what attention to rounded keys and values gives, in any pieces.
#[test]
fn a_cache_in_bf16_rounds_keys_and_values_and_nothing_else() {
    let (b, t, heads, d) = (2, 9, 3, 5);
    let qkv = numbers(1, &[b, t, 3 * heads * d]).to_dtype(DType::F32);
    let c = heads * d;
    let [q, kv] = [qkv.slice(2, 0..c), qkv.slice(2, c..3 * c).to_dtype(DType::Bf16).to_dtype(DType::F32)];
    let rounded = concat(&[&q, &kv], 2).unwrap();
    for options in [Options::default(), Options { precision: Precision::Bf16, window: Some(4), ..Options::default() }] {
        let exact = Options { causal: true, precision: Precision::F32, ..options.clone() };
        let (expected, _) = packed_forward(&rounded, heads, &exact).unwrap();
        let mut cache = KvCache::new(DType::Bf16, b, heads, t, d);
        for pieces in [vec![9], vec![1; 9], vec![4, 1, 3, 1]] {
            cache.clear();
            for piece in pieces {
                let range = cache.len()..cache.len() + piece;
                let o = cache.attend(&qkv.slice(1, range.clone()), &options);
                close(&o, &expected.slice(1, range), 1e-5);
            }
        }
    }
}

/// Two groups of query heads, each with a key head: as if each key head stood there once for every query head of its group.
#[test]
fn grouped_heads_are_repeated_heads() {
    let (b, t, d, heads) = (2, 7, 5, Heads { query: 6, key_value: 2 });
    let whole = numbers(1, &[b, t, heads.packed() * d]);
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-5)] {
        let qkv = whole.to_dtype(dtype);
        let by_head = qkv.reshape(&[b, t, heads.packed(), d]);
        let repeated: Vec<Tensor> = (0..6)
            .chain([6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9]) // q, then k and v three times each
            .map(|head| by_head.slice(2, head..head + 1))
            .collect();
        let repeated = concat(&repeated.iter().collect::<Vec<_>>(), 2).unwrap().reshape(&[b, t, 18 * d]);
        let options = Options { causal: true, ..Options::default() };
        let (o, lse) = packed_forward(&qkv, heads, &options).unwrap();
        let (expected, expected_lse) = packed_forward(&repeated, 6, &options).unwrap();
        close(&o, &expected, tolerance);
        close(&lse, &expected_lse, tolerance);
        let d_o = numbers(2, o.shape()).to_dtype(dtype);
        let gradient = packed_backward(&qkv, heads, &o, &lse, &d_o, &options).unwrap();
        let wide = packed_backward(&repeated, 6, &expected, &expected_lse, &d_o, &options).unwrap();
        let wide = wide.reshape(&[b, t, 6, 3, d]);
        let q = wide.slice(2, 0..2).reshape(&[b, t, 6 * d]);
        let kv = wide.slice(2, 2..6).sum(&[3], false).reshape(&[b, t, 4 * d]); // a key head gets the sum of its group
        close(&gradient, &concat(&[&q, &kv], 2).unwrap(), tolerance);
    }
}

/// Grouped heads, in a cache that grows from one position, in one with a window, and in bf16.
#[test]
fn a_cache_grows_or_slides() {
    let (b, t, d, window, heads) = (2, 23, 5, 4, Heads { query: 6, key_value: 2 });
    let whole = numbers(1, &[b, t, heads.packed() * d]);
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-5)] {
        let qkv = whole.to_dtype(dtype);
        let options = Options { causal: true, ..Options::default() };
        let windowed = Options { window: Some(window), ..options.clone() };
        let growing = KvCache::growing(dtype, b, heads.key_value, 1, d);
        let sliding = KvCache::sliding(dtype, b, heads.key_value, window, d);
        for (mut cache, all) in [(growing, &options), (sliding, &windowed)] {
            let (expected, _) = packed_forward(&qkv, heads, all).unwrap();
            for pieces in [vec![23], vec![1; 23], vec![3, 1, 2, 12, 1, 1, 3], vec![9, 9, 5]] {
                cache.clear();
                for piece in pieces {
                    let (next, columns) = (cache.next_position(), cache.positions_with(piece));
                    assert_eq!(columns.end, next + piece);
                    let o = cache.attend(&qkv.slice(1, next..next + piece), &options);
                    close(&o, &expected.slice(1, next..next + piece), tolerance);
                    assert_eq!((cache.len(), cache.next_position()), (columns.len(), next + piece));
                }
            }
        }
    }
    let mut cache = KvCache::sliding(DType::F32, 1, 1, window, 2);
    for _ in 0..100 {
        cache.attend(&Tensor::zeros(&[1, 1, 6]), &Options::default());
        assert!(cache.len() <= 2 * window, "a cache with a window does not grow");
    }
    assert_eq!(cache.next_position(), 100);
}

/// A mask has a column for each key that is still there.
#[test]
fn a_mask_hides_keys_of_a_cache() {
    let (b, t, d, heads) = (2, 9, 5, Heads { query: 2, key_value: 1 });
    let qkv = numbers(1, &[b, t, heads.packed() * d]);
    let keep: Vec<f64> = (0..b * t).map(|i| f64::from(i >= 2 && i != 11)).collect(); // the first two of one row, one of the other
    let keep = Tensor::from_slice(&keep, &[b, 1, 1, t]);
    let options = |mask| Options { causal: true, window: Some(3), mask: Some(mask), ..Options::default() };
    let (expected, _) = packed_forward(&qkv, heads, &options(keep.clone())).unwrap();
    let mut cache = KvCache::sliding(DType::F64, b, 1, 3, d);
    for piece in [2, 1, 1, 4, 1] {
        let (next, columns) = (cache.next_position(), cache.positions_with(piece));
        let o = cache.attend(&qkv.slice(1, next..next + piece), &options(keep.slice(3, columns)));
        close(&o, &expected.slice(1, next..next + piece), 1e-13);
    }
}

#[test]
fn what_does_not_fit_a_cache_is_said_and_changes_nothing() {
    let mut cache = KvCache::new(DType::F32, 1, 2, 3, 4);
    cache.attend(&Tensor::zeros(&[1, 2, 24]), &Options::default());
    let wrong = [
        (
            Tensor::zeros(&[1, 2, 24]),
            "attention: the cache is full: [1, 2, 24] × [1, 2, 3, 4] (it has room for 3 positions, not 4)",
        ),
        (Tensor::zeros(&[2, 1, 24]), "attention: batches differ: [2, 1, 24] × [1, 2, 3, 4] (2 ≠ 1)"),
        (
            Tensor::zeros(&[1, 1, 12]),
            "attention: the cache is of other heads: [1, 1, 12] × [1, 2, 3, 4] (12 ≠ (H + 2·2)·4)",
        ),
        (Tensor::zeros(&[24]), "attention: qkv needs the axes [B, T, (H + 2·Hkv)·D]: [24] × [1, 2, 3, 4]"),
        (Tensor::zeros_of(DType::F64, &[1, 1, 24]), "attention: types differ: [1, 1, 24] × [1, 2, 3, 4] (f64 and f32)"),
    ];
    for (qkv, text) in wrong {
        assert_eq!(cache.try_attend(&qkv, &Options::default()).unwrap_err().to_string(), text);
        assert_eq!(cache.len(), 2);
    }
    cache.attend(&Tensor::zeros(&[1, 1, 24]), &Options::default());
    assert_eq!(cache.len(), 3);
    let mut stored = KvCache::new(DType::Bf16, 1, 2, 3, 4);
    let error = stored.try_attend(&Tensor::zeros_of(DType::F64, &[1, 1, 24]), &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "attention: types differ: [1, 1, 24] × [1, 2, 3, 4] (f64 and bf16)");
    let mut empty = KvCache::new(DType::F32, 0, 2, 3, 4);
    assert_eq!(empty.attend(&Tensor::zeros(&[0, 2, 24]), &Options::default()).shape(), [0, 2, 8]);
    assert_eq!(empty.len(), 2);
}

#[test]
fn a_linear_layer_is_the_product_with_the_transposed_weight() {
    for (leading, k, n) in
        [(vec![], 7, 5), (vec![3], 7, 1), (vec![2, 3], 1, 4), (vec![2, 0], 3, 4), (vec![1, 1], 40, 33)]
    {
        let shape = [&leading[..], &[k]].concat();
        let (x, weight) = (numbers(1, &shape), numbers(2, &[n, k]));
        let rows: usize = leading.iter().product();
        for dtype in [DType::F64, DType::F32] {
            let (x, weight) = (x.to_dtype(dtype), weight.to_dtype(dtype));
            let expected =
                x.reshape(&[rows, k]).matmul(&weight.transpose(0, 1)).reshape(&[&leading[..], &[n]].concat());
            close(&linear(&x, &weight, Precision::F32).unwrap(), &expected, 1e-6);
            let turned = weight.transpose(0, 1).contiguous().transpose(0, 1); // stored by columns
            close(&linear(&x, &turned, Precision::F32).unwrap(), &expected, 1e-6);
        }
    }
}

#[test]
fn a_linear_layer_says_what_does_not_fit() {
    let error = |x: &Tensor, w: &Tensor| linear(x, w, Precision::F32).unwrap_err().to_string();
    let (x, w) = (Tensor::zeros(&[2, 3]), Tensor::zeros(&[5, 4]));
    assert_eq!(error(&x, &w), "linear: inner sizes differ: [2, 3] × [5, 4] (3 ≠ 4)");
    let text = "linear: x needs the axes [.., K], the weight [N, K]";
    assert_eq!(error(&x, &Tensor::zeros(&[3])), format!("{text}: [2, 3] × [3]"));
    assert_eq!(error(&Tensor::zeros(&[]), &w), format!("{text}: [] × [5, 4]"));
    assert_eq!(error(&x, &w.to_dtype(DType::F64)), "linear: types differ: [2, 3] × [5, 4] (f32 and f64)");
    let bf16 = x.to_dtype(DType::Bf16);
    assert_eq!(error(&bf16, &w), "linear: not defined for bf16 (only its right operand may be bf16)");
}
