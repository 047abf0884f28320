//! Casts between all types, and one number for all elements.

use crate::device::{Device, device};
use gradus_kernels::cast::{self, Number, cuda};
use gradus_kernels::oracle;
use half::bf16;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bits of numbers of `f32` where rounding and ranges end: zeros, denormal numbers, halves between two of bf16, the largest ones, those
/// around 2³², infinities and NaNs.
const BITS: [u32; 24] = [
    0,
    1,
    0x8000,
    0x8001,
    0x007f_7fff,
    0x007f_8000,
    0x007f_ffff,
    0x0080_0000,
    0x3f80_7fff,
    0x3f80_8000,
    0x3f80_8001,
    0x3f81_8000,
    0x3fff_ffff,
    0x4f7f_ffff,
    0x4f80_0000,
    0x4f7f_7fff,
    0x4eff_ffff,
    0x7f7f_7fff,
    0x7f7f_8000,
    0x7f7f_ffff,
    0x7f80_0000,
    0x7f80_0001,
    0x7fc0_0000,
    0x7fff_ffff,
];

/// Equal bits, or NaN where NaN is expected: payloads are not part of a number.
fn check<X: Number, Y: Number>(device: &Device, x: &[X]) {
    let (mut expected, mut y) = (vec![Y::from_f64(7.0); x.len()], device.upload(&vec![Y::from_f64(7.0); x.len() + 1]));
    cast::cast(x, &mut expected);
    cuda::cast(&device.gpu, device.upload(x).slice::<X>(0..x.len()), y.slice_mut::<Y>(0..x.len())).unwrap();
    let got = y.to_host::<Y>().unwrap();
    for (i, (&got, &expected)) in got.iter().zip(&expected).enumerate() {
        let same = bytemuck::bytes_of(&got) == bytemuck::bytes_of(&expected);
        let nan = got.to_f64().is_nan() && expected.to_f64().is_nan();
        let what = format!("{} to {}", std::any::type_name::<X>(), std::any::type_name::<Y>());
        assert!(same || nan, "{what}: {} is {}, not {}", x[i].to_f64(), got.to_f64(), expected.to_f64());
    }
    assert!(got[x.len()].to_f64() == 7.0, "the element after the last one changed");
}

fn to_all<X: Number>(device: &Device, x: &[X]) {
    check::<X, f32>(device, x);
    check::<X, f64>(device, x);
    check::<X, bf16>(device, x);
    check::<X, u32>(device, x);
}

#[test]
fn every_cast_gives_the_bits_of_the_cpu() {
    let Some(device) = device() else { return };
    let special: Vec<f32> = BITS.iter().flat_map(|&bits| [bits, bits | 1 << 31]).map(f32::from_bits).collect();
    for len in [0, 1, 33, 300] {
        let x: Vec<f32> = special.iter().copied().chain(oracle::values(3, len).iter().map(|x| 1e3 * x)).collect();
        to_all(&device, &x);
        to_all(&device, &x[..len]);
        let around = |x: f32| [-1e-9, 0.0, 1e-9, 1e-17].map(|off| f64::from(x) * (1.0 + off) + off);
        let wide: Vec<f64> =
            x.iter().flat_map(|&x| around(x)).chain([1e300, -1e300, 4_294_967_295.5, 1e-320]).collect();
        to_all(&device, &wide);
        let ids: Vec<u32> = BITS.into_iter().chain([16_777_217, u32::MAX, u32::MAX - 127, u32::MAX - 128]).collect();
        to_all(&device, &ids);
    }
    let all: Vec<bf16> = (0..=u16::MAX).step_by(31).map(bf16::from_bits).collect();
    to_all(&device, &all);
}

fn filled<Y: Number + PartialEq>(device: &Device, value: f64) {
    for len in [0, 1, 33, 300] {
        let mut y = device.upload(&vec![Y::from_f64(7.0); len + 1]);
        cuda::fill(&device.gpu, value, y.slice_mut::<Y>(0..len)).unwrap();
        let got = y.to_host::<Y>().unwrap();
        let bytes = |y: &Y| bytemuck::bytes_of(y).to_vec();
        assert!(
            got[..len].iter().all(|y| bytes(y) == bytes(&Y::from_f64(value))) && got[len] == Y::from_f64(7.0),
            "{value}"
        );
    }
}

#[test]
fn a_value_for_all_elements() {
    let Some(device) = device() else { return };
    for value in [0.0, -0.0, 2.5, 1.0 / 3.0, -1e300, 3.9, f64::INFINITY] {
        filled::<f32>(&device, value);
        filled::<f64>(&device, value);
        filled::<bf16>(&device, value);
        filled::<u32>(&device, value);
    }
}

#[test]
fn lengths_that_differ_are_refused() {
    let Some(device) = device() else { return };
    let (x, mut y) = (device.upload(&[1.0_f32; 2]), device.output::<f64>(3));
    let run = || cuda::cast(&device.gpu, x.slice::<f32>(0..2), y.slice_mut::<f64>(0..3));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
}
