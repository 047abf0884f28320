//! The functions that callers see: packed operands, and arguments that are refused.

use super::{super::*, case::*};
use crate::oracle::values;

#[test]
fn packed_and_strided_give_the_same_bits() {
    let shape = square(2, 3, 70, 20);
    let Shape { b, h, tq: t, d, .. } = shape;
    let c = h * d;
    let options = Options { scale: 0.3, causal: true, window: None, mask: None, dropout: Some(DROPOUT) };
    let qkv = values(1, b * t * 3 * c);
    let part = |p: usize| qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect::<Vec<f32>>();
    let [q, k, v] = [0, 1, 2].map(part);
    let d_o = values(2, b * t * c);
    let s = contiguous(shape);

    let (mut o, mut lse) = (vec![POISON; b * t * c], vec![POISON; b * h * t]);
    forward_packed(shape, &options, &qkv, &mut o, &mut lse);
    let (mut o2, mut lse2) = (o.clone(), lse.clone());
    let qkv_apart = [&q, &k, &v].map(|x| view(x, s));
    forward(shape, &options, qkv_apart, (&mut o2, s), &mut lse2);
    assert_eq!((&o, &lse), (&o2, &lse2));

    let mut d_qkv = vec![POISON; b * t * 3 * c];
    backward_packed(shape, &options, &qkv, &o, &lse, &d_o, &mut d_qkv);
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![POISON; b * t * c]);
    let gradients = [&mut dq, &mut dk, &mut dv].map(|x| (&mut x[..], s));
    backward(shape, &options, qkv_apart, view(&o, s), &lse, view(&d_o, s), gradients);
    for (p, gradient) in [dq, dk, dv].iter().enumerate() {
        let packed: Vec<f32> = d_qkv.chunks(c).skip(p).step_by(3).flatten().copied().collect();
        assert_eq!(&packed, gradient, "part {p}");
    }
}

#[test]
fn outputs_beyond_the_caches_have_the_bits_of_small_ones() {
    // 4.3 million elements of O: its rows, and those of the gradients, are written past the caches. D = 60 is no whole
    // line of them.
    for (d, batches) in [(64, 480), (60, 500)] {
        let shape = square(batches, 2, 70, d);
        let one = Shape { b: 1, ..shape };
        let len = one.tq * one.h * d;
        assert!(crate::rows::is_far(batches * len) && !crate::rows::is_far(len));
        let options = Options { scale: 0.3, causal: true, window: None, mask: None, dropout: None };
        let (qkv, d_o) = (values(1, batches * 3 * len), values(2, batches * len));
        let (mut o, mut lse) = (vec![POISON; batches * len], vec![POISON; batches * one.h * one.tq]);
        forward_packed(shape, &options, &qkv, &mut o, &mut lse);
        let mut d_qkv = vec![POISON; qkv.len()];
        backward_packed(shape, &options, &qkv, &o, &lse, &d_o, &mut d_qkv);
        for b in (0..batches).step_by(37) {
            let qkv = &qkv[b * 3 * len..][..3 * len];
            let (mut o_b, mut lse_b) = (vec![POISON; len], vec![POISON; one.h * one.tq]);
            forward_packed(one, &options, qkv, &mut o_b, &mut lse_b);
            assert!(o[b * len..][..len] == o_b, "O of {b}, D = {d}");
            let mut d_qkv_b = vec![POISON; qkv.len()];
            backward_packed(one, &options, qkv, &o_b, &lse_b, &d_o[b * len..][..len], &mut d_qkv_b);
            assert!(d_qkv[b * 3 * len..][..3 * len] == d_qkv_b, "gradients of {b}, D = {d}");
        }
    }
}

#[test]
fn short_slices_and_overlapping_rows_are_refused() {
    let shape = square(2, 2, 3, 4);
    let s = contiguous(shape);
    let options = Options { scale: 1.0, causal: true, window: None, mask: None, dropout: None };
    let full = vec![0.0; 48];
    type Change<'a> = dyn Fn(&mut [usize; 5], &mut Strides) + 'a;
    let refused = |change: &Change<'_>| {
        let (mut lens, mut o_strides) = ([48, 48, 48, 48, 12], s);
        change(&mut lens, &mut o_strides);
        let [q, k, v, o, lse] = lens;
        let (mut out, mut out_lse) = (full.clone(), full.clone());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (o, lse) = (&mut out[..o], &mut out_lse[..lse]);
            forward(shape, &options, [q, k, v].map(|len| view(&full[..len], s)), (o, o_strides), lse);
        }))
        .is_err()
    };
    assert!(!refused(&|_, _| ()));
    for operand in 0..5 {
        assert!(refused(&|lens, _| lens[operand] -= 1), "operand {operand}");
    }
    assert!(refused(&|_, o| o.t = 4), "rows of two heads overlap");
    assert!(refused(&|_, o| o.h = 3), "rows overlap");
    assert!(refused(&|_, o| o.b = usize::MAX / 2), "beyond all memory");

    let packed = |lens: [usize; 5]| {
        let data = vec![0.0; 200];
        let mut d_qkv = vec![0.0; 200];
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let [qkv, o, lse, d_o, d] = lens;
            backward_packed(shape, &options, &data[..qkv], &data[..o], &data[..lse], &data[..d_o], &mut d_qkv[..d]);
        }))
        .is_err()
    };
    let lens = [144, 48, 12, 48, 144];
    assert!(!packed(lens));
    for operand in 0..5 {
        let mut lens = lens;
        lens[operand] -= 1;
        assert!(packed(lens), "packed operand {operand}");
    }
}

/// One head cannot be cut off by another: a mask that is too short, and heads that do not share out.
#[test]
#[should_panic(expected = "mask is too short")]
fn a_short_mask_is_refused() {
    let mut case = Case::new(square(1, 2, 5, 3)).masked(false);
    case.keep.as_mut().unwrap().0.pop();
    case.inputs();
}

#[test]
#[should_panic(expected = "3 heads share 2 key heads")]
fn heads_that_do_not_share_out_are_refused() {
    Case::new(Shape { b: 1, h: 3, h_kv: 2, tq: 2, tk: 2, d: 2 }).inputs();
}
