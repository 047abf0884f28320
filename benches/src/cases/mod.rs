//! How a workload is run: its inputs, made once, and the rungs of its ladder over them.
//!
//! The rungs come from the registries of `gradus-kernels`; no list of kernels is written here. A new rung is checked, timed
//! and put into the tables without a line in this crate.
//!
//! The results are compared with the naive rung in `f64` before any time is taken. On large problems the comparison is
//! of a part, chosen so that it can be computed alone: some rows and columns of a product, the first and the last
//! rows of a softmax, the first and last queries of two heads.

mod attention;
mod attention_bf16;
mod buffer;
mod cross_entropy;
#[cfg(feature = "cuda")]
pub mod cuda;
mod elementwise;
mod embedding;
mod generate;
mod matmul;
mod matmul_bf16;
mod norms;
mod optimizer;
#[cfg(feature = "peers")]
mod peers;
mod rope;
mod softmax;
mod training_step;

use crate::{
    Result,
    timing::seconds,
    workload::{Gpt, Pass, Precision, Problem},
};
use buffer::{Buffer, aligned, zeros};
use gradus_autograd::Device;
use gradus_kernels::{Bf16Isa, Float, Isa, Rung, elementwise::Unary, oracle};
use std::fmt::Display;

/// A rung's name, idea and properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The idea that it adds.
    pub idea: &'static str,
    /// Whether it runs at every instruction set.
    pub simd: bool,
    /// Whether it is somebody else's.
    pub peer: bool,
    /// What its products are computed from.
    pub precision: Precision,
}

impl Entry {
    /// The name of the instruction set that it runs at when it is given `isa`.
    pub fn level(&self, isa: Isa) -> String {
        if self.precision == Precision::Bf16 { bf16_isa(isa).to_string() } else { isa.to_string() }
    }
}

/// The level of products of bf16 at an instruction set: with the instruction for them, where there is one and
/// `GRADUS_ISA` does not forbid it.
fn bf16_isa(isa: Isa) -> Bf16Isa {
    let active = Bf16Isa::active();
    let newest = || Bf16Isa::available().filter(|level| level.isa() == isa).last();
    if active.isa() == isa { active } else { newest().unwrap_or(Bf16Isa::Portable) }
}

/// A workload with its memory, ready to be run.
pub trait Case: Send {
    /// The rungs, from the bottom up, and peers after them.
    fn rungs(&self) -> Vec<Entry>;

    /// Runs a rung once, on the same inputs every time (an optimiser goes on with its own state).
    fn run(&mut self, rung: usize, isa: Isa);

    /// Runs a rung from the first state, and compares what it computed with the oracle. Gives the seconds of the run: of
    /// a rung that takes long, one run is enough.
    ///
    /// # Errors
    /// A line with the worst element.
    fn check(&mut self, rung: usize, isa: Isa) -> Result<f64>;
}

/// Makes the inputs of a problem, and the results that are expected.
pub fn case(problem: &Problem) -> Box<dyn Case> {
    match *problem {
        Problem::Matmul { layout, m, k, n } => matmul::case(layout, m, k, n),
        Problem::MatmulBf16 { layout, m, k, n } => Box::new(matmul_bf16::case(layout, m, k, n)),
        Problem::DecodeBf16 { k, n } => Box::new(matmul_bf16::decode(k, n)),
        Problem::AttentionBf16 { pass: Pass::Forward, b, h, t, d } => Box::new(attention_bf16::forward([b, h, t, d])),
        Problem::AttentionBf16 { pass: Pass::Backward, b, h, t, d } => Box::new(attention_bf16::backward([b, h, t, d])),
        Problem::Attention { pass: Pass::Forward, b, h, t, d } => attention::forward([b, h, t, d]),
        Problem::Attention { pass: Pass::Backward, b, h, t, d } => Box::new(attention::backward([b, h, t, d])),
        Problem::AttentionDecode { b, h, t, d } => attention::decode([b, h, t, d]),
        Problem::AttentionDecodeBf16 { b, h, t, d } => Box::new(attention_bf16::decode([b, h, t, d])),
        Problem::Softmax { pass: Pass::Forward, rows, c } => softmax::forward(rows, c),
        Problem::Softmax { pass: Pass::Backward, rows, c } => Box::new(softmax::backward(rows, c)),
        Problem::LogSoftmax { pass: Pass::Forward, rows, c } => Box::new(softmax::log_forward(rows, c)),
        Problem::LogSoftmax { pass: Pass::Backward, rows, c } => Box::new(softmax::log_backward(rows, c)),
        Problem::LayerNorm { pass: Pass::Forward, rows, c } => norms::forward(true, rows, c),
        Problem::LayerNorm { pass: Pass::Backward, rows, c } => Box::new(norms::backward(true, rows, c)),
        Problem::RmsNorm { pass: Pass::Forward, rows, c } => norms::forward(false, rows, c),
        Problem::RmsNorm { pass: Pass::Backward, rows, c } => Box::new(norms::backward(false, rows, c)),
        Problem::AddLayerNorm { .. } => unreachable!("in older reports only"),
        Problem::Rope { pass, b, t, h, d, interleaved } => {
            Box::new(rope::case(pass == Pass::Backward, [b, t, h, d], interleaved))
        }
        Problem::Gelu { pass: Pass::Forward, rows, c, erf } => elementwise::unary_forward(gelu(erf), rows * c),
        Problem::Gelu { pass: Pass::Backward, rows, c, erf } => {
            Box::new(elementwise::unary_backward(gelu(erf), rows * c))
        }
        Problem::Silu { pass: Pass::Forward, rows, c } => elementwise::unary_forward(Unary::Silu, rows * c),
        Problem::Silu { pass: Pass::Backward, rows, c } => Box::new(elementwise::unary_backward(Unary::Silu, rows * c)),
        Problem::BiasGelu { .. } => unreachable!("it stands in older reports only"),
        Problem::CrossEntropy { pass: Pass::Forward, rows, v } => Box::new(cross_entropy::forward(rows, v)),
        Problem::CrossEntropy { pass: Pass::Backward, rows, v } => Box::new(cross_entropy::backward(rows, v)),
        Problem::Dropout { n } => Box::new(elementwise::dropout(n)),
        Problem::Add { n } => Box::new(elementwise::add(n)),
        Problem::Heads { b, t, h, d } => Box::new(elementwise::heads([b, t, h, d])),
        Problem::RowSum { rows, c } => Box::new(elementwise::row_sum(rows, c)),
        Problem::Embedding { pass: Pass::Forward, ids, v, c } => Box::new(embedding::forward(ids, v, c)),
        Problem::Embedding { pass: Pass::Backward, ids, v, c } => Box::new(embedding::backward(ids, v, c)),
        Problem::Adamw { n } => Box::new(optimizer::adamw(n)),
        Problem::Sgd { n } => Box::new(optimizer::sgd(n)),
        Problem::SumOfSquares { n } => Box::new(optimizer::sum_of_squares(n)),
        Problem::TrainingStep { .. } | Problem::Generate { .. } => program(&Device::Cpu, problem),
    }
}

/// A whole program on a device.
fn program(device: &Device, problem: &Problem) -> Box<dyn Case> {
    match *problem {
        Problem::TrainingStep { gpt, batch, dropout, precision } => {
            Box::new(training_step::case(device, gpt, batch, dropout, precision))
        }
        Problem::Generate { gpt, tokens, precision, cache } => {
            assert_eq!(cache, precision, "keys and values are stored as the weights are");
            Box::new(generate::case(device, gpt, tokens, precision))
        }
        _ => unreachable!("kernels are no programs"),
    }
}

fn gelu(erf: bool) -> Unary {
    if erf { Unary::GeluErf } else { Unary::GeluTanh }
}

/// The rungs of a problem, before its memory is made.
pub fn rungs(problem: &Problem) -> Vec<Entry> {
    case(&small(problem)).rungs()
}

/// A model of the same kind.
const SMALL: Gpt = Gpt { layers: 2, heads: 3, width: 33, context: 20, vocab: 65, bias: true };

/// A problem of the same kind that is done in no time, with sizes that no vector divides.
fn small(problem: &Problem) -> Problem {
    match *problem {
        Problem::Matmul { layout, .. } => Problem::Matmul { layout, m: 33, k: 40, n: 70 },
        Problem::MatmulBf16 { layout, .. } => Problem::MatmulBf16 { layout, m: 33, k: 40, n: 70 },
        Problem::DecodeBf16 { .. } => Problem::DecodeBf16 { k: 40, n: 70 },
        Problem::AttentionBf16 { pass, .. } => Problem::AttentionBf16 { pass, b: 2, h: 2, t: 70, d: 16 },
        Problem::Attention { pass, .. } => Problem::Attention { pass, b: 2, h: 2, t: 70, d: 16 },
        Problem::AttentionDecode { .. } => Problem::AttentionDecode { b: 2, h: 2, t: 70, d: 16 },
        Problem::AttentionDecodeBf16 { .. } => Problem::AttentionDecodeBf16 { b: 2, h: 2, t: 70, d: 20 },
        Problem::Softmax { pass, .. } => Problem::Softmax { pass, rows: 5, c: 33 },
        Problem::LogSoftmax { pass, .. } => Problem::LogSoftmax { pass, rows: 5, c: 33 },
        Problem::LayerNorm { pass, .. } => Problem::LayerNorm { pass, rows: 5, c: 33 },
        Problem::AddLayerNorm { .. } => *problem,
        Problem::RmsNorm { pass, .. } => Problem::RmsNorm { pass, rows: 5, c: 33 },
        Problem::Rope { pass, interleaved, .. } => Problem::Rope { pass, b: 2, t: 5, h: 3, d: 22, interleaved },
        Problem::Gelu { pass, erf, .. } => Problem::Gelu { pass, rows: 5, c: 33, erf },
        Problem::Silu { pass, .. } => Problem::Silu { pass, rows: 5, c: 33 },
        Problem::BiasGelu { .. } => *problem,
        Problem::CrossEntropy { pass, .. } => Problem::CrossEntropy { pass, rows: 5, v: 33 },
        Problem::Dropout { .. } => Problem::Dropout { n: 333 },
        Problem::Add { .. } => Problem::Add { n: 333 },
        Problem::Heads { .. } => Problem::Heads { b: 2, t: 5, h: 3, d: 7 },
        Problem::RowSum { .. } => Problem::RowSum { rows: 5, c: 33 },
        Problem::Embedding { pass, .. } => Problem::Embedding { pass, ids: 20, v: 7, c: 33 },
        Problem::Adamw { .. } => Problem::Adamw { n: 333 },
        Problem::Sgd { .. } => Problem::Sgd { n: 333 },
        Problem::SumOfSquares { .. } => Problem::SumOfSquares { n: 333 },
        Problem::TrainingStep { dropout, precision, .. } => {
            Problem::TrainingStep { gpt: SMALL, batch: 3, dropout, precision }
        }
        Problem::Generate { precision, cache, .. } => Problem::Generate { gpt: SMALL, tokens: 5, precision, cache },
    }
}

/// Several outputs, each compared by itself: their sizes differ.
type Parts<E> = Vec<Vec<E>>;

/// A ladder over its data `D`: what all rungs have in common.
struct Ladder<F: 'static, D> {
    rungs: &'static [Rung<F>],
    data: D,
    call: fn(F, Isa, &mut D),
    reset: fn(&mut D),
    outputs: fn(&D) -> Parts<f32>,
    plain: Parts<f32>,
    exact: Parts<f64>,
    precision: Precision,
    /// Where there are some, how far each element of the rungs above the naive one may be off, instead of twice what
    /// that is.
    bounds: Option<Parts<f64>>,
}

/// A case over a ladder: `call` runs a rung, `reset` spoils its outputs, or sets back what it updates, and `outputs`
/// are compared with the naive results in `f32` and `f64`.
fn ladder<F: Copy + 'static, D: 'static>(
    rungs: &'static [Rung<F>],
    data: D,
    call: fn(F, Isa, &mut D),
    reset: fn(&mut D),
    outputs: fn(&D) -> Parts<f32>,
    (plain, exact): (Parts<f32>, Parts<f64>),
) -> Ladder<F, D> {
    Ladder { rungs, data, call, reset, outputs, plain, exact, precision: Precision::F32, bounds: None }
}

impl<F: Copy + Send + Sync, D: Send> Case for Ladder<F, D> {
    fn rungs(&self) -> Vec<Entry> {
        let precision = self.precision;
        let entry =
            |rung: &Rung<F>| Entry { name: rung.name, idea: rung.idea, simd: rung.simd, peer: false, precision };
        self.rungs.iter().map(entry).collect()
    }

    fn run(&mut self, rung: usize, isa: Isa) {
        (self.call)(self.rungs[rung].run, isa, &mut self.data);
    }

    fn check(&mut self, rung: usize, isa: Isa) -> Result<f64> {
        (self.reset)(&mut self.data);
        let once = seconds(|| self.run(rung, isa));
        let bounds = self.bounds.as_ref().filter(|_| rung > 0);
        self.compare(&(self.outputs)(&self.data), bounds, self.rungs[rung].name, isa)?;
        Ok(once)
    }
}

impl<F, D> Ladder<F, D> {
    fn compare(&self, got: &Parts<f32>, bounds: Option<&Parts<f64>>, name: &str, at: impl Display) -> Result<()> {
        for (part, got) in got.iter().enumerate() {
            let found = match bounds {
                Some(bounds) => within(got, &self.exact[part], &bounds[part]),
                None => oracle::check(got, &self.plain[part], &self.exact[part]),
            };
            found.map_err(|problem| format!("{name} at {at} is wrong: output {part}: {problem}"))?;
        }
        Ok(())
    }
}

/// Whether every element is within its bound, and a few roundings of the largest.
fn within(got: &[f32], exact: &[f64], bounds: &[f64]) -> Result<()> {
    let largest = exact.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    for (i, ((&got, &exact), &bound)) in got.iter().zip(exact).zip(bounds).enumerate() {
        let (error, bound) = ((f64::from(got) - exact).abs(), bound + 64.0 * f64::from(f32::EPSILON) * largest);
        if error.is_nan() || error > bound {
            return Err(format!("element {i} is {got:e}, exactly {exact:e}; the error may be {bound:e}"));
        }
    }
    Ok(())
}

/// The same values as `E`.
fn cast<E: Float>(x: &[f32]) -> Buffer<E> {
    aligned(x.iter().map(|&x| E::of(f64::from(x))))
}

/// The first and the last rows of a matrix whose rows have `c` elements; all of a small one.
fn ends(x: &[f32], c: usize) -> Vec<f32> {
    const MOST: usize = 1 << 18;
    let part = (MOST / c).max(1) * c;
    if x.len() <= 2 * part {
        return x.to_vec();
    }
    [&x[..part], &x[x.len() - part..]].concat()
}

/// `len` values between −1 and 1.
fn values(seed: u64, len: usize) -> Buffer {
    aligned(oracle::values(seed, len))
}

/// `len` values between −`scale` and `scale`.
fn scaled(seed: u64, len: usize, scale: f32) -> Buffer {
    aligned(oracle::values(seed, len).into_iter().map(|x| x * scale))
}

/// `len` numbers below `below`.
fn indices(seed: u64, len: usize, below: usize) -> Vec<u32> {
    let fraction = |x: f32| f64::from(x) * 0.5 + 0.5;
    oracle::values(seed, len)
        .into_iter()
        .map(|x| ((fraction(x) * below as f64) as usize).min(below - 1) as u32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{self, Layout};

    #[test]
    fn every_rung_of_every_workload_passes_its_own_check() {
        let mut seen = Vec::new();
        for workload in workload::all() {
            let problem = small(&workload.problem);
            if seen.contains(&problem) {
                continue;
            }
            let mut case = case(&problem);
            for (rung, entry) in case.rungs().into_iter().enumerate() {
                for isa in Isa::available() {
                    case.check(rung, isa).unwrap_or_else(|problem| panic!("{}: {problem}", workload.id()));
                    case.run(rung, isa);
                    if !entry.simd {
                        break;
                    }
                }
            }
            seen.push(problem);
        }
    }

    #[test]
    fn the_rungs_are_those_of_the_registries() {
        let names = |problem| case(&problem).rungs().iter().filter(|e| !e.peer).map(|e| e.name).collect::<Vec<_>>();
        let registry = gradus_kernels::matmul::RUNGS.iter().map(|rung| rung.name).collect::<Vec<_>>();
        assert_eq!(names(Problem::Matmul { layout: Layout::NT, m: 2, k: 2, n: 2 }), registry);
        let registry = gradus_kernels::softmax::BACKWARD_RUNGS.iter().map(|rung| rung.name).collect::<Vec<_>>();
        assert_eq!(names(Problem::Softmax { pass: Pass::Backward, rows: 2, c: 2 }), registry);
    }

    #[test]
    fn a_wrong_rung_is_found() {
        fn halves(_: Isa, _: usize, _: usize, x: &[f32], y: &mut [f32]) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x / 2.0);
        }
        static WRONG: [Rung<gradus_kernels::softmax::Forward>; 1] =
            [Rung { name: "halves", idea: "none", run: halves, simd: false }];
        let expected = (vec![vec![0.5_f32; 4]], vec![vec![0.5; 4]]);
        let mut case = ladder(
            &WRONG,
            (vec![1.0_f32, 1.0, 1.0, 1.1], vec![0.0_f32; 4]),
            |run, isa, (x, y)| run(isa, 1, 4, x, y),
            |(_, y)| y.fill(f32::NAN),
            |(_, y)| vec![y.clone()],
            expected,
        );
        assert!(
            case.check(0, Isa::Portable).unwrap_err().starts_with("halves at portable is wrong: output 0: element 3")
        );
    }

    #[test]
    fn ends_are_the_first_and_the_last_rows() {
        let x: Vec<f32> = (0..3 << 18).map(|i| i as f32).collect();
        let got = ends(&x, 256);
        assert_eq!((got.len(), got[0], got[(1 << 19) - 1]), (1 << 19, 0.0, x[x.len() - 1]));
        assert_eq!(ends(&x[..10], 2), &x[..10]);
    }
}
