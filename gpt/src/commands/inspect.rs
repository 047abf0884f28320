//! `gradus inspect`: what a model is made of.

use crate::{
    args::InspectArgs,
    checkpoint::{self, Expected},
    config::RunConfig,
    error::Result,
    output,
};

/// Prints the sizes and the parameters.
///
/// # Errors
/// Those of reading the folder.
pub fn run(args: &InspectArgs) -> Result<()> {
    let run = RunConfig::load(&args.model)?;
    output::print(&table(&run, &checkpoint::contents(&args.model)?))
}

/// The sizes of the model, and its parameters with their shapes and their shares of the whole.
pub fn table(run: &RunConfig, parameters: &[Expected]) -> String {
    let (model, train) = (&run.model, &run.train);
    let count = |parameter: &Expected| parameter.shape.iter().map(|&size| size as u128).product::<u128>();
    let total: u128 = parameters.iter().map(count).sum();
    let name_width = parameters.iter().map(|parameter| parameter.name.len()).max().unwrap_or(0).max(9);
    let mut text = format!(
        "{} layers, {} heads of {}, width {}, context {}, vocabulary {}; trained on {}\n\n",
        model.layers,
        model.heads,
        model.head_size(),
        model.width,
        model.context,
        model.vocab_size,
        train.data.name()
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
        assert_eq!(lines[3], "wte                    [30, 100]            3,000   75.0%");
        assert_eq!(lines[4], "a.long.name.of.a.bias  [1000]               1,000   25.0%");
        assert_eq!(lines[5], "total                                       4,000");
    }
}
