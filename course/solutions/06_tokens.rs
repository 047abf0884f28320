//! Solutions of the exercises of lesson 6.

use gradus_course::{Failure, Result};
use gradus_gpt::tokenizer::Tokenizer;
use gradus_gpt::tokenizer::bpe::{Bpe, Pattern};
use tiktoken_rs::{cl100k_base, o200k_base, r50k_base};

const ALICE: &str = include_str!("../examples/06_alice.txt");

fn main() -> Result {
    over_the_end_of_words()?;
    token_by_token()?;
    a_name()
}

fn over_the_end_of_words() -> Result {
    println!("1. Tokens that reach over the end of a word\n");
    for pattern in [Pattern::Cl100k, Pattern::None] {
        let bpe = Bpe::train(pattern, ALICE, 512, |_| ())?;
        let texts: Vec<String> =
            (256..512).map(|id| String::from_utf8_lossy(bpe.bytes(id).unwrap_or_default()).into_owned()).collect();
        let inside: Vec<&String> = texts.iter().filter(|text| text.trim().contains(' ')).collect();
        let length = ALICE.len() as f64 / bpe.encode(ALICE).len() as f64;
        println!(
            "  {pattern:?}: {length:.2} bytes per token, {} tokens with a space inside {:?}",
            inside.len(),
            &inside[..inside.len().min(6)]
        );
        if inside.is_empty() != (pattern == Pattern::Cl100k) {
            return Err(Failure::new(format!("{pattern:?} has tokens {inside:?}")));
        }
    }
    println!(
        "\n  Ends and beginnings of words are merged early, and then stand in the way of whole words. And a word has a row"
    );
    println!("  of the embedding for each neighbour that it was merged with: it is learned anew for each of them.\n");
    Ok(())
}

fn token_by_token() -> Result {
    println!("2. Token by token\n");
    let tokenizer = Tokenizer::Bpe(Bpe::train(Pattern::Cl100k, ALICE, 512, |_| ())?);
    let (mut decoder, mut whole) = (tokenizer.decoder(), String::new());
    for id in tokenizer.encode("天🦀")? {
        let alone = String::from_utf8_lossy(&tokenizer.bytes(id).unwrap_or_default()).into_owned();
        let shown = decoder.push(id)?;
        println!("  token {id}: by itself {alone:?}, shown {shown:?}");
        whole += shown;
    }
    println!("\n  A token is bytes, and these are parts of a character. They wait for the last one: {whole}\n");
    if whole == "天🦀" { Ok(()) } else { Err(Failure::new(format!("what was shown is {whole:?}"))) }
}

fn a_name() -> Result {
    println!("3. A name\n");
    let mut counts = Vec::new();
    for (name, bpe) in [("gpt2", r50k_base()), ("cl100k", cl100k_base()), ("o200k", o200k_base())] {
        let bpe = bpe.map_err(|error| Failure::new(format!("{name}: {error}")))?;
        let ids = bpe.encode_ordinary(" SolidGoldMagikarp");
        println!("  {name:<7} {ids:?}");
        counts.push(ids.len());
    }
    println!(
        "\n  Its row was hardly ever an input, so no gradient moved it: it stays near its first random values, close to"
    );
    println!("  the middle of all rows, and the model answers it with whatever those mean.");
    if counts[0] == 1 { Ok(()) } else { Err(Failure::new(format!("gpt2 takes {} tokens", counts[0]))) }
}
