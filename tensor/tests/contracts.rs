//! What tensors and layouts promise beside their numbers: how they print, what they share, which views need no copy, and what an error
//! names.

use gradus_kernels::oracle::values;
use gradus_tensor::ops::attention::{self, Attended, Options};
use gradus_tensor::ops::dropout::Dropout;
use gradus_tensor::ops::kv_cache::KvCache;
use gradus_tensor::ops::matmul::linear;
use gradus_tensor::ops::norm::{layer_norm_backward, rms_norm_backward};
use gradus_tensor::ops::{cross_entropy, embedding};
use gradus_tensor::{DType, Layout, Precision, Tensor};

fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    Tensor::from_slice(&values(seed, shape.iter().product()), shape)
}

#[test]
fn a_tensor_prints_its_type_its_shape_and_its_first_eight_numbers() {
    let printed = |len: usize| format!("{:?}", Tensor::from_slice(&(0..len as u32).collect::<Vec<_>>(), &[len, 1]));
    assert_eq!(printed(2), "Tensor u32[2, 1] [0.0, 1.0]");
    assert_eq!(printed(8), "Tensor u32[8, 1] [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]");
    assert_eq!(printed(9), "Tensor u32[9, 1] [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0] …");
    let layout = format!("{:?}", Layout::contiguous(&[2, 3]).unwrap());
    assert!(layout.contains("[2, 3]") && layout.contains("[3, 1]"), "shape and strides: {layout}");
}

#[test]
fn views_share_their_storage_and_copies_do_not() {
    let x = tensor(1, &[2, 3]);
    assert!(x.shares_storage_with(&x.transpose(0, 1)) && x.shares_storage_with(&x.clone()));
    assert!(!x.shares_storage_with(&tensor(1, &[2, 3])) && !x.shares_storage_with(&x.transpose(0, 1).contiguous()));
}

#[test]
fn indices_are_no_floats() {
    let floats = [DType::F32, DType::F64, DType::Bf16, DType::U32].map(DType::is_float);
    assert_eq!(floats, [true, true, true, false]);
}

#[test]
fn a_cache_is_empty_until_something_is_read() {
    let mut cache = KvCache::new(DType::F32, 1, 1, 2, 4);
    assert!(cache.is_empty());
    cache.attend(&tensor(2, &[1, 1, 12]), &Options::default());
    assert!(!cache.is_empty());
}

/// Axes that lie side by side are read as one, also where the whole is not contiguous; others are not.
#[test]
fn a_view_is_reshaped_where_its_axes_are_one_run() {
    let x = Tensor::from_slice(&(0..60_u32).collect::<Vec<_>>(), &[3, 4, 5]);
    let rows = x.slice(1, 1..3); // strides 20, 5, 1
    for (view, shape, fits) in [
        (&rows, &[3, 10][..], true),
        (&rows, &[3, 5, 2], true),
        (&rows, &[6, 5], false),
        (&rows, &[30], false),
        (&x.slice(2, 0..3), &[12, 3], true), // strides 20, 5, 1 as well, and 4·5 = 20
        (&x.slice(2, 0..3), &[2, 6, 3], true),
        (&x.slice(2, 0..3), &[3, 12], false),
        (&x.permute(&[2, 0, 1]), &[5, 12], true), // strides 1, 20, 5
        (&x.permute(&[2, 0, 1]), &[60], false),
        (&x.permute(&[1, 0, 2]), &[12, 5], false), // strides 5, 20, 1
    ] {
        let result = view.try_reshape(shape);
        assert_eq!(result.is_ok(), fits, "{:?} as {shape:?}", view.layout());
        if let Ok(reshaped) = result {
            assert!(reshaped.shares_storage_with(view));
            assert_eq!(reshaped.to_vec::<u32>(), view.to_vec::<u32>(), "{:?} as {shape:?}", view.layout());
        }
    }
}

/// The mask is a tensor as any other: a view of it hides what a copy of the view hides.
#[test]
fn a_mask_may_be_a_view() {
    let (q, k) = (tensor(1, &[2, 3, 4, 5]), tensor(2, &[2, 3, 4, 5]));
    let keep: Vec<f32> = values(3, 96).into_iter().map(|x| f32::from(u8::from(x > -0.3))).collect();
    let mask = Tensor::from_slice(&keep, &[2, 3, 4, 4]);
    let seen = |mask: Tensor| {
        attention::forward(&q, &k, &k, &Options { mask: Some(mask), ..Options::default() })
            .unwrap()
            .output
            .to_vec::<f32>()
    };
    let plain = seen(mask.clone());
    for (name, view) in [
        ("transposed", mask.transpose(2, 3)),
        ("the same for all keys", mask.slice(3, 1..2)),
        ("the same for all queries", mask.slice(2, 1..2)),
        ("the same for all heads", mask.slice(1, 2..3)),
        ("heads before batches", Tensor::from_slice(&keep, &[3, 2, 4, 4]).transpose(0, 1)),
        (
            "every other key",
            Tensor::from_slice(&[&keep[..], &keep].concat(), &[2, 3, 4, 4, 2]).slice(4, 1..2).reshape(&[2, 3, 4, 4]),
        ),
    ] {
        let (expected, got) = (seen(view.contiguous()), seen(view));
        assert_eq!(got, expected, "{name}");
        assert_ne!(got, plain, "{name}: this mask has to differ from the plain one");
    }
}

#[test]
fn errors_name_the_operation_and_the_axis_at_fault() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape);
    for (shape, axis) in [(&[3][..], 0), (&[2, 3], 1), (&[4, 2, 3], 2)] {
        let error = linear(&zeros(shape), &zeros(&[5, 2]), Precision::F32).unwrap_err();
        assert_eq!((error.op, error.axis), ("linear", Some(axis)));
    }
    assert_eq!(zeros(&[2, 3]).try_sum_to(&[2, 2]).unwrap_err().op, "sum_to");
}

/// No element is an error only where there is a result that would have needed one.
#[test]
fn the_largest_of_nothing() {
    let error = Tensor::zeros(&[2, 0]).try_argmax(1).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.axis), ("argmax: there is nothing to choose from: [2, 0]", Some(1)));
    assert!(Tensor::zeros(&[0]).try_argmax(0).is_err());
    for (shape, axis, left) in [(&[2, 0][..], 0, &[0][..]), (&[0, 0], 1, &[0]), (&[0, 3], 1, &[0])] {
        assert_eq!(Tensor::zeros(shape).try_argmax(axis).unwrap().shape(), left, "{shape:?} along {axis}");
    }
}

#[test]
fn an_order_of_axes_names_each_axis_once_and_no_other() {
    let x = Tensor::zeros(&[2, 3]);
    for axes in [&[0, 2][..], &[2, 1], &[1, 1], &[0], &[0, 1, 2], &[]] {
        assert_eq!(x.try_permute(axes).map(|_| ()).unwrap_err().op, "permute", "{axes:?}");
    }
    assert_eq!(x.permute(&[1, 0]).shape(), [3, 2]);
}

#[test]
#[should_panic(expected = "the tensor holds f32, not f64")]
fn numbers_are_read_as_what_they_are() {
    Tensor::zeros(&[2]).as_host_slice::<f64>();
}

#[test]
fn a_result_with_seven_axes_is_refused() {
    let ids = Tensor::full(0_u32, &[1; 6]);
    assert!(embedding::forward(&Tensor::zeros(&[2, 3]), &ids).is_err());
    let ids = Tensor::full(0_u32, &[1; 5]);
    assert_eq!(embedding::forward(&Tensor::zeros(&[2, 3]), &ids).unwrap().shape(), [1, 1, 1, 1, 1, 3]);
}

#[test]
fn attention_checks_its_dropout_and_what_was_saved() {
    let x = tensor(1, &[1, 2, 3, 4]);
    let dropout = |p| Options { dropout: Some(Dropout { p, seed: 1, stream: 1 }), ..Options::default() };
    for p in [1.0, -0.1, f32::NAN] {
        assert_eq!(attention::forward(&x, &x, &x, &dropout(p)).unwrap_err().op, "attention", "{p}");
    }
    let options = Options::default();
    let saved = attention::forward(&x, &x, &x, &options).unwrap();
    let backward = |output: &Tensor, lse: &Tensor, dy: &Tensor| {
        let saved = Attended { output: output.clone(), log_sum_exp: lse.clone() };
        attention::backward(&x, &x, &x, &saved, dy, &options).map(|_| ())
    };
    let lse = &saved.log_sum_exp;
    backward(&saved.output, lse, &x).unwrap();
    assert!(backward(&saved.output, &tensor(1, &[1, 2, 4]), &x).is_err(), "a log-sum-exp of four queries");
    let longer = tensor(1, &[1, 2, 5, 4]);
    assert!(backward(&longer, lse, &longer).is_err(), "an output of five queries");
    assert!(backward(&saved.output, lse, &longer).is_err(), "a gradient of five queries");
    assert!(backward(&saved.output, &lse.to_dtype(DType::F64), &x).is_err(), "statistics of another type");
    assert!(attention::backward(&x, &x, &x, &saved, &x, &dropout(1.0)).is_err());
}

#[test]
fn targets_of_cross_entropy_are_indices_one_for_each_row() {
    let loss = |logits: &[usize], targets: Tensor| {
        cross_entropy::forward(&Tensor::zeros(logits), &targets, cross_entropy::Options::default()).is_ok()
    };
    let indices = |shape: &[usize]| Tensor::full(0_u32, shape);
    assert!(loss(&[2, 3], indices(&[2])) && loss(&[3], indices(&[])));
    assert!(!loss(&[], indices(&[])), "logits without classes");
    assert!(!loss(&[2, 3], indices(&[3])) && !loss(&[2, 3], indices(&[2, 1])));
    assert!(!loss(&[2, 3], Tensor::zeros(&[2])), "targets that are no indices");
}

#[test]
fn backward_passes_take_one_statistic_for_each_row() {
    let x = tensor(1, &[2, 3, 4]);
    let (fits, short, one) = (tensor(1, &[6]), tensor(1, &[5]), tensor(1, &[1]));
    let layer = |mean: &Tensor, rstd: &Tensor| layer_norm_backward(&x, None, false, mean, rstd, &x, None).is_ok();
    let rms = |rrms: &Tensor| rms_norm_backward(&x, None, rrms, &x, None).is_ok();
    let targets = Tensor::full(0_u32, &[2, 3]);
    let loss = |lse: &Tensor, d_loss: &Tensor| {
        cross_entropy::backward(&x, &targets, lse, cross_entropy::Options::default(), d_loss).is_ok()
    };
    assert!(layer(&fits, &fits) && rms(&fits) && loss(&fits, &one));
    for wrong in [&short, &fits.to_dtype(DType::F64)] {
        assert!(!layer(wrong, &fits) && !layer(&fits, wrong) && !rms(wrong) && !loss(wrong, &one), "{wrong:?}");
    }
    assert!(!loss(&fits, &short));
}
