//! Small models and texts to try things with.

use gradus_autograd::gradcheck::values;
use gradus_autograd::{DType, Tensor};
use gradus_gpt::config::{FORMAT, ModelConfig, RunConfig};
use gradus_gpt::dataset::Dataset;
use gradus_gpt::model::Gpt;
use gradus_gpt::preset::Preset;
use gradus_gpt::tokenizer::{Tokenizer, TokenizerKind};
use gradus_nn::{Init, Module};

/// A GPT whose parameters are spread over −`scale` to `scale`, and around 1 for the scales of norms: the first values of
/// training are so small that most of the model hardly counts.
pub fn lively(config: &ModelConfig, dtype: DType, scale: f64) -> Gpt {
    let model = Gpt::new(config, &mut Init::with_dtype(0, dtype));
    for (seed, (name, parameter)) in model.named_parameters().into_iter().enumerate() {
        let shape = parameter.shape();
        let around = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let spread: Vec<f64> =
            values(seed as u64 + 1, shape.iter().product()).into_iter().map(|x| around + scale * x).collect();
        parameter.set_value(Tensor::from_slice(&spread, &shape).to_dtype(dtype));
    }
    model
}

/// `count` ids below `vocabulary`, the same for the same seed.
pub fn ids(seed: u64, count: usize, vocabulary: usize) -> Vec<u32> {
    let place = |x: f64| (((x + 1.0) / 2.0 * vocabulary as f64) as u32).min(vocabulary as u32 - 1);
    values(seed, count).into_iter().map(place).collect()
}

/// A text of some 14 000 characters, a good many of them distinct, and the settings of the preset `small` for it.
pub fn small_run() -> (RunConfig, Dataset) {
    run_on(&include_str!("../fixtures/README.md").repeat(4))
}

/// A text of characters, and the settings of the preset `small` for it.
pub fn run_on(text: &str) -> (RunConfig, Dataset) {
    let tokenizer = Tokenizer::new(TokenizerKind::Char, text);
    let (mut model, train, _) = Preset::Small.settings();
    model.vocab_size = tokenizer.vocab_size();
    let data = Dataset::new(text, &tokenizer).expect("its own characters");
    (RunConfig { format: FORMAT, model, train, tokenizer }, data)
}

/// Without the key third of `qkv.bias`: its gradient is 0 in exact arithmetic, what is computed is rounding noise, and
/// Adam divides noise by its own size.
pub fn without_noise(name: &str, mut values: Vec<f64>) -> Vec<f64> {
    if name.ends_with("qkv.bias") {
        let width = values.len() / 3;
        values.drain(width..2 * width);
    }
    values
}

/// Every bit of every parameter.
pub fn bits(model: &Gpt) -> Vec<u32> {
    let values = |(_, parameter): (String, gradus_nn::Parameter)| parameter.value().to_vec::<f32>();
    model.named_parameters().into_iter().flat_map(values).map(f32::to_bits).collect()
}
