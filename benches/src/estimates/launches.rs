//! How many kernels a step of training and a token start, counted by the emulator, which does not run them here; and what that costs.

use super::{CAPABILITY, CARDS, LAUNCH, micro, range};
use crate::{
    Result,
    cases::cuda::{self, line},
    workload::{self, Precision, Problem},
};
use gradus_emulator::Emulator;
use gradus_kernels::cuda::Gpu;
use std::fmt::Write;

/// The programs that are counted.
const PROGRAMS: [&str; 6] = [
    "training_step/gpt_small/f32",
    "training_step/gpt_small/bf16",
    "training_step/gpt_large_dropout/f32",
    "training_step/gpt_large_dropout/bf16",
    "generate/gpt_small/f32",
    "generate/gpt_large/bf16",
];
/// The share of its limit that a whole step has on the card, least and most: an assumption, below that of its products.
const SHARE_F32: [f64; 2] = [0.40, 0.70];
const SHARE_BF16: [f64; 2] = [0.15, 0.30];
const SHARE_OF_TOKEN: [f64; 2] = [0.40, 0.80];

/// The calls of the driver in one step.
struct Calls {
    launches: u64,
    allocations: u64,
    copies: u64,
    waits: u64,
}

const NAMES: [&[&str]; 4] = [
    &["cuLaunchKernel"],
    &["cuMemAllocAsync"],
    &["cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync_v2", "cuMemsetD8Async"],
    &["cuStreamSynchronize"],
];

/// Counts the calls of a step, after two others: the first ones load kernels.
fn count(emulator: &Emulator, gpu: &Gpu, problem: &Problem) -> Result<Calls> {
    let mut case = cuda::case(gpu, problem)?;
    case.run(0)?;
    case.run(0)?;
    let calls = || NAMES.map(|names| names.iter().map(|name| emulator.calls(name)).sum::<u64>());
    let before = calls();
    case.run(0)?;
    let after = calls();
    let [launches, allocations, copies, waits] = [0, 1, 2, 3].map(|i| after[i] - before[i]);
    Ok(Calls { launches, allocations, copies, waits })
}

/// The emulator as a card of these, which counts.
fn emulated() -> Result<(&'static Emulator, Gpu)> {
    let emulator = gradus_emulator::load().ok_or("launches are counted by the emulator, which needs a C++ compiler")?;
    emulator.only_count(CAPABILITY, CARDS[0].multiprocessors as i32);
    Ok((emulator, Gpu::open(0).map_err(line)?))
}

/// The section of the page.
///
/// # Errors
/// One line where the emulator cannot be built, or a program fails on it.
pub(super) fn section() -> Result<String> {
    let (emulator, gpu) = emulated()?;
    let mut text = format!(
        "\n## Launches\n\nCounted on the emulator, which is a card of {} multiprocessors here: calls of the driver in one step, after two others. A launch is taken to cost the host \
         {:.0} to {:.0} µs (an assumption). The host runs ahead of the card, so a step takes the longer of both times. The time on the card is the least time of the step \
         over a share of {:.0} to {:.0}% in `f32`, {:.0} to {:.0}% in bf16, and {:.0} to {:.0}% for a token (assumptions). Dropout is 0 in `gpt_small` and 0.2 in `gpt_large_dropout`.\n\n\
         | program | launches | allocations | copies | waits | launching | on the card: H100 SXM | estimate (not measured) | measured | launching over the card's time |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        CARDS[0].multiprocessors,
        LAUNCH[0] * 1e6,
        LAUNCH[1] * 1e6,
        100.0 * SHARE_F32[0],
        100.0 * SHARE_F32[1],
        100.0 * SHARE_BF16[0],
        100.0 * SHARE_BF16[1],
        100.0 * SHARE_OF_TOKEN[0],
        100.0 * SHARE_OF_TOKEN[1],
    );
    let mut bound = Vec::new();
    for id in PROGRAMS {
        let found = workload::all().into_iter().find(|workload| workload.id() == id);
        let problem = found.ok_or_else(|| format!("{id}: there is no such workload"))?.problem;
        let calls = count(emulator, &gpu, &problem).map_err(|problem| format!("{id}: {problem}"))?;
        let [least, most] = on_the_card(&problem);
        let [quick, slow] = LAUNCH.map(|cost| cost * calls.launches as f64);
        let ratio = [quick / most, slow / least];
        let Calls { launches, allocations, copies, waits } = calls;
        let _ = writeln!(
            text,
            "| {id} | {launches} | {allocations} | {copies} | {waits} | {} | {} | {} | | {:.1} to {:.1} |",
            range(quick, slow),
            range(least, most),
            range(quick.max(least), slow.max(most)),
            ratio[0],
            ratio[1],
        );
        bound.push((id, ratio, slow, least));
    }
    text += &graphs(&bound);
    Ok(text)
}

/// The least and the most time of a step on the first of the cards.
fn on_the_card(problem: &Problem) -> [f64; 2] {
    let (work, card) = (problem.work(), &CARDS[0]);
    let shares = match (problem, problem.precision()) {
        (Problem::Generate { .. }, _) => SHARE_OF_TOKEN,
        (_, Precision::Bf16) => SHARE_BF16,
        _ => SHARE_F32,
    };
    // A token is bound by reading the weights; the weights in bf16 are multiplied in f32.
    let peak = if problem.tokens() == Some(1) { card.f32_flops } else { card.peak(problem.precision()) };
    let least = (work.flops as f64 / peak).max(work.bytes() as f64 / card.bytes);
    [least / shares[1], least / shares[0]]
}

/// Where a CUDA graph, which starts all kernels of a step with one call, would help, by these numbers.
fn graphs(bound: &[(&str, [f64; 2], f64, f64)]) -> String {
    let mut text = String::from(
        "\n## Where a CUDA graph would help\n\nA graph starts the kernels of a step with one call. It can take away at most the time of launching that goes beyond the card's own. The card takes a microsecond\nor two for each kernel, however few FLOPs it has, which is not counted here; so with kernels as small as those of `gpt_small` and of a token the gain is less than this bound.\n\n",
    );
    for (id, [least, most], launching, card) in bound {
        let verdict = match (least, most) {
            (low, _) if *low > 1.0 => format!(
                "the host bounds it in all of these assumptions; a graph could make it up to {:.0} times as fast",
                (launching / card).max(1.0)
            ),
            (_, high) if *high > 1.0 => "it depends on the assumptions: measure before a graph is made".to_string(),
            _ => format!("the card bounds it; launching ({}) hides behind the card", micro(*launching)),
        };
        let _ = writeln!(text, "- `{id}`: {verdict}.");
    }
    text
}
