//! The model that reads token by token, with its keys and values kept, says what the whole forward pass says.

use gradus_autograd::gradcheck::values;
use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_gpt::config::ModelConfig;
use gradus_gpt::model::{Gpt, Reader};
use gradus_nn::Layer;
use gradus_nn::layers::KvCache;
use gradus_tests::compare::assert_close;
use gradus_tests::isa;
use gradus_tests::models::{ids, lively};

const CONTEXT: usize = 11;
const VOCABULARY: usize = 23;

fn model(dtype: DType) -> Gpt {
    let vocab_size = VOCABULARY;
    let config = ModelConfig { layers: 2, heads: 3, width: 21, context: CONTEXT, vocab_size, dropout: 0.1, bias: true };
    lively(&config, dtype, 0.4)
}

/// The logits [V] after the last of `window`, by one pass without a cache.
fn full(model: &Gpt, window: &[u32]) -> Vec<f64> {
    let logits = model.logits(&Tape::inference(), &Tensor::from_slice(window, &[1, window.len()]));
    logits.value().slice(1, window.len() - 1..window.len()).to_f64_vec()
}

fn widened(logits: Vec<f32>) -> Vec<f64> {
    logits.into_iter().map(f64::from).collect()
}

/// Reads 40 tokens in pieces of these sizes, in turn, and compares after each.
fn read(dtype: DType, pieces: &[usize], tolerance: f64) {
    let model = model(dtype);
    let text = ids(5, 40, VOCABULARY);
    let mut reader = Reader::new(&model);
    let (mut at, mut rolled) = (0, 0);
    for piece in pieces.iter().cycle() {
        let Some(next) = text.get(at..at + piece) else { break };
        let before = reader.window().len();
        let logits = reader.read(next);
        at += piece;
        let window = reader.window().to_vec();
        assert!(text[..at].ends_with(&window) && window.len() <= CONTEXT, "the window is the end of the text");
        if before + piece <= CONTEXT {
            assert_eq!(window.len(), before + piece, "nothing is forgotten while there is room");
        } else {
            assert_eq!(window.len(), CONTEXT / 2);
            rolled += 1;
        }
        assert_close(&format!("logits after {at} tokens"), &widened(logits), &full(&model, &window), tolerance);
    }
    assert!(rolled >= 3, "the text is long enough to roll: {rolled}");
}

#[test]
fn token_by_token_in_f32() {
    read(DType::F32, &[1], 5e-6);
}

#[test]
fn in_pieces_in_f32() {
    read(DType::F32, &[5, 1, 3, 7], 5e-6);
}

/// The reader rounds its logits to `f32`, half a unit of 2⁻²³ at most; before that both are the same in `f64`.
#[test]
fn token_by_token_in_f64() {
    read(DType::F64, &[1], 0.5 * f64::from(f32::EPSILON) + 1e-12);
    read(DType::F64, &[4, 1], 0.5 * f64::from(f32::EPSILON) + 1e-12);
}

#[test]
fn a_prompt_longer_than_the_context_is_read_from_its_end() {
    let model = model(DType::F32);
    let text = ids(6, 3 * CONTEXT, VOCABULARY);
    let mut reader = Reader::new(&model);
    let logits = reader.read(&text);
    assert_eq!(reader.window(), &text[text.len() - CONTEXT / 2..]);
    assert_close("logits", &widened(logits), &full(&model, reader.window()), 5e-6);
}

/// The model after the blocks is the same code for both, so in `f64` the blocks alone are compared, to 1e-12.
#[test]
fn blocks_in_f64() {
    let model = model(DType::F64);
    let (t, c) = (CONTEXT, 21);
    let x = Tensor::from_slice(&values(3, 2 * t * c), &[2, t, c]);
    let tape = Tape::inference();
    for pieces in [vec![1; t], vec![4, 1, 6], vec![t]] {
        let mut caches: Vec<KvCache> = model.blocks.iter().map(|_| KvCache::new(DType::F64, 2, 3, t, c / 3)).collect();
        let whole = model.blocks.iter().fold(Var::constant(x.clone()), |x, block| block.forward(&tape, &x));
        let mut start = 0;
        for piece in pieces {
            let part = Var::constant(x.slice(1, start..start + piece));
            let blocks = model.blocks.iter().zip(&mut caches);
            let y = blocks.fold(part, |x, (block, cache)| block.forward_cached(&tape, &x, cache));
            let expected = whole.value().slice(1, start..start + piece).to_f64_vec();
            assert_close(&format!("positions from {start}"), &y.value().to_f64_vec(), &expected, 1e-12);
            start += piece;
        }
        assert!(caches.iter().all(|cache| cache.len() == t));
    }
}

/// A cache that is not the right one must not go unnoticed: the test above would be blind otherwise.
#[test]
fn another_past_gives_other_logits() {
    let model = model(DType::F32);
    let (mut one, mut two) = (Reader::new(&model), Reader::new(&model));
    one.read(&[1, 2, 3]);
    two.read(&[4, 2, 3]);
    let (a, b) = (one.read(&[5]), two.read(&[5]));
    let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart > 1e-3, "{apart:e}");
}

#[test]
fn at_every_instruction_set() {
    isa::at_every_other(&["token_by_token_in_f32", "in_pieces_in_f32"]);
}
