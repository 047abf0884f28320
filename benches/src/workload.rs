//! The one list of what is measured. A workload is named after where its shape comes from, and knows its FLOPs and bytes.
//!
//! `gpt_small` is nanoGPT's shakespeare_char for a CPU (L4 H4 C128 T64, B12: 768 rows), `gpt_large` the one for a GPU
//! (L6 H6 C384 T256, B64: 16384 rows), both with V = 65; `gpt2` has C = 768 and V = 50257.
//!
//! FLOPs and bytes are nominal: what the result needs, whatever a rung does, so that the rungs of a ladder compare.
//! Bytes count every input and output once. Attention counts the causal half.

use serde::{Deserialize, Serialize};

/// What work needs at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Floating-point operations; a multiply-add is two.
    pub flops: u64,
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

impl Work {
    /// All bytes.
    pub fn bytes(self) -> u64 {
        self.read + self.written
    }

    /// The memory that the work touches; what is updated in place is counted twice, which is near enough.
    pub fn footprint(self) -> u64 {
        self.bytes()
    }

    /// FLOPs for a byte.
    pub fn intensity(self) -> f64 {
        self.flops as f64 / self.bytes() as f64
    }

    /// What its rate is given in: arithmetic where there is much of it for a byte, else traffic.
    pub fn unit(self) -> Unit {
        if self.intensity() > 4.0 { Unit::Flops } else { Unit::Bytes }
    }

    /// In its unit, how much there is.
    pub fn amount(self) -> u64 {
        match self.unit() {
            Unit::Flops => self.flops,
            Unit::Bytes => self.bytes(),
        }
    }
}

/// The unit of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Floating-point operations.
    Flops,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// 10⁹ of it in a second.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Flops => "GFLOP/s",
            Unit::Bytes => "GB/s",
        }
    }
}

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
    /// Causal attention.
    Attention { pass: Pass, b: usize, h: usize, t: usize, d: usize },
    /// Attention of one query to the T keys of a cache.
    AttentionDecode { b: usize, h: usize, t: usize, d: usize },
    /// Softmax of each row.
    Softmax { pass: Pass, rows: usize, c: usize },
    /// Log-softmax of each row.
    LogSoftmax { pass: Pass, rows: usize, c: usize },
    /// Layer norm with γ and β.
    LayerNorm { pass: Pass, rows: usize, c: usize },
    /// RMS norm with γ.
    RmsNorm { pass: Pass, rows: usize, c: usize },
    /// GELU; `erf` is the exact form, else GPT-2's with tanh.
    Gelu { pass: Pass, rows: usize, c: usize, erf: bool },
    /// GELU of x plus a bias.
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
    /// The sum of squares, for the norm of the gradient.
    SumOfSquares { n: usize },
    /// A whole training step of a GPT: forward, backward, clipping, AdamW.
    TrainingStep { layers: usize, heads: usize, width: usize, context: usize, batch: usize, vocab: usize },
}

impl Problem {
    /// What it needs at least; of the training step the FLOPs of its products and attention, and one reading of its
    /// weights, gradients and moments.
    pub fn work(&self) -> Work {
        // `flops` for each of `n` elements, `read` and `written` in elements of 4 bytes.
        let each = |n: usize, flops: u64, read: usize, written: usize| Work {
            flops: n as u64 * flops,
            read: 4 * read as u64,
            written: 4 * written as u64,
        };
        let both = |pass, forward: u64, backward: u64| if pass == Pass::Forward { forward } else { backward };
        match *self {
            Problem::Matmul { m, k, n, .. } => each(m * k * n, 2, m * k + k * n, m * n),
            Problem::Attention { pass, b, h, t, d } => {
                let tensor = b * h * t * d;
                let (read, written) = if pass == Pass::Forward { (3, 1) } else { (5, 3) };
                each(tensor * t / 2, both(pass, 4, 10), read * tensor + b * h * t, written * tensor)
            }
            Problem::AttentionDecode { b, h, t, d } => each(b * h * t * d, 4, 2 * b * h * (t + 1) * d, b * h * (d + 1)),
            Problem::Softmax { pass, rows, c } | Problem::LogSoftmax { pass, rows, c } => {
                row_work(pass, [rows, c], both(pass, 5, 4), 0, 0)
            }
            Problem::LayerNorm { pass, rows, c } => row_work(pass, [rows, c], both(pass, 8, 14), 2, 2),
            Problem::RmsNorm { pass, rows, c } => row_work(pass, [rows, c], both(pass, 5, 10), 1, 1),
            Problem::Gelu { pass, rows, c, .. } => row_work(pass, [rows, c], both(pass, 10, 15), 0, 0),
            Problem::BiasGelu { pass, rows, c } => row_work(pass, [rows, c], both(pass, 11, 16), 1, 0),
            Problem::CrossEntropy { pass: Pass::Forward, rows, v } => each(rows * v, 4, rows * v + rows, 2 * rows),
            Problem::CrossEntropy { pass: Pass::Backward, rows, v } => each(rows * v, 4, rows * v + 2 * rows, rows * v),
            Problem::Dropout { n } => each(n, 1, n, n),
            Problem::Add { n } => each(n, 1, 2 * n, n),
            Problem::Heads { b, t, h, d } => each(0, 0, b * t * h * d, b * t * h * d),
            Problem::RowSum { rows, c } => each(rows * c, 1, rows * c, rows),
            Problem::Embedding { pass: Pass::Forward, ids, c, .. } => each(0, 0, ids * c + ids, ids * c),
            Problem::Embedding { pass: Pass::Backward, ids, v, c } => each(ids * c, 1, ids * c + ids, v * c),
            Problem::Adamw { n } => each(n, 12, 4 * n, 3 * n),
            Problem::SumOfSquares { n } => each(n, 2, n, 0),
            Problem::TrainingStep { layers, width, context, batch, vocab, .. } => {
                let weights = 12 * width * width * layers + vocab * width;
                let tokens = batch * context;
                let products = 6 * weights as u64 * tokens as u64; // forward, and two products as large backward
                let attention = 14 * (batch * context * context * width / 2 * layers) as u64;
                let parameters = weights + context * width + (2 * layers + 1) * width;
                Work { flops: products + attention, read: 16 * parameters as u64, written: 12 * parameters as u64 }
            }
        }
    }

    /// Its sizes, to be read by people.
    pub fn sizes(&self) -> String {
        match *self {
            Problem::Matmul { layout, m, k, n } => format!("{layout:?} {m}×{k}×{n} (M×K×N)"),
            Problem::Attention { b, h, t, d, .. } => format!("{b}×{h}×{t}×{d} (B×H×T×D), causal"),
            Problem::AttentionDecode { b, h, t, d } => format!("{b}×{h}×{t}×{d} (B×H×T×D), one query"),
            Problem::Softmax { rows, c, .. }
            | Problem::LogSoftmax { rows, c, .. }
            | Problem::LayerNorm { rows, c, .. }
            | Problem::RmsNorm { rows, c, .. }
            | Problem::BiasGelu { rows, c, .. }
            | Problem::RowSum { rows, c } => format!("{rows}×{c}"),
            Problem::Gelu { rows, c, erf, .. } => format!("{rows}×{c}, {}", if erf { "erf" } else { "tanh" }),
            Problem::CrossEntropy { rows, v, .. } => format!("{rows}×{v}"),
            Problem::Dropout { n } => format!("{n} elements, p = 0.2"),
            Problem::Add { n } | Problem::Adamw { n } | Problem::SumOfSquares { n } => format!("{n} elements"),
            Problem::Heads { b, t, h, d } => format!("[{b},{t},{h},{d}] to [{b},{h},{t},{d}]"),
            Problem::Embedding { ids, v, c, .. } => format!("{ids} ids, table {v}×{c}"),
            Problem::TrainingStep { layers, heads, width, context, batch, vocab } => {
                format!("L{layers} H{heads} C{width} T{context} B{batch} V{vocab}, f32, no dropout")
            }
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
    Work { flops: n as u64 * flops, read: 4 * read as u64, written: 4 * written as u64 }
}

/// One thing that is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The ladder that it belongs to.
    pub operation: &'static str,
    /// Where the shape comes from.
    pub name: String,
    /// Which of the operation's functions.
    pub direction: &'static str,
    /// What is computed.
    pub problem: Problem,
    /// Whether it stands for its operation: in `--quick`, in the thread-scaling curve and in the summary.
    pub headline: bool,
}

impl Workload {
    /// `matmul/gpt_small/qkv/forward`: the name of its criterion group, and what `--only` looks in.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.operation, self.name, self.direction)
    }
}

/// The rows of the activations of `gpt_small` and `gpt_large`: B·T.
const ROWS: [usize; 2] = [12 * 64, 64 * 256];
/// The parameters of both.
const PARAMETERS: [usize; 2] = [804_096, 10_745_088];

/// Everything that is measured.
pub fn all() -> Vec<Workload> {
    let mut list = List(Vec::new());
    matmul(&mut list);
    attention(&mut list);
    rows(&mut list);
    elements(&mut list);
    list.add("training_step", "gpt_small", "step", true, training_step());
    list.0
}

fn training_step() -> Problem {
    Problem::TrainingStep { layers: 4, heads: 4, width: 128, context: 64, batch: 12, vocab: 65 }
}

struct List(Vec<Workload>);

impl List {
    fn add(&mut self, operation: &'static str, name: &str, direction: &'static str, headline: bool, problem: Problem) {
        self.0.push(Workload { operation, name: name.into(), direction, problem, headline });
    }

    fn both(&mut self, operation: &'static str, name: &str, headline: bool, problem: impl Fn(Pass) -> Problem) {
        self.add(operation, name, "forward", headline, problem(Pass::Forward));
        self.add(operation, name, "backward", headline, problem(Pass::Backward));
    }
}

fn matmul(list: &mut List) {
    for n in [512, 1024, 2048] {
        for (direction, layout) in [("nn", Layout::NN), ("nt", Layout::NT), ("tn", Layout::TN)] {
            let problem = Problem::Matmul { layout, m: n, k: n, n };
            list.add("matmul", &format!("square/{n}"), direction, n == 512 && layout == Layout::NN, problem);
        }
    }
    let mut linear = |name: &str, rows: usize, k: usize, n: usize, headline| {
        // y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x
        let product = |layout, m, k, n| Problem::Matmul { layout, m, k, n };
        list.add("matmul", name, "forward", headline, product(Layout::NT, rows, k, n));
        list.add("matmul", name, "dx", headline, product(Layout::NN, rows, n, k));
        list.add("matmul", name, "dw", headline, product(Layout::TN, n, rows, k));
    };
    for (model, rows, c) in [("gpt_small", ROWS[0], 128), ("gpt_large", ROWS[1], 384)] {
        linear(&format!("{model}/qkv"), rows, c, 3 * c, false);
        linear(&format!("{model}/proj"), rows, c, c, false);
        linear(&format!("{model}/mlp_up"), rows, c, 4 * c, true);
        linear(&format!("{model}/mlp_down"), rows, 4 * c, c, false);
        linear(&format!("{model}/head"), rows, c, 65, false);
    }
    linear("gpt_large_b3/mlp_up", 3 * 256, 384, 1536, false);
    // One token: every weight is used once. 2.4 MB, 9.4 MB and 154 MB of them.
    for (name, k, n) in [("gpt_large/mlp_up", 384, 1536), ("gpt2/mlp_up", 768, 3072), ("gpt2/head", 768, 50257)] {
        list.add("decode", name, "forward", n == 50257, Problem::Matmul { layout: Layout::NT, m: 1, k, n });
    }
}

fn attention(list: &mut List) {
    let shapes = [
        ("gpt_small/T64", [12, 4, 64, 32]),
        ("T128", [4, 12, 128, 64]),
        ("gpt_large/T256", [16, 6, 256, 64]),
        ("T512", [2, 12, 512, 64]),
        ("T1024", [1, 12, 1024, 64]),
        ("T2048", [1, 12, 2048, 64]),
        ("T4096", [1, 12, 4096, 64]),
    ];
    for (name, [b, h, t, d]) in shapes {
        let headline = matches!(t, 64 | 256 | 1024);
        list.both("attention", name, headline, |pass| Problem::Attention { pass, b, h, t, d });
    }
    for (name, [h, t]) in [("gpt_large/T256", [6, 256]), ("gpt2/T1024", [12, 1024]), ("gpt2/T16384", [12, 16384])] {
        let problem = Problem::AttentionDecode { b: 1, h, t, d: 64 };
        list.add("attention_decode", name, "forward", t == 1024, problem);
    }
}

fn rows(list: &mut List) {
    let [small, large] = ROWS;
    list.both("softmax", "gpt_small/scores", false, |pass| Problem::Softmax { pass, rows: 4 * small, c: 64 });
    list.both("softmax", "gpt_large/scores", true, |pass| Problem::Softmax { pass, rows: large, c: 256 });
    list.both("softmax", "T4096/scores", false, |pass| Problem::Softmax { pass, rows: 4096, c: 4096 });
    list.both("log_softmax", "gpt_large/logits", false, |pass| Problem::LogSoftmax { pass, rows: large, c: 65 });
    list.both("layer_norm", "gpt_small", false, |pass| Problem::LayerNorm { pass, rows: small, c: 128 });
    list.both("layer_norm", "gpt_large", true, |pass| Problem::LayerNorm { pass, rows: large, c: 384 });
    list.both("rms_norm", "gpt_large", false, |pass| Problem::RmsNorm { pass, rows: large, c: 384 });
    list.both("cross_entropy", "gpt_small", false, |pass| Problem::CrossEntropy { pass, rows: small, v: 65 });
    list.both("cross_entropy", "gpt_large", true, |pass| Problem::CrossEntropy { pass, rows: large, v: 65 });
    list.both("cross_entropy", "gpt2", false, |pass| Problem::CrossEntropy { pass, rows: 256, v: 50257 });
    list.both("embedding", "gpt_large/tokens", false, |pass| Problem::Embedding { pass, ids: large, v: 65, c: 384 });
    list.add("reduce", "gpt_large/row_sum", "forward", false, Problem::RowSum { rows: large, c: 384 });
}

fn elements(list: &mut List) {
    let [small, large] = ROWS;
    let gelu = |rows, c, erf| move |pass| Problem::Gelu { pass, rows, c, erf };
    list.both("gelu", "gpt_small/mlp", false, gelu(small, 512, false));
    list.both("gelu", "gpt_large/mlp", true, gelu(large, 1536, false));
    list.both("gelu", "gpt_large/mlp_erf", false, gelu(large, 1536, true));
    list.both("bias_gelu", "gpt_large/mlp", false, |pass| Problem::BiasGelu { pass, rows: large, c: 1536 });
    list.add("dropout", "gpt_small/residual", "apply", false, Problem::Dropout { n: small * 128 });
    list.add("dropout", "gpt_large/residual", "apply", true, Problem::Dropout { n: large * 384 });
    list.add("add", "gpt_large/residual", "forward", false, Problem::Add { n: large * 384 });
    list.add("copy", "gpt_large/heads", "forward", false, Problem::Heads { b: 64, t: 256, h: 6, d: 64 });
    for (name, n) in [("gpt_small", PARAMETERS[0]), ("gpt_large", PARAMETERS[1])] {
        list.add("adamw", name, "step", n == PARAMETERS[1], Problem::Adamw { n });
    }
    list.add("sum_of_squares", "gpt_large", "norm", false, Problem::SumOfSquares { n: PARAMETERS[1] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_gpt::preset::Preset;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_come_in_three_parts() {
        let all = all();
        let ids: HashSet<String> = all.iter().map(Workload::id).collect();
        assert_eq!(ids.len(), all.len());
        assert!(ids.contains("matmul/gpt_small/qkv/forward") && ids.contains("attention/T1024/backward"));
    }

    #[test]
    fn every_operation_has_a_workload_that_stands_for_it_where_it_has_a_goal() {
        let of = |operation| all().iter().any(|w| w.operation == operation && w.headline);
        for operation in ["matmul", "decode", "attention", "softmax", "layer_norm", "gelu", "cross_entropy", "dropout"]
        {
            assert!(of(operation), "{operation}");
        }
        assert!(of("adamw") && of("training_step"));
    }

    #[test]
    fn work_is_counted_by_the_formulas() {
        let matmul = Problem::Matmul { layout: Layout::NT, m: 2, k: 3, n: 5 }.work();
        assert_eq!(matmul, Work { flops: 60, read: 4 * (6 + 15), written: 40 });
        assert_eq!(matmul.unit(), Unit::Bytes);
        let attention = |pass| Problem::Attention { pass, b: 16, h: 6, t: 256, d: 64 }.work();
        assert_eq!(attention(Pass::Forward).flops, 4 * 16 * 6 * 256 * 256 * 64 / 2);
        let both = attention(Pass::Forward).flops + attention(Pass::Backward).flops;
        assert_eq!(2 * both, 7 * attention(Pass::Forward).flops, "forward and backward: 3.5 times the forward pass");
        assert_eq!(attention(Pass::Forward).unit(), Unit::Flops);
        let softmax = |pass| Problem::Softmax { pass, rows: 10, c: 10 }.work().bytes();
        assert_eq!((softmax(Pass::Forward), softmax(Pass::Backward)), (800, 1200));
        assert_eq!(Problem::Adamw { n: 10 }.work().bytes(), 280);
        let norm = Problem::LayerNorm { pass: Pass::Forward, rows: 3, c: 5 }.work();
        assert_eq!((norm.read, norm.written), (4 * (15 + 10), 4 * (15 + 6)), "γ and β; mean and rstd");
        let norm = Problem::LayerNorm { pass: Pass::Backward, rows: 3, c: 5 }.work();
        assert_eq!((norm.read, norm.written), (4 * (30 + 5 + 6), 4 * (15 + 10)), "γ, mean and rstd; dγ and dβ");
    }

    #[test]
    fn a_training_step_has_the_flops_that_the_goals_are_stated_in() {
        let gflop = training_step().work().flops as f64 / 1e9;
        assert!((gflop - 3.84).abs() < 0.01, "{gflop}");
    }

    #[test]
    fn sizes_are_those_of_the_presets() {
        for (preset, rows, parameters) in
            [(Preset::Small, ROWS[0], PARAMETERS[0]), (Preset::Large, ROWS[1], PARAMETERS[1])]
        {
            let (mut model, train, _) = preset.settings();
            model.vocab_size = 65;
            assert_eq!(rows, train.batch * model.context);
            assert_eq!(parameters as u128, model.parameters());
        }
        let (mut model, train, _) = Preset::Small.settings();
        model.vocab_size = 65;
        let step = Problem::TrainingStep {
            layers: model.layers,
            heads: model.heads,
            width: model.width,
            context: model.context,
            batch: train.batch,
            vocab: model.vocab_size,
        };
        assert_eq!(step, training_step());
        assert_eq!(step.work().read as u128, 16 * model.parameters());
    }
}
