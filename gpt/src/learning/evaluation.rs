//! The loss of a model on a text: on all of it, or an estimate from a sample, with its standard error.
//!
//! A sample takes windows at even distances over the whole part, so that it covers all of the text, and always the same
//! ones, so that two estimates differ only where the models do. The windows are those that an evaluation of the whole part
//! would take, which makes one an estimate of the other.

pub use crate::coverage::Coverage;
use crate::dataset::{Dataset, Part};
use crate::error::Error;
use gradus_autograd::ops::cross_entropy::Options;
use gradus_autograd::{DType, Tensor};
use gradus_kernels::parallel::with_spinning_pool;
use gradus_nn::LanguageModel;
use std::fmt;

/// The loss on a part of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean cross-entropy of a token, in nats.
    pub loss: f64,
    /// Over how many tokens.
    pub tokens: usize,
    /// The standard error of `loss` as an estimate of the loss on the whole part; `None` where this is the whole part.
    pub standard_error: Option<f64>,
}

/// Evaluates a language model on `part` of `data`, in batches of B windows of T tokens. `progress` is told after each batch
/// how many targets are done, and of how many.
///
/// The standard error takes the windows as independent draws without replacement: s / √n · √(1 − n/N), s being the
/// standard deviation of the mean losses of the n windows out of N (Cochran, Sampling Techniques, 1977, section 2.6).
///
/// # Errors
/// Those of reading the text; that of `progress`, which breaks the evaluation off.
///
/// # Panics
/// Where the part has no target (see [`Dataset::check`]), B or T is 0, the model has a shorter context than T, or a token is
/// not in its vocabulary.
pub fn evaluate<M: LanguageModel, E: From<Error>>(
    model: &M,
    data: &Dataset,
    part: Part,
    [batch, context]: [usize; 2],
    coverage: Coverage,
    mut progress: impl FnMut(usize, usize) -> Result<(), E>,
) -> Result<Evaluation, E> {
    let windows = match coverage {
        Coverage::Whole => usize::MAX,
        Coverage::Tokens(tokens) => tokens.div_ceil(context).max(2),
    };
    let mut sample = data.sample(part, windows, batch, context);
    let total = sample.targets();
    assert!(total > 0, "a part of {} tokens has no target", data.len(part));
    let (mut inputs, mut targets, mut means) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sum, mut done) = (0.0, 0);
    while let Some((rows, time)) = sample.next_batch(&mut inputs, &mut targets)? {
        let filled =
            if done > 0 && time == context { fill(&mut [&mut inputs, &mut targets], [batch, time]) } else { rows };
        for window in token_losses(model, &inputs, &targets, [filled, time]).chunks(time).take(rows) {
            let window_sum: f64 = window.iter().sum();
            sum += window_sum;
            if !sample.is_whole() {
                means.push(window_sum / time as f64);
            }
        }
        done += rows * time;
        progress(done, total)?;
    }
    let standard_error = (!sample.is_whole()).then(|| standard_error(&means, sample.share()));
    Ok(Evaluation { loss: sum / done as f64, tokens: done, standard_error })
}

/// Fills a last batch of fewer windows up to [B, T] with its first window: its tensors then have the sizes of those of the
/// batches before it, whose memory is in the pool. Returns B.
fn fill(batch: &mut [&mut Vec<u32>; 2], [rows, time]: [usize; 2]) -> usize {
    for windows in batch {
        while windows.len() < rows * time {
            windows.extend_from_within(..time);
        }
    }
    rows
}

/// The cross-entropy of each target: ids and targets \[B, T\], row after row.
fn token_losses(model: &impl LanguageModel, inputs: &[u32], targets: &[u32], shape: [usize; 2]) -> Vec<f64> {
    let (ids, targets) = (Tensor::from_slice(inputs, &shape), Tensor::from_slice(targets, &shape));
    let tape = model.evaluation_tape();
    with_spinning_pool(|| {
        let logits = model.logits(&tape, &ids);
        let targets = targets.to_device(logits.value().device());
        let losses = logits.cross_entropy_of_rows(&targets, Options::default());
        losses.to_dtype(DType::F64).to_vec()
    })
}

/// Of the mean of `values`, which are a `share` of all that there are.
fn standard_error(values: &[f64], share: f64) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (variance / n * (1.0 - share)).sqrt()
}

impl fmt::Display for Evaluation {
    /// The loss in nats, with its standard error where it has one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.loss)?;
        self.standard_error.map_or(Ok(()), |error| write!(f, " ± {error:.4}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Gpt;
    use crate::preset::Preset;
    use crate::tokenizer::{Tokenizer, TokenizerKind};
    use gradus_autograd::{Precision, Tape};
    use gradus_nn::Init;

    /// An untrained model and a text in which the letters change from one end to the other.
    fn model_and_text() -> (Gpt, Dataset) {
        let text: String = (0..6000_u32).map(|i| char::from(b'a' + ((i * i / 7 + i / 500) % 26) as u8)).collect();
        let tokenizer = Tokenizer::new(TokenizerKind::Char, &text);
        let (mut config, ..) = Preset::Small.settings();
        (config.layers, config.heads, config.width, config.context) = (1, 2, 16, 16);
        config.vocab_size = tokenizer.vocab_size();
        let model = Gpt::new(&config, &mut Init::new(3));
        // Larger than at the start of a training, so that windows differ by more than rounding.
        let weight = &model.token_embedding.weight;
        weight.set_value(&weight.value() * 20.0);
        (model, Dataset::new(&text, &tokenizer).unwrap())
    }

    fn on(model: &Gpt, data: &Dataset, batch: usize, coverage: Coverage) -> Evaluation {
        let shape = [batch, model.config().context];
        evaluate(model, data, Part::Whole, shape, coverage, |_, _| Ok::<(), Error>(())).unwrap()
    }

    #[test]
    fn the_whole_is_the_mean_over_every_target() {
        let (model, data) = model_and_text();
        let whole = on(&model, &data, 7, Coverage::Whole);
        assert_eq!((whole.tokens, whole.standard_error), (5999, None));

        let (mut inputs, mut targets, mut sum) = (Vec::new(), Vec::new(), 0.0);
        let mut sweep = data.sweep(Part::Whole, 1, 16);
        while let Some((_, time)) = sweep.next_batch(&mut inputs, &mut targets).unwrap() {
            let (ids, next) = (Tensor::from_slice(&inputs, &[1, time]), Tensor::from_slice(&targets, &[1, time]));
            sum += model.loss(&Tape::inference(), &ids, &next).value().item() * time as f64;
        }
        assert!((whole.loss / (sum / 5999.0) - 1.0).abs() < 1e-6, "{whole:?}, not {}", sum / 5999.0);
        for enough in [5999, 6000, usize::MAX] {
            assert_eq!(on(&model, &data, 7, Coverage::Tokens(enough)), whole);
        }
    }

    #[test]
    fn an_estimate_is_as_far_from_the_whole_as_its_standard_error_says() {
        let (model, data) = model_and_text();
        let whole = on(&model, &data, 8, Coverage::Whole).loss;
        for tokens in [64, 320, 800, 1600, 3200] {
            let estimate = on(&model, &data, 8, Coverage::Tokens(tokens));
            let error = estimate.standard_error.unwrap();
            assert_eq!(estimate.tokens, tokens);
            assert!(error > 0.0 && (estimate.loss - whole).abs() < 3.0 * error, "{estimate:?}, not {whole}");
            let other = on(&model, &data, 3, Coverage::Tokens(tokens));
            assert!((other.loss - estimate.loss).abs() < 1e-6, "the windows do not depend on the batch");
        }
        assert_eq!(on(&model, &data, 8, Coverage::Tokens(1)).tokens, 32, "two windows at least");
    }

    #[test]
    fn the_standard_error_is_that_of_draws_without_replacement() {
        // Mean 4, variance (9 + 1 + 1 + 9) / 3 = 20/3; of 4 among 16 it is √(20/3 / 4 · 3/4).
        assert!((standard_error(&[1.0, 3.0, 5.0, 7.0], 0.25) - 1.25f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn progress_counts_to_the_end_and_can_break_off() {
        let (model, data) = model_and_text();
        #[derive(Debug, PartialEq)]
        struct Enough;
        impl From<Error> for Enough {
            fn from(error: Error) -> Enough {
                panic!("{error}")
            }
        }
        let mut seen = Vec::new();
        let broken = evaluate(&model, &data, Part::Whole, [4, 16], Coverage::Tokens(160), |done, total| {
            seen.push((done, total));
            if done >= 128 { Err(Enough) } else { Ok(()) }
        });
        assert_eq!((broken, seen), (Err(Enough), vec![(64, 160), (128, 160)]));
    }

    #[test]
    fn the_precision_of_the_model_is_used() {
        let (mut model, data) = model_and_text();
        let exact = on(&model, &data, 8, Coverage::Whole).loss;
        model.precision = Precision::Bf16;
        let rounded = on(&model, &data, 8, Coverage::Whole).loss;
        assert!(exact != rounded && (exact / rounded - 1.0).abs() < 0.01, "{exact} {rounded}");
    }

    #[test]
    fn an_estimate_shows_its_standard_error() {
        let whole = Evaluation { loss: 1.23456, tokens: 9, standard_error: None };
        assert_eq!(whole.to_string(), "1.2346");
        assert_eq!(Evaluation { standard_error: Some(0.01239), ..whole }.to_string(), "1.2346 ± 0.0124");
    }
}
