//! Solutions of the exercises of lesson 8.

use gradus_autograd::DType;
use gradus_course::{Failure, Result};
use gradus_nn::data::Blows;
use gradus_nn::layers::{BlockConfig, RotaryConfig};
use gradus_nn::optim::{AdamWConfig, Schedule};
use gradus_nn::training::{Trainer, TrainerConfig};
use gradus_nn::{Encoder, EncoderConfig, Init, Order};

fn main() -> Result {
    println!("1. The largest Σᵢ cos(k·θᵢ) of 16 pairs, of distances k from 20 on:");
    for base in [100.0, 10_000.0_f64] {
        let product = |k: i32| (0..16).map(|i| (f64::from(k) * base.powf(-f64::from(i) / 16.0)).cos()).sum::<f64>();
        let best = (20..2000).fold(20, |best, k| if product(k) > product(best) { k } else { best });
        let round = std::f64::consts::TAU * base.powf(15.0 / 16.0);
        println!(
            "   base {base:>5}: {:.3} at distance {best}; the slowest hand goes round in {round:.0}",
            product(best)
        );
    }
    println!("   Once the slowest hand has been round, places far away look nearer than some that are close.");

    println!("2. No positions, but a causal mask:");
    let block = BlockConfig::bert(16, 2).with_initial_weights(0.25, 1);
    let mut causal = block.clone();
    causal.attention.causal = true;
    let model = train(Order::None, causal)?;
    let data = Blows::default();
    let share = percent(&model, &data, "")?;
    println!("   {share:.1}% of the held-out sentences are right: 打 sees 张麻子打, and one surname alone.");
    if share < 100.0 {
        return Err(Failure::new("a causal encoder should know who comes first"));
    }

    println!("3. Right of the held-out sentences with 子子子 before each of them:");
    for (name, order) in [
        ("sinusoidal", Order::Sinusoidal),
        ("learned", Order::Learned),
        ("rotary", Order::Rotary(RotaryConfig::half_split(10_000.0))),
    ] {
        let model = train(order, block.clone())?;
        println!(
            "   {name:<10}  {:5.1}% as they are, {:5.1}% moved",
            percent(&model, &data, "")?,
            percent(&model, &data, "子子子")?
        );
    }
    println!(
        "   Distances stay when a sentence moves, so rotary positions lose nothing; rows 7 to 9 of the table were never"
    );
    println!("   learned, and sines have other values there.");
    Ok(())
}

fn train(order: Order, block: BlockConfig) -> Result<Encoder> {
    let data = Blows::default();
    let config = EncoderConfig { vocabulary: data.characters.len(), context: 10, order, layers: 1, block };
    let schedule = Schedule { learning_rate: 1e-2, min_learning_rate: 0.0, warmup: 10, steps: 200 };
    let adamw = AdamWConfig::default();
    let training = TrainerConfig { seed: 1, batch: 16, grad_accum: 1, clip: 1.0, schedule, adamw };
    let mut trainer = Trainer::new(Encoder::new(&mut Init::with_dtype(1, DType::F64), &config)?, training);
    for _ in 0..200 {
        trainer.step(&data)?;
    }
    Ok(trainer.model().clone())
}

/// How many of the held-out sentences are right, with these characters before each.
fn percent(model: &Encoder, data: &Blows, before: &str) -> Result<f64> {
    let mut right = 0;
    for sentence in &data.held_out {
        let batch = data.tensors(&[&format!("{before}{sentence}")]).map_err(Failure::new)?;
        let blow = before.chars().count() + gradus_nn::data::BLOW;
        let wanted = data.characters.encode(&sentence[..3]).map_err(Failure::new)?[0];
        right += usize::from(model.answers(&batch.ids)[blow] == wanted);
    }
    Ok(100.0 * right as f64 / data.held_out.len() as f64)
}
