//! The workloads that are estimated, and the shares that are assumed.

use crate::{
    Result,
    workload::{self, Problem},
};

/// What the kernels take on cards, as NVIDIA's assembler says.
const TABLE: &str = include_str!("../../../docs/cuda-kernels.md");
/// The column of the warps on 9.0 in it.
const WARPS_ON_90: usize = 9;
/// The column of the threads of a block.
const THREADS: usize = 1;

/// What bounds a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Memory: one pass over it.
    Memory,
    /// Multiply-adds in `f32`, a matrix product.
    Product,
    /// Multiply-adds in `f32`, attention.
    Attention,
    /// Tensor cores by mma.sync, a matrix product.
    ProductBf16,
    /// Tensor cores by mma.sync, attention forward.
    AttentionBf16,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] =
        [Kind::Memory, Kind::Product, Kind::Attention, Kind::ProductBf16, Kind::AttentionBf16];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Memory => "one pass over memory",
            Kind::Product => "products in `f32`",
            Kind::Attention => "attention in `f32`",
            Kind::ProductBf16 => "products in bf16",
            Kind::AttentionBf16 => "attention in bf16, forward",
        }
    }

    /// The least and the most of the limit.
    pub(super) fn shares(self) -> [f64; 2] {
        match self {
            Kind::Memory => [0.75, 0.92],
            Kind::Product => [0.62, 0.85],
            Kind::Attention => [0.30, 0.60],
            Kind::ProductBf16 => [0.30, 0.45],
            Kind::AttentionBf16 => [0.20, 0.35],
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Kind::Memory => {
                "gau-nernst/learn-cuda reaches 3240 GB/s in a sum where NVIDIA's CUB has 3193, and its softmax the time of PyTorch's; copies as a rule reach \
                 about nine tenths of the published bandwidth."
            }
            Kind::Product => {
                "Of cuBLAS, learn-cuda (02a) reaches 83% with vector loads and 92% at its last step, S. Boehm's worklog 94%; cuBLAS itself is taken to reach 75 to 90% \
                 of the peak."
            }
            Kind::Attention => {
                "No ladder of flash attention in `f32` was found. Between two products stand a softmax and its exponentials, with 8 warps on a multiprocessor; half of what \
                 products reach is assumed."
            }
            Kind::ProductBf16 => {
                "On an A100, learn-cuda (02b) reaches 221 TFLOP/s with the same ideas, 71% of that card's 312, and 191 before its last. On 9.0 the full peak is reached \
                 by wgmma alone (pranjalssh/fast.cu: 763 TFLOP/s with it on an H100); mma.sync is taken to have about 60% of it. Operands in `f32` are rounded in a launch before, whose bytes \
                 are not counted here."
            }
            Kind::AttentionBf16 => {
                "Of FlashAttention-2, sonnyli/flash_attention_from_scratch reaches 73% with swizzled tiles and 99% at its last of 16 steps, on an A100; FlashAttention-2 \
                 has 35% of an H100 (Shah et al. 2024, FlashAttention-3)."
            }
        }
    }
}

/// A workload that is estimated.
#[derive(Debug)]
pub(super) struct Row {
    /// The name of the workload.
    pub(super) id: &'static str,
    /// The kernel that does most of the work.
    pub(super) kernel: &'static str,
    pub(super) kind: Kind,
    /// The side of a block's tile of C, where it is a product.
    tile: usize,
}

const fn row(id: &'static str, kernel: &'static str, kind: Kind, tile: usize) -> Row {
    Row { id, kernel, kind, tile }
}

pub(super) const ROWS: &[Row] = &[
    row("matmul/square/2048/nn", "matmul_double_buffer_nn", Kind::Product, 128),
    row("matmul/gpt_large/mlp_up/forward", "matmul_double_buffer_nt", Kind::Product, 128),
    row("matmul/gpt_large/mlp_up/dx", "matmul_double_buffer_nn", Kind::Product, 128),
    row("matmul_bf16/square/2048/nn", "matmul_three_stages", Kind::ProductBf16, 128),
    row("matmul_bf16/gpt_large/mlp_up/forward", "matmul_three_stages", Kind::ProductBf16, 128),
    row("decode_bf16/gpt2/head/forward", "matmul_few_rows_stored_steps_1", Kind::Memory, 0),
    row("attention/gpt_large/T256/forward", "attention_register_forward_64", Kind::Attention, 0),
    row("attention/T4096/forward", "attention_register_forward_64", Kind::Attention, 0),
    row("attention/T4096/backward", "attention_register_dk_dv_64", Kind::Attention, 0),
    row("attention_bf16/T4096/forward", "attention_staged_forward_64", Kind::AttentionBf16, 0),
    row("attention_decode/gpt2/T16384/forward", "attention_decode_split", Kind::Memory, 0),
    row("softmax/T4096/scores/forward", "softmax_vector_block_forward", Kind::Memory, 0),
    row("softmax/gpt_large/scores/backward", "softmax_vector_warp_backward", Kind::Memory, 0),
    row("layer_norm/gpt_large/forward", "norm_vector_warp_layer_forward", Kind::Memory, 0),
    row("layer_norm/gpt_large/backward", "norm_vector_warp_layer_backward", Kind::Memory, 0),
    row("gelu/gpt_large/mlp/forward", "elementwise_vector_unary", Kind::Memory, 0),
    row("dropout/gpt_large/residual/apply", "dropout_group_apply", Kind::Memory, 0),
    row("adamw/gpt_large/step", "optimizer_vector_adamw", Kind::Memory, 0),
];

impl Row {
    pub(super) fn problem(&self) -> Result<Problem> {
        let found = workload::all().into_iter().find(|workload| workload.id() == self.id);
        Ok(found.ok_or_else(|| format!("{}: there is no such workload", self.id))?.problem)
    }

    /// The cells of the kernel in the table.
    fn cells(&self) -> Result<Vec<&'static str>> {
        let name = format!("`{}`", self.kernel);
        let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
        let found = TABLE.lines().filter(|line| line.starts_with('|')).map(cells).find(|cells| cells[0] == name);
        found.ok_or_else(|| format!("{}: docs/cuda-kernels.md has no such kernel", self.kernel))
    }

    fn cell(&self, column: usize) -> Result<usize> {
        let cells = self.cells()?;
        let number = cells.get(column).and_then(|cell| cell.parse().ok());
        number.ok_or_else(|| format!("{}: docs/cuda-kernels.md has no number in column {column}", self.kernel))
    }

    /// The warps of it that a multiprocessor of 9.0 holds.
    pub(super) fn warps(&self) -> Result<usize> {
        self.cell(WARPS_ON_90)
    }

    /// The blocks of a product, and how many of them a multiprocessor holds at once; none of what is no product.
    pub(super) fn blocks(&self, problem: &Problem, multiprocessors: usize) -> Option<(usize, usize)> {
        let (Problem::Matmul { m, n, .. } | Problem::MatmulBf16 { m, n, .. }) = *problem else { return None };
        if self.tile == 0 {
            return None;
        }
        let blocks = m.div_ceil(self.tile) * n.div_ceil(self.tile);
        let at_once = self.warps().ok()? * 32 / self.cell(THREADS).ok()?;
        // Fewer blocks than multiprocessors are cut into parts along the sum, two for each multiprocessor (split_k).
        Some((if blocks < multiprocessors { 2 * multiprocessors } else { blocks }, at_once))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_workload_and_its_kernel_stands_in_the_table() {
        for row in ROWS {
            assert!(row.problem().is_ok(), "{}", row.id);
            let warps = row.warps().unwrap();
            assert!((8..=64).contains(&warps), "{}: {warps} warps", row.kernel);
        }
    }

    #[test]
    fn a_product_has_a_block_for_each_tile() {
        let problem = ROWS[1].problem().unwrap();
        assert_eq!(ROWS[1].blocks(&problem, 132).unwrap().0, 16384 / 128 * 1536 / 128);
        assert_eq!(ROWS[5].blocks(&ROWS[5].problem().unwrap(), 132), None);
    }

    #[test]
    fn the_columns_of_the_table_are_those_that_are_read() {
        let header = TABLE.lines().find(|line| line.starts_with("| kernel |")).unwrap();
        let names: Vec<&str> = header.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!((names[THREADS], names[7], names[WARPS_ON_90]), ("threads", "warps 7.5", "9.0"));
    }
}
