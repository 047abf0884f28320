//! Whole programs on a device: the trainer and the generator, which are those of the CPU.

use super::{
    super::{Case, Entry, program},
    CudaCase, line,
};
use crate::{Result, workload::Problem};
use gradus_autograd::Device;
use gradus_kernels::{Isa, cuda::Gpu};

struct Program {
    gpu: Gpu,
    case: Box<dyn Case>,
}

pub(super) fn case(gpu: &Gpu, problem: &Problem) -> Box<dyn CudaCase> {
    Box::new(Program { gpu: gpu.clone(), case: program(&Device::Cuda(gpu.clone()), problem) })
}

impl CudaCase for Program {
    fn rungs(&self) -> Vec<Entry> {
        self.case.rungs().into_iter().map(|entry| Entry { simd: false, ..entry }).collect()
    }

    fn missing(&self, _: usize) -> Option<String> {
        None
    }

    fn run(&mut self, rung: usize) -> Result<()> {
        self.case.run(rung, Isa::active());
        Ok(())
    }

    fn check(&mut self, rung: usize) -> Result<()> {
        self.case.check(rung, Isa::active())?;
        self.gpu.synchronize().map_err(line)
    }

    fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}
