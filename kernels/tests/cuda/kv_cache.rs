//! Writing to the cache of keys and values.

use crate::device::{Device, device};
use gradus_kernels::{
    cast::Number,
    kv_cache::{self, Place, cuda},
    oracle::values,
};
use half::bf16;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn check<X: Number, C: Number + PartialEq>(device: &Device, place: Place, qkv: &[X], before: &[C]) {
    let (mut expected_k, mut expected_v) = (before.to_vec(), before.to_vec());
    kv_cache::push(place, qkv, &mut expected_k, &mut expected_v);
    let (input, mut k, mut v) = (device.upload(qkv), device.upload(before), device.upload(before));
    let n = 0..before.len();
    let (to_k, to_v) = (k.slice_mut::<C>(n.clone()), v.slice_mut::<C>(n));
    cuda::push(&device.gpu, place, input.slice::<X>(0..qkv.len()), to_k, to_v).unwrap();
    assert!(k.to_host::<C>().unwrap() == expected_k, "k, {place:?}");
    assert!(v.to_host::<C>().unwrap() == expected_v, "v, {place:?}");
}

#[test]
fn keys_and_values_go_to_their_places_and_nothing_else_changes() {
    let Some(device) = device() else { return };
    for (b, t, h, h_kv, d, room, past) in [
        (1, 1, 1, 1, 1, 1, 0),
        (1, 1, 6, 6, 64, 256, 255),
        (3, 5, 4, 2, 7, 11, 6),
        (2, 3, 3, 1, 4, 3, 0),
        (2, 0, 3, 3, 4, 5, 5),
        (2, 3, 2, 0, 4, 5, 1),
    ] {
        let place = Place { b, t, h, h_kv, d, room, past };
        let mut qkv = values(1, b * t * (h + 2 * h_kv) * d);
        if let Some(last) = qkv.last_mut() {
            *last = 1e-40; // zero in bf16
        }
        let before = values(2, b * h_kv * room * d);
        check(&device, place, &qkv, &before);
        check(&device, place, &qkv, &before.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>());
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        check(&device, place, &wide(&qkv), &wide(&before));
    }
}

#[test]
fn a_full_cache_and_other_types_are_refused() {
    let Some(device) = device() else { return };
    let (qkv, mut k, mut v) = (device.output::<f64>(6), device.output::<f64>(4), device.output::<f64>(4));
    let place = Place { b: 1, t: 2, h: 1, h_kv: 1, d: 1, room: 4, past: 3 };
    let run = || cuda::push::<f32, f32>(&device.gpu, place, qkv.slice(0..6), k.slice_mut(0..4), v.slice_mut(0..4));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "no room");
    let place = Place { past: 2, ..place };
    let run = || cuda::push::<f32, u32>(&device.gpu, place, qkv.slice(0..6), k.slice_mut(0..4), v.slice_mut(0..4));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "types");
    let run = || cuda::push::<f32, f32>(&device.gpu, place, qkv.slice(0..6), k.slice_mut(0..3), v.slice_mut(0..4));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "lengths");
}
