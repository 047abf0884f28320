//! `gradus inspect`: what a model is made of.

use crate::{
    args::InspectArgs,
    checkpoint::{self, Expected},
    commands::sample,
    config::RunConfig,
    error::{Error, Result},
    files,
    generate::Generator,
    model::Gpt,
    output,
    plot::attention_map,
    sampler::{Sampler, Sampling},
    trainer,
};
use gradus_autograd::Tensor;

/// The name of the picture.
pub const ATTENTION_MAP: &str = "attention.svg";

/// The most tokens in a picture: it has their square times layers times heads cells.
const MOST_DRAWN: usize = 64;

/// Prints the sizes and the parameters.
///
/// # Errors
/// Those of reading the folder.
pub fn run(args: &InspectArgs) -> Result<()> {
    let run = RunConfig::load(&args.model)?;
    let prompt = args.prompt.as_deref().map(|text| drawn_prompt(&run, text)).transpose()?;
    let (model, _) = trainer::load(&args.model, &run.model)?;
    output::print(&table(&run, &checkpoint::contents(&args.model)?))?;
    let tokens = match prompt {
        Some(tokens) => tokens,
        None => own_words(&model, &run)?,
    };
    let path = args.out.clone().unwrap_or_else(|| args.model.join(ATTENTION_MAP));
    files::write(&path, draw(&model, &run, &tokens).as_bytes())?;
    output::note(&format!("wrote {}: what each of {} tokens looks at", path.display(), tokens.len()));
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

/// Without a prompt the model looks at what it writes itself.
fn own_words(model: &Gpt, run: &RunConfig) -> Result<Vec<u32>> {
    let mut tokens = sample::prompt_tokens(&run.tokenizer, None)?;
    let mut generator = Generator::new(model, Sampler::new(Sampling::GREEDY, 0)?, &tokens);
    while tokens.len() < run.model.context.min(32) {
        tokens.push(generator.next_token()?);
    }
    Ok(tokens)
}

fn draw(model: &Gpt, run: &RunConfig, tokens: &[u32]) -> String {
    let maps = model.attention_maps(&Tensor::from_slice(tokens, &[1, tokens.len()]));
    let weights: Vec<f32> = maps.iter().flat_map(|map| map.to_vec::<f32>()).collect();
    let labels: Vec<String> = tokens.iter().map(|&token| run.tokenizer.label(token)).collect();
    attention_map(&weights, run.model.layers, run.model.heads, &labels)
}

/// The sizes of the model, and its parameters with their shapes and their shares of the whole.
pub fn table(run: &RunConfig, parameters: &[Expected]) -> String {
    let (model, train) = (&run.model, &run.train);
    let count = |parameter: &Expected| parameter.shape.iter().map(|&size| size as u128).product::<u128>();
    let total: u128 = parameters.iter().map(count).sum();
    let name_width = parameters.iter().map(|parameter| parameter.name.len()).max().unwrap_or(0).max(9);
    let mut text = format!(
        "{} layers, {} heads of {}, width {}, context {}, vocabulary {}; trained on {}, precision {}\n\n",
        model.layers,
        model.heads,
        model.head_size(),
        model.width,
        model.context,
        model.vocab_size,
        train.data.name(),
        train.precision
    );
    let mut row = |name: &str, shape: &str, count: &str, share: &str| {
        text.push_str(format!("{name:<name_width$}  {shape:<14}{count:>12}{share:>8}").trim_end());
        text.push('\n');
    };
    row("parameter", "shape", "numbers", "share");
    for parameter in parameters {
        let share = 100.0 * count(parameter) as f64 / total.max(1) as f64;
        let shape = format!("{:?}", parameter.shape);
        row(&parameter.name, &shape, &output::thousands(count(parameter)), &format!("{share:.1}%"));
    }
    row("total", "", &output::thousands(total), "");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::FORMAT,
        preset::Preset,
        tokenizer::{Tokenizer, TokenizerKind},
    };

    #[test]
    fn the_table_adds_up() {
        let (mut model, train, _) = Preset::Small.settings();
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "abc");
        model.vocab_size = 3;
        let run = RunConfig { format: FORMAT, model, train, tokenizer };
        let named = |name: &str, shape: &[usize]| Expected { name: name.into(), shape: shape.to_vec() };
        let table = table(&run, &[named("wte", &[30, 100]), named("a.long.name.of.a.bias", &[1000])]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[0]
                .starts_with("4 layers, 4 heads of 32, width 128, context 64, vocabulary 3; trained on the built-in")
        );
        assert!(lines[0].ends_with(", precision f32"), "{}", lines[0]);
        assert_eq!(lines[3], "wte                    [30, 100]            3,000   75.0%");
        assert_eq!(lines[4], "a.long.name.of.a.bias  [1000]               1,000   25.0%");
        assert_eq!(lines[5], "total                                       4,000");
    }
}
