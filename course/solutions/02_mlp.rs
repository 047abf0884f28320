//! Solutions of the exercises of lesson 2. `-- all` runs those with the spirals for every seed, which takes some minutes.
//!
//!     cargo run --release --example 02_solutions

use gradus_autograd::{Tape, Tensor, Var};
use gradus_course::{Failure, Result, show};
use gradus_nn::data::{Example, two_spirals, xor};
use gradus_nn::loss::binary_cross_entropy;
use gradus_nn::optim::{AdamW, AdamWConfig, Schedule, Sgd, SgdConfig};
use gradus_nn::{Init, Layer, Mlp};
use gradus_pictures::{LineChart, Plane, Point, Series};

const LESSON: &str = "02_mlp";

fn main() -> Result {
    let all = std::env::args().any(|argument| argument == "all");
    few_units()?;
    without_decay(all)?;
    without_tanh()?;
    momentum(all);
    four_lines()
}

/// Trains by plain gradient descent, with the forward pass `forward`.
fn descend(network: &Mlp, steps: usize, forward: impl Fn(&Tape, &Var) -> Var) -> f64 {
    let (x, y) = tensors(&xor());
    let mut sgd = Sgd::new(network, SgdConfig::default());
    let mut last = f64::NAN;
    for _ in 0..steps {
        let tape = Tape::new();
        let loss = binary_cross_entropy(&forward(&tape, &x), &y);
        tape.backward(&loss);
        sgd.step(1.0, 1.0);
        last = loss.value().item();
    }
    last
}

fn few_units() -> Result {
    println!("1. Exclusive or with 2, 3 and 4 hidden units, seeds 1 to 20, 1000 steps\n");
    let mut learned = [0; 3];
    let mut stuck = Vec::new();
    for (count, units) in learned.iter_mut().zip(2..) {
        for seed in 1..=20 {
            let network = Mlp::new(&mut Init::new(seed), &[2, units, 1]);
            let loss = descend(&network, 1000, |tape, x| network.forward(tape, x));
            let good = right(&network, &xor()) == 4;
            *count += usize::from(good);
            if units == 2 && !good {
                stuck.push(format!("{loss:.3}"));
            }
        }
        println!("  {units} units: {count} of 20 have all four cases right");
    }
    println!("\nLosses of those with 2 units that did not: {}.", stuck.join(" "));
    let half = 2f64.ln() / 2.0;
    println!(
        "½·ln 2 = {half:.3}: two cases are right, and for the other two the answer is p = ½. Both units draw lines that"
    );
    println!(
        "part the first two from these, none draws one between them, and no small change of a weight helps. With more"
    );
    println!("units it is likelier that one of them begins where it is needed.\n");
    if learned[0] < learned[2] {
        Ok(())
    } else {
        Err(Failure::new("more units should help: are the seeds those of the text?"))
    }
}

fn spirals(seed: u64, weight_decay: f32, steps: u64) -> Mlp {
    let network = Mlp::new(&mut Init::new(seed), &[2, 64, 64, 1]);
    let (x, y) = tensors(&two_spirals(1));
    let mut adamw = AdamW::new(&network, AdamWConfig { weight_decay, ..AdamWConfig::default() });
    let schedule = Schedule { learning_rate: 3e-3, min_learning_rate: 0.0, warmup: 100, steps };
    for step in 0..steps {
        let tape = Tape::new();
        tape.backward(&binary_cross_entropy(&network.forward(&tape, &x), &y));
        adamw.step(schedule.at(step) as f32, 1.0);
    }
    network
}

fn without_decay(all: bool) -> Result {
    println!("2. The spirals without weight decay, and with too much\n");
    let (seeds, steps) = if all { (5, 8000) } else { (1, 1500) };
    for weight_decay in if all { vec![0.0, 1.0, 2.0] } else { vec![0.0] } {
        for seed in 1..=seeds {
            let network = spirals(seed, weight_decay, steps);
            let (few, dense) = (right(&network, &two_spirals(1)), right(&network, &two_spirals(4)));
            println!("  weight decay {weight_decay}, seed {seed}, {steps} steps: {few} of 194, {dense} of 770");
            if seed == 1 {
                let note = format!("weight decay {weight_decay}: {few} of 194 points, {dense} of 770");
                let (names, ticks) = (["first", "second"], &[-6.0, -3.0, 0.0, 3.0, 6.0]);
                let picture = Plane { title: "Two spirals", note: &note, names, from: -7.5, to: 7.5, ticks, dot: 9 };
                let points: Vec<Point> =
                    two_spirals(1).iter().map(|e| Point { at: e.inputs, label: e.label }).collect();
                let name = format!("spirals-{weight_decay}.svg");
                show(LESSON, &name, &picture.svg(&points, |points| ask(&network, points))?)?;
            }
            if few < 190 && weight_decay == 0.0 {
                return Err(Failure::new(format!("only {few} of 194 are right: nothing keeps it from learning them")));
            }
        }
    }
    println!(
        "\nIn between, the border has kinks where large weights bend it sharply. Too much decay, and the weights are too small"
    );
    println!("for a border with so many turns.\n");
    Ok(())
}

fn without_tanh() -> Result {
    println!("3. Without tanh\n");
    let network = Mlp::new(&mut Init::new(1), &[2, 4, 4, 1]);
    let loss =
        descend(&network, 1000, |tape, x| network.layers.iter().fold(x.clone(), |x, layer| layer.forward(tape, &x)));
    println!("  three layers, 1000 steps: loss {loss:.4}; ln 2 = {:.4}", 2f64.ln());
    println!("\nW₂·(W₁·x + b₁) + b₂ = (W₂·W₁)·x + (W₂·b₁ + b₂): one layer, one straight line.\n");
    if (loss - 2f64.ln()).abs() < 1e-3 { Ok(()) } else { Err(Failure::new("a straight line cannot do exclusive or")) }
}

fn momentum(all: bool) {
    println!("4. Momentum in the place of AdamW\n");
    let steps = if all { 20_000 } else { 600 };
    for rate in if all { vec![0.003, 0.01, 0.03, 0.1, 0.3] } else { vec![0.01, 0.1] } {
        let network = Mlp::new(&mut Init::new(1), &[2, 64, 64, 1]);
        let (x, y) = tensors(&two_spirals(1));
        let mut sgd = Sgd::new(&network, SgdConfig { momentum: 0.9, ..SgdConfig::default() });
        for _ in 0..steps {
            let tape = Tape::new();
            tape.backward(&binary_cross_entropy(&network.forward(&tape, &x), &y));
            sgd.step(rate, 1.0);
        }
        let (few, dense) = (right(&network, &two_spirals(1)), right(&network, &two_spirals(4)));
        println!("  rate {rate}, {steps} steps: {few} of 194, {dense} of 770");
    }
    println!("\nOne rate for all weights is too small for some of them or too large for others.\n");
}

fn four_lines() -> Result {
    println!("5. The four lines of the hidden layer\n");
    let network = Mlp::new(&mut Init::new(1), &[2, 4, 1]);
    descend(&network, 1000, |tape, x| network.forward(tape, x));
    let weights = network.layers[0].weight.value().to_vec::<f32>();
    let biases = network.layers[0].bias.as_ref().map(|bias| bias.value().to_vec::<f32>()).unwrap_or_default();
    let names = ["h₁", "h₂", "h₃", "h₄"];
    let mut series = Vec::new();
    for ((w, b), name) in weights.chunks(2).zip(biases).zip(names) {
        println!("  {name} = 0 where {:.2}·x₁ + {:.2}·x₂ + {b:.2} = 0", w[0], w[1]);
        let point = |i: u32| {
            let x = f64::from(i) / 100.0 - 0.5;
            let y = -(f64::from(w[0]) * x + f64::from(b)) / f64::from(w[1]);
            (x, if (-0.5..=1.5).contains(&y) { y } else { f64::NAN })
        };
        series.push(Series { name, points: (0..=200).map(point).collect() });
    }
    println!(
        "\nOn one side of its line a unit answers −1, on the other 1. h₁ and h₂ cut off (1, 0), h₃ cuts off (0, 1): these are"
    );
    println!("the two that are yes. Two lines would have done.\n");
    let note = "where each hidden unit answers 0; the four cases are at 0 and 1";
    let chart = LineChart { title: "Four lines", note, x: "x₁", y: "x₂", logarithmic: false, series };
    show(LESSON, "lines.svg", &chart.svg()?)
}

fn tensors(examples: &[Example<2>]) -> (Var, Tensor) {
    let inputs: Vec<f32> = examples.iter().flat_map(|example| example.inputs).collect();
    let labels: Vec<f32> = examples.iter().map(|example| f32::from(example.label)).collect();
    let shape = |columns: usize| [examples.len(), columns];
    (Var::constant(Tensor::from_slice(&inputs, &shape(2))), Tensor::from_slice(&labels, &shape(1)))
}

fn ask(network: &Mlp, points: &[[f32; 2]]) -> Vec<f32> {
    let x = Tensor::from_slice(points.as_flattened(), &[points.len(), 2]);
    network.forward(&Tape::inference(), &Var::constant(x)).value().to_vec()
}

fn right(network: &Mlp, examples: &[Example<2>]) -> usize {
    let points: Vec<[f32; 2]> = examples.iter().map(|example| example.inputs).collect();
    ask(network, &points).iter().zip(examples).filter(|(z, example)| (**z > 0.0) == example.label).count()
}
