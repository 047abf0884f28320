//! Every operation takes views: what it computes from a permuted, sliced, repeated or thinned-out view is what it
//! computes from a contiguous copy.

use gradus_kernels::oracle::values;
use gradus_tensor::ops::elementwise::{Binary, Saves, Unary, unary_backward};
use gradus_tensor::ops::norm::{NormGradients, layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
use gradus_tensor::ops::reduce::Reduce;
use gradus_tensor::ops::{attention, cross_entropy, dropout, embedding, optimizer, shape, softmax};
use gradus_tensor::{DType, Tensor};

type Run = Box<dyn Fn(&[Tensor]) -> Vec<Tensor>>;

/// An operation on tensors of these shapes; the input number `indices`, if any, holds indices below 3.
struct Case {
    name: String,
    shapes: Vec<Vec<usize>>,
    indices: Option<usize>,
    run: Run,
}

fn case(name: impl Into<String>, shapes: &[&[usize]], run: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static) -> Case {
    let shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
    Case { name: name.into(), shapes, indices: None, run: Box::new(run) }
}

fn with_indices(at: usize, case: Case) -> Case {
    Case { indices: Some(at), ..case }
}

fn parts(gradients: NormGradients) -> Vec<Tensor> {
    [Some(gradients.dx), gradients.dgamma, gradients.dbeta].into_iter().flatten().collect()
}

fn elementwise_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in Unary::ALL {
        // Between 0.1 and 2.1: in the domain of all of them.
        cases.push(case(format!("{op:?}"), &[&[3, 5, 7]], move |x| vec![(&x[0] + 1.1).unary(op)]));
        cases.push(case(format!("{op:?} backward"), &[&[3, 5, 7], &[3, 5, 7]], move |x| {
            let saved = (op.saves() != Saves::Nothing).then_some(&x[0]);
            vec![unary_backward(op, saved, x[1].clone()).unwrap()]
        }));
    }
    use Binary::{Add, Div, Eq, Ge, Gt, Max, Min, Mul, Pow, Sub};
    for op in [Add, Sub, Mul, Div, Pow, Max, Min, Gt, Ge, Eq] {
        for (a, b) in
            [(&[3, 5, 7][..], &[3, 5, 7][..]), (&[3, 5, 7], &[5, 1]), (&[3, 1, 7], &[5, 1]), (&[7], &[3, 5, 7])]
        {
            // Both are at least 1, and not so near each other that rounding decides which is larger.
            cases.push(case(format!("{op:?} {a:?} {b:?}"), &[a, b], move |x| {
                vec![(&x[0] + 2.0).binary(op, &(&x[1] + 2.5))]
            }));
            cases.push(case(format!("plain {op:?} {a:?} {b:?}"), &[a, b], move |x| {
                if matches!(op, Div | Pow) { vec![] } else { vec![x[0].binary(op, &x[1])] }
            }));
        }
    }
    cases.push(case("select", &[&[3, 1], &[3, 5], &[5]], |x| {
        vec![x[0].binary(Binary::Gt, &Tensor::scalar(x[0].dtype(), 0.0)).select(&x[1], &x[2])]
    }));
    cases.push(case("accumulate", &[&[3, 5], &[3, 5]], |x| {
        let mut sum = x[0].clone();
        sum.try_accumulate(&x[1]).unwrap();
        vec![sum, x[0].clone()] // the second: a tensor that shares the memory is not touched
    }));
    cases
        .push(case("sum_to", &[&[3, 5, 7]], |x| vec![x[0].sum_to(&[5, 1]), x[0].sum_to(&[1, 5, 7]), x[0].sum_to(&[])]));
    cases.push(case("to_dtype", &[&[3, 5]], |x| vec![x[0].to_dtype(DType::F32), x[0].to_dtype(DType::F64)]));
    cases.push(case("concat", &[&[3, 2], &[3, 5]], |x| vec![shape::concat(&[&x[0], &x[1], &x[0]], 1).unwrap()]));
    cases.push(case("split", &[&[5, 3]], |x| x[0].split(0, &[1, 0, 4])));
    cases.push(case("write_slice", &[&[3, 7], &[3, 2]], |x| {
        let mut y = x[0].clone();
        y.write_slice(1, 4, &x[1]);
        vec![y, x[0].clone()]
    }));
    cases
}

fn reduction_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min, Reduce::Variance { correction: 1 }] {
        for axes in [&[0][..], &[1], &[2], &[0, 2], &[0, 1, 2], &[]] {
            if matches!(op, Reduce::Variance { .. }) && axes.is_empty() {
                continue; // of one element there is no unbiased variance
            }
            cases.push(case(format!("{op:?} {axes:?}"), &[&[3, 5, 7]], move |x| {
                vec![x[0].reduce(op, axes, false), x[0].reduce(op, axes, true)]
            }));
        }
    }
    for axis in 0..3 {
        cases.push(case(format!("argmax {axis}"), &[&[3, 5, 7]], move |x| vec![x[0].argmax(axis)]));
        cases.push(case(format!("softmax {axis}"), &[&[3, 5, 7], &[3, 5, 7]], move |x| {
            let backward = softmax::backward(&x[0], &x[1], axis).unwrap();
            vec![x[0].softmax(axis), backward]
        }));
        cases.push(case(format!("log_softmax {axis}"), &[&[3, 5, 7], &[3, 5, 7]], move |x| {
            let backward = softmax::log_backward(&x[0], &x[1], axis).unwrap();
            vec![x[0].log_softmax(axis), backward]
        }));
    }
    cases.push(case("sum_of_squares", &[&[3, 5, 7]], |x| vec![x[0].sum_of_squares()]));
    cases
}

fn row_cases() -> Vec<Case> {
    let drop = dropout::Dropout { p: 0.4, seed: 5, stream: 2 };
    let options = cross_entropy::Options { ignore_index: Some(2), label_smoothing: 0.25 };
    vec![
        case("layer_norm", &[&[4, 3, 7], &[7], &[7]], |x| {
            let normed = layer_norm(&x[0], Some(&x[1]), Some(&x[2]), 1e-5).unwrap();
            vec![normed.y, normed.mean.unwrap(), normed.rstd]
        }),
        case("layer_norm backward", &[&[4, 7], &[7], &[4], &[4], &[4, 7]], |x| {
            parts(layer_norm_backward(&x[0], Some(&x[1]), true, &x[2], &x[3], &x[4], None).unwrap())
        }),
        case("rms_norm", &[&[4, 3, 7], &[7]], |x| {
            let normed = rms_norm(&x[0], Some(&x[1]), 1e-5).unwrap();
            vec![normed.y, normed.rstd]
        }),
        case("rms_norm backward", &[&[4, 7], &[7], &[4], &[4, 7]], |x| {
            parts(rms_norm_backward(&x[0], Some(&x[1]), &x[2], &x[3], None).unwrap())
        }),
        with_indices(1, case("embedding", &[&[3, 5], &[4, 2]], |x| vec![embedding::forward(&x[0], &x[1]).unwrap()])),
        with_indices(
            0,
            case("embedding backward", &[&[4, 2], &[4, 2, 5]], |x| {
                vec![embedding::backward(&[3, 5], &x[0], &x[1]).unwrap()]
            }),
        ),
        with_indices(
            1,
            case("cross_entropy", &[&[4, 2, 3], &[4, 2]], move |x| {
                let loss = cross_entropy::forward(&x[0], &x[1], options).unwrap();
                vec![loss.mean, loss.log_sum_exp]
            }),
        ),
        with_indices(
            1,
            case("cross_entropy backward", &[&[8, 3], &[8], &[8], &[]], move |x| {
                vec![cross_entropy::backward(&x[0], &x[1], &x[2], options, &x[3]).unwrap()]
            }),
        ),
        case("dropout", &[&[3, 5, 7]], move |x| vec![dropout::apply(drop, &x[0]).unwrap()]),
        case("adamw", &[&[3, 5], &[3, 5], &[3, 5], &[3, 5]], |x| {
            let options = optimizer::AdamW {
                lr: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                eps: 1e-3,
                weight_decay: 0.1,
                step: 3,
                grad_scale: 0.5,
            };
            let (mut p, mut m, mut v) = (x[0].clone(), x[2].clone(), &x[3] + 1.5);
            optimizer::adamw(options, &mut p, &x[1], &mut m, &mut v).unwrap();
            vec![p, m, v, x[0].clone(), x[2].clone()]
        }),
        case("sgd", &[&[3, 5], &[3, 5], &[3, 5]], |x| {
            let options = optimizer::Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.1, nesterov: true, grad_scale: 0.5 };
            let (mut p, mut velocity) = (x[0].clone(), x[2].clone());
            optimizer::sgd(options, &mut p, &x[1], &mut velocity).unwrap();
            vec![p, velocity, x[0].clone(), x[2].clone()]
        }),
    ]
}

fn product_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (a, b) in [
        (&[5, 7][..], &[7, 3][..]),
        (&[1, 7], &[7, 3]),
        (&[5, 7], &[7, 1]),
        (&[2, 5, 7], &[7, 3]),
        (&[2, 5, 7], &[2, 7, 3]),
        (&[2, 1, 5, 7], &[3, 7, 4]),
        (&[2, 1, 1, 5], &[2, 3, 5, 2]),
        (&[33, 40], &[40, 49]),
    ] {
        cases.push(case(format!("matmul {a:?} {b:?}"), &[a, b], |x| vec![x[0].matmul(&x[1])]));
    }
    let (q, kv) = (&[2, 4, 5, 6][..], &[2, 2, 7, 6][..]);
    for (name, causal, masked, dropped) in [
        ("plain", false, false, false),
        ("causal", true, false, false),
        ("masked", false, true, false),
        ("dropout", true, true, true),
    ] {
        let options = move |mask: &Tensor| attention::Options {
            causal,
            mask: masked.then(|| mask.binary(Binary::Gt, &Tensor::scalar(mask.dtype(), -0.3))),
            dropout: dropped.then_some(dropout::Dropout { p: 0.3, seed: 1, stream: 4 }),
            ..attention::Options::default()
        };
        cases.push(case(format!("attention {name}"), &[q, kv, kv, &[4, 5, 7]], move |x| {
            let attended = attention::forward(&x[0], &x[1], &x[2], &options(&x[3])).unwrap();
            vec![attended.output, attended.log_sum_exp]
        }));
        cases.push(case(format!("attention backward {name}"), &[q, kv, kv, q, &[2, 4, 5], q, &[4, 5, 7]], move |x| {
            let attended = attention::Attended { output: x[3].clone(), log_sum_exp: &x[4] + 3.0 };
            attention::backward(&x[0], &x[1], &x[2], &attended, &x[5], &options(&x[6])).unwrap().into()
        }));
        cases.push(case(format!("packed attention {name}"), &[&[2, 5, 18], &[5, 5]], move |x| {
            let (output, lse) = attention::packed_forward(&x[0], 2, &options(&x[1])).unwrap();
            vec![output, lse]
        }));
        let shapes: [&[usize]; 5] = [&[2, 5, 18], &[2, 5, 6], &[2, 2, 5], &[2, 5, 6], &[5, 5]];
        cases.push(case(format!("packed attention backward {name}"), &shapes, move |x| {
            let lse = &x[2] + 3.0;
            vec![attention::packed_backward(&x[0], 2, &x[1], &lse, &x[3], &options(&x[4])).unwrap()]
        }));
    }
    // The statistics themselves as views.
    cases.push(case("attention backward from a view of ln Σ eˢ", &[q, kv, kv, q, &[2, 4, 5], q], |x| {
        let attended = attention::Attended { output: x[3].clone(), log_sum_exp: x[4].clone() };
        attention::backward(&x[0], &x[1], &x[2], &attended, &x[5], &attention::Options::default()).unwrap().into()
    }));
    cases.push(case(
        "packed attention backward from a view of ln Σ eˢ",
        &[&[2, 5, 18], &[2, 5, 6], &[2, 2, 5], &[2, 5, 6]],
        |x| vec![attention::packed_backward(&x[0], 2, &x[1], &x[2], &x[3], &attention::Options::default()).unwrap()],
    ));
    cases
}

/// Views with the elements of `x`, none of them contiguous where it has two elements or more.
fn disguises(x: &Tensor) -> Vec<(&'static str, Tensor)> {
    let rank = x.rank();
    if rank == 0 {
        let three = shape::concat(&[&x.reshape(&[1]), &x.reshape(&[1]), &x.reshape(&[1])], 0).unwrap();
        return vec![("an element of three", three.slice(0, 1..2).reshape(&[]))];
    }
    let backwards: Vec<usize> = (0..rank).rev().collect();
    let permuted = x.permute(&backwards).contiguous().permute(&backwards);
    let junk = |shape: &[usize]| match x.dtype() {
        DType::U32 => Tensor::full(1_u32, shape),
        DType::F64 => Tensor::full(f64::NAN, shape),
        DType::F32 | DType::Bf16 => Tensor::full(f32::NAN, shape).to_dtype(x.dtype()),
    };
    let mut sliced = x.clone();
    for axis in 0..rank {
        let mut edge = sliced.shape().to_vec();
        edge[axis] = 1;
        sliced = shape::concat(&[&junk(&edge), &sliced, &junk(&edge)], axis).unwrap();
    }
    for axis in 0..rank {
        sliced = sliced.slice(axis, 1..1 + x.shape()[axis]);
    }
    let thin = [x.shape(), &[1]].concat();
    let doubled = shape::concat(&[&x.reshape(&thin), &junk(&thin)], rank).unwrap();
    let thinned = doubled.slice(rank, 0..1).reshape(x.shape());
    vec![("permuted", permuted), ("sliced", sliced), ("every other element", thinned)]
}

/// The first index of each axis repeated, as a view with strides of 0.
fn repeated(x: &Tensor) -> Tensor {
    (0..x.rank()).fold(x.clone(), |x, axis| {
        let shape = x.shape().to_vec();
        if axis % 2 == 0 { x.slice(axis, 0..1).broadcast_to(&shape) } else { x }
    })
}

fn assert_same(what: &str, got: &[Tensor], expected: &[Tensor]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!((got.shape(), got.dtype()), (expected.shape(), expected.dtype()), "{what}");
        let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
        let largest = expected.iter().filter(|x| x.is_finite()).fold(0.0_f64, |m, x| m.max(x.abs()));
        for (i, (&g, &e)) in got.iter().zip(&expected).enumerate() {
            let same = g == e || (g.is_nan() && e.is_nan()) || (g - e).abs() <= 2e-6 * largest;
            assert!(same, "{what}: element {i} is {g:e} of the view and {e:e} of the copy");
        }
    }
}

fn check(cases: Vec<Case>) {
    for Case { name, shapes, indices, run } in cases {
        for dtype in [DType::F32, DType::F64] {
            let input = |(i, shape): (usize, &Vec<usize>)| {
                let values = values(i as u64 + 1, shape.iter().product());
                if indices == Some(i) {
                    let ids: Vec<u32> = values.iter().map(|x| ((x + 1.0) * 1.499) as u32).collect();
                    return Tensor::from_slice(&ids, shape);
                }
                Tensor::from_slice(&values, shape).to_dtype(dtype)
            };
            let inputs: Vec<Tensor> = shapes.iter().enumerate().map(input).collect();
            let expected = run(&inputs);
            let disguised: Vec<Vec<(&str, Tensor)>> = inputs.iter().map(disguises).collect();
            for (i, views) in disguised.iter().enumerate() {
                for (kind, view) in views {
                    assert_eq!(view.to_f64_vec(), inputs[i].to_f64_vec(), "the view holds the same");
                    let mut mixed = inputs.clone();
                    mixed[i] = view.clone();
                    assert_same(&format!("{name}, {dtype}, input {i} {kind}"), &run(&mixed), &expected);
                }
            }
            let all: Vec<Tensor> = disguised.iter().map(|views| views.last().unwrap().1.clone()).collect();
            assert_same(&format!("{name}, {dtype}, all of them views"), &run(&all), &expected);
            let repeated: Vec<Tensor> = inputs.iter().map(repeated).collect();
            let copies: Vec<Tensor> = repeated.iter().map(Tensor::contiguous).collect();
            assert_same(&format!("{name}, {dtype}, repeated"), &run(&repeated), &run(&copies));
        }
    }
}

#[test]
fn elementwise_and_shapes() {
    check(elementwise_cases());
}

#[test]
fn reductions_and_softmax() {
    check(reduction_cases());
}

#[test]
fn rows_losses_and_optimisers() {
    check(row_cases());
}

#[test]
fn products_and_attention() {
    check(product_cases());
}

/// The disguises are what they are called, or the tests above would compare copies with copies.
#[test]
fn the_views_are_not_contiguous() {
    let x = Tensor::from_slice(&values(1, 30), &[2, 3, 5]);
    assert!(disguises(&x).iter().all(|(_, view)| !view.is_contiguous()));
    assert_eq!(repeated(&x).layout().strides(), [0, 5, 0]);
}
