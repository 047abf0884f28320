//! Solutions of the exercises of lesson 3.
//!
//!     cargo run --release --example 03_solutions

use gradus_course::{Failure, Result};
use gradus_nn::playground::{Feature, Penalty, Playground, Settings};

fn main() -> Result {
    a_disc_from_squares()?;
    fewest_units()?;
    exactly_zero()
}

fn named(name: &str) -> Result<Settings> {
    Settings::named(name).ok_or_else(|| Failure::new(format!("there are no settings called {name}")))
}

fn trained(settings: Settings) -> Result<Playground> {
    let mut playground = Playground::new(settings)?;
    (0..playground.settings().epochs).for_each(|_| playground.train_epoch());
    Ok(playground)
}

fn a_disc_from_squares() -> Result {
    println!("1. A disc from squares\n");
    let base = Settings { hidden: vec![], learning_rate: 0.03, ..named("circle")? };
    let plain = trained(base.clone())?;
    let squared = trained(Settings { features: vec![Feature::XSquared, Feature::YSquared], ..base })?;
    println!("  from x and y:   test loss {:.4}", plain.losses().test);
    println!("  from x² and y²: test loss {:.4}", squared.losses().test);
    let layer = &squared.network().layers[0];
    let (w, b) =
        (layer.weight.value().to_f64_vec(), layer.bias.as_ref().map_or(0.0, |bias| bias.value().to_f64_vec()[0]));
    println!("\n  answer = tanh({:.3}·x² + {:.3}·y² + {b:.3})", w[0], w[1]);
    let radius = (-b / (0.5 * (w[0] + w[1]))).sqrt();
    println!(
        "\nBoth weights are nearly alike, so the border is nearly a circle, of radius √(−b/w) = {radius:.2}: between 2.5 and 3.5.\n"
    );
    if (2.5..3.5).contains(&radius) && squared.losses().test < 0.05 && plain.losses().test > 0.3 {
        Ok(())
    } else {
        Err(Failure::new("the border should lie in the gap between disc and ring"))
    }
}

fn fewest_units() -> Result {
    println!("2. Exclusive or with few units: wrong test points of 250, seeds 1 to 5\n");
    let mut fewest = Vec::new();
    for units in 1..=4 {
        let mut wrong = Vec::new();
        for seed in 1..=5 {
            let network = trained(Settings { hidden: vec![units], seed, ..named("xor")? })?;
            wrong.push(network.test().len() - network.right(network.test()));
        }
        println!("  {units} units: {wrong:?}");
        fewest.push(wrong.into_iter().min().unwrap_or(0));
    }
    let product = trained(Settings { hidden: vec![], features: vec![Feature::Product], ..named("xor")? })?;
    let wrong = product.test().len() - product.right(product.test());
    println!("  no units, and x·y as the input: {wrong}");
    println!(
        "\nEach unit draws one line, and here the answer turns at two that cross. A sum of two steps cannot do that, a sum of four"
    );
    println!("comes near it. The sign of x·y *is* the answer: whoever finds the right input needs no hidden units.\n");
    if wrong == 0 && fewest[0] > 25 && fewest[3] < 10 {
        Ok(())
    } else {
        Err(Failure::new("one unit cannot do it, and four can"))
    }
}

fn exactly_zero() -> Result {
    println!("3. Weights that are exactly 0\n");
    println!("  penalty      x       y      x²      y²     x·y   sin x   sin y");
    let mut zeros = Vec::new();
    for penalty in [Penalty::L1, Penalty::L2] {
        let base = Settings { features: Feature::ALL.to_vec(), learning_rate: 0.03, ..named("gauss")? };
        let network = trained(Settings { penalty, penalty_rate: 0.1, ..base })?;
        let weights = network.network().layers[0].weight.value().to_f64_vec();
        // + 0.0, or a zero that was reached from below would be written as −0.
        let written: Vec<String> = weights.iter().map(|w| format!("{:>6.3}", w + 0.0)).collect();
        println!("  {:<7}  {}", penalty.name(), written.join("  "));
        zeros.push(weights.iter().filter(|w| **w == 0.0).count());
    }
    println!(
        "\nL1 takes η·λ off every weight in every step, however small the weight is, so one that helps less than that ends at 0."
    );
    println!("L2 takes off a share of the weight, which becomes less and less, and never the whole of it.");
    if zeros[0] >= 2 && zeros[1] == 0 { Ok(()) } else { Err(Failure::new(format!("{zeros:?} weights are 0"))) }
}
