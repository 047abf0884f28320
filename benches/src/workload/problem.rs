//! What is computed, with its sizes, and how much work that is.

use super::{Gpt, Work};
use gradus_gpt::precision::Precision;
use serde::{Deserialize, Serialize};

/// Which operand of a product is stored transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// A is M×K, B is K×N.
    NN,
    /// B is stored as N×K, as the weight of a linear layer is.
    NT,
    /// A is stored as K×M, as for the gradient of a weight.
    TN,
}

/// Forward or backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pass {
    /// From inputs to outputs.
    Forward,
    /// From the gradient of the outputs to that of the inputs.
    Backward,
}

/// What is computed, with its sizes: all that our side and PyTorch's need to know.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
#[allow(missing_docs)] // the fields are the shape alphabet of gradus-kernels
pub enum Problem {
    /// (M×K)·(K×N)
    Matmul { layout: Layout, m: usize, k: usize, n: usize },
    /// The same with operands rounded to bf16, as a training step in bf16 has them: A, B and C lie there in `f32`.
    MatmulBf16 { layout: Layout, m: usize, k: usize, n: usize },
    /// A row of activations in `f32` times a weight that is stored in bf16, N×K.
    DecodeBf16 { k: usize, n: usize },
    /// Causal attention.
    Attention { pass: Pass, b: usize, h: usize, t: usize, d: usize },
    /// The same with operands rounded to bf16, which lie there in `f32`.
    AttentionBf16 { pass: Pass, b: usize, h: usize, t: usize, d: usize },
    /// Attention of one query to the T keys of a cache.
    AttentionDecode { b: usize, h: usize, t: usize, d: usize },
    /// The same with keys and values that are stored in bf16.
    AttentionDecodeBf16 { b: usize, h: usize, t: usize, d: usize },
    /// Softmax of each row.
    Softmax { pass: Pass, rows: usize, c: usize },
    /// Log-softmax of each row.
    LogSoftmax { pass: Pass, rows: usize, c: usize },
    /// Layer norm with γ and β.
    LayerNorm { pass: Pass, rows: usize, c: usize },
    /// The sum of two matrices, and its layer norm. In older reports only: there is no kernel for it any more.
    AddLayerNorm { rows: usize, c: usize },
    /// RMS norm with γ.
    RmsNorm { pass: Pass, rows: usize, c: usize },
    /// Rotary positions of q and k in a packed projection, halves of a head paired or neighbouring channels.
    Rope { pass: Pass, b: usize, t: usize, h: usize, d: usize, interleaved: bool },
    /// GELU; `erf` is the exact form, else GPT-2's with tanh.
    Gelu { pass: Pass, rows: usize, c: usize, erf: bool },
    /// SiLU, x·σ(x).
    Silu { pass: Pass, rows: usize, c: usize },
    /// GELU of x plus a bias, which stands in older reports only.
    BiasGelu { pass: Pass, rows: usize, c: usize },
    /// Cross-entropy from logits.
    CrossEntropy { pass: Pass, rows: usize, v: usize },
    /// Dropout with p = 0.2.
    Dropout { n: usize },
    /// a + b, the residual connection.
    Add { n: usize },
    /// \[B,T,H,D\] to \[B,H,T,D\].
    Heads { b: usize, t: usize, h: usize, d: usize },
    /// The sum of each row.
    RowSum { rows: usize, c: usize },
    /// Rows of a table.
    Embedding { pass: Pass, ids: usize, v: usize, c: usize },
    /// A step of AdamW.
    Adamw { n: usize },
    /// A step of SGD with momentum.
    Sgd { n: usize },
    /// The sum of squares, for the norm of the gradient.
    SumOfSquares { n: usize },
    /// A whole training step of a GPT: forward, backward, clipping, AdamW.
    TrainingStep {
        gpt: Gpt,
        batch: usize,
        dropout: f32,
        #[serde(default)]
        precision: Precision,
    },
    /// One token read by a GPT that keeps its keys and values, at each of `tokens` positions in turn.
    Generate {
        gpt: Gpt,
        tokens: usize,
        #[serde(default)]
        precision: Precision,
        /// Of its keys and values; in older reports they were `f32` where weights were not, too.
        #[serde(default)]
        cache: Precision,
    },
}

impl Problem {
    /// What it needs at least.
    pub fn work(&self) -> Work {
        // `flops` for each of `n` elements, `read` and `written` in elements of 4 bytes.
        let each = |n: usize, flops: u64, read: usize, written: usize| Work {
            flops: n as u64 * flops,
            read: 4 * read as u64,
            written: 4 * written as u64,
            updated: 0,
        };
        let both = |pass, forward: u64, backward: u64| if pass == Pass::Forward { forward } else { backward };
        match *self {
            Problem::Matmul { m, k, n, .. } | Problem::MatmulBf16 { m, k, n, .. } => {
                each(m * k * n, 2, m * k + k * n, m * n)
            }
            Problem::DecodeBf16 { k, n } => Work { read: (4 * k + 2 * k * n) as u64, ..each(k * n, 2, 0, n) },
            Problem::Attention { pass, b, h, t, d } | Problem::AttentionBf16 { pass, b, h, t, d } => {
                let tensor = b * h * t * d;
                let (read, written) = if pass == Pass::Forward { (3, 1) } else { (5, 3) };
                each(tensor * t / 2, both(pass, 4, 10), read * tensor + b * h * t, written * tensor)
            }
            Problem::AttentionDecode { b, h, t, d } => each(b * h * t * d, 4, 2 * b * h * (t + 1) * d, b * h * (d + 1)),
            Problem::AttentionDecodeBf16 { b, h, t, d } => {
                let work = Problem::AttentionDecode { b, h, t, d }.work();
                Work { read: work.read - 4 * (b * h * t * d) as u64, ..work }
            }
            Problem::Softmax { pass, rows, c } | Problem::LogSoftmax { pass, rows, c } => {
                row_work(pass, [rows, c], both(pass, 5, 4), 0, 0)
            }
            Problem::LayerNorm { pass, rows, c } => row_work(pass, [rows, c], both(pass, 8, 14), 2, 2),
            Problem::AddLayerNorm { rows, c } => each(rows * c, 9, 2 * (rows + 1) * c, 2 * rows * (c + 1)),
            Problem::RmsNorm { pass, rows, c } => row_work(pass, [rows, c], both(pass, 5, 10), 1, 1),
            // All of q, k and v moves; two thirds of it turns. The gradient is as much work as the function.
            Problem::Rope { b, t, h, d, .. } => {
                let (turned, tables) = (2 * b * t * h * d, t * d);
                each(turned, 3, 3 * turned / 2 + tables, 3 * turned / 2)
            }
            Problem::Gelu { pass, rows, c, .. } => row_work(pass, [rows, c], both(pass, 10, 15), 0, 0),
            Problem::Silu { pass, rows, c } => row_work(pass, [rows, c], both(pass, 5, 8), 0, 0),
            Problem::BiasGelu { pass, rows, c } => row_work(pass, [rows, c], both(pass, 11, 16), 1, 0),
            Problem::CrossEntropy { pass: Pass::Forward, rows, v } => each(rows * v, 4, rows * v + rows, 2 * rows),
            Problem::CrossEntropy { pass: Pass::Backward, rows, v } => each(rows * v, 4, rows * v + 2 * rows, rows * v),
            Problem::Dropout { n } => each(n, 1, n, n),
            Problem::Add { n } => each(n, 1, 2 * n, n),
            Problem::Heads { b, t, h, d } => each(0, 0, b * t * h * d, b * t * h * d),
            Problem::RowSum { rows, c } => each(rows * c, 1, rows * c, rows),
            // However often a row of the table is asked for, it is one input.
            Problem::Embedding { pass: Pass::Forward, ids, v, c } => each(0, 0, ids.min(v) * c + ids, ids * c),
            Problem::Embedding { pass: Pass::Backward, ids, v, c } => each(ids * c, 1, ids * c + ids, v * c),
            Problem::Adamw { n } => Work { updated: 12 * n as u64, ..each(n, 12, 4 * n, 3 * n) },
            Problem::Sgd { n } => Work { updated: 8 * n as u64, ..each(n, 7, 3 * n, 2 * n) },
            Problem::SumOfSquares { n } => each(n, 2, n, 0),
            Problem::TrainingStep { gpt, batch, .. } => gpt.training_step(batch),
            Problem::Generate { gpt, tokens, precision, cache } => gpt.token(tokens, precision, cache),
        }
    }

    /// What its products are computed from.
    pub fn precision(&self) -> Precision {
        match *self {
            Problem::MatmulBf16 { .. }
            | Problem::DecodeBf16 { .. }
            | Problem::AttentionBf16 { .. }
            | Problem::AttentionDecodeBf16 { .. } => Precision::Bf16,
            Problem::TrainingStep { precision, .. } | Problem::Generate { precision, .. } => precision,
            _ => Precision::F32,
        }
    }

    /// The tokens that it takes in, where it is a whole program; such a one is measured in a process of its own.
    pub fn tokens(&self) -> Option<usize> {
        match *self {
            Problem::TrainingStep { gpt, batch, .. } => Some(batch * gpt.context),
            Problem::Generate { .. } => Some(1),
            _ => None,
        }
    }

    /// Its sizes, to be read by people.
    pub fn sizes(&self) -> String {
        match *self {
            Problem::Matmul { layout, m, k, n } | Problem::MatmulBf16 { layout, m, k, n } => {
                format!("{layout:?} {m}×{k}×{n} (M×K×N)")
            }
            Problem::DecodeBf16 { k, n } => format!("NT 1×{k}×{n} (M×K×N)"),
            Problem::Attention { b, h, t, d, .. } | Problem::AttentionBf16 { b, h, t, d, .. } => {
                format!("{b}×{h}×{t}×{d} (B×H×T×D), causal")
            }
            Problem::AttentionDecode { b, h, t, d } | Problem::AttentionDecodeBf16 { b, h, t, d } => {
                format!("{b}×{h}×{t}×{d} (B×H×T×D), one query")
            }
            Problem::Softmax { rows, c, .. }
            | Problem::LogSoftmax { rows, c, .. }
            | Problem::LayerNorm { rows, c, .. }
            | Problem::AddLayerNorm { rows, c }
            | Problem::RmsNorm { rows, c, .. }
            | Problem::Silu { rows, c, .. }
            | Problem::BiasGelu { rows, c, .. }
            | Problem::RowSum { rows, c } => format!("{rows}×{c}"),
            Problem::Rope { b, t, h, d, interleaved, .. } => {
                format!("{b}×{t}×3·{h}×{d} (B×T×3·H×D), {}", if interleaved { "interleaved" } else { "halves" })
            }
            Problem::Gelu { rows, c, erf, .. } => format!("{rows}×{c}, {}", if erf { "erf" } else { "tanh" }),
            Problem::CrossEntropy { rows, v, .. } => format!("{rows}×{v}"),
            Problem::Dropout { n } => format!("{n} elements, p = 0.2"),
            Problem::Add { n } | Problem::Adamw { n } | Problem::Sgd { n } | Problem::SumOfSquares { n } => {
                format!("{n} elements")
            }
            Problem::Heads { b, t, h, d } => format!("[{b},{t},{h},{d}] to [{b},{h},{t},{d}]"),
            Problem::Embedding { ids, v, c, .. } => format!("{ids} ids, table {v}×{c}"),
            Problem::TrainingStep { gpt, batch, dropout, .. } => format!("{} B{batch}, dropout {dropout}", gpt.sizes()),
            Problem::Generate { gpt, tokens, .. } => format!("{}, one token of {tokens}", gpt.sizes()),
        }
    }
}

/// An operation with one matrix in and one out (backward: two in), and `parameters` of C and `statistics` of the rows.
///
/// The GELU with a bias leaves the sum over the rows, which is the gradient of the bias, to another operation.
fn row_work(pass: Pass, [rows, c]: [usize; 2], flops: u64, parameters: usize, statistics: usize) -> Work {
    let n = rows * c;
    let (read, written) = match pass {
        Pass::Forward => (n + parameters * c, n + statistics * rows),
        Pass::Backward => {
            let gradients = if statistics > 0 { parameters * c } else { 0 };
            (2 * n + parameters.min(1) * c + statistics * rows, n + gradients)
        }
    };
    Work { flops: n as u64 * flops, read: 4 * read as u64, written: 4 * written as u64, updated: 0 }
}
