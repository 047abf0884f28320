//! What the operations say when shapes do not fit: the operation, both shapes, the axis at fault, and the sizes or what
//! to do.

use gradus_autograd::{DType, Tensor, Var};
use gradus_tensor::ops::{attention, cross_entropy, dropout, embedding, norm, optimizer, rope, shape, softmax};
use gradus_tensor::{Error, Result};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape)
}

#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T>, text: &str, axis: Option<usize>) {
    let error: Error = result.expect_err(text);
    assert_eq!((error.to_string().as_str(), error.axis), (text, axis));
}

#[test]
fn matmul() {
    let product = |a: &[usize], b: &[usize]| zeros(a).try_matmul(&zeros(b));
    says(product(&[8, 64, 32], &[64, 128]), "matmul: inner sizes differ: [8, 64, 32] × [64, 128] (32 ≠ 64)", Some(2));
    says(product(&[2, 3, 4], &[5, 4, 6]), "matmul: shapes do not broadcast: [2] × [5] (2 ≠ 5)", Some(0));
    says(
        product(&[3], &[3, 2]),
        "matmul: both need at least two axes: [3] × [3, 2] (reshape a vector to one row or one column)",
        None,
    );
    let mixed = zeros(&[2, 2]).try_matmul(&Tensor::zeros_of(DType::F64, &[2, 2]));
    says(mixed, "matmul: types differ: [2, 2] × [2, 2] (f32 and f64)", None);
}

#[test]
fn elementwise() {
    use gradus_tensor::ops::elementwise::{Binary, Unary, unary_backward};
    let with = |op| zeros(&[2, 3]).try_binary(op, &zeros(&[4]));
    says(with(Binary::Add), "add: shapes do not broadcast: [2, 3] × [4] (3 ≠ 4)", Some(1));
    says(with(Binary::Div), "div: shapes do not broadcast: [2, 3] × [4] (3 ≠ 4)", Some(1));
    let indices = Tensor::full(1_u32, &[3]);
    says(indices.try_unary(Unary::Exp), "unary: not defined for u32 (it takes f32 or f64)", None);
    says(indices.try_binary(Binary::Mul, &indices), "mul: not defined for u32 (it takes f32 or f64)", None);
    says(
        zeros(&[2, 1]).try_select(&zeros(&[2, 3]), &zeros(&[3, 3])),
        "select: shapes do not broadcast: [2, 3] × [3, 3] (2 ≠ 3)",
        Some(0),
    );
    says(zeros(&[3]).try_accumulate(&zeros(&[4])), "accumulate: shapes differ: [3] × [4]", Some(0));
    says(
        unary_backward(Unary::Exp, Some(&zeros(&[2, 3])), zeros(&[2, 4])),
        "unary_backward: shapes differ: [2, 3] × [2, 4]",
        Some(1),
    );
}

#[test]
fn views() {
    let x = zeros(&[2, 3]);
    says(x.try_reshape(&[7]), "reshape: the numbers of elements differ: [2, 3] × [7] (6 ≠ 7)", None);
    says(
        x.transpose(0, 1).try_reshape(&[6]),
        "reshape: not possible as a view: [3, 2] × [6] (call contiguous() first)",
        Some(0),
    );
    says(x.try_permute(&[0, 0]), "permute: not a permutation: [2, 3] ([0, 0] is no order of 2 axes)", None);
    says(x.try_transpose(0, 2), "transpose: no such axis: [2, 3] (axis 2 of 2)", Some(2));
    says(x.try_slice(1, 2..5), "slice: the range leaves the axis: [2, 3] (2..5 of 3)", Some(1));
    says(x.try_broadcast_to(&[2, 4]), "broadcast: does not fit: [2, 3] × [2, 4] (3 ≠ 4)", Some(1));
    says(x.try_split(1, &[1, 1]), "split: the sizes do not add up: [2, 3] × [1, 1]", Some(1));
    says(shape::concat(&[&x, &zeros(&[3, 3])], 1), "concat: other axes differ: [2, 3] × [3, 3]", Some(1));
    says(shape::concat(&[], 0), "concat: there is nothing to concatenate", None);
    let data = Tensor::try_from_slice(&[1.0_f32; 5], &[2, 3]);
    says(data, "from_slice: the number of elements is not that of the shape: [2, 3] (5 elements)", None);
}

#[test]
fn reductions_and_softmax() {
    let x = zeros(&[2, 3]);
    says(x.try_sum(&[2], false), "sum: no such axis: [2, 3] (axis 2 of 2)", Some(2));
    says(x.try_argmax(5), "argmax: no such axis: [2, 3] (axis 5 of 2)", Some(5));
    says(x.try_softmax(2), "softmax: no such axis: [2, 3] (axis 2 of 2)", Some(2));
    says(softmax::backward(&x, &zeros(&[3, 3]), 1), "softmax_backward: shapes differ: [2, 3] × [3, 3]", Some(0));
    says(Tensor::full(1_u32, &[2]).try_softmax(0), "softmax: not defined for u32 (it takes f32 or f64)", None);
}

#[test]
fn norms() {
    let (x, wrong) = (zeros(&[4, 8]), zeros(&[4]));
    let text = "a weight for each element of the last axis is needed: [4, 8] × [4]";
    says(norm::layer_norm(&x, Some(&wrong), None, 1e-5), &format!("layer_norm: {text}"), Some(1));
    says(norm::rms_norm(&x, Some(&wrong), 1e-5), &format!("rms_norm: {text}"), Some(1));
}

#[test]
fn attention_and_its_mask() {
    let options = attention::Options::default();
    let with = |q: &[usize], k: &[usize], v: &[usize]| attention::forward(&zeros(q), &zeros(k), &zeros(v), &options);
    says(
        with(&[2, 3, 4, 5], &[2, 3, 4, 6], &[2, 3, 4, 6]),
        "attention: head sizes differ: [2, 3, 4, 5] × [2, 3, 4, 6] × [2, 3, 4, 6] (5 ≠ 6)",
        Some(3),
    );
    says(
        with(&[2, 3, 4, 5], &[1, 3, 4, 5], &[1, 3, 4, 5]),
        "attention: batches differ: [2, 3, 4, 5] × [1, 3, 4, 5] × [1, 3, 4, 5] (2 ≠ 1)",
        Some(0),
    );
    says(
        with(&[2, 3, 4, 5], &[2, 2, 4, 5], &[2, 2, 4, 5]),
        "attention: the heads of q are no multiple of those of k: [2, 3, 4, 5] × [2, 2, 4, 5] × [2, 2, 4, 5] (3 and 2)",
        Some(1),
    );
    let masked = attention::Options { mask: Some(zeros(&[3, 3])), ..options };
    let x = zeros(&[1, 1, 2, 4]);
    says(attention::forward(&x, &x, &x, &masked), "attention: does not fit: [3, 3] × [1, 1, 2, 2] (3 ≠ 2)", Some(0));
    let packed = attention::packed_forward(&zeros(&[2, 5, 16]), 3, &attention::Options::default());
    says(packed, "attention: qkv needs the axes [B, T, 3·H·D]: [2, 5, 16] (H = 3)", None);
}

#[test]
fn rope() {
    let table = |t, pairs| zeros(&[t, pairs]);
    let rotation = |cos, sin| rope::Rotation { cos, sin, pairing: rope::Pairing::HalfSplit };
    let x = zeros(&[2, 3, 4, 6]);
    let fits = rotation(table(3, 3), table(3, 3));
    assert_eq!(fits.apply(&x, 4).unwrap().shape(), [2, 3, 4, 6]);
    says(
        fits.apply(&zeros(&[3, 6]), 1),
        "rope: x needs the axes [B, T, H, D], the tables [T, R/2]: [3, 6] × [3, 3]",
        None,
    );
    says(
        rotation(table(4, 3), table(4, 3)).apply(&x, 4),
        "rope: the tables are of other positions: [2, 3, 4, 6] × [4, 3] (3 ≠ 4)",
        Some(1),
    );
    says(
        rotation(table(3, 4), table(3, 4)).apply(&x, 4),
        "rope: a head has too few channels: [2, 3, 4, 6] × [3, 4] (6 < 2·4)",
        Some(3),
    );
    says(
        rotation(table(3, 3), table(3, 2)).apply(&x, 4),
        "rope: cosines and sines differ: [2, 3, 4, 6] × [3, 3] × [3, 2]",
        None,
    );
    says(fits.backward(&x, 5), "rope: there are fewer heads: [2, 3, 4, 6] × [3, 3] (4 < 5)", Some(2));
    let grouped = attention::Heads { query: 4, key_value: 3 };
    says(
        attention::packed_forward(&zeros(&[2, 5, 20]), grouped, &attention::Options::default()),
        "attention: the heads of q are no multiple of those of k: [2, 5, 20] (4 and 3)",
        None,
    );
}

#[test]
fn embedding_cross_entropy_dropout_and_optimisers() {
    let ids = Tensor::from_slice(&[1_u32, 7], &[2]);
    says(
        embedding::forward(&zeros(&[5, 3]), &ids),
        "embedding: an id is not in the table: [5, 3] × [2] (7 of 5)",
        Some(0),
    );
    let options = cross_entropy::Options::default();
    says(
        cross_entropy::forward(&zeros(&[2, 5]), &ids, options),
        "cross_entropy: a target is no class: [2, 5] × [2] (7 of 5)",
        Some(1),
    );
    says(
        cross_entropy::forward(&zeros(&[3, 5]), &ids, options),
        "cross_entropy: one u32 target for each row of logits is needed: [3, 5] × [2]",
        None,
    );
    let drop = dropout::Dropout { p: 1.0, seed: 0, stream: 0 };
    says(dropout::apply(drop, &zeros(&[2])), "dropout: p = 1 is not in [0, 1)", None);
    let options = optimizer::Sgd { lr: 0.1, momentum: 0.0, weight_decay: 0.0, nesterov: false, grad_scale: 1.0 };
    let (mut p, mut velocity) = (zeros(&[2]), zeros(&[2]));
    says(optimizer::sgd(options, &mut p, &zeros(&[3]), &mut velocity), "sgd: shapes differ: [2] × [3]", Some(0));
}

/// Operators panic with the very same text, at the caller's line.
#[test]
fn operators_panic_with_the_text() {
    let panics = |work: &(dyn Fn() + std::panic::RefUnwindSafe)| {
        let panic = std::panic::catch_unwind(work).expect_err("shapes that do not fit");
        panic.downcast_ref::<String>().unwrap().clone()
    };
    let (a, b) = (|| zeros(&[2, 3]), || zeros(&[4]));
    assert_eq!(panics(&|| _ = &a() + &b()), "add: shapes do not broadcast: [2, 3] × [4] (3 ≠ 4)");
    let (a, b) = (|| Var::constant(zeros(&[2, 3])), || Var::constant(zeros(&[4, 5])));
    assert_eq!(panics(&|| _ = a().matmul(&b())), "matmul: inner sizes differ: [2, 3] × [4, 5] (3 ≠ 4)");
}
