//! `gradus sample`: a model continues a prompt.

use crate::{
    args::SampleArgs,
    commands::probabilities::Table,
    config::RunConfig,
    error::Result,
    generate::{Generator, stream},
    model::Gpt,
    output,
    sampler::{Sampler, Sampling},
    settings, threads,
    tokenizer::Tokenizer,
    trainer,
};
use gradus_autograd::Device;
use gradus_nn::Module;
use std::time::Instant;

/// All that generation needs besides the weights.
#[derive(Debug)]
pub struct Prepared {
    /// The settings of the model.
    pub run: RunConfig,
    /// The prompt as tokens, at least one.
    pub prompt: Vec<u32>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// How many threads to use; `None` for all cores.
    pub threads: Option<usize>,
    /// Where it computes.
    pub device: Device,
}

/// Generates text, and prints it as it comes, or a table of every step.
///
/// # Errors
/// Those of [`prepare`], and of writing to standard output.
pub fn run(args: &SampleArgs) -> Result<()> {
    let prepared = prepare(args)?;
    threads::run(prepared.threads, || {
        let Prepared { run, prompt, sampling, device, .. } = &prepared;
        let model = trainer::load_at(&args.model, run, args.precision)?;
        model.to_device(device);
        let mut generator = Generator::new(&model, Sampler::new(*sampling, args.seed)?, prompt);
        let begin = Instant::now();
        let given = args.prompt.as_deref().unwrap_or_default();
        if args.probabilities {
            let table = Table::new(&run.tokenizer, *sampling, prompt)?;
            let text = print_table(&mut generator, table, args.tokens)?;
            output::print(&format!("\n{given}{text}"))?;
        } else {
            output::print(given)?;
            stream(&mut generator, &run.tokenizer, args.tokens, output::print)?;
        }
        output::line("")?;
        output::note(&speed_line(args.tokens, begin.elapsed().as_secs_f64()));
        Ok(())
    })
}

/// Prints the rows of `table` as they come, and returns the generated text.
fn print_table(generator: &mut Generator<'_, Gpt>, mut table: Table<'_>, tokens: usize) -> Result<String> {
    output::line(&table.header())?;
    for _ in 0..tokens {
        let candidates = generator.candidates()?;
        let chosen = generator.next_token()?;
        output::line(&table.step(chosen, &candidates)?)?;
    }
    Ok(table.finish())
}

/// Reads the settings of the model and checks the flags and the prompt.
///
/// # Errors
/// The first thing that is wrong with them.
pub fn prepare(args: &SampleArgs) -> Result<Prepared> {
    let threads = settings::threads(args.threads)?;
    let temperature = if args.greedy { 0.0 } else { args.temperature };
    let sampling = Sampling { temperature, top_k: args.top_k, top_p: args.top_p };
    sampling.validate()?;
    let run = RunConfig::load(&args.model)?;
    let prompt = prompt_tokens(&run.tokenizer, args.prompt.as_deref())?;
    Ok(Prepared { run, prompt, sampling, threads, device: args.device.open()? })
}

/// The tokens of a prompt; without one a line break, after which anything may begin, or the first token there is.
///
/// # Errors
/// [`crate::Error::UnknownCharacter`].
pub fn prompt_tokens(tokenizer: &Tokenizer, prompt: Option<&str>) -> Result<Vec<u32>> {
    match prompt {
        Some(text) if !text.is_empty() => tokenizer.encode(text),
        _ => Ok(tokenizer.encode("\n").unwrap_or_else(|_| vec![0])),
    }
}

/// The line on standard error after a sample.
pub fn speed_line(tokens: usize, seconds: f64) -> String {
    format!("{tokens} tokens, {:.0} tokens/s", tokens as f64 / seconds.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TokenizerKind;

    #[test]
    fn without_a_prompt_a_line_begins() {
        let lines = Tokenizer::new(TokenizerKind::Char, "ab\n");
        assert_eq!(prompt_tokens(&lines, None).unwrap(), [0]);
        assert_eq!(prompt_tokens(&lines, Some("")).unwrap(), [0]);
        assert_eq!(prompt_tokens(&lines, Some("ba")).unwrap(), [2, 1]);
        assert!(prompt_tokens(&lines, Some("天")).is_err());
        assert_eq!(prompt_tokens(&Tokenizer::new(TokenizerKind::Char, "xy"), None).unwrap(), [0]);
    }

    #[test]
    fn the_speed_is_in_tokens_per_second() {
        assert_eq!(speed_line(500, 0.25), "500 tokens, 2000 tokens/s");
    }
}
