//! `gradus sample`: a model writes on from a prompt.

use crate::{
    args::SampleArgs,
    config::RunConfig,
    error::Result,
    generate::{Generator, stream},
    output,
    sampler::{Sampler, Sampling},
    settings, threads,
    tokenizer::Tokenizer,
    trainer,
};
use std::time::Instant;

/// All that generation needs besides the weights.
#[derive(Debug)]
pub struct Prepared {
    /// The settings of the model.
    pub run: RunConfig,
    /// The prompt as tokens, at least one.
    pub prompt: Vec<u32>,
    /// What chooses the tokens.
    pub sampler: Sampler,
    /// How many threads to use; `None` for all cores.
    pub threads: Option<usize>,
}

/// Writes.
///
/// # Errors
/// Those of [`prepare`].
pub fn run(args: &SampleArgs) -> Result<()> {
    let Prepared { run, prompt, sampler, threads } = prepare(args)?;
    threads::run(threads, || {
        let model = trainer::load_at(&args.model, &run.model, args.precision)?;
        let mut generator = Generator::new(&model, sampler, &prompt);
        if let Some(text) = &args.prompt {
            output::print(if args.probabilities { "" } else { text })?;
        }
        let begin = Instant::now();
        if args.probabilities {
            for _ in 0..args.tokens {
                let likeliest = generator.likeliest(5)?.to_vec();
                let chosen = generator.next_token()?;
                output::line(&probabilities_line(&run.tokenizer, chosen, &likeliest))?;
            }
        } else {
            stream(&mut generator, &run.tokenizer, args.tokens, output::print)?;
            output::line("")?;
        }
        output::note(&speed_line(args.tokens, begin.elapsed().as_secs_f64()));
        Ok(())
    })
}

/// Reads the settings of the model and checks the flags and the prompt.
///
/// # Errors
/// The first thing that is wrong with them.
pub fn prepare(args: &SampleArgs) -> Result<Prepared> {
    let threads = settings::threads(args.threads)?;
    let temperature = if args.greedy { 0.0 } else { args.temperature };
    let sampler = Sampler::new(Sampling { temperature, top_k: args.top_k, top_p: args.top_p }, args.seed)?;
    let run = RunConfig::load(&args.model)?;
    let prompt = prompt_tokens(&run.tokenizer, args.prompt.as_deref())?;
    Ok(Prepared { run, prompt, sampler, threads })
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

/// What `--probabilities` prints for a step: the token that was chosen, and the likeliest with their chances.
pub fn probabilities_line(tokenizer: &Tokenizer, chosen: u32, likeliest: &[(u32, f64)]) -> String {
    let mut line = format!("{:>8}  ←", tokenizer.label(chosen));
    for &(token, chance) in likeliest {
        line.push_str(&format!("  {} {:.1}%", tokenizer.label(token), 100.0 * chance));
    }
    line
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
    fn lines_read_well() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "ab\n");
        assert_eq!(probabilities_line(&tokenizer, 1, &[(1, 0.75), (0, 0.25)]), "     'a'  ←  'a' 75.0%  '\\n' 25.0%");
        assert_eq!(speed_line(500, 0.25), "500 tokens, 2000 tokens/s");
    }
}
