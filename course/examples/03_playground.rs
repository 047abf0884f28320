//! Lesson 3: what you choose and what the network learns: hyperparameters, learning rates, overfitting and two cures.
//!
//!     cargo run --release --example 03_playground
//!
//! Parameters are the numbers that training changes. Everything that is fixed before it begins is a hyperparameter: how many
//! layers and units, which inputs, the learning rate η, the batch, a penalty on large weights and its strength λ. A step is
//!
//! > w ← w − η·(∂L/∂w + λ·w), where L is the mean of ½·(answer − target)² over a batch, and λ·w comes from ½·λ·w²
//!
//! The points are those of the TensorFlow Playground: two classes, 1 and −1, on a plane. Half of the points are trained on. The
//! other half are only asked, at the end: their loss is the *test loss*, and it is the one that counts.
//!
//! Read beside it: `nn/src/playground/` (settings, network, training), `nn/src/data/playground.rs`. To play with all of it live:
//! `gradus play --help`. Next: `05_descent.rs`.

use gradus_course::{Failure, Result, progress, show};
use gradus_gpt::plot::{network_blocks, network_picture};
use gradus_nn::Module;
use gradus_nn::playground::{Losses, Playground, Settings};
use gradus_pictures::{LineChart, Series};

const LESSON: &str = "03_playground";

fn main() -> Result {
    what_is_chosen()?;
    five_sets()?;
    learning_rates()?;
    overfitting()?;
    println!("\nExercises: at the end of course/examples/03_playground.rs.");
    Ok(())
}

fn named(name: &str) -> Result<Settings> {
    Settings::named(name).ok_or_else(|| Failure::new(format!("there are no settings called {name}")))
}

/// Trains to the end, and returns the losses before the first epoch and after each.
fn train(settings: Settings) -> Result<(Playground, Vec<Losses>)> {
    let mut playground = Playground::new(settings)?;
    let epochs = playground.settings().epochs;
    let bar = progress(playground.settings().data.name(), epochs);
    let mut losses = vec![playground.losses()];
    for _ in 0..epochs {
        playground.train_epoch();
        losses.push(playground.losses());
        bar.inc(1);
    }
    Ok((playground, losses))
}

fn last(losses: &[Losses]) -> Losses {
    losses[losses.len() - 1]
}

fn what_is_chosen() -> Result {
    println!("1. Chosen and learned: a disc within a ring\n");
    let (network, losses) = train(named("circle")?)?;
    let Settings { hidden, learning_rate, batch, epochs, points, train_share, .. } = network.settings();
    println!(
        "Chosen: {points} points, {:.0}% to train on; inputs x and y; {hidden:?} hidden units, tanh;",
        train_share * 100.0
    );
    println!("        learning rate {learning_rate}, batches of {batch}, {epochs} epochs.");
    println!(
        "Learned: {} parameters, 2·6 weights and 6 biases, 6 weights and 1 bias.\n",
        network.network().parameter_count()
    );
    println!("  epoch   train loss   test loss");
    for epoch in [0, 1, 2, 5, 10, 20, 50, 100] {
        let Losses { train, test } = losses[epoch];
        println!("  {epoch:>5}   {train:>10.4}   {test:>9.4}");
    }
    println!(
        "\nAlways answering 0 has the loss ½·1² = 0.5000. The answers over the plane, from −1 (empty) to 1 (full):\n"
    );
    network_blocks(&network, 40, 16).iter().for_each(|row| println!("  |{row}|"));
    println!("\nThe whole network: each small map is what one unit answers over the plane, each line a weight.\n");
    let Losses { train, test } = last(&losses);
    let note =
        format!("train loss {train:.4}, test loss {test:.4}; blue is above 0, orange below; dark rims: not trained on");
    show(LESSON, "circle.svg", &network_picture(&network, "A disc within a ring", &note)?)
}

fn five_sets() -> Result {
    println!("\n2. Five sets of points, and settings that learn them\n");
    println!(
        "Which settings? Nobody computes them. They are tried, and what points say that were not trained on decides. (Who tries"
    );
    println!("very many should keep a third share for the end: settings can be fitted to the test points too.)\n");
    println!("  settings  inputs  hidden   parameters  epochs   train loss   test loss   wrong   mark");
    let marks = [("circle", 0.01), ("xor", 0.01), ("gauss", 0.01), ("spiral", 0.05), ("moons", 0.05)];
    for (name, mark) in marks {
        let (network, losses) = train(named(name)?)?;
        let Losses { train, test } = last(&losses);
        let Settings { features, hidden, epochs, .. } = network.settings();
        let wrong = |points: &[_]| points.len() - network.right(points);
        let wrong = [wrong(network.train()), wrong(network.test())];
        let (inputs, count) = (features.len(), network.network().parameter_count());
        let hidden = format!("{hidden:?}");
        let numbers = format!("{train:>10.4}   {test:>9.4}   {:>5}", wrong[0] + wrong[1]);
        println!("  {name:<8}  {inputs:>6}  {hidden:<7}  {count:>10}  {epochs:>6}   {numbers}   {mark}");
        if test >= mark {
            return Err(Failure::new(format!("{name}: the test loss is {test:.4}, and {mark} is the mark")));
        }
        if name == "moons" && wrong != [0, 0] {
            return Err(Failure::new(format!("moons: {wrong:?} points are wrong, and none is the mark")));
        }
        if name == "spiral" {
            let note = format!("seven inputs, two hidden layers of 8; train loss {train:.4}, test loss {test:.4}");
            let svg = network_picture(&network, "Two spirals", &note)?;
            gradus_pictures::save(&std::path::Path::new("out").join(LESSON), "spiral.svg", &svg)?;
        }
    }
    println!("\nThe mark is for the test loss; of the moons, no point may be wrong, trained on or not.");
    println!(
        "Two clouds need no hidden layer: one line parts them. The spiral is told x², y², x·y, sin x and sin y as well, so"
    );
    println!(
        "that 16 hidden units are enough; in lesson 2 it took 128, from x and y alone. out/{LESSON}/spiral.svg shows them."
    );
    Ok(())
}

fn learning_rates() -> Result {
    println!("\n3. The learning rate: too small, right, too large\n");
    let rates = [0.001, 0.3, 10.0];
    let mut curves = Vec::new();
    for learning_rate in rates {
        curves.push(train(Settings { learning_rate, ..named("circle")? })?.1);
    }
    println!("  epoch   rate 0.001     rate 0.3      rate 10");
    for epoch in [0, 1, 10, 50, 100] {
        let [small, right, large] = [0, 1, 2].map(|curve: usize| curves[curve][epoch].train);
        println!("  {epoch:>5}   {small:>10.4}   {right:>10.4}   {large:>10.4}");
    }
    println!(
        "\nToo small: every step goes down, and there are not enough of them. Too large: a step lands beyond the valley, where"
    );
    println!(
        "tanh is flat, its derivative next to 0, and the way back is lost. The rate to look for is the largest at which the"
    );
    println!("loss still falls; look for it in factors of 3.\n");
    let [small, right, large] = [0, 1, 2].map(|curve: usize| last(&curves[curve]).train);
    if !(right < 0.01 && small > 0.1 && large > 0.1) {
        return Err(Failure::new(format!(
            "losses {small:.4}, {right:.4}, {large:.4}: only the second should be below 0.01"
        )));
    }
    let names = ["0.001: too small", "0.3", "10: too large"];
    let series = names.iter().zip(&curves).map(|(name, losses)| Series { name, points: points(losses, |l| l.train) });
    let (title, note) = ("Three learning rates", "a disc within a ring, training loss, logarithmic scale");
    let series = series.collect();
    let chart = LineChart { title, note, x: "epoch", y: "train loss", logarithmic: true, series };
    show(LESSON, "rates.svg", &chart.svg()?)
}

/// A curve of one of the losses over the epochs.
fn points(losses: &[Losses], of: impl Fn(&Losses) -> f64) -> Vec<(f64, f64)> {
    losses.iter().enumerate().map(|(epoch, losses)| (epoch as f64, of(losses))).collect()
}

fn overfitting() -> Result {
    println!("\n4. Overfitting, and two cures\n");
    let (network, losses) = train(named("overfit")?)?;
    let (seen, count) = (network.train().len(), network.network().parameter_count());
    println!("Two clouds that overlap, {seen} points to train on, and {count} parameters.\n");
    println!("  epoch   train loss   test loss");
    for epoch in [0, 5, 20, 100, 300, 600] {
        println!("  {epoch:>5}   {:>10.4}   {:>9.4}", losses[epoch].train, losses[epoch].test);
    }
    let best = losses.iter().enumerate().min_by(|a, b| a.1.test.total_cmp(&b.1.test)).map_or(0, |(epoch, _)| epoch);
    println!(
        "\nThe test loss was lowest after epoch {best}. From there the network learns what is true of these {seen} points only."
    );
    println!("How do you see it? The two losses part. With the training loss alone you would have seen nothing.\n");
    println!("  settings    points   train loss   test loss   Σw²");
    let mut tests = Vec::new();
    for name in ["overfit", "l2", "more-data"] {
        let (network, losses) = train(named(name)?)?;
        let Losses { train, test } = last(&losses);
        let points = network.train().len();
        println!("  {name:<9}   {points:>6}   {train:>10.4}   {test:>9.4}   {:.1}", squares(&network));
        tests.push(test);
    }
    println!(
        "\nL2 charges ½·λ·w² for every weight: the border may still bend, but only where many points pay for it. More points do"
    );
    println!(
        "the same without a charge, and better. What is left of the loss is in the data: where the clouds overlap, nobody knows.\n"
    );
    if !(last(&losses).train < 0.01 && tests[1] < 0.9 * tests[0] && tests[2] < 0.9 * tests[0]) {
        return Err(Failure::new(format!("test losses {tests:.3?}: both cures should take off a tenth at least")));
    }
    let series = vec![
        Series { name: "train", points: points(&losses, |l| l.train) },
        Series { name: "test", points: points(&losses, |l| l.test) },
    ];
    let note = format!("{seen} points, {count} parameters; the test loss is lowest after epoch {best}");
    let chart = LineChart { title: "Overfitting", note: &note, x: "epoch", y: "loss", logarithmic: true, series };
    show(LESSON, "overfitting.svg", &chart.svg()?)?;
    let note = format!(
        "train loss {:.4}, test loss {:.4}; dark rims: not trained on",
        last(&losses).train,
        last(&losses).test
    );
    show(LESSON, "overfit.svg", &network_picture(&network, "Thirty points by heart", &note)?)
}

/// The sum of the squares of all weights; biases are not counted, as the penalty does not count them.
fn squares(network: &Playground) -> f64 {
    let weights = network.network().layers.iter().flat_map(|layer| layer.weight.value().to_f64_vec());
    weights.map(|w| w * w).sum()
}

// Exercises
//
// 1. `gradus play --settings circle --hidden none` cannot learn the disc. With `--features x2,y2` it can, with 3 parameters.
//    Which? Work out the border from them: where is w₁·x² + w₂·y² + b = 0?
// 2. Learn exclusive or with 1, 2, 3 and 4 hidden units in one layer (`--settings xor --hidden 2`), and seeds 1 to 5. How many
//    does it take? And how many with `--features xy`, and why?
// 3. L1 and L2 both keep weights small. Give the two clouds (`--settings gauss`) all seven features, and each penalty with the
//    rate 0.1. Which weights are exactly 0 at the end, and why only with one of the two?
