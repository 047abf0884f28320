//! `gradus train`: from a text to a folder with a model.

use crate::{
    args::TrainArgs,
    checkpoint,
    commands::sample,
    config::{self, FORMAT, RunConfig},
    dataset::{Dataset, Part},
    error::Result,
    files::Disk,
    generate::{Generator, stream},
    interrupt::{Interrupt, Signal},
    memory::{self, Forecast},
    metrics,
    model::Gpt,
    output,
    run_folder::{self, RunFolder},
    sampler::{Sampler, Sampling},
    settings, threads,
    tokenizer::{Tokenizer, TokenizerKind},
    training::{self, Outcome, Prepared},
};
use gradus_autograd::Device;
use std::path::Path;

/// Trains. Returns the exit status: 0, or that of the signal that stopped the run.
///
/// # Errors
/// Those of [`prepare`], and of writing the folder.
pub fn run(args: &TrainArgs) -> Result<u8> {
    let prepared = prepare(args)?;
    output::note(&describe(&prepared));
    let forecast = Forecast::of(&prepared.run, &prepared.data, &prepared.device);
    output::note(&forecast.line());
    let free = memory::free_mib(&prepared.device);
    free.and_then(|free| forecast.warning(free)).iter().for_each(|text| output::note(text));
    large_vocabulary(&prepared.run).iter().for_each(|text| output::note(text));
    settings::long_warmup(&prepared.run.train).iter().for_each(|text| output::note(text));
    threads::run(prepared.threads, || {
        let interrupt = Interrupt::listen()?;
        let outcome = training::train(&prepared, &interrupt)?;
        if outcome.stopped_by.is_none() {
            show_sample(outcome.trainer.model(), &prepared.run.tokenizer)?;
        }
        let Prepared { dir, .. } = &prepared;
        let files = [checkpoint::MODEL, config::FILE, metrics::FILE, checkpoint::LOSS_PLOT];
        let paths = files.map(|file| dir.join(file).display().to_string());
        output::note(&format!("wrote {}", paths.join(", ")));
        output::line(&summary(&outcome, prepared.run.train.steps))?;
        Ok(outcome.stopped_by.map_or(0, Signal::exit_code))
    })
}

/// What the model writes now, as it writes it.
fn show_sample(model: &Gpt, tokenizer: &Tokenizer) -> Result<()> {
    const TOKENS: usize = 300;
    let sampling = Sampling { temperature: 0.8, top_k: None, top_p: None };
    let prompt = sample::prompt_tokens(tokenizer, None)?;
    let mut generator = Generator::new(model, Sampler::new(sampling, 1337)?, &prompt);
    stream(&mut generator, tokenizer, TOKENS, output::print)?;
    output::line("")
}

/// Finds the settings (from the preset or the saved run, and the flags), reads the text, and checks both.
///
/// # Errors
/// The first thing that is wrong with the flags, the saved settings or the text.
pub fn prepare(args: &TrainArgs) -> Result<Prepared> {
    let threads = settings::threads(args.threads)?;
    let device = args.device.open()?;
    let dir = settings::folder(args);
    let (run, data, folder) = if args.resume {
        let (run, data, folder) = resumed(args, &dir)?;
        (run, data, Some(folder))
    } else {
        run_folder::check(&dir)?; // before a long text is read; once more when the folder is taken
        let (run, data) = fresh(args)?;
        (run, data, None)
    };
    let stop_at = args.stop_at.unwrap_or(run.train.steps);
    Ok(Prepared { dir, run, data, folder, stop_at, threads, device, files: Box::new(Disk) })
}

fn fresh(args: &TrainArgs) -> Result<(RunConfig, Dataset)> {
    let (mut model, mut train, kind) = settings::fresh(args)?;
    let (data, tokenizer) = Dataset::load(&mut train.data, kind, model.context, &settings::folder(args))?;
    model.vocab_size = tokenizer.vocab_size();
    train.validate(&model)?; // once more: now the vocabulary is known
    Ok((RunConfig { format: FORMAT, model, train, tokenizer }, data))
}

fn resumed(args: &TrainArgs, dir: &Path) -> Result<(RunConfig, Dataset, RunFolder)> {
    RunConfig::load(dir)?; // in a folder of others nothing is written, no lock either
    let folder = RunFolder::resume(dir)?;
    let mut run = settings::resumed(args, &RunConfig::load(dir)?)?; // as it is now that nobody else writes it
    // A text that is piped in again is compared with the first one.
    let cached = (args.data.is_none() || !run.train.data.is_stream()).then_some(dir);
    let data = Dataset::load_with(&mut run.train.data, &run.tokenizer, cached)?;
    data.check(&run.train.data.name(), &[Part::Training, Part::Validation], run.model.context)?;
    Ok((run, data, folder))
}

/// What is about to be trained on what, in two lines.
pub fn describe(prepared: &Prepared) -> String {
    let Prepared { run, data, .. } = prepared;
    let (model, train) = (&run.model, &run.train);
    let count = |number: usize| output::thousands(number as u128);
    format!(
        "text   {}: {} tokens train, {} validate, vocabulary {}\n\
         model  {} parameters: {} layers, {} heads, width {}, context {}, precision {}, {}",
        train.data.name(),
        count(data.len(Part::Training)),
        count(data.len(Part::Validation)),
        count(model.vocab_size),
        output::thousands(model.parameters()),
        model.layers,
        model.heads,
        model.width,
        model.context,
        train.precision,
        computes_on(prepared),
    )
}

/// The threads of the processor, or the device.
fn computes_on(prepared: &Prepared) -> String {
    match &prepared.device {
        Device::Cpu => format!("threads {}", prepared.threads.unwrap_or_else(threads::default_count)),
        #[cfg(feature = "cuda")]
        Device::Cuda(gpu) => format!("on {gpu:?}"),
        device => format!("on {device}"),
    }
}

/// What a vocabulary of many characters makes of the model, where it makes much of it.
pub fn large_vocabulary(run: &RunConfig) -> Option<String> {
    const MANY: usize = 5000;
    let (vocabulary, parameters) = (run.model.vocab_size, run.model.parameters());
    let embeddings = vocabulary as u128 * run.model.width as u128;
    let large = vocabulary > 256 && (vocabulary >= MANY || 2 * embeddings > parameters);
    (large && run.tokenizer.kind() == TokenizerKind::Char).then(|| {
        format!(
            "note   the embeddings of {} characters are {} of the parameters, {:.0}%; with --tokenizer byte they are {}, \
             and a character takes one to four tokens",
            output::thousands(vocabulary as u128),
            output::thousands(embeddings),
            100.0 * embeddings as f64 / parameters as f64,
            output::thousands(256 * run.model.width as u128),
        )
    })
}

/// The last line of a run of `steps` steps: it begins with `done:` where the run has come to its end, and with `stopped:`
/// where a signal or `--stop-at` ended it before.
pub fn summary(outcome: &Outcome<'_>, steps: u64) -> String {
    let step = outcome.trainer.step_count();
    let finished = step >= steps && outcome.stopped_by.is_none();
    format!(
        "{}: step {step}, train loss {:.4}, val loss {} over {} tokens, {:.0} tokens/s, peak memory {}",
        if finished { "done" } else { "stopped" },
        outcome.train_loss,
        outcome.validation,
        outcome.validation.tokens,
        outcome.tokens_per_second,
        memory::peak_text(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkpoint::{Checkpoint, NamedArray},
        error::Error,
        evaluation::Evaluation,
        metrics,
        trainer::Trainer,
        training::Opened,
    };
    use std::fs;

    fn args(folder: &std::path::Path) -> TrainArgs {
        let data = folder.join("text.txt");
        fs::write(&data, "to be or not to be, that is the question\n".repeat(50)).unwrap();
        TrainArgs { data: Some(data), out: Some(folder.join("run")), ..TrainArgs::default() }
    }

    #[test]
    fn a_run_can_be_prepared_opened_and_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path());
        let first = prepare(&args).unwrap();
        assert_eq!((first.run.model.vocab_size, first.stop_at), (15, first.run.train.steps));
        assert!(!first.dir.exists(), "preparing writes nothing");
        assert!(first.open(0).unwrap().metrics.is_empty());

        let resume = TrainArgs { resume: true, stop_at: Some(7), ..args.clone() };
        let second = prepare(&resume).unwrap();
        assert_eq!((&second.run, second.stop_at), (&first.run, 7));
        assert!(matches!(
            prepare(&TrainArgs { out: Some("nowhere".into()), ..resume }),
            Err(Error::NoCheckpoint { .. })
        ));
    }

    #[test]
    fn a_new_run_starts_with_empty_metrics() {
        let folder = tempfile::tempdir().unwrap();
        let prepared = prepare(&args(folder.path())).unwrap();
        let Opened { mut log, .. } = prepared.open(0).unwrap();
        let metric = metrics::Metric {
            step: 0,
            train_loss: 1.0,
            val_loss: None,
            val_tokens: None,
            val_standard_error: None,
            lr: 0.0,
            grad_norm: 0.0,
            tokens_per_second: 0.0,
            elapsed_s: 0.0,
        };
        log.push(&metric).unwrap();
        let weight = NamedArray { name: "w", shape: &[1], data: &[0.5] };
        Checkpoint { step: 0, meaning: "", model: &[weight], optimizer: &[] }.save(&Disk, &prepared.dir).unwrap();
        assert!(prepared.open(0).unwrap().metrics.is_empty());
        assert_eq!(metrics::read(&prepared.dir.join("earlier-1")).unwrap(), [metric]);
    }

    #[test]
    fn a_large_vocabulary_is_spoken_of() {
        let folder = tempfile::tempdir().unwrap();
        let text: String = (0x4e00..).filter_map(char::from_u32).take(20_000).collect();
        let note = |kind, text: &str| {
            let mut args = args(folder.path());
            (args.preset, args.tokens.tokenizer) = (Some(crate::preset::Preset::Small), Some(kind));
            fs::write(args.data.as_ref().unwrap(), text).unwrap();
            large_vocabulary(&prepare(&args).unwrap().run)
        };
        // 128 channels; 4 blocks of 12·128² + 2·128, 64 positions and the last norm are 795,776 parameters more.
        assert_eq!(
            note(TokenizerKind::Char, &text).unwrap(),
            "note   the embeddings of 20,000 characters are 2,560,000 of the parameters, 76%; with --tokenizer byte they \
             are 32,768, and a character takes one to four tokens"
        );
        assert_eq!(note(TokenizerKind::Byte, &text), None);
        assert_eq!(note(TokenizerKind::Char, &"to be or not to be, that is the question\n".repeat(50)), None);
    }

    #[test]
    fn the_last_line_has_the_form_that_scripts_read() {
        let folder = tempfile::tempdir().unwrap();
        let prepared = prepare(&args(folder.path())).unwrap();
        let mut outcome = Outcome {
            trainer: Trainer::new(&prepared.run, &prepared.data),
            stopped_by: None,
            train_loss: 1.234_56,
            validation: Evaluation { loss: 1.5, tokens: 640, standard_error: None },
            tokens_per_second: 45_678.9,
        };
        let line = summary(&outcome, 0);
        let form = "step 0, train loss 1.2346, val loss 1.5000 over 640 tokens, 45679 tokens/s, peak memory ";
        assert!(line.starts_with(&format!("done: {form}")), "{line}");
        assert!(summary(&outcome, 1).starts_with(&format!("stopped: {form}")), "it is not at its end");
        (outcome.stopped_by, outcome.validation.standard_error) = (Some(Signal::Interrupt), Some(0.01));
        let line = summary(&outcome, 0);
        assert!(
            line.starts_with("stopped: step 0, train loss 1.2346, val loss 1.5000 ± 0.0100 over 640 tokens"),
            "{line}"
        );
    }
}
