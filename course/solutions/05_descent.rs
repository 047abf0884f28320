//! Solutions of the exercises of lesson 5.

use gradus_autograd::{DType, Tape};
use gradus_course::{Failure, Result};
use gradus_nn::Init;
use gradus_nn::landscape::{Landscape, Place};
use gradus_nn::optim::{AdamW, AdamWConfig, Sgd, SgdConfig};

fn main() -> Result {
    steeper()?;
    without_division()?;
    batch_or_rate()
}

fn add_gradient(landscape: Landscape, place: &Place) {
    let tape = Tape::new();
    tape.backward(&landscape.loss(&tape.parameter(&place.at)));
}

fn steeper() -> Result {
    println!(
        "1. x is multiplied by 1 − η, y by 1 − 100·η: above 2/100 it diverges. Both factors are equally far from 0 at"
    );
    println!("   η = 2/101, where they are ±99/101. f falls from 100 by (99/101)² in each step.");
    let (valley, place) = (Landscape::Valley { steep: 100.0 }, Place::new(&[10.0, 1.0]));
    let computed = ((1e-6_f64 / 100.0).ln() / (2.0 * (99.0_f64 / 101.0).ln())).ceil() as usize;
    let mut sgd = Sgd::new(&place, SgdConfig::default());
    let mut steps = 0_usize;
    while valley.value([place.now()[0], place.now()[1]]) >= 1e-6 && steps < 10_000 {
        add_gradient(valley, &place);
        sgd.step(2.0 / 101.0, 1.0);
        steps += 1;
    }
    println!("   computed: {computed} steps, counted: {steps}");
    check(steps.abs_diff(computed) <= 1, "the count is not what the factors say")
}

fn without_division() -> Result {
    println!(
        "\n2. The step is η·m̂ / √v̂ = η·m / √v · √(1 − β₂ᵗ) / (1 − β₁ᵗ); a rate of η·(1 − β₁ᵗ) / √(1 − β₂ᵗ) undoes it."
    );
    let mut walked = Vec::new();
    for divided in [true, false] {
        let place = Place::new(&[-1.2, 1.0]);
        let mut adam = AdamW::new(&place, AdamWConfig { beta2: 0.999, weight_decay: 0.0, ..AdamWConfig::default() });
        let (mut before, mut length) = (place.now(), 0.0);
        for t in 1..=10 {
            add_gradient(Landscape::Banana, &place);
            let factor = if divided { 1.0 } else { (1.0 - 0.9_f64.powi(t)) / (1.0 - 0.999_f64.powi(t)).sqrt() };
            adam.step((0.02 * factor) as f32, 1.0);
            let now = place.now();
            length += (now[0] - before[0]).hypot(now[1] - before[1]);
            before = now;
        }
        let how = if divided { "with" } else { "without" };
        println!(
            "   {how:<7} the division: ten steps of {length:.3} together, to ({:.3}, {:.3})",
            before[0], before[1]
        );
        walked.push(length);
    }
    println!("   Without it they shoot over the valley and back.");
    check(walked[1] > 2.0 * walked[0], "the steps without the division are not longer")
}

fn batch_or_rate() -> Result {
    println!("\n3. Off by √(η / (2 − η) / B): a batch of 32 halves it. With batches of 8 so does the rate 0.026.");
    let mut cost = Vec::new();
    for (batch, rate) in [(8_u32, 0.1), (32, 0.1), (8, 0.026)] {
        let place = Place::new(&[5.0; 500]);
        let (mut sgd, mut noise) = (Sgd::new(&place, SgdConfig::default()), Init::with_dtype(1, DType::F64));
        let off = |place: &Place| (place.now().iter().map(|w| w * w).sum::<f64>() / 500.0).sqrt();
        let mut reached = None;
        for step in 1..=1000 {
            place.at.add_grad(&place.at.value() - &noise.normal(&[500], f64::from(batch).powf(-0.5)).value());
            sgd.step(rate, 1.0);
            reached = reached.or((off(&place) < 0.5).then_some(step * batch));
        }
        let reached = reached.ok_or_else(|| Failure::new("0.5 is never reached"))?;
        println!(
            "   batch {batch:>2}, rate {rate:<5}: off by {:.4} in the end, 0.5 after {reached} examples",
            off(&place)
        );
        cost.push((off(&place), reached));
    }
    println!(
        "   The two that are equally exact cost about as many examples: four times the batch, or a quarter of the rate."
    );
    let alike = |a: f64, b: f64| (a / b - 1.0).abs() < 0.1;
    check(alike(cost[1].0, cost[2].0) && alike(cost[0].0, 2.0 * cost[1].0), "the distances are not as computed")?;
    check(alike(f64::from(cost[1].1), f64::from(cost[2].1)), "the costs are not alike")
}

fn check(holds: bool, otherwise: &str) -> Result {
    if holds { Ok(()) } else { Err(Failure::new(otherwise)) }
}
