use super::*;
use std::collections::BTreeMap;

/// The exercise of minbpe and of Wikipedia's article.
#[test]
fn the_known_example_has_its_ids() {
    let mut seen = Vec::new();
    let bpe = Bpe::train(Pattern::None, "aaabdaaabac", 259, |merge| {
        seen.push((merge.id, merge.pair, merge.count, String::from_utf8(merge.bytes.to_vec()).unwrap()));
    })
    .unwrap();
    assert_eq!(bpe.encode("aaabdaaabac"), [258, 100, 258, 97, 99]);
    assert_eq!(bpe.decode(&[258, 100, 258, 97, 99]).unwrap(), b"aaabdaaabac");
    assert_eq!(
        seen,
        [
            (256, (97, 97), 4, "aa".into()),
            (257, (97, 98), 2, "ab".into()), // as often as (256, 97), and smaller
            (258, (256, 257), 2, "aaab".into()),
        ]
    );
    let error = Bpe::train(Pattern::None, "aaabdaaabac", 260, |_| ()).unwrap_err().to_string();
    assert_eq!(
        error,
        "a vocabulary of 260 tokens cannot be learned from this text: after 259 no pair of neighbours occurs twice; choose \
         259 tokens or fewer, or give a longer text"
    );
}

/// Words over a few letters, in many scripts, the same on every run.
fn text(seed: u32, length: u32, letters: &str) -> String {
    let letters: Vec<char> = letters.chars().collect();
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize
    };
    (0..length).map(|_| letters[next() % letters.len()]).collect()
}

const ALPHABETS: [&str; 4] = ["aab ", "ab", "abcde  \n", "天地 玄a黄'，é1\n"];

/// Counts anew after every merge.
fn naive_merges(pattern: Pattern, text: &str, number: usize) -> Vec<Pair> {
    let mut pieces: Vec<Vec<u32>> = pattern.pieces(text).map(|piece| piece.bytes().map(u32::from).collect()).collect();
    let mut merges = Vec::new();
    for id in (256..).take(number) {
        let mut counts: BTreeMap<Pair, usize> = BTreeMap::new();
        let neighbours = pieces.iter().flat_map(|piece| piece.windows(2));
        neighbours.for_each(|pair| *counts.entry((pair[0], pair[1])).or_default() += 1);
        let best = counts.iter().rev().max_by_key(|(_, count)| **count).filter(|(_, count)| **count > 1);
        let Some((&pair, _)) = best else { break };
        pieces.iter_mut().for_each(|piece| *piece = naively_merged(piece, pair, id));
        merges.push(pair);
    }
    merges
}

fn naively_merged(piece: &[u32], pair: Pair, id: u32) -> Vec<u32> {
    match piece {
        [left, right, rest @ ..] if (*left, *right) == pair => [&[id][..], &naively_merged(rest, pair, id)].concat(),
        [first, rest @ ..] => [&[*first][..], &naively_merged(rest, pair, id)].concat(),
        [] => Vec::new(),
    }
}

#[test]
fn training_counts_as_one_does_who_counts_anew_after_every_merge() {
    for (seed, letters) in (0..).zip(ALPHABETS) {
        for pattern in [Pattern::None, Pattern::Gpt2, Pattern::Cl100k, Pattern::O200k] {
            let text = text(seed, 400, letters);
            let expected = naive_merges(pattern, &text, 60);
            let bpe = Bpe::train(pattern, &text, 256 + expected.len(), |_| ()).unwrap();
            assert_eq!(bpe.merges(), expected, "{pattern:?} {letters:?}");
        }
    }
}

#[test]
fn encoding_merges_as_one_does_who_takes_one_merge_after_the_other() {
    for (seed, letters) in (7..).zip(ALPHABETS) {
        for pattern in [Pattern::None, Pattern::Gpt2, Pattern::Cl100k, Pattern::O200k] {
            let most = 256 + naive_merges(pattern, &text(seed, 400, letters), 60).len();
            let bpe = Bpe::train(pattern, &text(seed, 400, letters), most, |_| ()).unwrap();
            let other = text(seed + 100, 500, letters);
            let mut expected = Vec::new();
            for piece in pattern.pieces(&other) {
                let bytes: Vec<u32> = piece.bytes().map(u32::from).collect();
                let merges = bpe.merges().iter().zip(256..);
                expected.extend(merges.fold(bytes, |piece, (&pair, id)| naively_merged(&piece, pair, id)));
            }
            assert_eq!(bpe.encode(&other), expected, "{pattern:?} {letters:?}");
            assert_eq!(bpe.decode(&expected).unwrap(), other.as_bytes());
        }
    }
}

/// In linear time times a logarithm: a piece of a megabyte would take hours if each merge walked over it.
#[test]
fn a_piece_of_a_megabyte_is_encoded() {
    let bpe = Bpe::train(Pattern::None, &text(3, 4000, "abcd"), 400, |_| ()).unwrap();
    let long = text(4, 1 << 20, "abcd");
    let ids = bpe.encode(&long);
    assert!(ids.len() < 500_000 && bpe.decode(&ids).unwrap() == long.as_bytes(), "{}", ids.len());
}

#[test]
fn tokens_stay_within_their_limit() {
    let bpe = Bpe::train(Pattern::None, &"a".repeat(100_000), 266, |_| ()).unwrap();
    assert_eq!(bpe.bytes(265).unwrap().len(), LONGEST_TOKEN);
    assert!(Bpe::train(Pattern::None, &"a".repeat(100_000), 1400, |_| ()).is_err());
    let doubling: Vec<Pair> = std::iter::once((0, 0)).chain((256..400).map(|id| (id, id))).collect();
    let identity = std::array::from_fn(|byte| byte as u8);
    assert_eq!(
        Bpe::new(Pattern::None, identity, doubling, Vec::new()).unwrap_err(),
        "token 266 has 2048 bytes, and the limit is 1024"
    );
}

#[test]
fn special_tokens_are_tokens_where_they_are_asked_for() {
    let plain = Bpe::train(Pattern::Cl100k, "hello hello", 258, |_| ()).unwrap();
    let special = [("<|end|>", 300), ("<|end|>!", 258), ("<|", 400)].map(|(text, id)| (text.to_string(), id));
    let identity = std::array::from_fn(|byte| byte as u8);
    let bpe = Bpe::new(Pattern::Cl100k, identity, plain.merges().to_vec(), special.to_vec()).unwrap();
    assert_eq!(bpe.vocab_size(), 401);
    assert_eq!(bpe.encode_with_special("a<|end|>b<|end|>!<|end"), [97, 300, 98, 258, 400, 101, 110, 100]);
    assert_eq!(bpe.encode("<|end|>"), b"<|end|>".map(u32::from));
    assert_eq!(bpe.decode(&[300, 97, 258]).unwrap(), b"<|end|>a<|end|>!");
    assert_eq!((bpe.decode(&[97, 299]), bpe.bytes(401)), (Err(299), None));
    let wrong = |text: &str, id| {
        let special = vec![("<|end|>".to_string(), 300), (text.to_string(), id)];
        Bpe::new(Pattern::Cl100k, identity, plain.merges().to_vec(), special).unwrap_err()
    };
    for (text, id) in [("", 301), ("a", 257), ("a", 1_000_000)] {
        assert!(wrong(text, id).contains("an id from 258 to 999999"), "{}", wrong(text, id));
    }
    assert_eq!(wrong("<|end|>", 301), "the special tokens \"<|end|>\" and \"<|end|>\" have the same text or id");
    assert_eq!(wrong("other", 300), "the special tokens \"<|end|>\" and \"other\" have the same text or id");
}

#[test]
fn what_is_stored_is_one_line_and_comes_back() {
    let bpe = Bpe::train(Pattern::None, "aaabdaaabac", 259, |_| ()).unwrap();
    let json = serde_json::to_string(&bpe).unwrap();
    assert_eq!(json, r#"{"pattern":"none","merges":"97+97 97+98 256+257"}"#);
    assert_eq!(serde_json::from_str::<Bpe>(&json).unwrap(), bpe);

    let order: [u8; 256] = std::array::from_fn(|byte| 255 - byte as u8);
    let other = Bpe::new(Pattern::Gpt2, order, vec![(0, 255), (256, 3)], vec![("<|end|>".into(), 258)]).unwrap();
    let json = serde_json::to_string(&other).unwrap();
    assert!(json.contains(r#""bytes":"fffefdfc"#) && json.contains(r#""special":{"<|end|>":258}"#), "{json}");
    let again: Bpe = serde_json::from_str(&json).unwrap();
    assert_eq!((again.bytes(256), again.bytes(258)), (Some(&[255, 0][..]), Some(&b"<|end|>"[..])));
    assert_eq!(again, other);
    assert_ne!(again, bpe);

    let ranks = write(&other).unwrap();
    let read = read(&ranks, Pattern::Gpt2, other.special().to_vec()).unwrap();
    assert_eq!(read, other);
}

#[test]
fn what_is_broken_is_refused_with_what_is_wrong() {
    let json =
        |rest: &str| serde_json::from_str::<Bpe>(&format!(r#"{{"pattern":"none",{rest}}}"#)).unwrap_err().to_string();
    for (rest, problem) in [
        (r#""merges":"97+97 258+97""#, "merge 2 makes token 257 of token 258, which does not come before it"),
        (r#""merges":"256+97""#, "merge 1 makes token 256 of token 256, which does not come before it"),
        (r#""merges":"97+97 97+97""#, "merge 2 is of the pair 97+97, which token 256 is made of"),
        (r#""merges":"97+97 ab+1""#, "merge 2 is \"ab+1\", and not a pair such as 97+256"),
        (r#""merges":"97""#, "merge 1 is \"97\", and not a pair"),
        (r#""merges":"-1+97""#, "merge 1 is \"-1+97\", and not a pair"),
        (r#""merges":"","bytes":"00""#, "bytes has to be 256 bytes in hexadecimal digits"),
        (r#""merges":"","special":{"":300}"#, "the special token \"\" needs a text"),
    ] {
        assert!(json(rest).contains(problem), "{rest}: {}", json(rest));
    }
    let bytes = format!(r#""merges":"","bytes":"{}""#, "00".repeat(256));
    assert!(json(&bytes).contains("no token is the byte 0x01"), "{}", json(&bytes));

    let good = write(&Bpe::train(Pattern::None, "aaabdaaabac", 259, |_| ()).unwrap()).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let changed = |from: &str, to: &str| read(&good.replace(from, to), Pattern::None, Vec::new()).unwrap_err();
    assert_eq!(changed("YWE= 256", "YWE= 257"), "line 257: the rank is \"257\" where 256 comes next");
    assert_eq!(changed("YWE= 256", "YWE=256"), "line 257: \"YWE=256\" is not a token in base64, a space and its rank");
    assert!(changed("YWE= 256", "Y*E= 256").starts_with("line 257: the token is not base64: "));
    assert_eq!(changed("YQ== 97", "YWE= 97"), "token 97 is not a single byte, as the first 256 have to be");
    assert_eq!(changed("YQ== 97", "Yg== 97"), "no token is the byte 0x61");
    let made = |token: &str| changed("YWFhYg== 258", &format!("{token} 258"));
    assert_eq!(made("eHl6"), "token 258 has to be two earlier tokens, and the merges before it leave 3"); // xyz
    assert_eq!(made("YWE="), "token 258 has to be two earlier tokens, and the merges before it leave 1"); // aa again
    assert_eq!(made(""), "token 258 has to be two earlier tokens, and the merges before it leave 0");
    let cut = read(&lines[..200].join("\n"), Pattern::None, Vec::new()).unwrap_err();
    assert_eq!(cut, "token 200 is not a single byte, as the first 256 have to be");
}
