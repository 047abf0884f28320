//! Matrix products.

use super::{
    super::{Buffer as Host, matmul as of_cpu, matmul_bf16},
    Array, CudaCase, on_cuda,
    resident::{bf16s, f32s, f32s_mut},
};
use crate::{Result, workload::Layout};
use gradus_kernels::cuda::{
    Gpu,
    matmul::{
        CUDA_RUNGS, Products, Run,
        bf16::{BF16_CUDA_RUNGS, STORED_CUDA_RUNGS},
    },
};
use half::bf16;

fn arrays(d: &mut of_cpu::Data) -> [Array<'_>; 3] {
    [Array::F32(&mut d.a), Array::F32(&mut d.b), Array::F32(&mut d.c)]
}

/// Starts a rung for operands in `f32`.
const CALL: super::Call<Run, of_cpu::Data, 3> = |run, gpu, d, [a, b, c]| {
    let (shape, a_strides, b_strides) = (d.shape, d.a_strides, d.b_strides);
    run(gpu, Products { shape, a: f32s(a), a_strides, b: f32s(b), b_strides, c: f32s_mut(c), add: false })
};

pub(super) fn products(gpu: &Gpu, layout: Layout, [m, k, n]: [usize; 3]) -> Result<Box<dyn CudaCase>> {
    let case = on_cuda(gpu, of_cpu::product_ladder(layout, m, k, n), &CUDA_RUNGS, None, arrays, CALL)?;
    #[cfg(feature = "peers")]
    let case = super::peers::with_cublas(gpu, case, of_cpu::product_ladder(layout, m, k, n))?;
    Ok(case)
}

/// Operands that are rounded to bf16 on the way.
pub(super) fn products_of_bf16(gpu: &Gpu, layout: Layout, [m, k, n]: [usize; 3]) -> Result<Box<dyn CudaCase>> {
    let case = on_cuda(gpu, matmul_bf16::case(layout, m, k, n), &BF16_CUDA_RUNGS, None, arrays, CALL)?;
    #[cfg(feature = "peers")]
    let case = super::peers::with_cublas(gpu, case, matmul_bf16::case(layout, m, k, n))?;
    Ok(case)
}

/// A row times a weight that is stored in bf16.
pub(super) fn stored(gpu: &Gpu, k: usize, n: usize) -> Result<Box<dyn CudaCase>> {
    let call: super::Call<Run<bf16>, (of_cpu::Data, Host<bf16>), 3> = |run, gpu, (d, _), [a, b, c]| {
        let (shape, a_strides, b_strides) = (d.shape, d.a_strides, d.b_strides);
        run(gpu, Products { shape, a: f32s(a), a_strides, b: bf16s(b), b_strides, c: f32s_mut(c), add: false })
    };
    on_cuda(
        gpu,
        matmul_bf16::decode(k, n),
        &STORED_CUDA_RUNGS,
        None,
        |(d, weight)| [Array::F32(&mut d.a), Array::Bf16(weight), Array::F32(&mut d.c)],
        call,
    )
}
