//! What has one result for each element, sums of rows, and the optimisers.

use super::{
    super::{elementwise as of_cpu, optimizer as steps},
    Array, Call, CudaCase, on_cuda,
    resident::{f32s, f32s_mut},
};
use crate::{Result, workload::Pass};
use gradus_kernels::{
    cuda::{Buffer, Gpu, dropout as dropout_on, elementwise as on, optimizer as optimizer_on, reduce as reduce_on},
    elementwise::{Binary, Unary},
    reduce::Reduce,
};

type Data = of_cpu::Data;

fn one_input(d: &mut Data) -> [Array<'_>; 2] {
    [Array::F32(&mut d.x), Array::F32(&mut d.y)]
}

fn two_inputs(d: &mut Data) -> [Array<'_>; 3] {
    [Array::F32(&mut d.x), Array::F32(&mut d.dy), Array::F32(&mut d.y)]
}

pub(super) fn unary(gpu: &Gpu, pass: Pass, op: Unary, n: usize) -> Result<Box<dyn CudaCase>> {
    let forward: Call<on::UnaryFn, (Unary, Data), 2> = |run, gpu, (op, _), [x, y]| run(gpu, *op, f32s(x), f32s_mut(y));
    let backward: Call<on::UnaryBackwardFn, (Unary, Data), 3> =
        |run, gpu, (op, _), [x, dy, dx]| run(gpu, *op, f32s(x), f32s(dy), f32s_mut(dx));
    match pass {
        Pass::Forward => {
            on_cuda(gpu, of_cpu::unary_ladder(op, n), &on::UNARY_CUDA_RUNGS, None, |(_, d)| one_input(d), forward)
        }
        Pass::Backward => on_cuda(
            gpu,
            of_cpu::unary_backward(op, n),
            &on::UNARY_BACKWARD_CUDA_RUNGS,
            None,
            |(_, d)| two_inputs(d),
            backward,
        ),
    }
}

pub(super) fn dropout(gpu: &Gpu, n: usize) -> Result<Box<dyn CudaCase>> {
    let call: Call<dropout_on::Apply, Data, 2> =
        |run, gpu, _, [x, y]| run(gpu, of_cpu::DROPOUT, 0, f32s(x), f32s_mut(y));
    on_cuda(gpu, of_cpu::dropout(n), &dropout_on::CUDA_RUNGS, None, one_input, call)
}

pub(super) fn add(gpu: &Gpu, n: usize) -> Result<Box<dyn CudaCase>> {
    let call: Call<on::BinaryFn, Data, 3> =
        |run, gpu, d, [a, b, y]| run(gpu, Binary::Add, &d.shape, f32s(a), &[1], f32s(b), &[1], f32s_mut(y));
    on_cuda(gpu, of_cpu::add(n), &on::BINARY_CUDA_RUNGS, None, two_inputs, call)
}

pub(super) fn heads(gpu: &Gpu, sizes: [usize; 4]) -> Result<Box<dyn CudaCase>> {
    let call: Call<on::Copy, Data, 2> = |run, gpu, d, [x, y]| {
        let [from, to] = of_cpu::strides(&d.shape);
        run(gpu, &d.shape, f32s(x), &from, f32s_mut(y), &to)
    };
    on_cuda(gpu, of_cpu::heads(sizes), &on::COPY_CUDA_RUNGS, None, one_input, call)
}

pub(super) fn row_sum(gpu: &Gpu, rows: usize, c: usize) -> Result<Box<dyn CudaCase>> {
    let call: Call<reduce_on::ReduceFn, Data, 2> = |run, gpu, d, [x, y]| {
        run(gpu, Reduce::Sum, &d.shape[..1], &d.shape[1..], &d.shape[1..], &[1], f32s(x), f32s_mut(y))
    };
    on_cuda(gpu, of_cpu::row_sum(rows, c), &reduce_on::REDUCE_CUDA_RUNGS, Some(reduce_on::reduce), one_input, call)
}

pub(super) fn adamw(gpu: &Gpu, n: usize) -> Result<Box<dyn CudaCase>> {
    let call: Call<optimizer_on::AdamWFn, steps::Data<3>, 4> =
        |run, gpu, _, [p, m, v, g]| run(gpu, steps::ADAMW, f32s_mut(p), f32s(g), f32s_mut(m), f32s_mut(v));
    fn arrays(d: &mut steps::Data<3>) -> [Array<'_>; 4] {
        let [p, m, v] = &mut d.state;
        [p, m, v, &mut d.g].map(|x| Array::F32(x))
    }
    on_cuda(gpu, steps::adamw(n), &optimizer_on::ADAMW_CUDA_RUNGS, None, arrays, call)
}

pub(super) fn sgd(gpu: &Gpu, n: usize) -> Result<Box<dyn CudaCase>> {
    let call: Call<optimizer_on::SgdFn, steps::Data<2>, 3> =
        |run, gpu, _, [p, velocity, g]| run(gpu, steps::SGD, f32s_mut(p), f32s(g), f32s_mut(velocity));
    fn arrays(d: &mut steps::Data<2>) -> [Array<'_>; 3] {
        let [p, velocity] = &mut d.state;
        [p, velocity, &mut d.g].map(|x| Array::F32(x))
    }
    on_cuda(gpu, steps::sgd(n), &optimizer_on::SGD_CUDA_RUNGS, None, arrays, call)
}

pub(super) fn sum_of_squares(gpu: &Gpu, n: usize) -> Result<Box<dyn CudaCase>> {
    on_cuda(
        gpu,
        steps::sum_of_squares(n),
        &optimizer_on::NORM_CUDA_RUNGS,
        None,
        |(g, sum)| [Array::F32(g), Array::F64(std::slice::from_mut(sum))],
        |run: optimizer_on::NormFn, gpu, _, [g, sum]: &mut [Buffer; 2]| run(gpu, f32s(g), sum.slice_mut(0..1)),
    )
}
