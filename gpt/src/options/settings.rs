//! From flags to settings: a new run starts from a preset, a resumed one from what it saved.
//!
//! A resumed run goes on bit for bit as if it had never stopped, so a flag that differs from the saved settings is refused
//! by its name. Free are only `--steps` and `--stop-at`, `--threads` and `--recompute` (no result depends on them), and
//! the settings of what is measured and kept: `--eval-every`, `--eval-batches`, `--log-every`, `--final-eval`, `--best`.

use crate::{
    args::TrainArgs,
    config::{self, ModelConfig, RunConfig, TokenizerConfig, TrainConfig},
    dataset::Source,
    error::{Error, Result},
    tokenizer::TokenizerKind,
};
use std::path::PathBuf;

/// The most threads that are started.
pub const MOST_THREADS: usize = 1024;

/// The settings of a new run: the preset's, changed by the flags. The vocabulary is not known yet.
///
/// # Errors
/// [`Error::Setting`] for a value that is not valid.
pub fn fresh(args: &TrainArgs) -> Result<(ModelConfig, TrainConfig, TokenizerKind)> {
    let preset = args.preset.unwrap_or_default();
    let (mut model, mut train) = (ModelConfig::of(preset), TrainConfig::of(preset));
    let mut tokens = TokenizerConfig::of(preset);
    tokens.set(&args.tokens);
    model.set(&args.model);
    train.set(&args.train);
    train.data = Source::new(args.data.as_deref());
    if let (Some(lr), None) = (args.train.lr, args.train.min_lr) {
        train.min_lr = lr / 10.0;
    }
    tokens.validate()?;
    train.validate(&model)?;
    warmup_fits(args.train.warmup, &train)?;
    stop_fits(args.stop_at, &train)?;
    Ok((model, train, tokens.tokenizer))
}

/// The settings of a resumed run: the saved ones, but for what may change.
///
/// # Errors
/// [`Error::Contradiction`] for the first flag that says something else; [`Error::Setting`] for a value that is not
/// valid.
pub fn resumed(args: &TrainArgs, saved: &RunConfig) -> Result<RunConfig> {
    let mut run = saved.clone();
    config::fixed("preset", &args.preset, &mut run.train.preset)?;
    TokenizerConfig { tokenizer: run.tokenizer.kind() }.set_on_resume(&args.tokens)?;
    run.model.set_on_resume(&args.model)?;
    run.train.set_on_resume(&args.train)?;
    if let Some(path) = &args.data {
        // The same text may lie elsewhere by now: reading it compares what it says, not where it is.
        run.train.data.path = Source::new(Some(path)).path;
    }
    run.train.validate(&run.model)?;
    stop_fits(args.stop_at, &run.train)?;
    Ok(run)
}

/// The folder of a run: `--out`, or the preset's name below `out`.
pub fn folder(args: &TrainArgs) -> PathBuf {
    args.out.clone().unwrap_or_else(|| PathBuf::from("out").join(args.preset.unwrap_or_default().name()))
}

/// That `threads`, if given, is a number of threads that can be started.
///
/// # Errors
/// [`Error::Setting`].
pub fn threads(threads: Option<usize>) -> Result<Option<usize>> {
    match threads {
        Some(n) if n == 0 || n > MOST_THREADS => {
            Err(Error::setting("threads", n, format!("must be from 1 to {MOST_THREADS}")))
        }
        threads => Ok(threads),
    }
}

/// That a run that goes on after `step` is not asked to end before it.
///
/// # Errors
/// [`Error::Setting`] with both steps.
pub fn not_before(step: u64, stop_at: Option<u64>, train: &TrainConfig) -> Result<()> {
    let (name, end) = stop_at.map_or(("steps", train.steps), |stop_at| ("stop-at", stop_at));
    if end < step {
        let problem = format!("the run is at step {step} already; give --{name} {step} or more");
        return Err(Error::setting(name, end, problem));
    }
    Ok(())
}

/// A preset's warm-up may be longer than a run that is cut short by `--steps`; one that is asked for may not.
fn warmup_fits(asked: Option<u64>, train: &TrainConfig) -> Result<()> {
    match asked {
        Some(warmup) if warmup > train.steps => {
            let problem = format!("is more than the {} steps of the run; choose fewer, or more --steps", train.steps);
            Err(Error::setting("warmup", warmup, problem))
        }
        _ => Ok(()),
    }
}

/// What to say of a run whose warm-up, that of its preset, does not end before the run does.
pub fn long_warmup(train: &TrainConfig) -> Option<String> {
    (train.steps > 0 && train.warmup >= train.steps).then(|| {
        format!(
            "the warm-up of {} steps is not shorter than the run of {}: the learning rate only comes to {:.2e} of --lr {}; \
             give --warmup {} to reach it",
            train.warmup,
            train.steps,
            train.schedule().at(train.steps - 1),
            train.lr,
            train.steps / 10,
        )
    })
}

fn stop_fits(stop_at: Option<u64>, train: &TrainConfig) -> Result<()> {
    match stop_at {
        Some(step) if step > train.steps => Err(Error::setting(
            "stop-at",
            step,
            format!("is after the last step, {}; choose an earlier one, or more --steps", train.steps),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        args::{Cli, Command},
        config::FORMAT,
        coverage::FinalEval,
        precision::Precision,
        tokenizer::Tokenizer,
    };
    use clap::Parser;

    fn args(flags: &str) -> TrainArgs {
        match Cli::parse_from(format!("gradus train {flags}").split_whitespace()).command() {
            Command::Train(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn saved() -> RunConfig {
        let (mut model, train, _) = fresh(&args("--preset small --steps 100 --lr 0.0003")).unwrap();
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "abc");
        model.vocab_size = tokenizer.vocab_size();
        RunConfig { format: FORMAT, model, train, tokenizer }
    }

    #[test]
    fn flags_win_over_the_preset() {
        let flags = "--preset large --layers 2 --heads 3 --width 48 --context 9 --dropout 0.5 --bias --seed 7 --steps 30 \
                     --batch 5 --grad-accum 2 --lr 0.01 --min-lr 0.002 --warmup 4 --weight-decay 0.3 --beta1 0.8 \
                     --beta2 0.95 --clip 0 --precision bf16 --eval-every 11 --eval-batches 12 --log-every 13 --tokenizer byte";
        let (model, train, tokenizer) = fresh(&args(flags)).unwrap();
        assert_eq!((model.layers, model.heads, model.width, model.context), (2, 3, 48, 9));
        assert_eq!((model.dropout, model.bias, tokenizer), (0.5, true, TokenizerKind::Byte));
        assert_eq!((train.seed, train.steps, train.batch, train.grad_accum, train.warmup), (7, 30, 5, 2, 4));
        assert_eq!((train.lr, train.min_lr, train.weight_decay, train.clip), (0.01, 0.002, 0.3, 0.0));
        assert_eq!((train.beta1, train.beta2, train.precision), (0.8, 0.95, Precision::Bf16));
        assert_eq!((train.eval_every, train.eval_batches, train.log_every), (11, 12, 13));
    }

    #[test]
    fn the_lowest_learning_rate_follows_the_highest() {
        assert_eq!(fresh(&args("--lr 0.0001")).unwrap().1.min_lr, 0.00001);
        assert!(fresh(&args("--lr 0.0001 --min-lr 0.001")).unwrap_err().to_string().starts_with("min-lr 0.001"));
    }

    #[test]
    fn a_short_run_may_keep_the_warm_up_of_its_preset_but_not_ask_for_a_longer_one() {
        assert!(fresh(&args("--steps 0")).is_ok() && fresh(&args("--steps 50")).is_ok());
        assert_eq!(
            fresh(&args("--steps 50 --warmup 51")).unwrap_err().to_string(),
            "warmup 51: is more than the 50 steps of the run; choose fewer, or more --steps"
        );
        assert!(fresh(&args("--steps 50 --stop-at 51")).unwrap_err().to_string().starts_with("stop-at 51"));
        let said = |flags: &str| long_warmup(&fresh(&args(flags)).unwrap().1);
        let text = said("--steps 50").unwrap();
        assert!(text.starts_with("the warm-up of 100 steps is not shorter than the run of 50"), "{text}");
        assert!(text.contains("only comes to 4.95e-4 of --lr 0.001") && text.contains("--warmup 5 "), "{text}");
        assert!(said("--steps 100").is_some());
        assert_eq!([said("--steps 101"), said("--steps 0"), said("--steps 50 --warmup 5")], [None, None, None]);
    }

    #[test]
    fn a_resumed_run_keeps_what_was_saved() {
        let saved = saved();
        assert_eq!(resumed(&args("--resume"), &saved).unwrap(), saved);
        assert_eq!(resumed(&args("--resume --lr 0.0003 --layers 4 --preset small"), &saved).unwrap(), saved);
        let free = "--resume --steps 200 --stop-at 150 --threads 4 --eval-every 1 --eval-batches 2 --log-every 3 \
                    --final-eval all --best";
        let run = resumed(&args(free), &saved).unwrap();
        assert_eq!(
            (run.train.steps, run.train.eval_every, run.train.eval_batches, run.train.log_every, run.train.final_eval),
            (200, 1, 2, 3, FinalEval::All)
        );
        assert!(run.train.best && !saved.train.best);
        assert!(!resumed(&args("--resume --best false"), &run).unwrap().train.best);
        assert_eq!((run.train.lr, run.train.warmup), (saved.train.lr, saved.train.warmup));
    }

    #[test]
    fn a_run_is_not_asked_to_end_before_the_step_it_is_at() {
        let train = saved().train; // of 100 steps
        assert!(not_before(100, None, &train).is_ok() && not_before(4, Some(4), &train).is_ok());
        let problem = |step, stop_at| not_before(step, stop_at, &train).unwrap_err().to_string();
        assert_eq!(problem(101, None), "steps 100: the run is at step 101 already; give --steps 101 or more");
        assert_eq!(problem(4, Some(2)), "stop-at 2: the run is at step 4 already; give --stop-at 4 or more");
    }

    #[test]
    fn each_flag_that_contradicts_is_named() {
        let flags = "preset=demo tokenizer=byte layers=2 heads=2 width=64 context=32 dropout=0.1 bias=true seed=2 batch=3 \
                     grad-accum=2 lr=0.1 min-lr=0.1 warmup=3 weight-decay=0 beta1=0.1 beta2=0.1 clip=2 \
                     precision=bf16";
        for flag in flags.split_whitespace() {
            let error = resumed(&args(&format!("--resume --{flag}")), &saved()).unwrap_err();
            let name = flag.split('=').next().unwrap();
            assert!(matches!(&error, Error::Contradiction { flag, .. } if *flag == name), "{flag}: {error}");
            assert!(error.to_string().starts_with(&format!("--{name} ")) && error.exit_code() == 2);
        }
    }

    #[test]
    fn threads_are_checked_and_folders_named() {
        assert!(threads(Some(0)).is_err() && threads(Some(1025)).is_err());
        assert_eq!((threads(Some(8)).unwrap(), threads(None).unwrap()), (Some(8), None));
        assert_eq!(folder(&args("--preset small")), PathBuf::from("out/small"));
        assert_eq!(folder(&args("--out x")), PathBuf::from("x"));
    }
}
