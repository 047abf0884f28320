//! The command line. `gradus` alone is `gradus train --preset demo`.
//!
//! A flag of `train` that is not given is `None`, and its value comes from the preset, or with `--resume` from the
//! saved run: see `settings`. Here only what is no number at all is refused; which numbers make sense is said in one
//! place for the command line and `config.json` both, in `config`.

use crate::{precision::Precision, preset::Preset, tokenizer::TokenizerKind};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A GPT from scratch: train it, let it write, look inside.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "gradus", version, about, long_about = None, max_term_width = 100)]
pub struct Cli {
    /// What to do; nothing is `train`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Train a model on a text, and let it write a sample (this is what happens without a command)
    Train(Box<TrainArgs>),
    /// Let a trained model write
    Sample(SampleArgs),
    /// Measure the loss of a model on a whole text
    Eval(EvalArgs),
    /// Print the parameters of a model and draw where its heads look
    Inspect(InspectArgs),
}

impl Cli {
    /// The command, with the default filled in.
    pub fn command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Train(Box::default()))
    }
}

/// The flags of `gradus train`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct TrainArgs {
    /// The text to learn from [default: the sources of gradus itself]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Where the settings that are not given come from [default: demo]
    #[arg(long)]
    pub preset: Option<Preset>,
    /// The folder for the model and all that belongs to it [default: out/PRESET]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the run in --out
    #[arg(long)]
    pub resume: bool,
    /// End after this step as Ctrl-C would, on the schedule of --steps
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub stop_at: Option<u64>,
    /// Threads [default: all cores]; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// The sizes of the model.
    #[command(flatten)]
    pub model: ModelFlags,
    /// How it is trained.
    #[command(flatten)]
    pub train: TrainFlags,
}

/// The flags for the sizes of the model.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelFlags {
    /// A token per character of the text, or per byte
    #[arg(long)]
    pub tokenizer: Option<TokenizerKind>,
    /// Blocks, one after the other
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub layers: Option<usize>,
    /// Attention heads in a block; they share the width evenly
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub heads: Option<usize>,
    /// Channels
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub width: Option<usize>,
    /// Tokens that the model looks back on
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub context: Option<usize>,
    /// The chance that an activation is dropped
    #[arg(long, value_name = "P", value_parser = real, allow_negative_numbers = true)]
    pub dropout: Option<f64>,
    /// Biases in the linear layers and the norms
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub bias: Option<bool>,
}

/// The flags for the training.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainFlags {
    /// Updates of the weights; 0 writes the model as it is initialised
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub steps: Option<u64>,
    /// Decides the first weights, the batches and the dropout
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Windows of text in a batch
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// Batches whose gradients are added up before an update
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub grad_accum: Option<usize>,
    /// The highest learning rate
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// The learning rate of the last step [default: a tenth of --lr]
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub min_lr: Option<f64>,
    /// Steps in which the learning rate rises from nothing
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub warmup: Option<u64>,
    /// AdamW's pull of the weights towards 0
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// AdamW's memory of the gradient
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub beta1: Option<f64>,
    /// AdamW's memory of the squared gradient
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub beta2: Option<f64>,
    /// The largest norm that the gradient may have; 0 lets it be
    #[arg(long, value_name = "X", value_parser = real, allow_negative_numbers = true)]
    pub clip: Option<f64>,
    /// What matrix products and attention round their operands to
    #[arg(long)]
    pub precision: Option<Precision>,
    /// Steps from one validation, and checkpoint, to the next
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub eval_every: Option<u64>,
    /// Batches that the validation loss is estimated from
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub eval_batches: Option<usize>,
    /// Steps from one line of metrics.jsonl to the next
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub log_every: Option<u64>,
}

/// The flags of `gradus sample`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct SampleArgs {
    /// The folder of the model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The text to go on with
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// How many tokens to write
    #[arg(long, value_name = "N", default_value = "500", value_parser = size, allow_negative_numbers = true)]
    pub tokens: usize,
    /// Below 1 bolder about the likeliest, above 1 wilder; 0 always takes the likeliest
    #[arg(long, value_name = "F", default_value = "0.8", value_parser = real, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Choose among the N likeliest tokens only
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Choose among the likeliest tokens that together have this chance
    #[arg(long, value_name = "F", value_parser = real, allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Decides the choices
    #[arg(long, value_name = "N", default_value = "1337", value_parser = whole, allow_negative_numbers = true)]
    pub seed: u64,
    /// Always take the likeliest token
    #[arg(long)]
    pub greedy: bool,
    /// Print for every step the five likeliest next tokens with their chances
    #[arg(long)]
    pub probabilities: bool,
    /// What the weights are kept in
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub threads: Option<usize>,
}

/// The flags of `gradus eval`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct EvalArgs {
    /// The folder of the model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The text
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// What the weights are kept in
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub threads: Option<usize>,
}

/// The flags of `gradus inspect`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct InspectArgs {
    /// The folder of the model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The text whose attention is drawn
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// The picture [default: attention.svg in the folder of the model]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "give a whole number of 0 or more".into())
}

fn size(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "give a whole number of 0 or more".into())
}

fn real(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| "give a finite number such as 0.001".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(Cli::command)
    }

    #[test]
    fn the_definition_is_sound() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn nothing_trains_with_all_defaults() {
        assert_eq!(parse("gradus").unwrap(), Command::Train(Box::default()));
        assert_eq!(parse("gradus train").unwrap(), Command::Train(Box::default()));
    }

    #[test]
    fn every_flag_of_the_documentation_is_there() {
        let line = "gradus train --data a.txt --preset small --out d --resume --steps 9 --stop-at 5 --seed 3 --threads 2 \
                    --layers 1 --heads 2 --width 4 --context 8 --batch 2 --grad-accum 3 --lr 1e-3 --min-lr 1e-4 --warmup 2 \
                    --weight-decay 0.1 --dropout 0.2 --eval-every 3 --eval-batches 4 --tokenizer byte --bias --precision bf16";
        let Ok(Command::Train(args)) = parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")) else { panic!() };
        assert_eq!((args.preset, args.resume, args.stop_at), (Some(Preset::Small), true, Some(5)));
        assert_eq!((args.train.lr, args.train.steps, args.model.bias), (Some(1e-3), Some(9), Some(true)));
        assert_eq!((args.model.tokenizer, args.train.precision), (Some(TokenizerKind::Byte), Some(Precision::Bf16)));
        let line = "gradus sample --model d --prompt -a --tokens 9 --temperature 0 --top-k 3 --top-p 0.9 --seed 1 --greedy \
                    --probabilities --precision bf16";
        assert!(parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")).is_ok());
        assert!(
            parse("gradus eval --model d --data f --precision bf16").is_ok()
                && parse("gradus inspect --model d").is_ok()
        );
    }

    #[test]
    fn what_is_no_number_is_refused_by_name() {
        for (flag, value) in
            [("lr", "NaN"), ("lr", "inf"), ("layers", "-1"), ("steps", "1e3"), ("batch", "99999999999999999999")]
        {
            let error = parse(&format!("gradus train --{flag} {value}")).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("'{value}' for '--{flag} <")) && text.contains(": give a "), "{text}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
