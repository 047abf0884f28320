//! Rotary positions, in both pairings and both directions.

use crate::device::device;
use gradus_kernels::{
    oracle::{check, values, widen},
    rope::{Input, InputOf, Pairing, Shape, cuda, naive},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// (B, T, H, heads that turn, D, pairs): odd sizes, heads that are copied, channels that stay, and sizes of zero.
const SHAPES: [[usize; 6]; 13] = [
    [1, 1, 1, 1, 2, 1],
    [2, 3, 2, 2, 8, 4],
    [1, 5, 3, 2, 10, 5],
    [2, 2, 3, 1, 33, 16],
    [1, 3, 2, 2, 64, 32],
    [1, 2, 1, 1, 70, 33],
    [2, 3, 2, 2, 20, 3],
    [1, 4, 3, 0, 6, 3],
    [1, 4, 2, 2, 5, 0],
    [0, 4, 2, 2, 4, 2],
    [2, 0, 2, 2, 4, 2],
    [2, 3, 0, 0, 4, 2],
    [2, 3, 2, 1, 0, 0],
];

fn shape_of([b, t, h, rotated, d, pairs]: [usize; 6]) -> Shape {
    Shape { b, t, h, rotated, d, pairs }
}

/// cos and sin of t·10000^(−i/pairs), from position 7 on.
fn tables(shape: Shape) -> [Vec<f32>; 2] {
    let angle = |n: usize| {
        let (t, i) = (7 + n / shape.pairs, n % shape.pairs);
        t as f64 * 10_000_f64.powf(-(i as f64) / shape.pairs as f64)
    };
    [f64::cos, f64::sin].map(|f| (0..shape.t * shape.pairs).map(|n| f(angle(n)) as f32).collect())
}

#[test]
fn every_rung_keeps_to_the_oracle() {
    let Some(device) = device() else { return };
    // Beside a large number the error of the others does not count, so there are none at first.
    for (shape, extreme) in SHAPES.map(shape_of).into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
        let len = shape.b * shape.t * shape.h * shape.d;
        let (mut x, [cos, sin]) = (values(1, len), tables(shape));
        if extreme && len > 64 {
            (x[3], x[40]) = (1e30, 1e-40);
        }
        let [of_x, of_cos, of_sin] = [&x, &cos, &sin].map(|numbers| device.upload(numbers));
        for (pairing, inverse) in
            [Pairing::Interleaved, Pairing::HalfSplit].into_iter().flat_map(|p| [(p, false), (p, true)])
        {
            let (mut plain, mut exact) = (vec![7.0; len], vec![7.0; len]);
            naive::rotate(Input { shape, pairing, inverse, x: &x, cos: &cos, sin: &sin }, &mut plain);
            let (x, cos, sin) = (widen(&x), widen(&cos), widen(&sin));
            naive::rotate(Input { shape, pairing, inverse, x: &x, cos: &cos, sin: &sin }, &mut exact);
            let (x, cos, sin) = (of_x.slice(0..len), of_cos.slice(0..cos.len()), of_sin.slice(0..sin.len()));
            for rung in &cuda::CUDA_RUNGS {
                let mut y = device.upload(&vec![7.0_f32; len + 1]);
                let input = InputOf { shape, pairing, inverse, x, cos, sin };
                (rung.run)(&device.gpu, input, y.slice_mut(0..len)).unwrap();
                let got = y.to_host::<f32>().unwrap();
                let checked = check(&got[..len], &plain, &exact);
                checked.unwrap_or_else(|e| panic!("{} {shape:?} {pairing:?} {inverse}: {e}", rung.name));
                assert!(got[len] == 7.0, "{} {shape:?}: the element after the last one changed", rung.name);
            }
        }
    }
}

#[test]
fn the_inverse_undoes_the_rotation_and_wrong_sizes_are_refused() {
    let Some(device) = device() else { return };
    let shape = shape_of([1, 3, 3, 2, 7, 3]);
    let (x, [cos, sin]) = (values(1, 63), tables(shape).map(|table| device.upload(&table)));
    let from = device.upload(&x);
    let [mut y, mut back, mut other] = [(); 3].map(|()| device.output::<f32>(63));
    let of = |x, inverse, shape| InputOf {
        shape,
        pairing: Pairing::HalfSplit,
        inverse,
        x,
        cos: cos.slice(0..9),
        sin: sin.slice(0..9),
    };
    cuda::rotate(&device.gpu, of(from.slice(0..63), false, shape), y.slice_mut(0..63)).unwrap();
    cuda::rotate(&device.gpu, of(y.slice(0..63), true, shape), back.slice_mut(0..63)).unwrap();
    assert!(back.to_host::<f32>().unwrap().iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-6));
    for (shape, len) in [
        (shape, 62),
        (Shape { pairs: 4, ..shape }, 63),
        (Shape { rotated: 4, ..shape }, 63),
        (Shape { t: 9, h: 1, ..shape }, 63),
    ] {
        let run = || cuda::rotate(&device.gpu, of(from.slice(0..63), false, shape), other.slice_mut(0..len));
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "{shape:?}, {len}");
    }
}
