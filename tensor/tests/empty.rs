//! Tensors without elements go through every operation: no panic, the right shape, and the neutral element where
//! something is summed up.

use gradus_tensor::ops::elementwise::{Binary, Unary};
use gradus_tensor::ops::norm::{layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
use gradus_tensor::ops::reduce::Reduce;
use gradus_tensor::ops::{attention, cross_entropy, dropout, embedding, optimizer, shape, softmax};
use gradus_tensor::{DType, Tensor};

const TYPES: [DType; 2] = [DType::F32, DType::F64];

fn zeros(dtype: DType, shape: &[usize]) -> Tensor {
    Tensor::zeros_of(dtype, shape)
}

#[test]
fn elementwise_and_views() {
    for dtype in TYPES {
        let x = zeros(dtype, &[0, 3]);
        for op in Unary::ALL {
            assert_eq!(x.unary(op).shape(), [0, 3]);
        }
        assert_eq!(x.binary(Binary::Add, &zeros(dtype, &[1, 3])).shape(), [0, 3]);
        assert_eq!(x.binary(Binary::Mul, &Tensor::scalar(dtype, 2.0)).shape(), [0, 3]);
        assert_eq!(zeros(dtype, &[1, 0]).binary(Binary::Sub, &zeros(dtype, &[4, 1])).shape(), [4, 0]);
        assert_eq!(x.select(&x, &zeros(dtype, &[3])).shape(), [0, 3]);
        assert_eq!(x.transpose(0, 1).reshape(&[0]).contiguous().to_f64_vec(), []);
        assert_eq!(x.broadcast_to(&[2, 0, 3]).contiguous().shape(), [2, 0, 3]);
        let joined = shape::concat(&[&x, &Tensor::scalar(dtype, 1.0).broadcast_to(&[2, 3]), &x], 0).unwrap();
        assert_eq!((joined.shape(), joined.to_f64_vec()), (&[2, 3][..], vec![1.0; 6]));
        assert_eq!(joined.split(1, &[0, 3])[0].shape(), [2, 0]);
        assert_eq!(x.to_dtype(DType::U32).shape(), [0, 3]);
        let mut sum = x.clone();
        sum.try_accumulate(&x).unwrap();
        assert_eq!(x.sum_of_squares().item(), 0.0);
    }
}

#[test]
fn reductions() {
    for dtype in TYPES {
        let x = zeros(dtype, &[2, 0, 3]);
        assert_eq!(x.sum(&[1], false).to_f64_vec(), [0.0; 6], "the sum of nothing is 0");
        assert_eq!(x.sum(&[0, 2], true).shape(), [1, 0, 1]);
        assert!(x.mean(&[1], false).to_f64_vec().iter().all(|mean| mean.is_nan()), "the mean of nothing is none");
        assert_eq!(x.sum_to(&[3]).to_f64_vec(), [0.0; 3]);
        assert_eq!(x.reduce(Reduce::Max, &[0], false).shape(), [0, 3]);
        assert_eq!(x.argmax(2).shape(), [2, 0]);
        assert_eq!(x.softmax(2).shape(), [2, 0, 3]);
        assert_eq!(x.softmax(1).shape(), [2, 0, 3]);
        assert_eq!(softmax::log_backward(&x.log_softmax(0), &x, 0).unwrap().shape(), [2, 0, 3]);
    }
}

#[test]
fn products() {
    for dtype in TYPES {
        let product = |a: &[usize], b: &[usize]| zeros(dtype, a).matmul(&zeros(dtype, b));
        assert_eq!(product(&[0, 3], &[3, 2]).shape(), [0, 2]);
        assert_eq!(product(&[2, 3], &[3, 0]).shape(), [2, 0]);
        assert_eq!(product(&[2, 0], &[0, 3]).to_f64_vec(), [0.0; 6], "a product over nothing is 0");
        assert_eq!(product(&[0, 2, 3], &[3, 4]).shape(), [0, 2, 4]);
        assert_eq!(product(&[5, 2, 0], &[5, 0, 1]).to_f64_vec(), [0.0; 10]);
    }
}

#[test]
fn rows() {
    for dtype in TYPES {
        let (x, weight) = (zeros(dtype, &[0, 3]), zeros(dtype, &[3]));
        let normed = layer_norm(&x, Some(&weight), Some(&weight), 1e-5).unwrap();
        assert_eq!(normed.y.shape(), [0, 3]);
        let mean = normed.mean.unwrap();
        let gradients = layer_norm_backward(&x, Some(&weight), true, &mean, &normed.rstd, &x, None).unwrap();
        assert_eq!(gradients.dgamma.unwrap().to_f64_vec(), [0.0; 3]);
        assert_eq!(gradients.dbeta.unwrap().to_f64_vec(), [0.0; 3]);
        let normed = rms_norm(&x, Some(&weight), 1e-5).unwrap();
        let gradients = rms_norm_backward(&x, Some(&weight), &normed.rstd, &x, None).unwrap();
        assert_eq!(gradients.dgamma.unwrap().to_f64_vec(), [0.0; 3]);

        let normed = layer_norm(&zeros(dtype, &[2, 4, 0]), None, None, 1e-5).unwrap();
        assert_eq!(
            (normed.y.shape(), normed.rstd.shape()),
            (&[2, 4, 0][..], &[8][..]),
            "rows without elements are rows"
        );

        let ids = Tensor::from_slice::<u32>(&[], &[0]);
        assert_eq!(embedding::forward(&zeros(dtype, &[5, 3]), &ids).unwrap().shape(), [0, 3]);
        assert_eq!(embedding::backward(&[5, 3], &ids, &x).unwrap().to_f64_vec(), [0.0; 15]);
        let drop = dropout::Dropout { p: 0.5, seed: 1, stream: 1 };
        assert_eq!(dropout::apply(drop, &x).unwrap().shape(), [0, 3]);
        let options = optimizer::Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false, grad_scale: 1.0 };
        optimizer::sgd(options, &mut x.clone(), &x, &mut x.clone()).unwrap();
    }
}

/// Of rows that do not count there is no mean, and no gradient.
#[test]
fn losses_of_nothing() {
    for dtype in TYPES {
        let options = cross_entropy::Options { ignore_index: Some(7), label_smoothing: 0.0 };
        for (rows, classes) in [(0, 3), (2, 3), (2, 0)] {
            let (logits, targets) = (zeros(dtype, &[rows, classes]), Tensor::full(7_u32, &[rows]));
            let loss = cross_entropy::forward(&logits, &targets, options).unwrap();
            assert!(loss.mean.item().is_nan() || loss.mean.item() == 0.0, "{}", loss.mean.item());
            let one = Tensor::scalar(dtype, 1.0);
            let d = cross_entropy::backward(&logits, &targets, &loss.log_sum_exp, options, &one).unwrap();
            assert_eq!(d.to_f64_vec(), vec![0.0; classes * rows]);
        }
    }
}

#[test]
fn attention_without_batches_queries_or_keys() {
    for dtype in TYPES {
        let options = attention::Options::default();
        let run = |q: &[usize], k: &[usize]| {
            let (q, k) = (zeros(dtype, q), Tensor::scalar(dtype, 1.0).broadcast_to(k).contiguous());
            let attended = attention::forward(&q, &k, &k, &options).unwrap();
            let gradients = attention::backward(&q, &k, &k, &attended, &attended.output, &options).unwrap();
            assert_eq!((gradients[0].shape(), gradients[1].shape()), (q.shape(), k.shape()));
            attended.output
        };
        assert_eq!(run(&[0, 2, 3, 4], &[0, 2, 3, 4]).shape(), [0, 2, 3, 4]);
        assert_eq!(run(&[1, 2, 0, 4], &[1, 2, 3, 4]).shape(), [1, 2, 0, 4]);
        assert_eq!(run(&[1, 2, 3, 4], &[1, 2, 0, 4]).to_f64_vec(), [0.0; 24], "who may look nowhere sees 0");
        let (packed, _) = attention::packed_forward(&zeros(dtype, &[2, 0, 12]), 2, &options).unwrap();
        assert_eq!(packed.shape(), [2, 0, 4]);
    }
}
