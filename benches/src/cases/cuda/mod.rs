//! The same workloads on a CUDA device: inputs and oracle are those of the case for the CPU, the rungs come from the lists of the CUDA
//! kernels, and the data lies in the memory of the device.

mod attention;
mod elements;
mod matmul;
#[cfg(feature = "peers")]
mod peers;
mod programs;
mod resident;
mod rows;

use super::{Entry, Ladder, small};
use crate::{
    Result,
    workload::{Pass, Problem},
};
use gradus_kernels::{
    cuda::{Buffer, Capability, CudaRung, Gpu},
    elementwise::Unary,
};
use resident::Array;

/// A workload with its memory on a device, ready to be run.
pub trait CudaCase {
    /// The rungs, from the bottom up.
    fn rungs(&self) -> Vec<Entry>;

    /// Why the device cannot run a rung, where it cannot.
    fn missing(&self, rung: usize) -> Option<String>;

    /// Starts a rung once, on the same inputs every time (an optimiser goes on with its own state).
    ///
    /// # Errors
    /// A line where the device refuses.
    fn run(&mut self, rung: usize) -> Result<()>;

    /// Runs a rung from the first state, and compares what it computed with the oracle.
    ///
    /// # Errors
    /// A line with the worst element, or where the device fails.
    fn check(&mut self, rung: usize) -> Result<()>;

    /// The device.
    fn gpu(&self) -> &Gpu;

    /// The seconds of one run of a rung, on the device's own clock, over `times` of them one after the other.
    ///
    /// # Errors
    /// As [`CudaCase::run`].
    fn time(&mut self, rung: usize, times: u64) -> Result<f64> {
        let first = self.gpu().event().map_err(line)?;
        for _ in 0..times {
            self.run(rung)?;
        }
        let last = self.gpu().event().map_err(line)?;
        Ok(last.seconds_since(&first).map_err(line)? / times.max(1) as f64)
    }
}

/// What a device says, in a line.
pub(crate) fn line(error: gradus_kernels::cuda::Error) -> String {
    error.to_string()
}

/// Opens a device to measure it.
///
/// # Errors
/// One line where it is not there, or is the emulator: what that takes says nothing about a card.
pub fn open(ordinal: usize) -> Result<Gpu> {
    let gpu = Gpu::open(ordinal).map_err(line)?;
    if gpu.properties().is_emulated() {
        return Err(format!("{gpu} is the emulator, whose times say nothing about a card: nothing is measured"));
    }
    Ok(gpu)
}

/// Whether there are kernels on CUDA for a problem.
pub fn has(problem: &Problem) -> bool {
    !matches!(problem, Problem::AddLayerNorm { .. } | Problem::BiasGelu { .. })
}

/// Makes the inputs of a problem on a device, and the results that are expected.
///
/// # Errors
/// One line where the device has too little memory.
///
/// # Panics
/// Where there are no kernels for it ([`has`]).
pub fn case(gpu: &Gpu, problem: &Problem) -> Result<Box<dyn CudaCase>> {
    let forward = |pass| pass == Pass::Forward;
    let gelu = |erf| if erf { Unary::GeluErf } else { Unary::GeluTanh };
    match *problem {
        Problem::Matmul { layout, m, k, n } => matmul::products(gpu, layout, [m, k, n]),
        Problem::MatmulBf16 { layout, m, k, n } => matmul::products_of_bf16(gpu, layout, [m, k, n]),
        Problem::DecodeBf16 { k, n } => matmul::stored(gpu, k, n),
        Problem::Attention { pass, b, h, t, d } => attention::attention(gpu, pass, [b, h, t, d]),
        Problem::AttentionBf16 { pass, b, h, t, d } => attention::of_bf16(gpu, pass, [b, h, t, d]),
        Problem::AttentionDecode { b, h, t, d } => attention::decode(gpu, [b, h, t, d]),
        Problem::AttentionDecodeBf16 { b, h, t, d } => attention::decode_from_bf16(gpu, [b, h, t, d]),
        Problem::Softmax { pass, rows, c } => rows::softmax(gpu, pass, rows, c),
        Problem::LogSoftmax { pass, rows, c } => rows::log_softmax(gpu, pass, rows, c),
        Problem::LayerNorm { pass, rows, c } if forward(pass) => rows::norm(gpu, true, rows, c),
        Problem::LayerNorm { rows, c, .. } => rows::norm_backward(gpu, true, rows, c),
        Problem::RmsNorm { pass, rows, c } if forward(pass) => rows::norm(gpu, false, rows, c),
        Problem::RmsNorm { rows, c, .. } => rows::norm_backward(gpu, false, rows, c),
        Problem::Rope { pass, b, t, h, d, interleaved } => rows::rope(gpu, !forward(pass), [b, t, h, d], interleaved),
        Problem::CrossEntropy { pass, rows, v } => rows::cross_entropy(gpu, pass, rows, v),
        Problem::Embedding { pass, ids, v, c } => rows::embedding(gpu, pass, [ids, v, c]),
        Problem::RowSum { rows, c } => elements::row_sum(gpu, rows, c),
        Problem::Gelu { pass, rows, c, erf } => elements::unary(gpu, pass, gelu(erf), rows * c),
        Problem::Silu { pass, rows, c } => elements::unary(gpu, pass, Unary::Silu, rows * c),
        Problem::Dropout { n } => elements::dropout(gpu, n),
        Problem::Add { n } => elements::add(gpu, n),
        Problem::Heads { b, t, h, d } => elements::heads(gpu, [b, t, h, d]),
        Problem::Adamw { n } => elements::adamw(gpu, n),
        Problem::Sgd { n } => elements::sgd(gpu, n),
        Problem::SumOfSquares { n } => elements::sum_of_squares(gpu, n),
        Problem::TrainingStep { .. } | Problem::Generate { .. } => Ok(programs::case(gpu, problem)),
        Problem::AddLayerNorm { .. } | Problem::BiasGelu { .. } => unreachable!("they stand in older reports only"),
    }
}

/// The rungs of a problem, before its memory is made, each with the reason why the device cannot run it, where it cannot.
///
/// # Errors
/// As [`case`].
pub fn rungs(gpu: &Gpu, problem: &Problem) -> Result<Vec<(Entry, Option<String>)>> {
    let case = case(gpu, &small(problem))?;
    Ok(case.rungs().into_iter().enumerate().map(|(rung, entry)| (entry, case.missing(rung))).collect())
}

/// The ladder of the CPU, whose data and oracle are used, and the ladder `rungs` of the device.
struct OnCuda<F: 'static, D, R: 'static, const N: usize> {
    gpu: Gpu,
    host: Ladder<F, D>,
    rungs: Vec<CudaRung<R>>,
    /// The arrays of the data that lie on the device, in a fixed order.
    arrays: fn(&mut D) -> [Array<'_>; N],
    buffers: [Buffer; N],
    call: Call<R, D, N>,
}

/// Starts a rung on the arrays; the rest of the data says the sizes.
type Call<R, D, const N: usize> = fn(R, &Gpu, &D, &mut [Buffer; N]) -> gradus_kernels::cuda::Result<()>;

/// The name of what the library runs, where that depends on the sizes and is not always the top rung.
const BEST: &str = "best";
const BEST_IDEA: &str = "the rung that the library chooses for these sizes";

/// A ladder on a device. `best` is the function of the contract, where it chooses among the rungs by the sizes.
fn on_cuda<F: 'static, D: 'static, R: Copy, const N: usize>(
    gpu: &Gpu,
    mut host: Ladder<F, D>,
    rungs: &'static [CudaRung<R>],
    best: Option<R>,
    arrays: fn(&mut D) -> [Array<'_>; N],
    call: Call<R, D, N>,
) -> Result<Box<dyn CudaCase>> {
    let best = best.map(|run| CudaRung { name: BEST, idea: BEST_IDEA, run, needs: Capability::SM_75 });
    let rungs = rungs.iter().copied().chain(best).collect();
    let buffers = arrays(&mut host.data).map(|array| array.uploaded(gpu));
    let buffers: Vec<Buffer> = buffers.into_iter().collect::<Result<_>>()?;
    let buffers = buffers.try_into().unwrap_or_else(|_| unreachable!("a buffer for each array"));
    Ok(Box::new(OnCuda { gpu: gpu.clone(), host, rungs, arrays, buffers, call }))
}

impl<F, D, R: Copy, const N: usize> CudaCase for OnCuda<F, D, R, N> {
    fn rungs(&self) -> Vec<Entry> {
        let precision = self.host.precision;
        let entry =
            |rung: &CudaRung<R>| Entry { name: rung.name, idea: rung.idea, simd: false, peer: false, precision };
        self.rungs.iter().map(entry).collect()
    }

    fn missing(&self, rung: usize) -> Option<String> {
        let (needs, has) = (self.rungs[rung].needs, self.gpu.properties().capability);
        (has < needs).then(|| format!("it needs compute capability {needs}"))
    }

    fn run(&mut self, rung: usize) -> Result<()> {
        (self.call)(self.rungs[rung].run, &self.gpu, &self.host.data, &mut self.buffers).map_err(line)
    }

    fn check(&mut self, rung: usize) -> Result<()> {
        (self.host.reset)(&mut self.host.data);
        for (array, buffer) in (self.arrays)(&mut self.host.data).into_iter().zip(&mut self.buffers) {
            array.upload(buffer)?;
        }
        self.run(rung)?;
        for (array, buffer) in (self.arrays)(&mut self.host.data).into_iter().zip(&self.buffers) {
            array.download(buffer)?;
        }
        let bounds = self.host.bounds.as_ref().filter(|_| rung > 0);
        let got = (self.host.outputs)(&self.host.data);
        self.host.compare(&got, bounds, self.rungs[rung].name, &self.gpu)
    }

    fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}

#[cfg(test)]
pub(crate) mod tests;
