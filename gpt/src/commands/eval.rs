//! `gradus eval`: the loss of a model on a whole text.

use crate::{
    args::EvalArgs,
    config::RunConfig,
    dataset::{Dataset, Part, Source},
    error::{Error, Result},
    evaluation::{Coverage, Evaluation, evaluate},
    output,
    progress::Counter,
    settings, threads, trainer,
};
use gradus_autograd::Device;
use gradus_nn::Module;

/// All that the measurement needs besides the weights.
#[derive(Debug)]
pub struct Prepared {
    /// The settings of the model.
    pub run: RunConfig,
    /// The text; all of it is [`Part::Whole`].
    pub data: Dataset,
    /// How many threads to use; `None` for all cores.
    pub threads: Option<usize>,
    /// Where it computes.
    pub device: Device,
}

/// Measures.
///
/// # Errors
/// Those of [`prepare`].
pub fn run(args: &EvalArgs) -> Result<()> {
    let prepared = prepare(args)?;
    let Prepared { run, data, device, .. } = &prepared;
    threads::run(prepared.threads, || {
        let model = trainer::load_at(&args.model, run, args.precision)?;
        model.to_device(device);
        let targets = data.len(Part::Whole) - 1; // the first token is predicted by nothing
        let coverage = args.tokens.map_or(Coverage::Whole, Coverage::Tokens);
        let counter = Counter::new("tokens", args.tokens.unwrap_or(targets).min(targets));
        let batch = [run.train.batch, run.model.context];
        let evaluation = evaluate(&model, data, Part::Whole, batch, coverage, |done, _| {
            counter.at(done);
            Ok::<(), Error>(())
        })?;
        output::line(&result_line(&evaluation, targets))
    })
}

/// Reads the settings of the model and the text.
///
/// # Errors
/// The first thing that is wrong with them. A text of two tokens is enough: the last window may be a short one.
pub fn prepare(args: &EvalArgs) -> Result<Prepared> {
    let threads = settings::threads(args.threads)?;
    if args.tokens == Some(0) {
        return Err(Error::setting("tokens", 0, "must be at least 1"));
    }
    let run = RunConfig::load(&args.model)?;
    let mut source = Source::new(Some(&args.data));
    let data = Dataset::load_with(&mut source, &run.tokenizer, Some(&args.model))?;
    if data.len(Part::Whole) < 2 {
        return Err(Error::NothingToPredict { text: source.name() });
    }
    Ok(Prepared { run, data, threads, device: args.device.open()? })
}

/// The result in one line: the loss in nats, with its standard error where it is an estimate; the perplexity, its
/// exponential: the loss of a model that has to choose among so many equally likely tokens; and over how many of the
/// `targets` of the text that is.
pub fn result_line(evaluation: &Evaluation, targets: usize) -> String {
    let of = if evaluation.standard_error.is_some() { format!(" of {targets}") } else { String::new() };
    let Evaluation { loss, tokens, .. } = evaluation;
    format!("loss {evaluation}, perplexity {:.2}, over {tokens}{of} tokens", loss.exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_of_ln_65_is_a_choice_among_65() {
        let whole = Evaluation { loss: 65f64.ln(), tokens: 9, standard_error: None };
        assert_eq!(result_line(&whole, 9), "loss 4.1744, perplexity 65.00, over 9 tokens");
        let estimate = Evaluation { standard_error: Some(0.25), ..whole };
        assert_eq!(result_line(&estimate, 90), "loss 4.1744 ± 0.2500, perplexity 65.00, over 9 of 90 tokens");
    }
}
