//! NVIDIA's cuBLAS on the same operands, under the feature `peers`: of `f32`, or of bf16 with sums in `f32`. Operands are rounded and lie on the
//! card before it is timed.

use super::{
    super::{Buffer as Host, Ladder, matmul as of_cpu},
    CudaCase, line,
    resident::{bf16s, f32s, f32s_mut},
};
use crate::{Result, cases::Entry, workload::Precision};
use gradus_kernels::{
    cuda::{Buffer, Gpu, cublas::Cublas},
    simd::bf16::round,
};
use half::bf16;

/// A ladder, and cuBLAS after it.
struct WithCublas<F: 'static> {
    ours: Box<dyn CudaCase>,
    /// The oracle.
    host: Ladder<F, of_cpu::Data>,
    /// The library, or why it is not there.
    library: Result<Cublas>,
    operands: [Buffer; 2],
    c: Buffer,
}

/// Adds cuBLAS to a ladder. Where the library is missing, its entry says so.
pub(super) fn with_cublas<F: Copy + 'static>(
    gpu: &Gpu,
    ours: Box<dyn CudaCase>,
    host: Ladder<F, of_cpu::Data>,
) -> Result<Box<dyn CudaCase>> {
    let of_bf16 = host.precision == Precision::Bf16;
    let upload = |x: &Host| match of_bf16 {
        true => Buffer::from_host(gpu, &x.iter().copied().map(round).collect::<Vec<bf16>>()),
        false => Buffer::from_host(gpu, x),
    };
    let operands = [upload(&host.data.a).map_err(line)?, upload(&host.data.b).map_err(line)?];
    let c = Buffer::from_host(gpu, &host.data.c).map_err(line)?;
    let library = Cublas::open(gpu).map_err(line);
    Ok(Box::new(WithCublas { ours, host, library, operands, c }))
}

impl<F> WithCublas<F> {
    fn is_peer(&self, rung: usize) -> bool {
        rung == self.ours.rungs().len()
    }
}

impl<F: Copy> CudaCase for WithCublas<F> {
    fn rungs(&self) -> Vec<Entry> {
        let precision = self.host.precision;
        let idea = if precision == Precision::Bf16 { "gemmEx, bf16 in and f32 out" } else { "sgemm" };
        let mut rungs = self.ours.rungs();
        rungs.push(Entry { name: "cuBLAS", idea, simd: false, peer: true, precision });
        rungs
    }

    fn missing(&self, rung: usize) -> Option<String> {
        if self.is_peer(rung) { self.library.as_ref().err().cloned() } else { self.ours.missing(rung) }
    }

    fn run(&mut self, rung: usize) -> Result<()> {
        if !self.is_peer(rung) {
            return self.ours.run(rung);
        }
        let library = self.library.as_mut().map_err(|problem| problem.clone())?;
        let (of_cpu::Data { shape, a_strides, b_strides, .. }, [a, b]) = (&self.host.data, &self.operands);
        let (shape, a_strides, b_strides, c) = (*shape, *a_strides, *b_strides, f32s_mut(&mut self.c));
        match self.host.precision {
            Precision::Bf16 => library.gemm_bf16(shape, (bf16s(a), a_strides), (bf16s(b), b_strides), c),
            Precision::F32 => library.sgemm(shape, (f32s(a), a_strides), (f32s(b), b_strides), c),
        }
        .map_err(line)
    }

    fn check(&mut self, rung: usize) -> Result<()> {
        if !self.is_peer(rung) {
            return self.ours.check(rung);
        }
        (self.host.reset)(&mut self.host.data);
        f32s_mut(&mut self.c).copy_from_host(&self.host.data.c).map_err(line)?;
        self.run(rung)?;
        f32s(&self.c).copy_to_host(&mut self.host.data.c).map_err(line)?;
        self.host.compare(&(self.host.outputs)(&self.host.data), None, "cuBLAS", self.ours.gpu())
    }

    fn gpu(&self) -> &Gpu {
        self.ours.gpu()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{case, tests::gpu};
    use crate::workload::{Layout, Problem};

    /// On the emulator there is no cuBLAS that could run; where one is installed, it refuses the device.
    #[test]
    fn a_missing_library_is_one_line_and_the_ladder_goes_on() {
        let Some(gpu) = gpu().filter(|gpu| gpu.properties().is_emulated()) else { return };
        for problem in [
            Problem::Matmul { layout: Layout::NT, m: 33, k: 40, n: 70 },
            Problem::MatmulBf16 { layout: Layout::TN, m: 33, k: 40, n: 70 },
        ] {
            let mut case = case(&gpu, &problem).unwrap();
            let peer = case.rungs().len() - 1;
            assert!(case.rungs()[peer].peer);
            let reason = case.missing(peer).expect("the emulator has no cuBLAS");
            assert!(reason.contains("cuBLAS") && reason.lines().count() == 1, "{reason}");
            assert_eq!(case.run(peer), Err(reason));
            assert_eq!(case.check(peer - 1), Ok(()));
        }
    }
}
