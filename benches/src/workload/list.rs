//! The list itself.

use super::{Gpt, Layout, Pass, Precision, Problem, Workload};
use gradus_gpt::preset::Preset;

/// The rows of the activations of `gpt_small` and `gpt_large`: B·T.
const ROWS: [usize; 2] = [12 * 64, 64 * 256];
/// The parameters of both.
const PARAMETERS: [usize; 2] = [804_096, 10_745_088];

/// Everything that is measured.
pub fn all() -> Vec<Workload> {
    let mut list = List(Vec::new());
    matmul(&mut list, "matmul", |layout, m, k, n| Problem::Matmul { layout, m, k, n });
    decode(&mut list, "decode", |k, n| Problem::Matmul { layout: Layout::NT, m: 1, k, n });
    matmul(&mut list, "matmul_bf16", |layout, m, k, n| Problem::MatmulBf16 { layout, m, k, n });
    decode(&mut list, "decode_bf16", |k, n| Problem::DecodeBf16 { k, n });
    attention(&mut list);
    rows(&mut list);
    elements(&mut list);
    whole_programs(&mut list);
    list.0
}

/// Their direction is the type of the numbers.
fn whole_programs(list: &mut List) {
    let [small, large] = [Preset::Small, Preset::Large].map(Gpt::of);
    let both = [("f32", Precision::F32), ("bf16", Precision::Bf16)];
    let mut train = |name: &str, gpt, batch, dropout, headline| {
        for (direction, precision) in both {
            let problem = Problem::TrainingStep { gpt, batch, dropout, precision };
            list.add("training_step", name, direction, headline, problem);
        }
    };
    train("gpt_small", small, 12, 0.0, true);
    train("gpt_large", large, 64, 0.0, false);
    train("gpt_large_dropout", large, 64, 0.2, false);
    for (name, gpt, tokens) in [("gpt_small", small, 64), ("gpt_large", large, 256), ("gpt2", Gpt::GPT2, 64)] {
        for (direction, precision) in both {
            if name != "gpt_small" || precision == Precision::F32 {
                let problem = Problem::Generate { gpt, tokens, precision, cache: precision };
                list.add("generate", name, direction, name == "gpt_large", problem);
            }
        }
    }
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

fn matmul(list: &mut List, operation: &'static str, product: fn(Layout, usize, usize, usize) -> Problem) {
    // At the older instruction sets a large product of bf16 takes seconds, so that a small one stands for it.
    let for_all = |model: &str| operation == "matmul" || model == "gpt_small";
    for n in [512, 1024, 2048] {
        for (direction, layout) in [("nn", Layout::NN), ("nt", Layout::NT), ("tn", Layout::TN)] {
            let headline = n == 512 && layout == Layout::NN;
            list.add(operation, &format!("square/{n}"), direction, headline, product(layout, n, n, n));
        }
    }
    let mut linear = |name: &str, rows: usize, k: usize, n: usize, headline| {
        // y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x
        list.add(operation, name, "forward", headline, product(Layout::NT, rows, k, n));
        list.add(operation, name, "dx", headline, product(Layout::NN, rows, n, k));
        list.add(operation, name, "dw", headline, product(Layout::TN, n, rows, k));
    };
    // From small to large: a rung that turns out slow is left out of what comes after.
    for (model, rows, c) in [("gpt_small", ROWS[0], 128), ("gpt_large", ROWS[1], 384)] {
        if model == "gpt_large" {
            linear("gpt_large_b3/mlp_up", 3 * 256, c, 4 * c, false);
        }
        linear(&format!("{model}/qkv"), rows, c, 3 * c, false);
        linear(&format!("{model}/proj"), rows, c, c, false);
        linear(&format!("{model}/mlp_up"), rows, c, 4 * c, for_all(model));
        linear(&format!("{model}/mlp_down"), rows, 4 * c, c, false);
        linear(&format!("{model}/head"), rows, c, 65, false);
    }
}

fn decode(list: &mut List, operation: &'static str, problem: fn(usize, usize) -> Problem) {
    // One token: every weight is used once. 2.4 MB, 9.4 MB and 154 MB of them, or half of that.
    for (name, k, n) in [("gpt_large/mlp_up", 384, 1536), ("gpt2/mlp_up", 768, 3072), ("gpt2/head", 768, 50257)] {
        list.add(operation, name, "forward", n == 50257, problem(k, n));
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
    for (name, [b, h, t, d]) in shapes.into_iter().filter(|(_, [_, _, t, _])| matches!(t, 64 | 256 | 1024 | 4096)) {
        list.both("attention_bf16", name, t <= 256, |pass| Problem::AttentionBf16 { pass, b, h, t, d });
    }
    let caches = [("gpt_large/T256", [6, 256]), ("gpt2/T1024", [12, 1024]), ("gpt2/T16384", [12, 16384])];
    for (name, [h, t]) in caches {
        let problem = Problem::AttentionDecode { b: 1, h, t, d: 64 };
        list.add("attention_decode", name, "forward", t == 1024, problem);
    }
    for (name, [h, t]) in caches {
        let problem = Problem::AttentionDecodeBf16 { b: 1, h, t, d: 64 };
        list.add("attention_decode_bf16", name, "forward", false, problem);
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
    for (name, interleaved) in [("gpt_large/halves", false), ("gpt_large/interleaved", true)] {
        list.both("rope", name, false, |pass| Problem::Rope { pass, b: 16, t: 256, h: 6, d: 64, interleaved });
    }
    list.both("cross_entropy", "gpt_small", false, |pass| Problem::CrossEntropy { pass, rows: small, v: 65 });
    list.both("cross_entropy", "gpt_large", true, |pass| Problem::CrossEntropy { pass, rows: large, v: 65 });
    list.both("cross_entropy", "gpt2", false, |pass| Problem::CrossEntropy { pass, rows: 256, v: 50257 });
    list.both("embedding", "gpt_large/tokens", false, |pass| Problem::Embedding { pass, ids: large, v: 65, c: 384 });
    list.both("embedding", "gpt2/tokens", false, |pass| Problem::Embedding { pass, ids: 1024, v: 50257, c: 768 });
    list.add("reduce", "gpt_large/row_sum", "forward", false, Problem::RowSum { rows: large, c: 384 });
}

fn elements(list: &mut List) {
    let [small, large] = ROWS;
    let gelu = |rows, c, erf| move |pass| Problem::Gelu { pass, rows, c, erf };
    list.both("gelu", "gpt_small/mlp", false, gelu(small, 512, false));
    list.both("gelu", "gpt_large/mlp", true, gelu(large, 1536, false));
    list.both("gelu", "gpt_large/mlp_erf", false, gelu(large, 1536, true));
    list.both("silu", "gpt_large/mlp", false, |pass| Problem::Silu { pass, rows: large, c: 1536 });
    list.add("dropout", "gpt_small/residual", "apply", false, Problem::Dropout { n: small * 128 });
    list.add("dropout", "gpt_large/residual", "apply", true, Problem::Dropout { n: large * 384 });
    list.add("add", "gpt_large/residual", "forward", false, Problem::Add { n: large * 384 });
    list.add("copy", "gpt_large/heads", "forward", false, Problem::Heads { b: 64, t: 256, h: 6, d: 64 });
    for (name, n) in [("gpt_small", PARAMETERS[0]), ("gpt_large", PARAMETERS[1])] {
        list.add("adamw", name, "step", n == PARAMETERS[1], Problem::Adamw { n });
    }
    list.add("sgd", "gpt_large", "step", false, Problem::Sgd { n: PARAMETERS[1] });
    list.add("sum_of_squares", "gpt_large", "norm", false, Problem::SumOfSquares { n: PARAMETERS[1] });
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Unit, Work},
        *,
    };
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
        assert!(of("adamw") && of("training_step") && of("generate"));
        assert!(of("matmul_bf16") && of("decode_bf16") && of("attention_bf16"));
    }

    #[test]
    fn work_is_counted_by_the_formulas() {
        let matmul = Problem::Matmul { layout: Layout::NT, m: 2, k: 3, n: 5 }.work();
        assert_eq!(matmul, Work { flops: 60, read: 4 * (6 + 15), written: 40, updated: 0 });
        assert_eq!(matmul.unit(), Unit::Bytes);
        let decode = Work { flops: 30, read: 4 * 3 + 2 * 15, written: 20, updated: 0 };
        assert_eq!(Problem::DecodeBf16 { k: 3, n: 5 }.work(), decode);
        let attention = |pass| Problem::Attention { pass, b: 16, h: 6, t: 256, d: 64 }.work();
        assert_eq!(attention(Pass::Forward).flops, 4 * 16 * 6 * 256 * 256 * 64 / 2);
        let both = attention(Pass::Forward).flops + attention(Pass::Backward).flops;
        assert_eq!(2 * both, 7 * attention(Pass::Forward).flops, "forward and backward: 3.5 times the forward pass");
        assert_eq!(attention(Pass::Forward).unit(), Unit::Flops);
        let softmax = |pass| Problem::Softmax { pass, rows: 10, c: 10 }.work().bytes();
        assert_eq!((softmax(Pass::Forward), softmax(Pass::Backward)), (800, 1200));
        let adamw = Problem::Adamw { n: 10 }.work();
        assert_eq!((adamw.bytes(), adamw.footprint()), (280, 160), "four arrays, three of them written too");
        let sgd = Problem::Sgd { n: 10 }.work();
        assert_eq!((sgd.bytes(), sgd.footprint()), (200, 120), "three arrays, two of them written too");
        let embedding = |ids| Problem::Embedding { pass: Pass::Forward, ids, v: 7, c: 3 }.work().read;
        assert_eq!((embedding(5), embedding(100)), (4 * (15 + 5), 4 * (21 + 100)), "no more than the table");
        let norm = Problem::LayerNorm { pass: Pass::Forward, rows: 3, c: 5 }.work();
        assert_eq!((norm.read, norm.written), (4 * (15 + 10), 4 * (15 + 6)), "γ and β; mean and rstd");
        let norm = Problem::LayerNorm { pass: Pass::Backward, rows: 3, c: 5 }.work();
        assert_eq!((norm.read, norm.written), (4 * (30 + 5 + 6), 4 * (15 + 10)), "γ, mean and rstd; dγ and dβ");
    }

    #[test]
    fn a_training_step_has_the_flops_that_the_goals_are_stated_in() {
        let gflop = |preset, batch| Gpt::of(preset).training_step(batch).flops as f64 / 1e9;
        assert!((gflop(Preset::Small, 12) - 3.84).abs() < 0.01);
        assert!((gflop(Preset::Large, 64) - 1114.0).abs() < 1.0);
    }

    #[test]
    fn a_token_reads_every_weight_once() {
        let megabytes = |gpt: Gpt| gpt.token(0, Precision::F32, Precision::F32).read as f64 / 1e6;
        assert!((megabytes(Gpt::of(Preset::Large)) - 42.6).abs() < 0.1);
        assert!((megabytes(Gpt::GPT2) - 494.0).abs() < 1.0);
        assert_eq!(Gpt::GPT2.parameters(), 124_439_808, "the number of the paper's smallest model, with tied weights");
        let two = Gpt { layers: 1, heads: 1, width: 2, context: 8, vocab: 3, bias: false };
        let read = |weights, cache| two.token(4, weights, cache).read;
        let f32 = read(Precision::F32, Precision::F32);
        assert_eq!(f32, 4 * (12 * 4 + 3 * 2 + 2 * 2 * 2), "two positions on the average");
        assert_eq!(read(Precision::Bf16, Precision::Bf16), f32 / 2);
        assert_eq!(read(Precision::Bf16, Precision::F32), 2 * (12 * 4 + 3 * 2) + 4 * 2 * 2 * 2);
    }

    #[test]
    fn sizes_are_those_of_the_presets() {
        for (preset, rows, parameters) in
            [(Preset::Small, ROWS[0], PARAMETERS[0]), (Preset::Large, ROWS[1], PARAMETERS[1])]
        {
            let (_, train, _) = preset.settings();
            let gpt = Gpt::of(preset);
            assert_eq!(rows, train.batch * gpt.context);
            assert_eq!(parameters as u64, gpt.parameters());
            let dropout = |w: &Workload| match w.problem {
                Problem::TrainingStep { gpt: other, batch, dropout, .. } if other == gpt && batch == train.batch => {
                    Some(dropout)
                }
                _ => None,
            };
            assert!(all().iter().filter_map(dropout).any(|dropout| dropout == preset.settings().0.dropout));
        }
    }
}
