//! The functions that callers see: packed operands, and arguments that are refused.

use super::case::{DROPOUT, POISON, host, square};
use crate::device::{Device, device};
use gradus_kernels::attention::{Shape, Strides, ViewOf, cuda};
use gradus_kernels::{oracle::values, simd::bf16::round};
use std::panic::{AssertUnwindSafe, catch_unwind};

const PLAIN: cuda::Options<'static> =
    cuda::Options { scale: 0.3, causal: true, window: None, mask: None, dropout: Some(DROPOUT) };

fn contiguous(Shape { h, tq, d, .. }: Shape) -> Strides {
    Strides { b: tq * h * d, h: d, t: h * d }
}

/// The numbers of \[B,T,3,H,D\], and of a part of it.
fn packed_and_parts(shape: Shape) -> (Vec<f32>, [Vec<f32>; 3]) {
    let c = shape.h * shape.d;
    let qkv = values(1, shape.b * shape.tq * 3 * c);
    let part = |p: usize| qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect::<Vec<f32>>();
    let parts = [0, 1, 2].map(part);
    (qkv, parts)
}

#[test]
fn packed_and_strided_give_the_same_bits() {
    let Some(device) = device() else { return };
    let shape = square(2, 3, 35, 20);
    let (gpu, s, (qkv, parts)) = (&device.gpu, contiguous(shape), packed_and_parts(shape));
    let (len, rows) = (parts[0].len(), shape.b * shape.h * shape.tq);
    let (qkv_buffer, buffers, d_o) =
        (device.upload(&qkv), parts.each_ref().map(|x| device.upload(x)), device.upload(&values(2, len)));
    let apart = || buffers.each_ref().map(|x| ViewOf { data: x.slice(0..len), strides: s });

    let [mut o, mut o2] = [(); 2].map(|()| device.upload(&vec![POISON; len]));
    let [mut lse, mut lse2] = [(); 2].map(|()| device.upload(&vec![POISON; rows]));
    let packed = qkv_buffer.slice(0..3 * len);
    cuda::forward_packed(gpu, shape, &PLAIN, packed, o.slice_mut(0..len), lse.slice_mut(0..rows)).unwrap();
    cuda::forward(gpu, shape, &PLAIN, apart(), (o2.slice_mut(0..len), s), lse2.slice_mut(0..rows)).unwrap();
    let (o_host, lse_host) = (o.to_host::<f32>().unwrap(), lse.to_host::<f32>().unwrap());
    assert_eq!((&o_host, &lse_host), (&host(o2), &host(lse2)));

    let mut d_qkv = device.upload(&vec![POISON; 3 * len]);
    let (o, lse, d_o) = (o.slice(0..len), lse.slice(0..rows), d_o.slice(0..len));
    cuda::backward_packed(gpu, shape, &PLAIN, packed, o, lse, d_o, d_qkv.slice_mut(0..3 * len)).unwrap();
    let mut gradients = [(); 3].map(|()| device.upload(&vec![POISON; len]));
    let [dq, dk, dv] = &mut gradients;
    let outputs = [(dq.slice_mut(0..len), s), (dk.slice_mut(0..len), s), (dv.slice_mut(0..len), s)];
    let [o, d_o] = [o, d_o].map(|data| ViewOf { data, strides: s });
    cuda::backward(gpu, shape, &PLAIN, apart(), o, lse, d_o, outputs).unwrap();
    let (d_qkv, c) = (host(d_qkv), shape.h * shape.d);
    for (p, gradient) in gradients.map(host).iter().enumerate() {
        let packed: Vec<f32> = d_qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect();
        assert_eq!(&packed, gradient, "part {p}");
    }
}

fn refuses(body: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(body)).is_err()
}

/// Whether `backward` refuses its operands, changed by `change`.
fn refused(device: &Device, change: impl Fn(&mut [usize; 8], &mut Strides)) -> bool {
    let shape = square(2, 2, 3, 4);
    let s = contiguous(shape);
    let (mut lens, mut strides) = ([48, 48, 48, 48, 12, 48, 48, 48], s);
    change(&mut lens, &mut strides);
    let zeros = device.upload(&[0.0_f32; 48]);
    let mut outputs = [(); 3].map(|()| device.output::<f32>(48));
    refuses(|| {
        let view = |i: usize| ViewOf { data: zeros.slice(0..lens[i]), strides: s };
        let [dq, dk, dv] = &mut outputs;
        let gradients =
            [(dq.slice_mut(0..lens[5]), strides), (dk.slice_mut(0..lens[6]), s), (dv.slice_mut(0..lens[7]), s)];
        let qkv = [view(0), view(1), view(2)];
        cuda::backward(&device.gpu, shape, &PLAIN, qkv, view(3), zeros.slice(0..lens[4]), view(3), gradients).unwrap();
    })
}

#[test]
fn short_slices_and_overlapping_rows_are_refused() {
    let Some(device) = device() else { return };
    assert!(!refused(&device, |_, _| ()));
    for operand in 0..8 {
        assert!(refused(&device, |lens, _| lens[operand] -= 1), "operand {operand}");
    }
    assert!(refused(&device, |_, s| s.t = 4), "rows of two heads overlap");
    assert!(refused(&device, |_, s| s.h = 3), "rows overlap");
    assert!(refused(&device, |_, s| s.b = usize::MAX / 2), "beyond all memory");
}

/// The functions for bf16 round, those for one query do not, and packed and strided operands give the same bits.
#[test]
fn the_functions_for_bf16_round() {
    let Some(device) = device() else { return };
    let shape = square(1, 2, 35, 20);
    let (gpu, s, (qkv, parts)) = (&device.gpu, contiguous(shape), packed_and_parts(shape));
    let (len, rows) = (parts[0].len(), shape.b * shape.h * shape.tq);
    let (qkv, buffers) = (device.upload(&qkv), parts.each_ref().map(|x| device.upload(x)));
    let apart = || buffers.each_ref().map(|x| ViewOf { data: x.slice(0..len), strides: s });
    let mut lse = device.output::<f32>(rows);
    let [mut o, mut o2, mut o3] = [(); 3].map(|()| device.upload(&vec![POISON; len]));
    let packed = qkv.slice(0..3 * len);
    cuda::bf16::forward_packed(gpu, shape, &PLAIN, packed, o.slice_mut(0..len), lse.slice_mut(0..rows)).unwrap();
    cuda::bf16::forward(gpu, shape, &PLAIN, apart(), (o2.slice_mut(0..len), s), lse.slice_mut(0..rows)).unwrap();
    cuda::forward_packed(gpu, shape, &PLAIN, packed, o3.slice_mut(0..len), lse.slice_mut(0..rows)).unwrap();
    let (o_host, in_f32) = (o.to_host::<f32>().unwrap(), host(o3));
    assert_eq!(o_host, host(o2));
    assert_ne!(o_host, in_f32, "nothing was rounded");

    let d_o = device.upload(&values(2, len));
    let [mut d_qkv, mut d_qkv2] = [(); 2].map(|()| device.upload(&vec![POISON; 3 * len]));
    let (o, lse, d_o) = (o.slice(0..len), lse.slice(0..rows), d_o.slice(0..len));
    cuda::bf16::backward_packed(gpu, shape, &PLAIN, packed, o, lse, d_o, d_qkv.slice_mut(0..3 * len)).unwrap();
    cuda::backward_packed(gpu, shape, &PLAIN, packed, o, lse, d_o, d_qkv2.slice_mut(0..3 * len)).unwrap();
    let mut gradients = [(); 3].map(|()| device.upload(&vec![POISON; len]));
    let [dq, dk, dv] = &mut gradients;
    let outputs = [(dq.slice_mut(0..len), s), (dk.slice_mut(0..len), s), (dv.slice_mut(0..len), s)];
    let [o, d_o] = [o, d_o].map(|data| ViewOf { data, strides: s });
    cuda::bf16::backward(gpu, shape, &PLAIN, apart(), o, lse, d_o, outputs).unwrap();
    let (d_qkv, c) = (host(d_qkv), shape.h * shape.d);
    assert_ne!(d_qkv, host(d_qkv2), "nothing was rounded");
    for (p, gradient) in gradients.map(host).iter().enumerate() {
        let packed: Vec<f32> = d_qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect();
        assert_eq!(&packed, gradient, "part {p}");
    }
}

/// One query is not rounded, and a cache in bf16 is read as it is stored.
#[test]
fn one_query_is_that_of_f32() {
    let Some(device) = device() else { return };
    let shape = Shape { b: 2, h: 2, h_kv: 2, tq: 1, tk: 70, d: 20 };
    let (one, s) = (Strides { b: 40, h: 20, t: 20 }, Strides { b: 2 * 70 * 20, h: 70 * 20, t: 20 });
    let stored = [2, 3].map(|seed| values(seed, 5600).into_iter().map(round).collect::<Vec<_>>());
    let kv = stored.each_ref().map(|x| device.upload(&x.iter().map(|x| x.to_f32()).collect::<Vec<_>>()));
    let (q, stored) = (device.upload(&values(1, 80)), stored.map(|x| device.upload(&x)));
    let q = ViewOf { data: q.slice(0..80), strides: one };
    let mut outputs = [(); 3].map(|()| (device.upload(&[POISON; 80]), device.upload(&[POISON; 4])));
    for (n, (o, lse)) in outputs.iter_mut().enumerate() {
        let (o, lse) = ((o.slice_mut(0..80), one), lse.slice_mut(0..4));
        let [k, v] = kv.each_ref().map(|x| ViewOf { data: x.slice(0..5600), strides: s });
        match n {
            0 => cuda::forward(&device.gpu, shape, &PLAIN, [q, k, v], o, lse),
            1 => cuda::bf16::forward(&device.gpu, shape, &PLAIN, [q, k, v], o, lse),
            _ => {
                let kv = stored.each_ref().map(|x| ViewOf { data: x.slice(0..5600), strides: s });
                cuda::bf16_cache::forward(&device.gpu, shape, &PLAIN, q, kv, o, lse)
            }
        }
        .unwrap();
    }
    let [in_f32, rounded, cached] = outputs.map(|(o, lse)| (host(o), host(lse)));
    assert_eq!(in_f32, rounded);
    assert_eq!(in_f32, cached);
    assert!(in_f32.0.iter().all(|x| x.abs() < 2.0), "O was not written");
}

#[test]
fn packed_operands_of_wrong_lengths_are_refused() {
    let Some(device) = device() else { return };
    let shape = square(2, 2, 3, 4);
    let zeros = device.upload(&[0.0_f32; 144]);
    let packed = |[qkv, o, lse, d_o, d]: [usize; 5]| {
        let mut d_qkv = device.output::<f32>(144);
        let [qkv, o, lse, d_o] = [qkv, o, lse, d_o].map(|len| zeros.slice(0..len));
        refuses(|| {
            cuda::backward_packed(&device.gpu, shape, &PLAIN, qkv, o, lse, d_o, d_qkv.slice_mut(0..d)).unwrap();
        })
    };
    let lens = [144, 48, 12, 48, 144];
    assert!(!packed(lens));
    for operand in 0..5 {
        let mut lens = lens;
        lens[operand] -= 1;
        assert!(packed(lens), "packed operand {operand}");
    }
    let heads = Shape { h_kv: 1, ..shape };
    let [mut o, mut lse] = [48, 12].map(|len| device.output::<f32>(len));
    assert!(refuses(|| {
        let (o, lse) = (o.slice_mut(0..48), lse.slice_mut(0..12));
        cuda::forward_packed(&device.gpu, heads, &PLAIN, zeros.slice(0..144), o, lse).unwrap();
    }));
}
