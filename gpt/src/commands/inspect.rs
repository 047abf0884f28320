//! `gradus inspect`: what a model is made of.

use crate::{
    args::InspectArgs,
    checkpoint,
    commands::sample,
    config::{ModelConfig, RunConfig},
    error::{Error, Result},
    files::{self, Disk},
    generate::Generator,
    model::Gpt,
    output,
    plot::{AttentionMaps, attention_map},
    precision::Precision,
    run_folder::{names::ATTENTION_MAP, ownership},
    sampler::{Sampler, Sampling},
    summary::{self, StoredParameter},
    tokenizer::Tokenizer,
    trainer,
};
use gradus_autograd::Tensor;
use gradus_nn::{Module, Parameter};
use safetensors::Dtype;
use std::{collections::HashMap, fmt, ops::Range};

/// The most tokens in a picture: it has their square times layers times heads cells.
const MOST_DRAWN: usize = 64;

/// Which maps are drawn.
struct Chosen {
    layers: Range<usize>,
    heads: Range<usize>,
}

impl Chosen {
    fn new(args: &InspectArgs, model: &ModelConfig) -> Result<Chosen> {
        Ok(Chosen {
            layers: chosen("layer", args.layer, model.layers)?,
            heads: chosen("head", args.head, model.heads)?,
        })
    }
}

/// All of `count`, or the given one.
fn chosen(name: &'static str, given: Option<usize>, count: usize) -> Result<Range<usize>> {
    match given {
        None => Ok(0..count),
        Some(number) if number < count => Ok(number..number + 1),
        Some(number) => {
            let range = if count == 1 { "0".into() } else { format!("from 0 to {}", count - 1) };
            Err(Error::setting(name, number, format!("must be {range} for this model")))
        }
    }
}

/// Prints the sizes and the parameters, and draws the attention maps.
///
/// # Errors
/// Those of reading the folder, of the choice of maps and of the prompt.
pub fn run(args: &InspectArgs) -> Result<()> {
    let run = RunConfig::load(&args.model)?;
    let maps = Chosen::new(args, &run.model)?;
    let prompt = args.prompt.as_deref().map(|text| drawn_prompt(&run, text)).transpose()?;
    let device = args.device.open()?;
    let model = trainer::load_at(&args.model, &run, Precision::F32)?;
    model.to_device(&device);
    let parameters = stored_parameters(&model, &checkpoint::stored_types(&args.model)?);
    output::print(&format!("{}\n\n{}", sizes(&run), summary::table(&run.model, &parameters)))?;
    let tokens = match prompt {
        Some(tokens) => tokens,
        None => own_words(&model, &run)?,
    };
    let svg = draw(&model, &run, &maps, &tokens);
    let path = args.out.clone().unwrap_or_else(|| args.model.join(ATTENTION_MAP));
    match &args.out {
        Some(path) => files::write(&Disk, path, svg.as_bytes())?, // what is there has been named, and is replaced
        None => ownership::write_picture(&Disk, &path, &svg)?,
    }
    output::note(&format!("wrote {}: what each of {} tokens attends to, {maps}", path.display(), tokens.len()));
    Ok(())
}

/// A prompt as tokens: at least one, and no more than can be drawn or than the model can see at once.
fn drawn_prompt(run: &RunConfig, text: &str) -> Result<Vec<u32>> {
    let tokens = run.tokenizer.encode(text)?;
    let most = run.model.context.min(MOST_DRAWN);
    if tokens.is_empty() || tokens.len() > most {
        let problem = format!("has {} tokens; from 1 to {most} can be drawn for this model", tokens.len());
        return Err(Error::setting("prompt", format!("{:?}", text.chars().take(20).collect::<String>()), problem));
    }
    Ok(tokens)
}

/// The tokens whose attention is drawn where there is no prompt: those that the model generates.
fn own_words(model: &Gpt, run: &RunConfig) -> Result<Vec<u32>> {
    let mut tokens = sample::prompt_tokens(&run.tokenizer, None)?;
    let mut generator = Generator::new(model, Sampler::new(Sampling::GREEDY, 0)?, &tokens);
    while tokens.len() < run.model.context.min(32) {
        tokens.push(generator.next_token()?);
    }
    Ok(tokens)
}

fn draw(model: &Gpt, run: &RunConfig, maps: &Chosen, tokens: &[u32]) -> String {
    let all = model.attention_maps(&Tensor::from_slice(tokens, &[1, tokens.len()]));
    let layers = all[maps.layers.clone()].iter();
    let weights: Vec<f32> = layers.flat_map(|map| map.slice(0, maps.heads.clone()).to_vec::<f32>()).collect();
    let tokens: Vec<String> = tokens.iter().map(|&token| label(&run.tokenizer, token)).collect();
    let (layers, heads) = (maps.layers.clone(), maps.heads.clone());
    attention_map(&AttentionMaps { weights: &weights, layers, heads, tokens: &tokens })
}

/// The text of a token; of a byte that is no character by itself, its number.
fn label(tokenizer: &Tokenizer, token: u32) -> String {
    let text = tokenizer.decode(&[token]).ok().filter(|text| !text.contains(char::REPLACEMENT_CHARACTER));
    text.unwrap_or_else(|| tokenizer.label(token))
}

/// The parameters in the order in which data flow through the model.
fn stored_parameters(model: &Gpt, types: &HashMap<String, Dtype>) -> Vec<StoredParameter> {
    let stored = |(name, parameter): (String, Parameter)| {
        Some(StoredParameter { dtype: *types.get(&name)?, shape: parameter.shape(), name })
    };
    model.named_parameters().into_iter().filter_map(stored).collect()
}

/// The sizes of the model, in one line.
fn sizes(run: &RunConfig) -> String {
    let (model, train) = (&run.model, &run.train);
    format!(
        "{} layers, {} heads of {}, width {}, context {}, vocabulary {}; trained on {}, precision {}",
        model.layers,
        model.heads,
        model.head_size(),
        model.width,
        model.context,
        model.vocab_size,
        train.data.name(),
        train.precision
    )
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &str, range: &Range<usize>| match range.len() {
            1 => format!("{name} {}", range.start),
            _ => format!("{name}s {} to {}", range.start, range.end - 1),
        };
        write!(f, "{}, {}", named("layer", &self.layers), named("head", &self.heads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TokenizerKind;

    #[test]
    fn maps_are_chosen_within_the_model() {
        assert_eq!((chosen("layer", None, 4).unwrap(), chosen("head", Some(3), 4).unwrap()), (0..4, 3..4));
        let refused = |given, count| chosen("layer", Some(given), count).unwrap_err().to_string();
        assert_eq!(refused(4, 4), "layer 4: must be from 0 to 3 for this model");
        assert_eq!(refused(usize::MAX, 1), "layer 18446744073709551615: must be 0 for this model");
        let text = |layers, heads| Chosen { layers, heads }.to_string();
        assert_eq!([text(0..4, 0..6), text(2..3, 5..6)], ["layers 0 to 3, heads 0 to 5", "layer 2, head 5"]);
    }

    #[test]
    fn tokens_are_labelled_by_their_text() {
        let characters = Tokenizer::new(TokenizerKind::Char, "a天\n\u{fffd}");
        assert_eq!([0, 1, 2].map(|id| label(&characters, id)), ["\n", "a", "天"]);
        assert_eq!([97, 10, 0xe5].map(|id| label(&Tokenizer::Byte, id)), ["a", "\n", "0xe5"]);
    }
}
