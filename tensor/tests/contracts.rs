//! What tensors and layouts promise beside their numbers: how they print, what they share, which views need no copy, and what an error
//! names.

use gradus_kernels::oracle::values;
use gradus_tensor::ops::attention::{self, Options};
use gradus_tensor::ops::kv_cache::KvCache;
use gradus_tensor::ops::matmul::linear;
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
