//! Settings that make no sense are named, and a file comes back as it was.

use super::*;
use crate::{files::Disk, recompute::Recompute, tokenizer::TokenizerKind};

fn small() -> RunConfig {
    let (mut model, train, _) = Preset::Small.settings();
    let tokenizer = Tokenizer::new(TokenizerKind::Char, "abc\n");
    model.vocab_size = 4;
    RunConfig { format: FORMAT, model, train, tokenizer }
}

fn problem(change: impl FnOnce(&mut RunConfig)) -> String {
    let mut config = small();
    change(&mut config);
    let error = config.train.validate(&config.model).expect_err("it should be refused");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn parameters_are_those_of_nanogpt() {
    let (mut model, ..) = Preset::Large.settings();
    model.vocab_size = 65;
    // nanoGPT prints 10.65M for this model, without the 256·384 positions that it leaves out of the count.
    assert_eq!(model.parameters() - 256 * 384, 10_646_784);
    let gpt2 =
        ModelConfig { layers: 12, heads: 12, width: 768, context: 1024, vocab_size: 50257, dropout: 0.0, bias: true };
    assert_eq!(gpt2.parameters(), 124_439_808); // GPT-2, as OpenAI published it
}

#[test]
fn each_wrong_value_is_named() {
    assert!(problem(|c| c.model.heads = 3).starts_with("heads 3: does not divide the width 128"));
    assert_eq!(problem(|c| c.model.heads = 0), "heads 0: must be at least 1");
    assert_eq!(problem(|c| c.model.width = 0), "width 0: must be at least 1");
    assert_eq!(problem(|c| c.model.layers = 0), "layers 0: must be at least 1");
    assert_eq!(problem(|c| c.model.context = 0), "context 0: must be at least 1");
    assert_eq!(problem(|c| c.train.batch = 0), "batch 0: must be at least 1");
    assert_eq!(problem(|c| c.train.grad_accum = 0), "grad-accum 0: must be at least 1");
    assert_eq!(problem(|c| c.train.eval_every = 0), "eval-every 0: must be at least 1");
    assert_eq!(problem(|c| c.train.eval_batches = 0), "eval-batches 0: must be at least 1");
    assert_eq!(problem(|c| c.model.dropout = 1.0), "dropout 1: must be at least 0 and below 1");
    assert!(problem(|c| c.model.dropout = f32::NAN).starts_with("dropout NaN"));
    assert!(problem(|c| c.train.lr = f64::NAN).starts_with("lr NaN"));
    assert!(problem(|c| c.train.lr = -1.0).starts_with("lr -1"));
    assert!(problem(|c| c.train.min_lr = 1.0).starts_with("min-lr 1: must not be above the learning rate"));
    assert!(problem(|c| c.train.beta2 = 1.0).starts_with("beta2 1"));
    assert!(problem(|c| c.train.eps = 0.0).starts_with("eps 0"));
    assert!(problem(|c| c.train.clip = f64::INFINITY).starts_with("clip inf"));
    assert!(problem(|c| c.train.weight_decay = -0.1).starts_with("weight-decay -0.1"));
}

/// The optimiser computes in `f32`: what is sound in `f64` alone is refused by name, with the value that was given.
#[test]
fn numbers_are_judged_as_the_optimiser_uses_them() {
    assert_eq!(
        problem(|c| c.train.beta2 = 0.99999999999),
        "beta2 0.99999999999: must be at least 0 and below 1; it is 1 in f32, which is computed in"
    );
    assert!(problem(|c| c.train.beta1 = 0.99999999).starts_with("beta1 0.99999999: must be at least 0 and below 1"));
    assert!(
        problem(|c| c.train.lr = 1e39).starts_with("lr 1000000000000000000000000000000000000000: must be a finite")
    );
    assert!(problem(|c| c.train.lr = 1e39).ends_with("; it is inf in f32, which is computed in"));
    assert!(problem(|c| (c.train.lr, c.train.min_lr) = (1e-60, 0.0)).contains("it is 0 in f32"));
    assert!(problem(|c| c.train.weight_decay = 1e39).starts_with("weight-decay 1000"));
    assert!(problem(|c| c.train.eps = 1e-60).contains("must be above 0; it is 0 in f32"));
    assert!(problem(|c| c.train.clip = 1e-60).starts_with("clip 0.000"));
    assert!(problem(|c| c.train.clip = 1e39).contains("it is inf in f32"));
    assert_eq!(problem(|c| c.train.weight_decay = -0.1), "weight-decay -0.1: must be a finite number of at least 0");
    let mut config = small();
    (config.train.warmup, config.train.steps) = (u64::MAX, u64::MAX);
    config.train.validate(&config.model).unwrap();
    assert!((0.0..1e-15).contains(&config.train.schedule().at(9)), "{}", config.train.schedule().at(9));
}

#[test]
fn huge_sizes_are_refused_and_never_overflow() {
    assert!(problem(|c| c.model.width = 1 << 20).starts_with("memory of about "));
    assert!(problem(|c| c.model.width = usize::MAX).starts_with("width 18446744073709551615: must be at most"));
    assert!(problem(|c| c.train.batch = 1 << 24).contains("the limit is 64 GiB; choose smaller --layers"));
    let biggest = ModelConfig {
        layers: usize::MAX,
        heads: 1,
        width: usize::MAX,
        context: usize::MAX,
        vocab_size: usize::MAX,
        dropout: 0.0,
        bias: true,
    };
    assert_eq!(biggest.parameters(), u128::MAX);
}

#[test]
fn the_memory_of_large_is_that_of_the_table() {
    let (mut model, train, _) = Preset::Large.settings();
    model.vocab_size = 65;
    let with = |recompute| TrainConfig { recompute, ..train.clone() }.memory(&model);
    let tokens = 64 * 256;
    for (recompute, of_width, blocks) in
        [(Recompute::None, 33 + 21 + 52, 6), (Recompute::Cheap, 21 + 21 + 28, 6), (Recompute::Blocks, 12 + 6 + 8, 1)]
    {
        let memory = with(recompute);
        assert_eq!(memory.activations, 4 * tokens * (384 * of_width + 2 * 65 + blocks * 10 + 8), "{recompute}");
        assert_eq!(memory.parameters, 4 * (4 * model.parameters() + 65 * 384));
        assert_eq!(memory.total(), memory.parameters + memory.activations + memory.working);
    }
    let accumulated = TrainConfig { grad_accum: 2, ..train.clone() }.memory(&model);
    assert_eq!(accumulated.parameters - with(Recompute::Cheap).parameters, 4 * 8 * 384 * 384);
    // 10 windows and 9 targets: two batches of 8 windows, as a step has them, and the short window; of 7 windows no batch is full.
    let few = TrainConfig { batch: 8, eval_batches: 2, ..train.clone() };
    let a_token = 4 * (16 * 384 + 65);
    assert_eq!(few.validation_memory(&model, 10 * 256 + 9), 9 * a_token);
    assert_eq!(few.validation_memory(&model, 7 * 256 + 9), (7 * 256 + 9) * a_token);
    assert_eq!(few.validation_memory(&model, 99 * 256 + 9), 0);
}

#[test]
fn a_file_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small();
    config.train.lr = 0.1 + 0.2; // 0.30000000000000004: the last bit counts when a run goes on bit for bit
    config.save(&Disk, folder.path()).unwrap();
    assert_eq!(RunConfig::load(folder.path()).unwrap(), config);
}

#[test]
fn a_wrong_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(RunConfig::load(folder.path()), Err(Error::NoCheckpoint { file: FILE, .. })));
    small().save(&Disk, folder.path()).unwrap();
    let good = fs::read_to_string(folder.path().join(FILE)).unwrap();
    let wrong = |text: &str| {
        fs::write(folder.path().join(FILE), text).unwrap();
        let error = RunConfig::load(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }) && error.exit_code() == 1);
        error.to_string()
    };
    assert!(wrong(&good[..good.len() / 2]).contains("config.json is damaged"));
    assert!(wrong(&good.replace("\"heads\": 4", "\"heads\": 3")).contains("does not divide"));
    assert!(wrong(&good.replace("\"vocab_size\": 4", "\"vocab_size\": 5")).contains("the vocabulary has 4 tokens"));
    assert!(wrong("{}").contains("missing field"));
    fs::write(folder.path().join(FILE), b"\xff").unwrap();
    assert!(RunConfig::load(folder.path()).unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn a_newer_format_is_told_by_its_number_whatever_else_the_file_has() {
    let folder = tempfile::tempdir().unwrap();
    small().save(&Disk, folder.path()).unwrap();
    let good = fs::read_to_string(folder.path().join(FILE)).unwrap();
    let newer = good.replace("\"format\": 1", "\"format\": 2");
    let more = newer.replace("\"layers\": 4", "\"layers\": {\"deep\": 4}").replacen('{', "{\"license\": \"MIT\",", 1);
    for text in [newer, more] {
        fs::write(folder.path().join(FILE), text).unwrap();
        let error = RunConfig::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("config.json is of format 2, this program reads 1: use a newer gradus"), "{error}");
    }
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    small().save(&Disk, folder.path()).unwrap();
    let before = fs::read(folder.path().join(FILE)).unwrap();
    let changes: [fn(&mut RunConfig); 3] = [
        |config| config.train.lr = f64::INFINITY,
        |config| config.train.eps = f64::NAN,
        |config| config.model.dropout = f32::NAN,
    ];
    for change in changes {
        let mut config = small();
        change(&mut config);
        let error = config.save(&Disk, folder.path()).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains("cannot be saved"), "{error}");
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), before);
    }
}

#[test]
fn a_foreign_file_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "{\"mine\":1}").unwrap();
    assert!(matches!(small().save(&Disk, folder.path()), Err(Error::Foreign { .. })));
    assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), b"{\"mine\":1}");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf_8_comes_back_as_it_was() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let folder = tempfile::tempdir().unwrap();
    let mut config = small();
    config.train.data.path = Some(Path::new(OsStr::from_bytes(b"/tmp/caf\xe9.txt")).to_path_buf());
    config.save(&Disk, folder.path()).unwrap();
    assert_eq!(RunConfig::load(folder.path()).unwrap(), config);
    config.train.data.path = Some("/tmp/café.txt".into());
    config.save(&Disk, folder.path()).unwrap();
    assert!(fs::read_to_string(folder.path().join(FILE)).unwrap().contains("\"/tmp/café.txt\""));
    assert_eq!(RunConfig::load(folder.path()).unwrap(), config);
}

#[test]
fn all_that_decides_what_weights_compute_is_in_their_meaning() {
    let meaning = small().meaning();
    assert!(meaning.starts_with("layers 4, heads 4, width 128, context 64, vocab_size 4, bias false, tokenizer "));
    let changes: [fn(&mut RunConfig); 6] = [
        |config| config.model.layers = 2,
        |config| config.model.heads = 2,
        |config| config.model.width = 64,
        |config| config.model.context = 32,
        |config| config.model.bias = true,
        |config| config.tokenizer = Tokenizer::new(TokenizerKind::Char, "abd\n"),
    ];
    for change in changes {
        let mut config = small();
        change(&mut config);
        assert_ne!(config.meaning(), meaning);
    }
    let mut config = small();
    (config.model.dropout, config.train.seed) = (0.5, 9);
    assert_eq!(config.meaning(), meaning, "how it is trained is another matter");
}

#[test]
fn the_help_has_the_default_of_each_preset() {
    let value = |name| Preset::Large.default_of(name);
    assert_eq!(value("lr").as_deref(), Some("0.001"));
    assert_eq!(value("dropout").as_deref(), Some("0.2"));
    assert_eq!(value("bias").as_deref(), Some("false"));
    assert_eq!(value("tokenizer").as_deref(), Some("char"));
    assert_eq!(value("precision").as_deref(), Some("f32"));
    assert_eq!([value("threads"), value("data"), value("preset")], [None, None, None]);
    let said = |texts: [&str; 2]| summary(&[("demo", texts[0].into()), ("small", texts[1].into())]);
    assert_eq!([said(["7", "7"]), said(["7", "8"])], ["7", "demo 7, small 8"]);
}

#[test]
fn every_preset_is_valid_and_knows_its_name() {
    for &preset in Preset::value_variants() {
        let (model, train, _) = preset.settings();
        train.validate(&model).unwrap();
        assert_eq!((train.preset, preset.to_string()), (preset, preset.name().to_string()));
        assert_eq!(Preset::from_str(preset.name(), false), Ok(preset));
        assert!(train.warmup <= train.steps);
        assert_eq!(train.min_lr, train.lr / 10.0, "--lr alone takes min-lr along by this rule");
    }
}

/// As it was written by version 0.1.0, before `recompute` and with `eps` and `vocab_size` in other places.
#[test]
fn a_file_of_an_earlier_version_loads() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"format":1,
        "model":{"layers":4,"heads":4,"width":128,"context":64,"vocab_size":4,"dropout":0.0,"bias":false},
        "train":{"preset":"small","data":{"path":null,"fingerprint":""},"seed":1337,"steps":2000,"batch":12,
            "grad_accum":1,"lr":0.001,"min_lr":0.0001,"warmup":100,"weight_decay":0.1,"beta1":0.9,"beta2":0.99,
            "eps":1e-8,"clip":1.0,"precision":"f32","eval_every":250,"eval_batches":20,"log_every":10},
        "tokenizer":{"kind":"char","vocabulary":"\nabc"}}"#;
    fs::write(folder.path().join(FILE), text).unwrap();
    assert_eq!(RunConfig::load(folder.path()).unwrap(), small());
}
