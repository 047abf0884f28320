//! Blocks that are computed again in the backward pass give the same bits as blocks that are kept.

use gradus_autograd::{DType, Tape, Tensor};
use gradus_gpt::config::ModelConfig;
use gradus_gpt::model::Gpt;
use gradus_nn::Module;
use gradus_nn::optim::{AdamW, AdamWConfig};
use gradus_tests::isa;
use gradus_tests::models::{bits, ids, lively};

/// Trains for five steps; returns the bits of every step's gradients, those of the last weights, and the bytes that the
/// tape held at the end of a forward pass.
fn train(recompute: bool) -> (Vec<u32>, Vec<u32>, usize) {
    let config = ModelConfig { layers: 3, heads: 3, width: 33, context: 17, vocab_size: 29, dropout: 0.2, bias: true };
    let mut model: Gpt = lively(&config, DType::F32, 0.2);
    model.recompute = recompute;
    let mut optimizer = AdamW::new(&model, AdamWConfig::default());
    let (mut gradients, mut held) = (Vec::new(), 0);
    for step in 0..5 {
        let batch = |seed: u64| Tensor::from_slice(&ids(seed, 5 * 17, 29), &[5, 17]);
        let tape = Tape::training(11, step);
        let loss = model.loss(&tape, &batch(2 * step), &batch(2 * step + 1));
        held = tape.saved_bytes();
        tape.backward(&loss);
        for (_, parameter) in model.named_parameters() {
            gradients.extend(parameter.grad().unwrap().to_vec::<f32>().into_iter().map(f32::to_bits));
        }
        optimizer.step(1e-2, 1.0);
    }
    (gradients, bits(&model), held)
}

#[test]
fn gradients_and_weights_are_the_same_bits_and_less_is_held() {
    let (gradients, weights, held) = train(false);
    let (gradients_again, weights_again, held_less) = train(true);
    assert!(gradients == gradients_again, "gradients differ");
    assert!(weights == weights_again, "weights differ");
    assert!(held_less * 2 < held, "{held_less} bytes with recomputation, {held} without");
}

#[test]
fn at_every_instruction_set() {
    isa::at_every_other(&["gradients_and_weights_are_the_same_bits_and_less_is_held"]);
}
