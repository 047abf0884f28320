//! The command line. `gradus` alone is `gradus train --preset demo`.
//!
//! The flags of a setting of the model or of the training are declared with the setting, in the tables of `config`. One that
//! is not given is `None`, and its value comes from the preset, or with `--resume` from the saved run: see `settings`.

use crate::{
    config::{self, ModelFlags, TokenizerFlags, TrainFlags},
    device::DeviceName,
    options::plan::PlanArgs,
    parse::{real, size, whole},
    play::PlayArgs,
    precision::Precision,
    preset::Preset,
    token_args::TokenizerCommand,
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Train a GPT language model on a text file, on the processor or a CUDA device, and generate text with it
///
/// A model learns to predict the next character (or byte) of a text. `gradus` alone trains a small demo model on its own
/// source code and prints a sample of what that model writes.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "gradus", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do; nothing is `train`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  gradus                                                        Train the demo model (about two minutes)
  gradus train --data book.txt --preset small --out out/book    Train on a text of your own
  gradus train --resume --out out/book                          Continue a run that was stopped
  gradus sample --model out/book --prompt \"Once upon a\"         Generate text
  gradus eval --model out/book --data other.txt                 Measure the loss on another text
  gradus inspect --model out/book                               List parameters, draw attention maps
  gradus plan --model llama2-70b                                What such a training costs
  gradus play --settings spiral                                 Train a small network on points of a plane

`gradus COMMAND --help` describes the options of a command.";

/// What the program can do.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Train a model on a text file and print a sample of its text (the default command)
    ///
    /// Ctrl-C saves the run and ends it; `--resume` continues it. The folder of the run receives model.safetensors (the
    /// weights), config.json (the settings), metrics.jsonl and loss.svg. The first lines of the output include the memory that
    /// the run will take; `--recompute blocks` and a smaller `--batch` reduce it.
    Train(Box<TrainArgs>),
    /// Generate text with a trained model
    Sample(SampleArgs),
    /// Measure the loss and the perplexity of a model on a text file
    ///
    /// The loss is the mean cross-entropy per token, in nats; the perplexity is its exponential.
    Eval(EvalArgs),
    /// List the parameters of a model and draw its attention maps as an SVG picture
    Inspect(InspectArgs),
    /// Train a tokenizer by byte pair encoding, and turn text into token ids and back
    #[command(subcommand)]
    Tokenizer(TokenizerCommand),
    /// Train a small network on points of a plane, watch it learn, and draw all of its units
    ///
    /// On a terminal the answer over the plane is redrawn while it learns: full blocks for 1, empty ones for -1, x for points
    /// with a wrong answer. The picture has a map of every unit, a line for every weight and all points.
    Play(PlayArgs),
    /// List the devices of this machine, and what each can run
    Devices,
    /// Compute what a model costs: parameters, FLOPs, memory, time, energy and money
    ///
    /// Everything follows from the sizes of the model and the figures of the card's data sheet, by the formulas in the source file
    /// gpt/src/plan. The defaults are those of an often told example, Llama 2 with 70 billion parameters.
    Plan(PlanArgs),
}

impl Cli {
    /// The command, with the default filled in.
    pub fn command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Train(Box::default()))
    }
}

/// The flags of `gradus train`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(mut_args = config::with_defaults)]
pub struct TrainArgs {
    /// Text file to train on, UTF-8, or - for standard input; its last tenth is held out for validation [default: the source code of gradus]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Set of default values for the model and training options [default: demo]
    #[arg(long)]
    pub preset: Option<Preset>,
    /// Folder of the run: weights, settings, metrics [default: out/PRESET]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Continue the run in --out from its last checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Save and stop after this step; the learning rate schedule still spans --steps
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub stop_at: Option<u64>,
    /// Number of threads; it does not change the result [default: all cores]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Device to compute on: cpu, cuda or cuda:N; `gradus devices` lists them [default: cpu]
    #[arg(long, value_name = "DEVICE", default_value = "cpu", hide_default_value = true)]
    pub device: DeviceName,
    /// What a token is.
    #[command(flatten)]
    pub tokens: TokenizerFlags,
    /// The sizes of the model.
    #[command(flatten)]
    pub model: ModelFlags,
    /// How it is trained.
    #[command(flatten)]
    pub train: TrainFlags,
}

/// The flags of `gradus sample`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct SampleArgs {
    /// Folder of the model, as `gradus train` writes it
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Text to continue [default: a line break, which is not printed]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// Number of tokens to generate
    #[arg(long, value_name = "N", default_value = "500", value_parser = size, allow_negative_numbers = true)]
    pub tokens: usize,
    /// Divisor of the logits: below 1 favours likely tokens, above 1 evens the chances out; 0 is greedy
    #[arg(long, value_name = "X", default_value = "0.8", value_parser = real, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Sample from the N likeliest tokens only
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Nucleus sampling: sample from the fewest likeliest tokens whose probabilities add up to P
    #[arg(long, value_name = "P", value_parser = real, allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Seed of the random choices
    #[arg(long, value_name = "N", default_value = "1337", value_parser = whole, allow_negative_numbers = true)]
    pub seed: u64,
    /// Always take the likeliest token, as --temperature 0 does
    #[arg(long, conflicts_with = "temperature")]
    pub greedy: bool,
    /// Print a table with a row for every token: its probability, and the five likeliest tokens with theirs
    #[arg(long)]
    pub probabilities: bool,
    /// Type that weight matrices, keys and values are stored in; bf16 halves their memory and rounds to 8 bits
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Number of threads; it does not change the result [default: all cores]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Device to compute on: cpu, cuda or cuda:N; `gradus devices` lists them
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
}

/// The flags of `gradus eval`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct EvalArgs {
    /// Folder of the model, as `gradus train` writes it
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Text file to measure the loss on, UTF-8, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Estimate the loss on about N tokens, evenly spread over the text [default: all of them]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub tokens: Option<usize>,
    /// Type that weight matrices are stored in; bf16 halves their memory, and their products round operands to it
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Number of threads; it does not change the result [default: all cores]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Device to compute on: cpu, cuda or cuda:N; `gradus devices` lists them
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
}

/// The flags of `gradus inspect`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct InspectArgs {
    /// Folder of the model, as `gradus train` writes it
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Text whose attention is drawn [default: what the model generates by itself]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// Number of the layer to draw, from 0 [default: all layers]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub layer: Option<usize>,
    /// Number of the head to draw, from 0 [default: all heads]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub head: Option<usize>,
    /// Picture to write [default: attention.svg in the folder of the model]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Device to compute on: cpu, cuda or cuda:N; `gradus devices` lists them
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{coverage::FinalEval, tokenizer::TokenizerKind};
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
                    --weight-decay 0.1 --dropout 0.2 --eval-every 3 --eval-batches 4 --tokenizer byte --bias --precision bf16 \
                    --final-eval 5000";
        let Ok(Command::Train(args)) = parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")) else { panic!() };
        assert_eq!((args.preset, args.resume, args.stop_at), (Some(Preset::Small), true, Some(5)));
        assert_eq!(args.train.final_eval, Some(FinalEval::Tokens(5000)));
        assert_eq!((args.train.lr, args.train.steps, args.model.bias), (Some(1e-3), Some(9), Some(true)));
        assert_eq!((args.tokens.tokenizer, args.train.precision), (Some(TokenizerKind::Byte), Some(Precision::Bf16)));
        let Ok(Command::Train(args)) = parse("gradus train --tokenizer bpe:512") else { panic!() };
        assert_eq!(args.tokens.tokenizer, Some(TokenizerKind::Bpe(512)));
        for line in [
            "train --data a --vocab-size 300 --out b --pattern gpt2 --special <|end|>",
            "encode --tokenizer a --text b",
        ] {
            assert!(parse(&format!("gradus tokenizer {line}")).is_ok(), "{line}");
        }
        let line = "gradus sample --model d --prompt -a --tokens 9 --temperature 0 --top-k 3 --top-p 0.9 --seed 1 \
                    --probabilities --precision bf16";
        assert!(parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")).is_ok());
        assert!(
            parse("gradus eval --model d --data f --precision bf16").is_ok()
                && parse("gradus inspect --model d").is_ok()
        );
    }

    fn help(command: &str) -> String {
        let mut gradus = <Cli as CommandFactory>::command();
        gradus.build();
        let command = gradus.find_subcommand_mut(command).unwrap();
        command.render_help().to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_help_of_train_has_the_default_of_every_flag() {
        let mut gradus = <Cli as CommandFactory>::command();
        gradus.build();
        let train = gradus.find_subcommand("train").unwrap();
        for flag in train.get_arguments().filter(|flag| flag.get_action().takes_values() && flag.get_id() != "stop_at")
        {
            let text = flag.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(text.contains("[default: "), "--{}: {text}", flag.get_id());
        }
        for preset in <Preset as clap::ValueEnum>::value_variants() {
            let steps = format!("{} {}", preset.name(), preset.settings().1.steps);
            assert!(help("train").contains(&steps), "{steps}: {}", help("train"));
        }
        let [train, sample] = [help("train"), help("sample")];
        assert!(train.contains("[default: demo 16, small 12, large 64]"), "{train}");
        assert!(train.contains("[default: demo 0, small 0, large 0.2]"), "{train}");
        assert!(train.contains("a tenth of that [default: 0.0001]"), "{train}");
        assert!(!sample.contains("demo 16") && sample.contains("[default: 0.8]"), "{sample}");
    }

    #[test]
    fn the_help_says_what_precision_does_to_memory() {
        let texts = ["train", "sample", "eval"].map(help);
        assert!(texts[0].contains("memory is unchanged") && !texts[0].contains("halves"), "{}", texts[0]);
        assert!(texts[1..].iter().all(|text| text.contains("bf16 halves their memory")), "{texts:?}");
    }

    #[test]
    fn greedy_and_a_temperature_contradict_each_other() {
        let error = parse("gradus sample --model d --greedy --temperature 0.5").unwrap_err().to_string();
        assert!(error.contains("'--greedy' cannot be used with '--temperature"), "{error}");
        assert!(
            parse("gradus sample --model d --greedy").is_ok(),
            "the default temperature is not one that was asked for"
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
