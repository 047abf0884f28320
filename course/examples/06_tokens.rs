//! Lesson 6: what a token is, and how a machine learns its own alphabet.
//!
//!     cargo run --release --example 06_tokens
//!
//! A model computes with numbers, so a text has to become a list of whole numbers, its tokens. Each number has a row in a table
//! of weights, the embedding. Which pieces of text get a number decides how long the list is and how large the table. This
//! lesson makes the list in three ways, and the last of them, byte pair encoding, is what GPT-2 to GPT-4o read through:
//!
//! > repeat: (a, b) = the pair of neighbours that occurs most often;  new token = a followed by b;  replace a b by it everywhere
//!
//! Encoding does the same replacements in the same order. Decoding joins the bytes of the tokens.
//!
//! Read beside it: `gpt/src/text/tokenizer/bpe/` (`mod.rs`, then `training.rs` and `merging.rs`). Next: `08_positions.rs`.

use gradus_course::{Failure, Result, show};
use gradus_gpt::tokenizer::bpe::{Bpe, Pattern};
use gradus_gpt::tokenizer::{Tokenizer, TokenizerKind};
use gradus_pictures::{Bars, Group, LineChart, Series};
use std::fmt::Display;
use tiktoken_rs::{CoreBPE, cl100k_base, o200k_base, r50k_base};

const LESSON: &str = "06_tokens";

/// The beginning of Lewis Carroll's *Alice's Adventures in Wonderland* (1865).
const ALICE: &str = include_str!("06_alice.txt");

/// Article 1 of the Universal Declaration of Human Rights (1948), a language in each line.
const LANGUAGES: &str = include_str!("06_languages.txt");

fn main() -> Result {
    characters()?;
    bytes()?;
    by_hand()?;
    let (bpe, curve) = learn()?;
    read_with(&bpe)?;
    let known = known()?;
    one_character(&known)?;
    let groups = languages(&known)?;
    surprises(&known);
    draw(curve, groups)?;
    println!("\nExercises: at the end of course/examples/06_tokens.rs.");
    Ok(())
}

fn characters() -> Result {
    println!("1. A token for every character\n");
    let tokenizer = Tokenizer::new(TokenizerKind::Char, ALICE);
    let ids = tokenizer.encode("Alice fell.")?;
    println!("Our text, the beginning of Alice in Wonderland, has {} characters,", ALICE.chars().count());
    println!("{} different ones. Sorted, each has its place as its number:\n", tokenizer.vocab_size());
    println!("  Alice fell.  →  {ids:?}\n");
    let unknown = tokenizer.encode("Alice 天").err().ok_or_else(|| Failure::new("天 is not in our text"))?;
    println!("What the text does not have, the model cannot read:\n\n  {unknown}\n");
    println!("With all of Unicode there would be 1,114,112 rows in the table, nearly all of them never trained.");
    Ok(())
}

fn bytes() -> Result {
    println!("\n2. A token for every byte\n");
    println!("UTF-8 writes a character as one to four bytes, so 256 tokens are enough for every text:\n");
    println!("  character  code point   bytes");
    for c in ['A', 'é', '天', '🦀'] {
        let ids = Tokenizer::Byte.encode(&c.to_string())?;
        println!("  {c:<9}  U+{:05X}      {ids:?}", c as u32);
    }
    println!(
        "\nNothing is unknown any more. But lists grow long: a model that sees 64 tokens sees 64 English letters, or"
    );
    println!("21 Chinese characters, and attention costs the square of the length.");
    Ok(())
}

/// The exercise of minbpe: three merges.
fn by_hand() -> Result {
    println!("\n3. Between both: byte pair encoding, by hand\n");
    const TEXT: &str = "aaabdaaabac";
    let mut merges = Vec::new();
    let bpe = Bpe::train(Pattern::None, TEXT, 259, |merge| {
        merges.push((merge.id, merge.pair, merge.count, String::from_utf8_lossy(merge.bytes).into_owned()));
    })?;
    println!("  {:<38} {:?}", TEXT, TEXT.as_bytes());
    for (number, (id, (left, right), count, text)) in merges.into_iter().enumerate() {
        // The vocabulary as it was after this merge.
        let so_far = Bpe::train(Pattern::None, TEXT, 257 + number, |_| ())?;
        let rule = format!("({left}, {right}) occurs {count} times → {id} {text}");
        println!("  {rule:<38} {:?}", so_far.encode(TEXT));
    }
    println!(
        "\nIn aaa the pair (97, 97) occurs twice, so it has 4. (97, 98) and (256, 97) both have 2: the smaller one wins."
    );
    if bpe.encode(TEXT) != [258, 100, 258, 97, 99] {
        return Err(Failure::new("aaabdaaabac is not 258 100 258 97 99"));
    }
    Ok(())
}

/// 256 merges on Alice, and bytes per token after each of them.
fn learn() -> Result<(Bpe, Vec<(f64, f64)>)> {
    println!("\n4. The same on a text\n");
    println!("First the text is cut into pieces, words with the space before them, and no token reaches out of one:\n");
    let pieces = Pattern::Cl100k.pieces("She wouldn't say 12345, even if I fell!");
    println!("  {}\n", pieces.collect::<Vec<_>>().join("|"));
    println!("  merge   pair           times   new token    bytes per token");
    let mut curve = vec![(0.0, 1.0)];
    let bpe = Bpe::train(Pattern::Cl100k, ALICE, 512, |merge| {
        let length = ALICE.len() as f64 / merge.tokens as f64;
        curve.push((merge.number as f64, length));
        if merge.number <= 10 || merge.number.is_multiple_of(32) {
            let pair = format!("{} + {}", merge.pair.0, merge.pair.1);
            let text = format!("'{}'", String::from_utf8_lossy(merge.bytes).escape_debug());
            println!("  {:>5}   {pair:<13}  {:>5}   {text:<11}  {length:>5.2}", merge.number, merge.count);
        }
    })?;
    println!(
        "\nPairs of letters first, then endings and short words, then whole words of this one text. No merge saves"
    );
    println!("more tokens than the one before it, and a row of the embedding costs the same for each: hence a limit.");
    Ok((bpe, curve))
}

fn read_with(bpe: &Bpe) -> Result {
    println!("\n5. Reading with what was learned\n");
    for text in ["Alice thought about the Rabbit.", "The quick brown fox jumps.", "天地"] {
        let ids = bpe.encode(text);
        println!("  {} bytes, {} tokens: {}", text.len(), ids.len(), tokens(bpe, &ids));
        if bpe.decode(&ids) != Ok(text.as_bytes().to_vec()) {
            return Err(Failure::new(format!("{text:?} does not come back from its tokens")));
        }
    }
    println!(
        "\nWords of Alice are one token, other words several, and what was never seen costs its bytes: nothing is unknown."
    );
    Ok(())
}

/// The tokens with bars between them; a token that is no text by itself as its bytes.
fn tokens(bpe: &Bpe, ids: &[u32]) -> String {
    let shown = |&id: &u32| match str::from_utf8(bpe.bytes(id).unwrap_or_default()) {
        Ok(text) => text.to_string(),
        Err(_) => bpe.bytes(id).unwrap_or_default().iter().map(|byte| format!("\\x{byte:02x}")).collect(),
    };
    ids.iter().map(shown).collect::<Vec<_>>().join("|")
}

/// A vocabulary of OpenAI in our tokenizer.
struct Known {
    name: &'static str,
    bpe: Bpe,
    theirs: CoreBPE,
}

fn known() -> Result<Vec<Known>> {
    Ok(vec![
        merges_of("gpt2", Pattern::Gpt2, r50k_base(), 50_256)?,
        merges_of("cl100k", Pattern::Cl100k, cl100k_base(), 100_256)?,
        merges_of("o200k", Pattern::O200k, o200k_base(), 199_998)?,
    ])
}

/// A published vocabulary is a list of tokens. Which two make a token is what the merges before it leave of its bytes.
fn merges_of<E: Display>(
    name: &'static str,
    pattern: Pattern,
    theirs: std::result::Result<CoreBPE, E>,
    count: u32,
) -> Result<Known> {
    let theirs = theirs.map_err(|error| Failure::new(format!("{name}: {error}")))?;
    let tokens = (0..count).map(|rank| theirs.decode_bytes(&[rank])).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(Known { name, bpe: Bpe::from_tokens(pattern, tokens, Vec::new()).map_err(Failure::new)?, theirs })
}

fn one_character(known: &[Known]) -> Result {
    println!("\n6. What does one Chinese character cost?\n");
    println!("The vocabularies of GPT-2 (2019), GPT-4 (2023) and GPT-4o (2024), in our tokenizer:\n");
    println!("                  tokens, without the special ones");
    for Known { name, bpe, .. } in known {
        println!("  {name:<8}  {:>7}", bpe.vocab_size());
    }
    println!("\n  character   gpt2                    cl100k                  o200k");
    for c in ["的", "天", "玄", "龘"] {
        let cells = known.iter().map(|Known { bpe, .. }| format!("{:<22}", format!("{:?}", bpe.encode(c))));
        println!("  {c}          {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    for Known { name, bpe, theirs } in known {
        for text in [ALICE, LANGUAGES] {
            if bpe.encode(text) != theirs.encode_ordinary(text) {
                return Err(Failure::new(format!("our ids of {name} are not those of tiktoken")));
            }
        }
    }
    println!(
        "\nOne token in the best case, and never more than its three bytes. These ids are those of tiktoken: the lesson"
    );
    println!("has just compared all tokens of Alice and of the nine languages below.");
    Ok(())
}

/// Tokens per character in each language; returned for the picture.
fn languages(known: &[Known]) -> Result<Vec<(&'static str, Vec<f64>)>> {
    println!("\n7. The same sentence in nine languages: tokens, and tokens per character\n");
    println!("  language   characters  bytes        gpt2         cl100k          o200k");
    let mut groups = Vec::new();
    for line in LANGUAGES.lines() {
        let (language, text) = line.split_once(": ").ok_or_else(|| Failure::new("a line has no language"))?;
        let characters = text.chars().count();
        let counts: Vec<usize> = known.iter().map(|known| known.bpe.encode(text).len()).collect();
        let share = |count: &usize| *count as f64 / characters as f64;
        let cells = counts.iter().map(|count| format!("{count:>6}  {:>5.2}", share(count))).collect::<Vec<_>>();
        println!("  {language:<9}  {characters:>10}  {:>5}  {}", text.len(), cells.join("  "));
        groups.push((language, counts.iter().map(share).collect::<Vec<f64>>()));
    }
    let chinese = groups.last().map(|(_, shares)| shares.clone()).unwrap_or_default();
    if !(chinese[0] > 1.5 && chinese[2] < 1.0) {
        return Err(Failure::new(format!("Chinese costs {chinese:?} tokens per character")));
    }
    let (gpt2, lines) = (&known[0].bpe, LANGUAGES.lines().filter_map(|line| line.split_once(": ")));
    let length = lines.map(|(_, text)| text.len() as f64 / gpt2.encode(text).len() as f64).collect::<Vec<_>>();
    let [english, .., chinese] = length[..] else { return Err(Failure::new("there are no two languages")) };
    println!(
        "\nGPT-2 learned its tokens from English pages: one is {english:.1} bytes of English, and {chinese:.1} of Chinese. So the"
    );
    println!(
        "same sentence takes several times as much of the context and of the price. What a vocabulary is trained on"
    );
    println!("decides who pays.");
    Ok(groups)
}

fn surprises(known: &[Known]) {
    println!("\n8. What tokens explain\n");
    let Known { bpe, .. } = &known[1];
    for (text, why) in [
        ("strawberry", "How many r are there? The model never sees letters, only these numbers."),
        ("egg Egg EGG", "One word, three lists: that they mean the same has to be learned."),
        ("1234+5=1239", "Digits are cut in threes from the left, so that a sum has to be carried across the cuts."),
        (
            "the end ",
            "A space at the end is a token by itself, and hardly ever stands before a word: end a prompt without one.",
        ),
    ] {
        println!("  {:<18}  {:?}\n      {why}", tokens(bpe, &bpe.encode(text)), bpe.encode(text));
    }
    println!("\n(cl100k. A bar stands between tokens.)");
}

fn draw(curve: Vec<(f64, f64)>, groups: Vec<(&str, Vec<f64>)>) -> Result {
    println!("\n9. Pictures\n");
    let series = vec![Series { name: "bytes per token", points: curve }];
    let (title, note) = ("What each merge gains", "256 merges learned from 3 kB of Alice in Wonderland");
    let picture = LineChart { title, note, x: "merges", y: "bytes per token", logarithmic: false, series };
    show(LESSON, "merges.svg", &picture.svg()?)?;
    let groups = groups.into_iter().map(|(label, values)| Group { label, values }).collect();
    let (title, note) = ("Tokens per character", "Article 1 of the Universal Declaration of Human Rights");
    let picture = Bars { title, note, kinds: vec!["gpt2", "cl100k", "o200k"], groups, unit: "" };
    show(LESSON, "languages.svg", &picture.svg()?)
}

// Exercises
//
// 1. Learn 512 tokens of Alice with `Pattern::None`, so that a token may reach over the end of a word. How many bytes has a
//    token now? Which tokens have a space inside? What does the model lose where "of the" is one token, and "of a" another?
// 2. A model writes token by token. What does `Tokenizer::Bpe(bpe).decoder()` show after each token of "天🦀" with the
//    vocabulary of section 4, and why not more? What does `String::from_utf8_lossy` make of each token by itself?
// 3. " SolidGoldMagikarp" was the name of a user of a forum. How many tokens is it in each of the three vocabularies? The pages
//    that GPT-2's tokens were learned from had it often, those that the model was trained on hardly ever. What does its row of
//    the embedding look like after training? (Rumbelow and Watkins, *SolidGoldMagikarp (plus, prompt generation)*, 2023.)
