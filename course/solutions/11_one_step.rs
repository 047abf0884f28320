//! Solutions of the exercises of lesson 11.

use gradus_autograd::{Tape, Tensor};
use gradus_course::Result;
use gradus_gpt::config::ModelConfig;
use gradus_gpt::model::Gpt;
use gradus_gpt::preset::Preset;
use gradus_gpt::tokenizer::{Tokenizer, TokenizerKind};
use gradus_nn::optim::{AdamW, AdamWConfig};
use gradus_nn::{Init, Module};

const SENTENCE: &str = "知之为知之，不知为不知，是知也";

fn main() -> Result {
    println!("1. Without positions\n");
    let (with, without) = (train(3e-3, 300, true)?, train(3e-3, 300, false)?);
    println!("  Loss after 300 steps: {with:.3} with positions, {without:.3} without.");
    println!(
        "  Without them a token knows what stands before it, but not where. The causal mask still tells early from late: the"
    );
    println!(
        "  first token averages over one value, the tenth over ten, and from such averages a second layer can count."
    );

    println!("\n2. Learning rates\n");
    for (rate, words) in [
        (0.3, "jumps about, and some of it is unlearned again"),
        (3e-5, "falls so slowly that 300 steps are not enough"),
    ] {
        println!("  {rate}: loss {:.3}; it {words}.", train(rate, 300, true)?);
    }

    println!("\n3. 97% everywhere\n");
    let loss = -(0.97f64.ln());
    println!(
        "  −ln 0.97 = {loss:.4}, and the perplexity is e to that, {:.4}: as if 1.03 characters were alike likely.",
        loss.exp()
    );
    Ok(())
}

/// The loss after so many steps.
fn train(rate: f32, steps: u64, positions: bool) -> Result<f64> {
    let tokenizer = Tokenizer::new(TokenizerKind::Char, SENTENCE);
    let (preset, ..) = Preset::Small.settings();
    let config =
        ModelConfig { layers: 2, heads: 2, width: 16, context: 16, vocab_size: tokenizer.vocab_size(), ..preset };
    let model = Gpt::new(&config, &mut Init::new(1));
    let ids = tokenizer.encode(SENTENCE)?;
    let t = ids.len() - 1;
    let (x, next) = (Tensor::from_slice(&ids[..t], &[1, t]), Tensor::from_slice(&ids[1..], &[1, t]));
    let mut adamw = AdamW::new(&model, AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() });
    let forget_positions = || {
        for (name, parameter) in model.named_parameters() {
            if !positions && name.starts_with("position_embedding") {
                parameter.set_value(Tensor::zeros(&parameter.shape()));
            }
        }
    };
    forget_positions();
    for step in 0..steps {
        let tape = Tape::training(1, step);
        let loss = model.loss(&tape, &x, &next);
        tape.backward(&loss);
        adamw.step(rate, 1.0);
        forget_positions();
    }
    Ok(model.loss(&Tape::inference(), &x, &next).value().item())
}
