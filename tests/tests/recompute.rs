//! What is computed again in the backward pass has the same bits as what is kept.

use gradus_autograd::{DType, Tensor};
use gradus_gpt::config::ModelConfig;
use gradus_gpt::model::Gpt;
use gradus_gpt::recompute::Recompute;
use gradus_nn::Module;
use gradus_nn::optim::{AdamW, AdamWConfig};
use gradus_nn::training::Trainable;
use gradus_tests::isa;
use gradus_tests::models::{bits, ids, lively};

/// Trains for five steps; returns the bits of every step's gradients, those of the last weights, and the bytes that the
/// tape held at the end of a forward pass.
fn train(recompute: Recompute) -> (Vec<u32>, Vec<u32>, usize) {
    let config = ModelConfig { layers: 3, heads: 3, width: 33, context: 17, vocab_size: 29, dropout: 0.2, bias: true };
    let mut model: Gpt = lively(&config, DType::F32, 0.2);
    model.recompute = recompute;
    let mut optimizer = AdamW::new(&model, AdamWConfig::default());
    let (mut gradients, mut held) = (Vec::new(), 0);
    for step in 0..5 {
        let batch = |seed: u64| Tensor::from_slice(&ids(seed, 5 * 17, 29), &[5, 17]);
        let tape = model.training_tape(11, step);
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
    let (gradients, weights, held) = train(Recompute::None);
    let again = |recompute| {
        let (gradients_again, weights_again, held_less) = train(recompute);
        assert!(gradients == gradients_again, "gradients differ: {recompute}");
        assert!(weights == weights_again, "weights differ: {recompute}");
        held_less
    };
    let [cheap, blocks] = [Recompute::Cheap, Recompute::Blocks].map(again);
    // In each of 3 blocks two norms of width 33 and an activation four times as wide, and the last norm; 85 tokens.
    assert_eq!(held - cheap, (3 * 6 + 1) * 33 * 85 * 4);
    assert!(blocks * 2 < cheap, "{blocks} bytes with blocks, {cheap} with activations computed again");
}

#[test]
fn at_every_instruction_set() {
    isa::at_every_other(&["gradients_and_weights_are_the_same_bits_and_less_is_held"]);
}
