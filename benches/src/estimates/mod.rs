//! `gradus-benches estimates`: what the CUDA kernels are expected to take on two cards, computed from bytes, FLOPs, occupancy and the shares
//! of the peak that others have published, before anything has run on one. It prints `docs/cuda-estimates.md`.
//!
//! The model is short. The least time of a workload is the larger of FLOPs over the published peak and bytes over the published
//! bandwidth. A range of shares of it is assumed, by kind of kernel (`rows::Kind`). What a kernel occupies bounds its memory traffic
//! (Little's law: bytes on their way = bandwidth × latency), and the blocks of a product fill whole waves of the card or do not.

mod launches;
mod rows;

use crate::{Result, workload::Precision};
use rows::Row;
use std::fmt::Write;

/// What a data sheet says of a card.
#[derive(Clone, Copy, Debug)]
struct Sheet {
    name: &'static str,
    multiprocessors: usize,
    f32_flops: f64,
    bf16_flops: f64,
    bytes: f64,
}

/// NVIDIA H100 Tensor Core GPU data sheet (SXM) and NVIDIA H200 Tensor Core GPU data sheet; dense, without sparsity.
const CARDS: [Sheet; 2] = [
    Sheet { name: "H100 SXM", multiprocessors: 132, f32_flops: 67e12, bf16_flops: 989e12, bytes: 3.35e12 },
    Sheet { name: "H200", multiprocessors: 132, f32_flops: 67e12, bf16_flops: 989e12, bytes: 4.8e12 },
];
/// The compute capability of both, as 90 for 9.0.
const CAPABILITY: i32 = 90;
/// Seconds from a load of memory to its data, under load: an assumption.
const LATENCY: f64 = 0.7e-6;
/// Bytes that a warp has on their way: each lane one access of 16 bytes.
const BYTES_OF_WARP: f64 = 32.0 * 16.0;
/// Seconds that the host takes to start a kernel: an assumption.
const LAUNCH: [f64; 2] = [2e-6, 4e-6];

impl Sheet {
    fn peak(&self, precision: Precision) -> f64 {
        if precision == Precision::Bf16 { self.bf16_flops } else { self.f32_flops }
    }

    /// The share of the bandwidth that kernels of so many warps on a multiprocessor can ask for.
    fn asked_for(&self, warps: usize) -> f64 {
        let on_their_way = (warps * self.multiprocessors) as f64 * BYTES_OF_WARP;
        (on_their_way / (self.bytes * LATENCY)).min(1.0)
    }

    /// The share of the card that blocks keep busy, where it runs `at_once` of them on each multiprocessor: the last wave is not full.
    fn filled(&self, blocks: usize, at_once: usize) -> f64 {
        let wave = (self.multiprocessors * at_once).max(1);
        blocks as f64 / (blocks.div_ceil(wave) * wave) as f64
    }
}

const HEAD: &str = "\
# What the CUDA kernels are expected to take

**Estimates, not yet run on hardware.** Nothing on this page was measured. `cargo run --release -p gradus-benches -- estimates > docs/cuda-estimates.md` computes
it anew; a test holds that the page is what the program prints. On a card, `cargo run --release -p gradus-benches -- report --device cuda` measures the
workloads of the same names.

## What it is computed from

- Published peaks (NVIDIA's data sheets): H100 SXM 67 TFLOP/s in `f32`, 989 TFLOP/s in bf16 on tensor cores (dense), 3.35 TB/s; H200 the same with 4.8 TB/s.
- FLOPs and bytes of each workload as in [benchmarks](benchmarks.md): each input and output once.
- *Least time*: the larger of FLOPs over the peak and bytes over the bandwidth.
- *Warps*: what a multiprocessor holds of the kernel on 9.0, of 64 ([table](cuda-kernels.md)). With one access of 16 bytes a lane on its way, a kernel asks for warps × 512 bytes
  at a time, which at a latency of 0.7 µs (an assumption) may be less than the bandwidth. The longer time of a range counts so; kernels that keep rows in registers
  have several accesses on their way, and the shorter time takes that to suffice.
- *Filled*: the share of the card that the blocks of a product keep busy, since the last wave of them is not full. Sums that are cut into parts have more blocks.
- *Share*: the part of the limit that such kernels reach, from the steps of others:
";

const SHARES: &str = "
The shares are wide because sizes, cards and libraries differ from those that others measured. They say what is to be expected of such kernels, and nothing
about these ones.
";

/// The page.
///
/// # Errors
/// One line where the emulator cannot be built, a program fails on it, or a kernel is missing in the table.
pub fn page() -> Result<String> {
    let mut text = HEAD.to_string();
    for kind in rows::Kind::ALL {
        let [low, high] = kind.shares().map(|share| share * 100.0);
        let _ = writeln!(text, "  - {}: {low:.0} to {high:.0}%. {}", kind.name(), kind.reason());
    }
    text += SHARES;
    text += &kernels()?;
    text += &launches::section()?;
    Ok(text)
}

fn kernels() -> Result<String> {
    let mut text =
        String::from("\n## Kernels\n\nTimes of the kernels alone, without what it takes the host to start them.\n");
    for card in CARDS {
        let _ = write!(
            text,
            "\n### {}\n\n| workload | sizes | kernel | warps | least time | filled | share | estimate (not measured) | measured |\n\
             | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
            card.name
        );
        for row in rows::ROWS {
            text += &row_of(&card, row)?;
        }
    }
    Ok(text)
}

fn row_of(card: &Sheet, row: &Row) -> Result<String> {
    let (problem, warps) = (row.problem()?, row.warps()?);
    let (work, precision) = (problem.work(), problem.precision());
    let (of_flops, of_bytes) = (work.flops as f64 / card.peak(precision), work.bytes() as f64 / card.bytes);
    let filled = row.blocks(&problem, card.multiprocessors).map(|(blocks, at_once)| card.filled(blocks, at_once));
    let (shares, memory) = (row.kind.shares(), rows::Kind::Memory.shares());
    let at = |share: f64, of_bandwidth: f64| (of_flops / share / filled.unwrap_or(1.0)).max(of_bytes / of_bandwidth);
    // The best share gives the shortest time. Only the longest takes a lane to have no more than one access on its way.
    let (shortest, longest) = (at(shares[1], memory[1]), at(shares[0], memory[0] * card.asked_for(warps)));
    Ok(format!(
        "| {} | {} | `{}` | {warps} | {} | {} | {:.0}–{:.0}% | {} | |\n",
        row.id,
        problem.sizes(),
        row.kernel,
        micro(of_flops.max(of_bytes)),
        filled.map_or("–".into(), |filled| format!("{:.0}%", 100.0 * filled)),
        100.0 * shares[0],
        100.0 * shares[1],
        range(shortest, longest),
    ))
}

/// A time in microseconds or milliseconds, to two digits.
fn micro(seconds: f64) -> String {
    let (value, unit) = if seconds < 1e-3 { (seconds * 1e6, "µs") } else { (seconds * 1e3, "ms") };
    let digits = if value < 10.0 { 1 } else { 0 };
    format!("{value:.digits$} {unit}")
}

fn range(from: f64, to: f64) -> String {
    format!("{} to {}", micro(from), micro(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fill_whole_waves_or_not() {
        let card = Sheet { multiprocessors: 10, ..CARDS[0] };
        assert_eq!(card.filled(20, 2), 1.0);
        assert_eq!(card.filled(5, 2), 0.25);
        assert_eq!(card.filled(30, 2), 0.75, "the second wave is half full");
    }

    #[test]
    fn few_warps_do_not_ask_for_all_of_the_bandwidth() {
        let card = Sheet { multiprocessors: 100, bytes: 64.0 * 100.0 * 512.0 / LATENCY, ..CARDS[0] };
        assert_eq!([64, 32, 8].map(|warps| card.asked_for(warps)), [1.0, 0.5, 0.125]);
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!([1.23e-6, 45.6e-6, 7.89e-3, 0.012].map(micro), ["1.2 µs", "46 µs", "7.9 ms", "12 ms"]);
    }
}
