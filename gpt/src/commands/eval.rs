//! `gradus eval`: the loss of a model on a whole text.

use crate::{
    args::EvalArgs,
    config::RunConfig,
    dataset::{Dataset, Part, Source},
    error::{Error, Result},
    evaluation::{Coverage, evaluate},
    output,
    progress::Counter,
    settings, threads, trainer,
};
use std::convert::Infallible;

/// All that the measurement needs besides the weights.
#[derive(Debug)]
pub struct Prepared {
    /// The settings of the model.
    pub run: RunConfig,
    /// The text; all of it is [`Part::Whole`].
    pub data: Dataset,
    /// How many threads to use; `None` for all cores.
    pub threads: Option<usize>,
}

/// Measures.
///
/// # Errors
/// Those of [`prepare`].
pub fn run(args: &EvalArgs) -> Result<()> {
    let prepared = prepare(args)?;
    let Prepared { run, data, .. } = &prepared;
    threads::run(prepared.threads, || {
        let model = trainer::load_at(&args.model, run, args.precision)?;
        let targets = data.len(Part::Whole) - 1;
        let counter = Counter::new("tokens", targets);
        let Ok(evaluation) = evaluate(&model, data, Part::Whole, run.train.batch, Coverage::Whole, |done, _| {
            counter.at(done);
            Ok::<(), Infallible>(())
        });
        output::line(&result_line(evaluation.loss, evaluation.tokens))
    })
}

/// Reads the settings of the model and the text.
///
/// # Errors
/// The first thing that is wrong with them. A text of two tokens is enough: the last window may be a short one.
pub fn prepare(args: &EvalArgs) -> Result<Prepared> {
    let threads = settings::threads(args.threads)?;
    let run = RunConfig::load(&args.model)?;
    let mut source = Source::new(Some(&args.data));
    let data = Dataset::load_with(&mut source, &run.tokenizer, Some(&args.model))?;
    if data.len(Part::Whole) < 2 {
        return Err(Error::NothingToPredict { text: source.name() });
    }
    Ok(Prepared { run, data, threads })
}

/// The result in one line: the loss in nats, and the perplexity, its exponential: the loss of a model that has to choose
/// among so many equally likely tokens.
pub fn result_line(loss: f64, targets: usize) -> String {
    format!("loss {loss:.4}, perplexity {:.2}, over {targets} tokens", loss.exp())
}

#[cfg(test)]
mod tests {
    use super::result_line;

    #[test]
    fn a_loss_of_ln_65_is_a_choice_among_65() {
        assert_eq!(result_line(65f64.ln(), 9), "loss 4.1744, perplexity 65.00, over 9 tokens");
    }
}
