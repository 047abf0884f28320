//! The functions that callers see: packed operands, and arguments that are refused.

use super::case::{DROPOUT, POISON, host, square};
use crate::device::{Device, device};
use gradus_kernels::attention::{Shape, Strides, ViewOf, cuda};
use gradus_kernels::oracle::values;
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
    let zeros = device.upload(&vec![0.0_f32; 48]);
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
