//! Lesson 5: vectors and matrices by hand, and how to walk downhill.
//!
//!     cargo run --release --example 05_descent
//!
//! A layer is a matrix product, a matrix product is many dot products, and a dot product says how far two vectors point the
//! same way. The gradient is a vector too: the dot product with it says how fast the loss rises in any direction.
//!
//! > a·b = Σ aᵢ·bᵢ = |a|·|b|·cos φ,   (A·B)ᵢⱼ = row i of A · column j of B,   slope in direction d = ∇f·d
//!
//! Three ways to walk downhill from g = ∇f, with the learning rate η:
//!
//! > SGD:       w ← w − η·g
//! > momentum:  v ← β·v + g,  w ← w − η·v                                                        (Polyak 1964)
//! > Adam:      m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  w ← w − η·m̂ / (√v̂ + ε),
//! >            m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)                                   (Kingma and Ba 2015)
//!
//! Read beside it: `nn/src/optim/` (sgd.rs, adamw.rs, schedule.rs) and `nn/src/landscape.rs`. Next: `06_tokens.rs`.

use gradus_autograd::{DType, Tape, Tensor};
use gradus_course::{Failure, Result, show};
use gradus_nn::Init;
use gradus_nn::data::shuffled;
use gradus_nn::landscape::{Landscape, Place};
use gradus_nn::optim::{AdamW, AdamWConfig, Schedule, Sgd, SgdConfig};
use gradus_pictures::{Contour, LineChart, Series};

const LESSON: &str = "05_descent";
const VALLEY: Landscape = Landscape::Valley { steep: 25.0 };

fn main() -> Result {
    vectors();
    matrices()?;
    slopes()?;
    valley()?;
    banana()?;
    adam_by_hand()?;
    batches();
    decay()?;
    warm_up()?;
    println!("\nExercises: at the end of course/examples/05_descent.rs.");
    Ok(())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Without what rounding leaves of a zero.
fn clean(x: f64) -> f64 {
    (x * 1e9).round() / 1e9 + 0.0
}

fn vectors() {
    println!("1. Vectors: a = (3, 4), b = (2, 1)\n");
    let (a, b) = ([3.0, 4.0], [2.0, 1.0]);
    let (ab, length, other) = (dot(&a, &b), dot(&a, &a).sqrt(), dot(&b, &b).sqrt());
    println!("  a·b = 3·2 + 4·1 = {ab}      |a| = √(a·a) = {length}      |b| = √5 = {other:.4}");
    println!("  cos φ = a·b / (|a|·|b|) = {:.4}: 1 is the same direction, 0 a right angle, −1 the opposite.", {
        ab / (length * other)
    });
    let share = ab / dot(&a, &a);
    let shadow = a.map(|x| share * x);
    let rest = [b[0] - shadow[0], b[1] - shadow[1]];
    println!("  The projection of b on a: (a·b / a·a)·a = {share}·a = ({:.1}, {:.1}).", shadow[0], shadow[1]);
    println!(
        "  What is left of b is ({:.1}, {:.1}), at a right angle to a: {:.1}.\n",
        rest[0],
        rest[1],
        clean(dot(&rest, &a))
    );
    println!("The perceptron of lesson 1 was a dot product with a threshold.\n");
}

fn matrices() -> Result {
    println!("2. A matrix product, step by step\n");
    let (a, b) = ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[7.0, 8.0], [9.0, 10.0], [11.0, 12.0]]);
    println!("  A = 1 2 3      B =  7  8\n      4 5 6           9 10\n                     11 12\n");
    let mut by_hand = Vec::new();
    for (i, row) in a.iter().enumerate() {
        for j in 0..2 {
            let column = b.map(|row| row[j]);
            let steps: Vec<String> = row.iter().zip(column).map(|(x, y)| format!("{x}·{y}")).collect();
            let sum = dot(row, &column);
            println!("  row {} of A · column {} of B = {} = {sum}", i + 1, j + 1, steps.join(" + "));
            by_hand.push(sum);
        }
    }
    let product = &Tensor::from_slice(a.as_flattened(), &[2, 3]).matmul(&Tensor::from_slice(b.as_flattened(), &[3, 2]));
    println!("\n  Tensor::matmul: {:?}", product.to_vec::<f64>());
    println!("[2, 3] · [3, 2] gives [2, 2]: 2·2 dot products of 3 terms, 2·2·2·3 = {} operations.", 2 * 2 * 2 * 3);
    println!("A layer is x·Wᵀ: every unit is a row of W, and its answer the dot product with the input.\n");
    check(product.to_vec::<f64>() == by_hand, "the tensor's product is not the one by hand")
}

fn gradient(landscape: Landscape, place: &Place) -> [f64; 2] {
    let tape = Tape::new();
    tape.backward(&landscape.loss(&tape.parameter(&place.at)));
    let gradient = place.at.take_grad().map_or(vec![0.0; 2], |gradient| gradient.to_vec());
    [gradient[0], gradient[1]]
}

fn slopes() -> Result {
    println!("3. The gradient points up, and a dot product says how steep it is in any direction\n");
    let g = gradient(VALLEY, &Place::new(&[10.0, 1.0]));
    println!(
        "  f(x, y) = ½·(x² + 25·y²), f(10, 1) = {}, ∇f = (x, 25·y) = ({}, {})\n",
        VALLEY.value([10.0, 1.0]),
        g[0],
        g[1]
    );
    println!("  direction d             ∇f·d   (f(w + h·d) − f(w − h·d)) / 2h");
    let length = dot(&g, &g).sqrt();
    let along = g.map(|x| x / length);
    let directions = [("x", [1.0, 0.0]), ("y", [0.0, 1.0]), ("∇f / |∇f|", along), ("−∇f / |∇f|", along.map(|x| -x))];
    for (name, d) in directions.into_iter().chain([("at a right angle to ∇f", [along[1], -along[0]])]) {
        let at = |h: f64| VALLEY.value([10.0 + h * d[0], 1.0 + h * d[1]]);
        let (slope, measured) = (dot(&g, &d), (at(1e-4) - at(-1e-4)) / 2e-4);
        println!("  {name:<22} {:>6.2}   {:>6.2}", clean(slope), clean(measured));
        check((slope - measured).abs() < 1e-6, "a slope is not the dot product with the gradient")?;
    }
    println!(
        "\n|∇f·d| is at most |∇f| = {length:.2}. No direction goes down as fast as −∇f, so that is where we go.\n"
    );
    Ok(())
}

/// The places from `start` on, with this optimiser's step after each gradient.
fn walk(landscape: Landscape, start: [f64; 2], steps: usize, optimiser: &str, rate: f32, beta: f32) -> Vec<(f64, f64)> {
    let place = Place::new(&start);
    let mut sgd = Sgd::new(&place, SgdConfig { momentum: beta, ..SgdConfig::default() });
    let mut adam = AdamW::new(&place, AdamWConfig { beta2: 0.999, weight_decay: 0.0, ..AdamWConfig::default() });
    let mut path = vec![(start[0], start[1])];
    for _ in 0..steps {
        let tape = Tape::new();
        tape.backward(&landscape.loss(&tape.parameter(&place.at)));
        if optimiser == "Adam" {
            adam.step(rate, 1.0)
        } else {
            sgd.step(rate, 1.0)
        }
        let now = place.now();
        path.push((now[0], now[1]));
    }
    path
}

/// After how many steps the loss is below this, and stays there.
fn settled(landscape: Landscape, path: &[(f64, f64)], below: f64) -> Option<usize> {
    let above =
        path.iter().rposition(|&(x, y)| landscape.value([x, y]).partial_cmp(&below) != Some(std::cmp::Ordering::Less));
    above.map_or(Some(0), |last| (last + 1 < path.len()).then_some(last + 1))
}

fn valley() -> Result {
    println!("4. A valley: ½·(x² + 25·y²) from (10, 1)\n");
    println!(
        "SGD multiplies x by 1 − η and y by 1 − 25·η. A factor beyond −1 diverges, so the steep y allows η < 2/25."
    );
    println!("But a small η makes the level x slow. The best that both can have is η = 2/(1 + 25): factors ±12/13.\n");
    println!("  optimiser        η       factors         steps until f < 0.000001");
    let mut paths = Vec::new();
    for (name, rate, beta) in [
        ("SGD", 0.01, 0.0),
        ("SGD", 2.0 / 26.0, 0.0),
        ("SGD", 0.079, 0.0),
        ("SGD", 0.081, 0.0),
        ("momentum 0.444", 1.0 / 9.0, 4.0 / 9.0),
        ("Adam", 0.3, 0.0),
    ] {
        let path = walk(VALLEY, [10.0, 1.0], 1500, name, rate, beta);
        let factor = |c: f32| format!("{:>6.3}", 1.0 - c * rate).replace('-', "−");
        let factors = if name == "SGD" { format!("{} {}", factor(1.0), factor(25.0)) } else { String::new() };
        let steps = settled(VALLEY, &path, 1e-6).map_or("never: it diverges".into(), |steps| steps.to_string());
        println!("  {name:<14} {rate:>6.4}   {factors:<13}   {steps}");
        paths.push((path, steps));
    }
    println!(
        "\nMomentum adds up what the steps agree on, x, and lets the to and fro in y cancel. Adam divides each weight's"
    );
    println!("step by the usual size of its own gradient, so x and y start with steps of the same length.\n");
    let steps = |at: usize| paths[at].1.parse::<usize>().unwrap_or(usize::MAX);
    check(
        steps(1) < steps(0) && steps(1) < steps(2) && steps(4) < steps(1),
        "the best rate, or momentum, is not faster",
    )?;
    check(steps(3) == usize::MAX, "η above 2/25 does not diverge")?;
    let series = |name, at: usize| Series { name, points: paths[at].0[..60].to_vec() };
    let picture = Contour {
        title: "Down a valley, 25 times as steep across as along",
        note: "60 steps from (10, 1); dots are steps, the cross is the lowest place",
        x: (-6.0, 11.0),
        y: (-2.0, 2.0),
        levels: &[0.1, 0.5, 2.0, 5.0, 10.0, 20.0, 40.0, 62.5],
        mark: (0.0, 0.0),
        paths: vec![series("SGD, η = 1/13", 1), series("momentum, η = 1/9, β = 4/9", 4), series("Adam, η = 0.3", 5)],
    };
    show(LESSON, "valley.svg", &picture.svg(|x, y| VALLEY.value([x, y]))?)
}

fn banana() -> Result {
    println!("\n5. Rosenbrock's banana: (1 − x)² + 100·(y − x²)² from (−1.2, 1), where it is 4.84 + 19.36 = 24.2\n");
    println!("  optimiser        η      f after 10      100     1000    10000 steps");
    let mut paths = Vec::new();
    for (name, rate, beta) in [("SGD", 0.001, 0.0), ("momentum 0.9", 0.001, 0.9), ("Adam", 0.02, 0.0)] {
        let path = walk(Landscape::Banana, [-1.2, 1.0], 10_000, name, rate, beta);
        let f = |step: usize| Landscape::Banana.value([path[step].0, path[step].1]);
        let [f10, f100, f1000, last] = [10, 100, 1000, 10_000].map(f);
        println!("  {name:<13} {rate:>6}   {f10:>11.5}  {f100:.5}  {f1000:.5}  {last:.5}");
        check(last < 1e-4 || name == "SGD", format!("{name} does not find the lowest place: {last}"))?;
        paths.push((name, path));
    }
    println!(
        "\nAll of them are soon down on the curved floor. There the gradient is small, and SGD crawls. Momentum adds up small"
    );
    println!(
        "gradients that agree. Adam's steps are about as long as η, however small the gradient is: it walks steadily.\n"
    );
    let series = |(name, path): &(&'static str, Vec<(f64, f64)>)| Series { name, points: path[..401].to_vec() };
    let picture = Contour {
        title: "Rosenbrock's banana",
        note: "400 steps from (−1.2, 1); a dot of its colour where each has come to, the cross is the lowest place",
        x: (-1.6, 1.6),
        y: (-0.5, 1.5),
        levels: &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0],
        mark: (1.0, 1.0),
        paths: paths.iter().map(series).collect(),
    };
    show(LESSON, "banana.svg", &picture.svg(|x, y| Landscape::Banana.value([x, y]))?)
}

fn adam_by_hand() -> Result {
    println!("\n6. Why does Adam divide by 1 − βᵗ? One weight, the gradient always 4, η = 0.1, β₁ = 0.9, β₂ = 0.999\n");
    println!(
        "m begins at 0. After 3 steps the gradients in it have the weights 0.081, 0.09 and 0.1, together 0.271 and not 1:"
    );
    println!("1 − 0.9³ = 0.271. So m is too small by just this factor, v by 1 − 0.999ᵗ, and dividing puts it right.\n");
    println!("   t       m       v      m̂      v̂    step η·m̂/√v̂   without: η·m/√v");
    let place = Place::new(&[0.0]);
    let mut adam = AdamW::new(&place, AdamWConfig { beta2: 0.999, weight_decay: 0.0, ..AdamWConfig::default() });
    let (mut m, mut v, mut before) = (0.0, 0.0, 0.0);
    for t in 1..=1000 {
        (m, v) = (0.9 * m + 0.1 * 4.0, 0.999 * v + 0.001 * 16.0);
        let (mh, vh) = (m / (1.0 - 0.9_f64.powi(t)), v / (1.0 - 0.999_f64.powi(t)));
        place.at.add_grad(Tensor::from_slice(&[4.0], &[1]));
        adam.step(0.1, 1.0);
        let now = place.now()[0];
        let step = 0.1 * mh / (vh.sqrt() + 1e-8);
        // The betas of the optimiser are f32: 0.1 is 0.100000001.
        check((before - now - step).abs() < 1e-4, "the optimiser's step is not the one by hand")?;
        if [1, 2, 3, 10, 100, 1000].contains(&t) {
            println!(
                "{t:>4}  {m:>6.4}  {v:>6.4}  {mh:>4.2}  {vh:>6.2}  {:>13.4}   {:>15.4}",
                before - now,
                0.1 * m / v.sqrt()
            );
        }
        before = now;
    }
    println!("\nWithout the division the first steps are several times too long, for v fills up more slowly than m.");
    println!("The step is 0.1 for a gradient of 4, and would be for one of 0.004: only its direction counts.");
    Ok(())
}

fn batches() {
    println!("\n7. Batch and epoch\n");
    println!("A batch is the examples of one step, an epoch as many steps as show every example once.");
    println!("10 examples in batches of 4; a batch may end in the next epoch, which has an order of its own:\n");
    for batch in 0..5 {
        let examples: Vec<String> = (batch * 4..batch * 4 + 4).map(|at| shuffled(1, at, 10).to_string()).collect();
        println!("  step {}: {}", batch + 1, examples.join(" "));
    }
    println!(
        "\nThose are 2 epochs. 1000 examples in batches of 32: 1000 / 32 = 31.25, so {} steps.",
        1000_usize.div_ceil(32)
    );
}

/// How far, as a root of mean squares, `RUNS` weights are from the mean of the data after each step, when each of them learns it
/// from batches of noise.
fn distances(schedule: Schedule, batch: usize) -> Vec<f64> {
    const RUNS: usize = 500;
    let place = Place::new(&[5.0; RUNS]);
    let (mut sgd, mut noise) = (Sgd::new(&place, SgdConfig::default()), Init::with_dtype(1, DType::F64));
    let mut distance = Vec::new();
    for step in 0..schedule.steps {
        // The mean of a batch of numbers with mean 0 and deviation 1.
        let mean = noise.normal(&[RUNS], (batch as f64).powf(-0.5)).value();
        place.at.add_grad(&place.at.value() - &mean);
        sgd.step(schedule.at(step) as f32, 1.0);
        distance.push((place.now().iter().map(|w| w * w).sum::<f64>() / RUNS as f64).sqrt());
    }
    distance
}

fn decay() -> Result {
    println!("\n8. Why does the rate decay? A weight learns the mean of data from batches of 8\n");
    println!("L = ½·(w − x)² has the gradient w − x, and a batch has the mean of its x, which is off by 1/√8 = 0.354.");
    println!("With a constant rate w never rests: in the end it is off by √(η / (2 − η) / 8). 500 runs:\n");
    println!("  rate                  off after 10    100   1000 steps   √(η / (2 − η) / 8)");
    let mut series = Vec::new();
    for (name, rate, least) in
        [("constant 0.5", 0.5, 0.5), ("constant 0.01", 0.01, 0.01), ("cosine from 0.5", 0.5, 0.0)]
    {
        let schedule = Schedule { learning_rate: rate, min_learning_rate: least, warmup: 0, steps: 1000 };
        let off = distances(schedule, 8);
        let rest = (rate / (2.0 - rate) / 8.0).sqrt();
        let rests = if least > 0.0 { format!("{rest:.4}") } else { "–".into() };
        println!("  {name:<20}  {:>12.4} {:>6.4} {:>6.4}         {rests}", off[9], off[99], off[999]);
        let as_told = if least > 0.0 { (off[999] / rest - 1.0).abs() < 0.1 } else { off[999] < 0.2041 / 5.0 };
        check(as_told, format!("{name} ends at {}", off[999]))?;
        series.push(Series { name, points: off.iter().enumerate().map(|(i, d)| (i as f64 + 1.0, *d)).collect() });
    }
    println!("\nA large rate is quick and restless, a small one exact and slow. The cosine begins as the one");
    println!("and ends nearly as well as the other.\n");
    let schedule = Schedule { learning_rate: 0.1, min_learning_rate: 0.01, warmup: 10, steps: 110 };
    println!("Warm-up over 10 steps to 0.1, then half a cosine to 0.01 at step 110:\n");
    let rates: Vec<String> =
        [0, 4, 9, 10, 35, 60, 85, 110].iter().map(|&s| format!("{s}: {:.4}", schedule.at(s))).collect();
    println!("  {}\n\n  step 60 is half way: (0.1 + 0.01) / 2.\n", rates.join("  "));
    let title = "How far from the mean, learned from noisy batches";
    let note = "root of the mean square over 500 runs; batches of 8";
    let picture = LineChart { title, note, x: "step", y: "distance", logarithmic: true, series };
    show(LESSON, "decay.svg", &picture.svg()?)
}

fn warm_up() -> Result {
    println!("\n9. Why a warm-up? Adam, with gradients that are nothing but noise, on 2000 weights at once\n");
    println!(
        "The first step has seen one gradient: m̂ / √v̂ = ±1, a full step wherever it happened to point. Later the noise"
    );
    println!("in m cancels: a step is about √((1 − 0.9) / (1 + 0.9)) = 0.229.\n");
    println!("   t    step / η, root of the mean square");
    let mut walked = Vec::new();
    for warmup in [0, 50] {
        let place = Place::new(&[0.0; 2000]);
        let mut adam = AdamW::new(&place, AdamWConfig { beta2: 0.999, weight_decay: 0.0, ..AdamWConfig::default() });
        let mut noise = Init::with_dtype(2, DType::F64);
        let schedule = Schedule { learning_rate: 0.1, min_learning_rate: 0.1, warmup, steps: u64::MAX };
        let size = |w: &[f64]| (w.iter().map(|w| w * w).sum::<f64>() / w.len() as f64).sqrt();
        let mut before = place.now();
        for t in 1..=200 {
            place.at.add_grad(noise.normal(&[2000], 1.0).value());
            adam.step(schedule.at(t - 1) as f32, 1.0);
            let now = place.now();
            let step: Vec<f64> = now.iter().zip(&before).map(|(now, before)| now - before).collect();
            if warmup == 0 && [1, 2, 5, 10, 20, 50, 200].contains(&t) {
                println!("{t:>4}    {:.3}", size(&step) / 0.1);
            }
            if t == 20 {
                walked.push(size(&now));
            }
            before = now;
        }
    }
    println!(
        "\nAfter 20 steps of noise the weights are {:.3} away. With a warm-up of 50 steps it is {:.3}: the first,",
        walked[0], walked[1]
    );
    println!("ignorant steps are short, and when they are long the averages know more.");
    check(walked[1] < 0.5 * walked[0], "the warm-up does not keep the weights near")
}

/// The pass mark.
fn check(holds: bool, otherwise: impl Into<String>) -> Result {
    if holds { Ok(()) } else { Err(Failure::new(otherwise)) }
}

// Exercises
//
// 1. Make the valley 100 times as steep across as along. Which learning rates diverge? What is the best one for SGD, with which
//    factors, and how many steps should it take until f < 0.000001? Compute first, then run it.
// 2. Adam without the division by 1 − βᵗ takes steps of η·m / (√v + ε). Which learning rate for each step makes our Adam
//    do the same (take ε for 0)? Walk down the banana with it. How long are the first ten steps together, with and without?
// 3. In part 8, with the constant rate 0.1: how far off is w in the end with batches of 8, and with batches of 32? Which rate
//    gives batches of 8 about the same as batches of 32? Which of the two costs fewer examples on the way from 5 to 0.5?
