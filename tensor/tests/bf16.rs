//! bf16: as a type of tensors, which only weights that are read have, and as a precision of products.

use gradus_tensor::ops::embedding;
use gradus_tensor::{DType, Precision, Tensor};

/// `len` values that are not representable in bf16, from a sequence that never repeats.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * i + 1) as f32 * 0.618_034).sin()).collect()
}

fn tensor(shape: &[usize]) -> Tensor {
    Tensor::from_slice(&values(shape.iter().product()), shape)
}

fn rounded(x: &Tensor) -> Tensor {
    x.to_dtype(DType::Bf16).to_dtype(DType::F32)
}

/// C of the same product in `f64`, where sums are exact enough to compare with.
fn exact(a: &Tensor, b: &Tensor) -> Vec<f64> {
    a.to_dtype(DType::F64).matmul(&b.to_dtype(DType::F64)).to_vec()
}

#[track_caller]
fn assert_close(got: &Tensor, exact: &[f64]) {
    assert_eq!((got.dtype(), got.len()), (DType::F32, exact.len()));
    for (got, exact) in got.to_f64_vec().into_iter().zip(exact) {
        assert!((got - exact).abs() <= 1e-5, "{got} is not {exact}");
    }
}

#[test]
fn the_type_is_half_as_large_and_rounds_to_the_nearest() {
    let x = Tensor::from_slice(&[1.0_f32, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -3.1, 1e-40, f32::NAN], &[2, 3]);
    let half = x.to_dtype(DType::Bf16);
    assert_eq!((half.dtype(), half.bytes(), half.dtype().to_string().as_str()), (DType::Bf16, 12, "bf16"));
    let wide = half.to_dtype(DType::F32);
    assert_eq!(wide.to_vec::<f32>()[..5], [1.0, 1.0, 1.015_625, -3.093_75, 0.0]);
    assert!(wide.to_vec::<f32>()[5].is_nan());
    assert_eq!(
        wide.to_dtype(DType::Bf16).slice(0, 0..1).to_f64_vec(),
        half.slice(0, 0..1).to_f64_vec(),
        "once is enough"
    );
    assert_eq!(half.transpose(0, 1).to_dtype(DType::F32).to_vec::<f32>()[1], -3.093_75, "views");
    assert_eq!(
        x.to_dtype(DType::F64).to_dtype(DType::Bf16).slice(1, 0..2).to_f64_vec(),
        half.slice(1, 0..2).to_f64_vec()
    );
    assert_eq!(Tensor::scalar(DType::Bf16, 2.5).item(), 2.5);
    assert_eq!(Tensor::zeros_of(DType::Bf16, &[2]).to_f64_vec(), [0.0, 0.0]);
    assert!(DType::Bf16.is_float());
}

#[test]
fn products_at_bf16_are_products_of_rounded_operands() {
    for (a, b) in
        [(&[7, 33][..], &[33, 5][..]), (&[2, 3, 40], &[40, 9]), (&[2, 3, 40], &[2, 40, 9]), (&[1, 70], &[70, 65])]
    {
        let (a, b) = (tensor(a), tensor(b));
        let got = a.matmul_at(&b, Precision::Bf16);
        assert_close(&got, &exact(&rounded(&a), &rounded(&b)));
        assert_ne!(got.to_vec::<f32>(), a.matmul(&b).to_vec::<f32>());
        assert_eq!(a.matmul_at(&b, Precision::F32).to_vec::<f32>(), a.matmul(&b).to_vec::<f32>());
    }
    let (a, b) = (tensor(&[9, 6]), tensor(&[8, 9]));
    let got = a.transpose(0, 1).matmul_at(&b.transpose(0, 1), Precision::Bf16);
    assert_close(&got, &exact(&rounded(&a).transpose(0, 1), &rounded(&b).transpose(0, 1)));
    // The oracle's type takes no notice.
    let (a, b) = (a.to_dtype(DType::F64), b.to_dtype(DType::F64));
    let [exact, same] = [Precision::F32, Precision::Bf16].map(|p| b.matmul_at(&a, p).to_vec::<f64>());
    assert_eq!(exact, same);
}

#[test]
fn the_right_operand_may_be_stored_in_bf16() {
    for rows in [1, 2, 19] {
        let (x, weight) = (tensor(&[rows, 40]), tensor(&[33, 40]).to_dtype(DType::Bf16));
        let got = x.matmul(&weight.transpose(0, 1));
        assert_close(&got, &exact(&rounded(&x), &weight.transpose(0, 1)));
        let weight = tensor(&[40, 33]).to_dtype(DType::Bf16);
        assert_close(&x.matmul(&weight), &exact(&rounded(&x), &weight));
    }
    let (x, weight) = (tensor(&[3, 2, 40]), tensor(&[3, 40, 5]).to_dtype(DType::Bf16));
    assert_close(&x.matmul(&weight), &exact(&rounded(&x), &weight));
}

#[test]
fn rows_of_a_table_in_bf16_come_out_in_f32() {
    let table = tensor(&[5, 3]).to_dtype(DType::Bf16);
    let ids = Tensor::from_slice(&[4_u32, 0, 4], &[3]);
    let rows = embedding::forward(&table, &ids).unwrap();
    let wide = embedding::forward(&table.to_dtype(DType::F32), &ids).unwrap();
    assert_eq!((rows.dtype(), rows.to_vec::<f32>()), (DType::F32, wide.to_vec()));
    assert!(embedding::forward(&table, &Tensor::from_slice(&[5_u32], &[1])).is_err());
    assert!(embedding::forward(&Tensor::zeros_of(DType::Bf16, &[2, 0]), &Tensor::from_slice(&[1_u32], &[1])).is_ok());
}

#[test]
fn views_and_copies_move_it_and_everything_else_refuses_it() {
    let x = tensor(&[4, 6]).to_dtype(DType::Bf16);
    let turned = x.transpose(0, 1).contiguous();
    assert_eq!(turned.slice(0, 2..3).to_f64_vec(), x.slice(1, 2..3).to_f64_vec());
    let both = gradus_tensor::ops::shape::concat(&[&x, &x], 0).unwrap();
    assert_eq!(both.slice(0, 4..8).to_f64_vec(), x.to_f64_vec());
    let mut copy = Tensor::zeros_of(DType::Bf16, &[4, 6]);
    copy.write_slice(0, 1, &x.slice(0, 1..3));
    assert_eq!(copy.slice(0, 1..3).to_f64_vec(), x.slice(0, 1..3).to_f64_vec());

    use gradus_tensor::ops::elementwise::{Binary, Unary};
    let wide = x.to_dtype(DType::F32);
    let errors = [
        x.try_unary(Unary::Exp).unwrap_err(),
        x.try_binary(Binary::Add, &x).unwrap_err(),
        x.try_matmul(&turned).unwrap_err(),
        x.try_softmax(1).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("not defined for bf16"), "{error}");
    }
    assert!(x.try_binary(Binary::Add, &wide).unwrap_err().to_string().contains("bf16 and f32"));
    let error = x.try_matmul(&wide.transpose(0, 1)).unwrap_err().to_string();
    assert_eq!(error, "matmul: not defined for bf16 (only its right operand may be bf16)");
}
