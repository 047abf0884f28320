//! `gradus tokenizer`: learning the tokens of a text, and looking at what a text becomes.

use crate::{
    config::RunConfig,
    dataset::{self, Source},
    error::{Error, Result},
    files::Disk,
    output,
    token_args::{DecodeArgs, EncodeArgs, TokenizerArgs, TokenizerCommand, TokenizerTrainArgs},
    tokenizer::{Tokenizer, bpe::Bpe},
};
use std::{
    env, fs,
    io::{self, IsTerminal, Read},
    path::Path,
};

/// Backgrounds that black text can be read on, of the 256 colours; neighbours differ.
const COLORS: [u8; 5] = [152, 223, 151, 217, 189];

/// Runs one of its commands.
///
/// # Errors
/// Those of reading the text and the tokenizer, and of writing.
pub fn run(command: &TokenizerCommand) -> Result<()> {
    match command {
        TokenizerCommand::Train(args) => train(args),
        TokenizerCommand::Encode(args) => encode(args),
        TokenizerCommand::Decode(args) => decode(args),
    }
}

fn train(args: &TokenizerTrainArgs) -> Result<()> {
    let learned = args.vocab_size.checked_sub(args.special.len()).filter(|&learned| learned >= 256);
    let learned = learned.ok_or_else(|| {
        let least = 256 + args.special.len();
        Error::setting(
            "vocab-size",
            args.vocab_size,
            format!("must be at least {least}, for the bytes and the special tokens"),
        )
    })?;
    let bpe = dataset::learn(&mut Source::new(Some(&args.data)), args.pattern, learned)?;
    let bpe = with_special(&bpe, &args.special)?;
    let (pairs, special) = (bpe.merges().len(), bpe.special().len());
    Tokenizer::Bpe(bpe).save(&Disk, &args.out)?;
    let special = if special == 0 { String::new() } else { format!(", {special} special") };
    output::line(&format!(
        "wrote {}: {} tokens, 256 bytes, {pairs} pairs{special}",
        args.out.display(),
        args.vocab_size
    ))
}

/// The same vocabulary with these special tokens after all others.
fn with_special(bpe: &Bpe, texts: &[String]) -> Result<Bpe> {
    let special = texts.iter().cloned().zip(bpe.vocab_size() as u32..).collect();
    let identity = std::array::from_fn(|byte| byte as u8);
    let bpe = Bpe::new(bpe.pattern(), identity, bpe.merges().to_vec(), special);
    bpe.map_err(|problem| Error::setting("special", texts.join(", "), problem))
}

/// The tokenizer in a file, or that of the run in a folder.
fn load(args: &TokenizerArgs) -> Result<Tokenizer> {
    match args.tokenizer.is_dir() {
        true => Ok(RunConfig::load(&args.tokenizer)?.tokenizer),
        false => Tokenizer::load(&args.tokenizer, args.pattern),
    }
}

fn encode(args: &EncodeArgs) -> Result<()> {
    let tokenizer = load(&args.tokenizer)?;
    let text = match &args.text {
        Some(text) => text.clone(),
        None => read(&args.data)?,
    };
    let ids = match &tokenizer {
        Tokenizer::Bpe(bpe) if args.special => bpe.encode_with_special(&text),
        tokenizer => tokenizer.encode(&text)?,
    };
    if io::stdout().is_terminal() {
        let style = if colors() { Style::Colors } else { Style::Bars };
        output::raw(shown(&tokenizer, &ids, style).as_bytes())?;
        output::line(&format!("\n{} tokens, {} characters, {} bytes", ids.len(), text.chars().count(), text.len()))?;
    }
    output::line(&ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
}

/// Whether a terminal takes colours and nobody has said that they are not wanted (<https://no-color.org>).
fn colors() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// How tokens are told apart.
#[derive(Clone, Copy)]
enum Style {
    Colors,
    Bars,
}

/// The tokens one after the other. A token that is not whole characters is shown as its bytes, control characters as escapes.
fn shown(tokenizer: &Tokenizer, ids: &[u32], style: Style) -> String {
    let mut shown = String::new();
    for (i, &id) in ids.iter().enumerate() {
        let bytes = tokenizer.bytes(id).unwrap_or_default();
        let text = match str::from_utf8(&bytes) {
            Ok(text) => output::one_line(text),
            Err(_) => bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect(),
        };
        match style {
            Style::Colors => shown += &format!("\x1b[30;48;5;{}m{text}\x1b[0m", COLORS[i % COLORS.len()]),
            Style::Bars if i == 0 => shown += &text,
            Style::Bars => shown += &format!("|{text}"),
        }
        if bytes.ends_with(b"\n") {
            shown.push('\n');
        }
    }
    if !shown.ends_with('\n') {
        shown.push('\n');
    }
    shown
}

fn decode(args: &DecodeArgs) -> Result<()> {
    let tokenizer = load(&args.tokenizer)?;
    let text = match args.ids.is_empty() {
        true => read(Path::new("-"))?,
        false => args.ids.join(" "),
    };
    let mut bytes = Vec::new();
    for id in text.split([' ', ',', '\n', '\r', '\t']).filter(|id| !id.is_empty()) {
        let parsed = id
            .parse::<u32>()
            .map_err(|_| Error::setting("id", id, "is not a token id; give whole numbers, with spaces between them"))?;
        let token = tokenizer.bytes(parsed).ok_or_else(|| {
            let (path, size) = (args.tokenizer.tokenizer.display(), tokenizer.vocab_size());
            Error::setting("id", id, format!("there is no such token in {path}, whose vocabulary has {size}"))
        })?;
        bytes.extend_from_slice(&token);
    }
    if io::stdout().is_terminal() {
        return output::line(&String::from_utf8_lossy(&bytes));
    }
    output::raw(&bytes)
}

/// The text in a file, or `-` for standard input, all of it in memory.
fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let name = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    match path == Path::new("-") {
        true => io::stdin().lock().read_to_end(&mut bytes).map(|_| ()),
        false => fs::read(path).map(|read| bytes = read),
    }
    .map_err(Error::io("read", Path::new(&name)))?;
    String::from_utf8(bytes).map_err(|error| Error::NotUtf8 { text: name, offset: error.utf8_error().valid_up_to() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TokenizerKind;

    #[test]
    fn tokens_are_told_apart_and_cannot_command_the_terminal() {
        let tokenizer = Tokenizer::new(TokenizerKind::Bpe(257), "abab");
        let ids = tokenizer.encode("abé\u{1b}\nc").unwrap();
        assert_eq!(shown(&tokenizer, &ids, Style::Bars), "ab|\\xc3|\\xa9|\\u{1b}|\\n\n|c\n");
        let colored = shown(&tokenizer, &ids, Style::Colors);
        assert!(colored.starts_with("\u{1b}[30;48;5;152mab\u{1b}[0m\u{1b}[30;48;5;223m\\xc3\u{1b}[0m"), "{colored:?}");
        assert_eq!(colored.matches('\u{1b}').count(), 2 * ids.len());
    }
}
