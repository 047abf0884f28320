//! Attention, forward, backward and decoding.

use super::{
    super::{
        Buffer as Host,
        attention::{self as of_cpu, Data, strides},
        attention_bf16,
    },
    Array, Call, CudaCase, on_cuda,
    resident::{bf16s, f32s, f32s_mut},
};
use crate::{Result, workload::Pass};
use gradus_kernels::{
    attention::Shape,
    cuda::{
        Buffer, Gpu,
        attention::{
            BACKWARD_CUDA_RUNGS, Backward, DECODE_CUDA_RUNGS, FORWARD_CUDA_RUNGS, Forward, Inputs, Options, Output,
            Saved, View, bf16, bf16_cache,
        },
    },
};
use half::bf16 as Bf16;

fn options(d: usize) -> Options<'static> {
    Options { scale: 1.0 / (d as f32).sqrt(), causal: true, window: None, mask: None, dropout: None }
}

fn inputs<'a>(shape: Shape, q: &'a Buffer, k: &'a Buffer, v: &'a Buffer) -> Inputs<'a> {
    let view = |x: &'a Buffer, t| View { data: f32s(x), strides: strides(shape, t) };
    Inputs::new(shape, options(shape.d), view(q, shape.tq), view(k, shape.tk), view(v, shape.tk))
}

fn forward_arrays(d: &mut Data) -> [Array<'_>; 5] {
    [&mut d.q, &mut d.k, &mut d.v, &mut d.o, &mut d.lse].map(|x| Array::F32(x))
}

const FORWARD: Call<Forward, Data, 5> = |run, gpu, d, [q, k, v, o, lse]| {
    let (shape @ Shape { b, h, tq, d, .. }, mut o) = (d.shape, f32s_mut(o));
    run(gpu, &inputs(shape, q, k, v), Output::new("o", &mut o, [b, h, tq], strides(shape, tq), d), f32s_mut(lse))
};

fn backward_arrays(d: &mut Data) -> [Array<'_>; 9] {
    let Data { q, k, v, o, lse, d_o, dq, dk, dv, .. } = d;
    [q, k, v, o, lse, d_o, dq, dk, dv].map(|x| Array::F32(x))
}

const BACKWARD: Call<Backward, Data, 9> = |run, gpu, d, [q, k, v, o, lse, d_o, dq, dk, dv]| {
    let shape @ Shape { b, h, tq, d, .. } = d.shape;
    let s = strides(shape, tq);
    let saved = Saved::new(shape, View { data: f32s(o), strides: s }, f32s(lse), View { data: f32s(d_o), strides: s });
    let [mut dq, mut dk, mut dv] = [dq, dk, dv].map(f32s_mut);
    let gradients = [("dq", &mut dq), ("dk", &mut dk), ("dv", &mut dv)];
    let gradients = gradients.map(|(name, x)| Output::new(name, x, [b, h, tq], s, d));
    run(gpu, &inputs(shape, q, k, v), &saved, gradients)
};

pub(super) fn attention(gpu: &Gpu, pass: Pass, sizes: [usize; 4]) -> Result<Box<dyn CudaCase>> {
    match pass {
        Pass::Forward => {
            on_cuda(gpu, of_cpu::forward_ladder(sizes), &FORWARD_CUDA_RUNGS, None, forward_arrays, FORWARD)
        }
        Pass::Backward => on_cuda(gpu, of_cpu::backward(sizes), &BACKWARD_CUDA_RUNGS, None, backward_arrays, BACKWARD),
    }
}

/// With operands rounded to bf16.
pub(super) fn of_bf16(gpu: &Gpu, pass: Pass, sizes: [usize; 4]) -> Result<Box<dyn CudaCase>> {
    match pass {
        Pass::Forward => {
            on_cuda(gpu, attention_bf16::forward(sizes), &bf16::FORWARD_CUDA_RUNGS, None, forward_arrays, FORWARD)
        }
        Pass::Backward => {
            on_cuda(gpu, attention_bf16::backward(sizes), &bf16::BACKWARD_CUDA_RUNGS, None, backward_arrays, BACKWARD)
        }
    }
}

/// One query at the end of its keys.
pub(super) fn decode(gpu: &Gpu, sizes: [usize; 4]) -> Result<Box<dyn CudaCase>> {
    on_cuda(gpu, of_cpu::decode_ladder(sizes), &DECODE_CUDA_RUNGS, None, forward_arrays, FORWARD)
}

/// The same with keys and values that are stored in bf16.
pub(super) fn decode_from_bf16(gpu: &Gpu, sizes: [usize; 4]) -> Result<Box<dyn CudaCase>> {
    let call: Call<bf16_cache::Forward, (Data, [Host<Bf16>; 2]), 5> = |run, gpu, (d, _), [q, k, v, o, lse]| {
        let (shape @ Shape { b, h, tq, tk, d, .. }, mut o) = (d.shape, f32s_mut(o));
        let [k, v] = [k, v].map(|x| View { data: bf16s(x), strides: strides(shape, tk) });
        let q = View { data: f32s(q), strides: strides(shape, tq) };
        let o = Output::new("o", &mut o, [b, h, tq], strides(shape, tq), d);
        run(gpu, &Inputs::new(shape, options(d), q, k, v), o, f32s_mut(lse))
    };
    on_cuda(
        gpu,
        attention_bf16::decode(sizes),
        &bf16_cache::DECODE_CUDA_RUNGS,
        None,
        |(d, [k, v])| {
            let Data { q, o, lse, .. } = d;
            [Array::F32(q), Array::Bf16(k), Array::Bf16(v), Array::F32(o), Array::F32(lse)]
        },
        call,
    )
}
