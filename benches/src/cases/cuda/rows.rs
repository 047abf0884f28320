//! What goes along rows: softmax, norms, rotary positions, cross-entropy, embedding.

use super::{
    super::{
        cross_entropy as loss_of_cpu, embedding as embedding_of_cpu, norms, rope as rope_of_cpu, softmax as of_cpu,
    },
    Array, Call, CudaCase, on_cuda,
    resident::{f32s, f32s_mut, u32s},
};
use crate::{Result, workload::Pass};
use gradus_kernels::{
    cross_entropy::Options,
    cuda::{Gpu, cross_entropy as loss, embedding as table, norm as norm_on, rope as rope_on, softmax as softmax_on},
    norm as of_norm, rope as of_rope,
};

const SOFTMAX: Call<softmax_on::Forward, of_cpu::Data, 2> =
    |run, gpu, d, [x, y]| run(gpu, d.rows, d.c, f32s(x), f32s_mut(y));

const SOFTMAX_BACKWARD: Call<softmax_on::Backward, of_cpu::Data, 3> =
    |run, gpu, d, [y, dy, dx]| run(gpu, d.rows, d.c, f32s(y), f32s(dy), f32s_mut(dx));

fn forward_arrays(d: &mut of_cpu::Data) -> [Array<'_>; 2] {
    [Array::F32(&mut d.x), Array::F32(&mut d.out)]
}

fn backward_arrays(d: &mut of_cpu::Data) -> [Array<'_>; 3] {
    [Array::F32(&mut d.x), Array::F32(&mut d.dy), Array::F32(&mut d.out)]
}

pub(super) fn softmax(gpu: &Gpu, pass: Pass, rows: usize, c: usize) -> Result<Box<dyn CudaCase>> {
    use softmax_on::{BACKWARD_CUDA_RUNGS, FORWARD_CUDA_RUNGS};
    match pass {
        Pass::Forward => on_cuda(
            gpu,
            of_cpu::forward_ladder(rows, c),
            &FORWARD_CUDA_RUNGS,
            Some(softmax_on::forward),
            forward_arrays,
            SOFTMAX,
        ),
        Pass::Backward => on_cuda(
            gpu,
            of_cpu::backward(rows, c),
            &BACKWARD_CUDA_RUNGS,
            Some(softmax_on::backward),
            backward_arrays,
            SOFTMAX_BACKWARD,
        ),
    }
}

pub(super) fn log_softmax(gpu: &Gpu, pass: Pass, rows: usize, c: usize) -> Result<Box<dyn CudaCase>> {
    use softmax_on::{LOG_BACKWARD_CUDA_RUNGS, LOG_FORWARD_CUDA_RUNGS};
    match pass {
        Pass::Forward => on_cuda(
            gpu,
            of_cpu::log_forward(rows, c),
            &LOG_FORWARD_CUDA_RUNGS,
            Some(softmax_on::log_forward),
            forward_arrays,
            SOFTMAX,
        ),
        Pass::Backward => on_cuda(
            gpu,
            of_cpu::log_backward(rows, c),
            &LOG_BACKWARD_CUDA_RUNGS,
            Some(softmax_on::log_backward),
            backward_arrays,
            SOFTMAX_BACKWARD,
        ),
    }
}

/// Layer norm if it is `centered`, or RMS norm.
pub(super) fn norm(gpu: &Gpu, centered: bool, rows: usize, c: usize) -> Result<Box<dyn CudaCase>> {
    let call: Call<norm_on::Forward, norms::Data<f32>, 6> = |run, gpu, d, [x, gamma, beta, y, mean, rstd]| {
        let (beta, mean) = (d.centered.then(|| f32s(beta)), d.centered.then(|| f32s_mut(mean)));
        let (rows, c, gamma) = (d.rows, d.c, Some(f32s(gamma)));
        let input = of_norm::InputOf { rows, c, eps: norms::EPS, x: f32s(x), gamma, beta };
        run(gpu, input, of_norm::OutputOf { y: f32s_mut(y), mean, rstd: f32s_mut(rstd) })
    };
    fn arrays(d: &mut norms::Data<f32>) -> [Array<'_>; 6] {
        let norms::Data { x, gamma, beta, out, mean, rstd, .. } = d;
        [x, gamma, beta, out, mean, rstd].map(|x| Array::F32(x))
    }
    on_cuda(
        gpu,
        norms::forward_ladder(centered, rows, c),
        &norm_on::FORWARD_CUDA_RUNGS,
        Some(norm_on::forward),
        arrays,
        call,
    )
}

/// The gradients of both.
pub(super) fn norm_backward(gpu: &Gpu, centered: bool, rows: usize, c: usize) -> Result<Box<dyn CudaCase>> {
    let call: Call<norm_on::Backward, norms::Data<f32>, 8> =
        |run, gpu, d, [x, gamma, mean, rstd, dy, dx, dgamma, dbeta]| {
            let (mean, dbeta) = (d.centered.then(|| f32s(mean)), d.centered.then(|| f32s_mut(dbeta)));
            let (rows, c, gamma, x) = (d.rows, d.c, Some(f32s(gamma)), f32s(x));
            let input = of_norm::BackwardInputOf { rows, c, x, gamma, mean, rstd: f32s(rstd), dy: f32s(dy) };
            let dgamma = Some(f32s_mut(dgamma));
            run(gpu, input, of_norm::GradientsOf { dx: f32s_mut(dx), add: false, dgamma, dbeta })
        };
    fn arrays(d: &mut norms::Data<f32>) -> [Array<'_>; 8] {
        let norms::Data { x, gamma, mean, rstd, dy, out, dgamma, dbeta, .. } = d;
        [x, gamma, mean, rstd, dy, out, dgamma, dbeta].map(|x| Array::F32(x))
    }
    on_cuda(
        gpu,
        norms::backward(centered, rows, c),
        &norm_on::BACKWARD_CUDA_RUNGS,
        Some(norm_on::backward),
        arrays,
        call,
    )
}

pub(super) fn rope(gpu: &Gpu, inverse: bool, sizes: [usize; 4], interleaved: bool) -> Result<Box<dyn CudaCase>> {
    let call: Call<rope_on::Rotate, rope_of_cpu::Data<f32>, 4> = |run, gpu, d, [x, cos, sin, y]| {
        let (shape, pairing, inverse) = (d.shape, d.pairing, d.inverse);
        let input = of_rope::InputOf { shape, pairing, inverse, x: f32s(x), cos: f32s(cos), sin: f32s(sin) };
        run(gpu, input, f32s_mut(y))
    };
    fn arrays(d: &mut rope_of_cpu::Data<f32>) -> [Array<'_>; 4] {
        let rope_of_cpu::Data { x, cos, sin, y, .. } = d;
        [x, cos, sin, y].map(|x| Array::F32(x))
    }
    on_cuda(gpu, rope_of_cpu::case(inverse, sizes, interleaved), &rope_on::CUDA_RUNGS, None, arrays, call)
}

pub(super) fn cross_entropy(gpu: &Gpu, pass: Pass, rows: usize, v: usize) -> Result<Box<dyn CudaCase>> {
    type Data = loss_of_cpu::Data<f32>;
    let forward: Call<loss::MeanLoss, Data, 5> = |run, gpu, d, [logits, targets, losses, lse, mean]| {
        let (rows, v, options) = (d.rows, d.v, Options::default());
        let input = loss::Input { rows, v, options, logits: f32s(logits), targets: u32s(targets) };
        run(gpu, input, loss::Output { losses: f32s_mut(losses), lse: f32s_mut(lse) }, f32s_mut(mean))
    };
    let backward: Call<loss::Backward, Data, 5> = |run, gpu, d, [logits, targets, lse, d_loss, dlogits]| {
        let (rows, v, options) = (d.rows, d.v, Options::default());
        let (logits, targets, lse, d_loss) = (f32s(logits), u32s(targets), f32s(lse), f32s(d_loss));
        run(gpu, loss::BackwardInput { rows, v, options, logits, targets, lse, d_loss }, f32s_mut(dlogits))
    };
    match pass {
        Pass::Forward => on_cuda(
            gpu,
            loss_of_cpu::forward(rows, v),
            &loss::MEAN_LOSS_CUDA_RUNGS,
            Some(loss::mean_loss),
            |Data { logits, targets, losses, lse, loss, .. }| {
                let loss = Array::F32(std::slice::from_mut(loss));
                [Array::F32(logits), Array::U32(targets), Array::F32(losses), Array::F32(lse), loss]
            },
            forward,
        ),
        Pass::Backward => on_cuda(
            gpu,
            loss_of_cpu::backward(rows, v),
            &loss::BACKWARD_CUDA_RUNGS,
            Some(loss::backward),
            |Data { logits, targets, lse, d_loss, dlogits, .. }| {
                [Array::F32(logits), Array::U32(targets), Array::F32(lse), Array::F32(d_loss), Array::F32(dlogits)]
            },
            backward,
        ),
    }
}

pub(super) fn embedding(gpu: &Gpu, pass: Pass, [ids, v, c]: [usize; 3]) -> Result<Box<dyn CudaCase>> {
    type Data = embedding_of_cpu::Data<f32>;
    fn arrays(d: &mut Data) -> [Array<'_>; 3] {
        [Array::F32(&mut d.input), Array::U32(&mut d.ids), Array::F32(&mut d.output)]
    }
    let forward: Call<table::Forward, Data, 3> =
        |run, gpu, d, [table, ids, y]| run(gpu, d.v, d.c, f32s(table), u32s(ids), f32s_mut(y));
    let backward: Call<table::Backward, Data, 3> =
        |run, gpu, d, [dy, ids, dtable]| run(gpu, d.v, d.c, u32s(ids), f32s(dy), f32s_mut(dtable));
    match pass {
        Pass::Forward => on_cuda(
            gpu,
            embedding_of_cpu::forward(ids, v, c),
            &table::FORWARD_CUDA_RUNGS,
            Some(table::forward),
            arrays,
            forward,
        ),
        Pass::Backward => on_cuda(
            gpu,
            embedding_of_cpu::backward(ids, v, c),
            &table::BACKWARD_CUDA_RUNGS,
            Some(table::backward),
            arrays,
            backward,
        ),
    }
}
