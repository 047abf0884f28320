//! Lesson 10: what stands around attention in a block: norms, the feed-forward layer, the residual stream.
//!
//!     cargo run --release --example 10_block
//!
//! > layer norm  y = (x − μ)/σ        over the channels of one row;   dx = (dy − mean(dy) − y·mean(dy·y))/σ
//! > RMS norm    y = x/r, r² = mean(x²)  the same without the mean;   dx = (dy − y·mean(dy·y))/r
//! > batch norm  y = (x − μ)/σ        over the rows of one channel
//! > block       x ← x + attention(norm(x)),  x ← x + feed_forward(norm(x))
//!
//! Read beside it: `nn/src/layers/norm.rs`, `batch_norm.rs`, `feed_forward.rs` and `block/` there, `nn/src/deep.rs`.
//! Next: `11_one_step.rs`.

use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_course::{Failure, Result, progress, show};
use gradus_nn::layers::{Activation, BatchNorm, Block, BlockConfig, NormConfig, NormPlacement};
use gradus_nn::loss::binary_cross_entropy;
use gradus_nn::optim::{Schedule, Sgd, SgdConfig};
use gradus_nn::{Deep, DeepConfig, DeepNorm, Init, Layer, Module};
use gradus_pictures::{LineChart, Series};

const LESSON: &str = "10_block";
const GRADES: [f64; 5] = [90.0, 80.0, 70.0, 60.0, 50.0];
const LAYER_NORM: DeepNorm = DeepNorm::Rows(NormConfig::Layer { bias: true, eps: 1e-5 });

fn main() -> Result {
    grades()?;
    batch()?;
    gradient_by_depth()?;
    curves()?;
    feed_forward()?;
    gelu();
    println!("\nExercises: at the end of course/examples/10_block.rs.");
    Ok(())
}

fn line(row: &[f64]) -> String {
    row.iter().map(|x| format!("{x:9.4}")).collect()
}

/// Fails unless two rows of numbers are equal within 1e-9.
fn equal(what: &str, a: &[f64], b: &[f64]) -> Result {
    let close = a.len() == b.len() && std::iter::zip(a, b).all(|(a, b)| (a - b).abs() <= 1e-9);
    if close { Ok(()) } else { Err(Failure::new(format!("{what}: {a:?} and {b:?} are not equal"))) }
}

/// f of the grades, and ∂(first output)/∂x of each, by the tape.
fn with_gradient(f: impl Fn(&Var) -> Var) -> (Vec<f64>, Vec<f64>) {
    let tape = Tape::new();
    let x = tape.leaf(Tensor::from_slice(&GRADES, &[1, 5]));
    let y = f(&x);
    let values = y.value().to_vec();
    let first = Tensor::from_slice(&[1.0, 0.0, 0.0, 0.0, 0.0], &[1, 5]);
    let gradient = tape.backward_from(&y, first).get(&x).map_or(vec![0.0; 5], Tensor::to_vec);
    (values, gradient)
}

fn grades() -> Result {
    println!("1. Five grades\n");
    println!("  x              {}", line(&GRADES));
    let least = |x: &Var| x.min(&[1], true);
    let (min_max, min_max_slope) = with_gradient(|x| &(x - &least(x)) / &(&x.max(&[1], true) - &least(x)));
    let (layer, layer_slope) = with_gradient(|x| x.layer_norm(None, None, 0.0));
    let (rms, rms_slope) = with_gradient(|x| x.rms_norm(None, 0.0));
    println!("  min–max        {}   (x − least)/(largest − least)", line(&min_max));
    println!("  layer norm     {}   (x − 70)/√200, for (20² + 10² + 0² + 10² + 20²)/5 = 200", line(&layer));
    println!("  RMS norm       {}   x/√5100, for (90² + 80² + 70² + 60² + 50²)/5 = 5100\n", line(&rms));
    equal("min–max", &min_max, &[1.0, 0.75, 0.5, 0.25, 0.0])?;
    println!("How much does y₁, the number of the 90, change with each of the five grades? By the tape:\n");
    for (name, slope) in [("min–max   ", &min_max_slope), ("layer norm", &layer_slope), ("RMS norm  ", &rms_slope)] {
        println!("  ∂y₁/∂x {name} {}   sum {:7.4}", line(slope), slope.iter().sum::<f64>().abs());
    }
    let formula = |y: &[f64], size: f64, shift: f64| -> Vec<f64> {
        y.iter().enumerate().map(|(i, yi)| (f64::from(u8::from(i == 0)) - shift - yi * y[0] / 5.0) / size).collect()
    };
    equal("layer norm's gradient", &layer_slope, &formula(&layer, 200_f64.sqrt(), 0.2))?;
    equal("RMS norm's gradient", &rms_slope, &formula(&rms, 5100_f64.sqrt(), 0.0))?;
    println!(
        "\nThe formulas at the head of this file give the same numbers (checked). Five points more for everybody change"
    );
    println!(
        "nothing in layer norm: the sum is 0. RMS norm feels them; it is cheaper by a mean, and Llama is content with it."
    );
    println!(
        "The largest of min–max is 1 whatever it was, so it has no slope at all; and one 0 among the grades would"
    );
    println!("press all others together. Two values decide everything, which is why no network is built on it.");
    Ok(())
}

fn batch() -> Result {
    println!("\n2. Five students, two subjects: over what is it normalised?\n");
    let marks: Vec<f64> = GRADES.iter().flat_map(|grade| [*grade, 8.0 - grade / 20.0]).collect(); // 90…50 and 3.5…5.5
    let x = Var::constant(Tensor::from_slice(&marks, &[5, 2]));
    let norm = BatchNorm::new(&mut Init::with_dtype(1, DType::F64), 2);
    let by_row = x.layer_norm(None, None, 1e-5).value().to_vec::<f64>();
    let tape = Tape::new();
    let by_batch = norm.forward(&tape, &x).value().to_vec::<f64>();
    println!("     x: points, effort      batch norm, by column     layer norm, by row");
    for i in 0..5 {
        let part = |x: &[f64]| line(&x[2 * i..2 * i + 2]);
        println!("  {}      {}      {}", part(&marks), part(&by_batch), part(&by_row));
    }
    let (mean, variance) = (norm.running_mean.value().to_vec::<f64>(), norm.running_variance.value().to_vec::<f64>());
    println!(
        "\nBatch norm compares the students in each subject; layer norm the subjects of each student. To ask about one"
    );
    println!("student alone, batch norm needs statistics of earlier batches. After this one, at a tenth of each:");
    println!("  running mean {}, running variance {}", line(&mean), line(&variance));
    equal("the running mean", &mean, &[7.0, 0.45])?;
    let one = Var::constant(Tensor::from_slice(&[90.0, 3.5], &[1, 2]));
    println!(
        "  the first student alone: {}, not {}",
        line(&norm.forward(&Tape::inference(), &one).value().to_vec::<f64>()),
        line(&by_batch[..2])
    );
    let alone = one.layer_norm(None, None, 1e-5).value().to_vec::<f64>();
    equal("layer norm of one row", &alone, &by_row[..2])?;
    println!(
        "Layer norm of the first student is the same with and without the others: so a Transformer, whose sequences"
    );
    println!("have all lengths and which generates one token at a time, has layer norm or RMS norm.");
    Ok(())
}

fn config(depth: usize, residual: bool, norm: DeepNorm, placement: NormPlacement) -> DeepConfig {
    let activation = Activation::Gelu;
    DeepConfig { inputs: 2, width: 16, hidden: 16, outputs: 1, depth, residual, norm, placement, activation }
}

/// 64 points of a square; is exactly one coordinate positive?
fn quarters() -> (Var, Tensor) {
    let places = || (0..8).map(|i| (f64::from(i) - 3.5) * 0.375);
    let points: Vec<f64> = places().flat_map(|x| places().flat_map(move |y| [x, y])).collect();
    let labels: Vec<f64> = points.chunks(2).map(|p| f64::from(u8::from((p[0] > 0.0) != (p[1] > 0.0)))).collect();
    (Var::constant(Tensor::from_slice(&points, &[64, 2])), Tensor::from_slice(&labels, &[64, 1]))
}

/// The loss, and the norm of the gradient of the first weights of the first layer.
fn gradients(network: &Deep, (x, y): &(Var, Tensor)) -> (f64, f64) {
    let tape = Tape::new();
    let loss = binary_cross_entropy(&network.forward(&tape, x), y);
    tape.backward(&loss);
    let first = network.layers[0].1.up.weight.grad().map_or(0.0, |grad| grad.sum_of_squares().item().sqrt());
    (loss.value().item(), first)
}

fn gradient_by_depth() -> Result {
    println!("\n3. Why a residual stream? What is left of the gradient when it arrives at the first layer\n");
    println!("  layers   f(x)         x + f(x)     x + f(norm(x))");
    let data = quarters();
    let kinds =
        [("f(x)", false, DeepNorm::None), ("x + f(x)", true, DeepNorm::None), ("x + f(norm(x))", true, LAYER_NORM)];
    let mut series = kinds.map(|(name, ..)| Series { name, points: Vec::new() });
    for depth in [1, 2, 4, 8, 16, 32] {
        let mut row = String::new();
        for ((_, residual, norm), series) in kinds.iter().zip(&mut series) {
            let config = config(depth, *residual, *norm, NormPlacement::Before);
            let (_, norm) = gradients(&Deep::new(&mut Init::with_dtype(3, DType::F64), config)?, &data);
            row += &format!("   {norm:10.2e}");
            series.points.push((depth as f64, norm));
        }
        println!("  {depth:>6}{row}");
    }
    let [plain, residual, normed] = [0, 1, 2].map(|i: usize| series[i].points[5].1);
    println!(
        "\nEach layer without the stream multiplies the gradient by its own derivative, which is small: after 32 layers"
    );
    println!(
        "nothing is left. With the stream, ∂(x + f(x))/∂x = 1 + f'(x): the 1 carries it to the first layer. But the sum"
    );
    println!("grows from layer to layer, and the gradient with it; a norm before each f keeps both in bounds.\n");
    if plain > 1e-6 || residual < 1e-3 || !(1e-3..10.0).contains(&normed) {
        return Err(Failure::new(format!("gradients of 32 layers: {plain:e}, {residual:e}, {normed:e}")));
    }
    let note = "the norm of the gradient of the first layer's weights, before any training; 64 points, 16 channels";
    let picture = LineChart {
        title: "What arrives at the first layer",
        note,
        x: "layers",
        y: "gradient",
        logarithmic: true,
        series: series.to_vec(),
    };
    show(LESSON, "gradient.svg", &picture.svg()?)
}

fn curves() -> Result {
    const STEPS: u64 = 160;
    println!(
        "\n4. The same in training: 16 layers, {STEPS} steps of SGD on 64 points. Is exactly one coordinate positive?\n"
    );
    println!("                    loss at step 0       40       80      120      160");
    use NormPlacement::{After, Before};
    let kinds = [
        ("f(x)", false, DeepNorm::None, Before),
        ("norm(f(x))", false, LAYER_NORM, After),
        ("x + f(x)", true, DeepNorm::None, Before),
        ("x + f(layer(x))", true, LAYER_NORM, Before),
        ("layer(x + f(x))", true, LAYER_NORM, After),
        ("x + f(rms(x))", true, DeepNorm::Rows(NormConfig::Rms { eps: 1e-5 }), Before),
        ("x + f(batch(x))", true, DeepNorm::Batch, Before),
    ];
    let data = quarters();
    let mut series = Vec::new();
    for (name, residual, norm, placement) in kinds {
        let network = Deep::new(&mut Init::with_dtype(1, DType::F64), config(16, residual, norm, placement))?;
        let mut sgd = Sgd::new(&network, SgdConfig { momentum: 0.9, ..SgdConfig::default() });
        let schedule = Schedule { learning_rate: 0.05, min_learning_rate: 0.0, warmup: 10, steps: STEPS };
        let (bar, mut points) = (progress(name, STEPS), Vec::new());
        for step in 0..=STEPS {
            points.push((step as f64, gradients(&network, &data).0));
            sgd.step(schedule.at(step) as f32, 1.0);
            bar.inc(1);
        }
        drop(bar);
        let number = |loss: f64| if loss.is_finite() { format!("{loss:9.4}") } else { format!("{:>9}", "none") };
        let row: String = [0, 40, 80, 120, 160].iter().map(|step| number(points[*step].1)).collect();
        println!("  {name:<22} {row}");
        series.push(Series { name, points });
    }
    let last = |i: usize| series[i].points[STEPS as usize].1;
    if last(0) < 0.69 || last(2).is_finite() || [3, 5, 6].iter().any(|i| last(*i) > 0.01) {
        return Err(Failure::new(
            "a network without norms or stream learned, or one with a norm before each layer did not",
        ));
    }
    println!(
        "\nGuessing has the loss ln 2 = 0.6931. Without the stream it stays there, with or without a norm. With the"
    );
    println!("stream alone the numbers grow until they overflow. A norm before each layer, of whichever kind, learns");
    println!("at once; after each sum it stands in the way of the stream: GPT-2 moved it to the front.\n");
    let mut series: Vec<Series<'_>> = [0, 2, 3, 4, 6].iter().map(|i| series[*i].clone()).collect();
    series
        .iter_mut()
        .flat_map(|one| &mut one.points)
        .filter(|point| point.1 > 10.0)
        .for_each(|point| point.1 = f64::NAN);
    let picture = LineChart {
        title: "Sixteen layers with and without norms",
        note: "cross-entropy of 64 points; norm(f(x)) lies on f(x), rms on layer; x + f(x) leaves at a loss of 10",
        x: "step",
        y: "loss",
        logarithmic: true,
        series,
    };
    show(LESSON, "curves.svg", &picture.svg()?)
}

fn feed_forward() -> Result {
    println!("\n5. The feed-forward layer: where most weights are\n");
    // Of one block: Wq, Wk, Wv and Wo with biases; C → 4·C → C with biases; two norms.
    let parts = |c: u64| [4 * c * c + 4 * c, 8 * c * c + 5 * c, 4 * c];
    let small = Block::new(&mut Init::new(1), &BlockConfig::gpt(24, 4)).parameter_count() as u64;
    if small != parts(24).iter().sum::<u64>() {
        return Err(Failure::new(format!(
            "a block of 24 channels has {small} parameters, the formula says {:?}",
            parts(24)
        )));
    }
    let (c, layers, tokens, context) = (12_288, 96, 50_257, 2_048);
    let [attention, forward, norms] = parts(c).map(|part| part * layers);
    let embeddings = (tokens + context) * c;
    let all = attention + forward + norms + 2 * c + embeddings;
    println!("  GPT-3: C = {c}, hidden units 4·C = {}, {layers} blocks", 4 * c);
    for (name, count) in [
        ("attention", attention),
        ("feed-forward", forward),
        ("norms", norms + 2 * c),
        ("embeddings", embeddings),
        ("all", all),
    ] {
        println!("  {name:<14} {count:>15}   {:>6.2}%", 100.0 * count as f64 / all as f64);
    }
    println!("\nThe same formula gives the {small} parameters of a block of ours with C = 24 (checked).\n");
    println!(
        "Why wide? Attention takes means of what is there. New features are made here, and each hidden unit makes one"
    );
    println!(
        "bend. One input, hidden ReLU units, weights set by hand so that the line meets sin x at equal distances on 0 to 2π:\n"
    );
    println!("  hidden units   largest error   times better");
    let mut before: Option<f64> = None;
    for hidden in [4, 8, 16, 32, 64] {
        let error = sine_by_bends(hidden);
        println!("  {hidden:>12}   {error:>13.5}   {}", before.map_or("–".into(), |b| format!("{:.2}", b / error)));
        before = Some(error);
    }
    println!(
        "\nTwice as many bends, a quarter of the error. And why a function at all? Two products without one in between are"
    );
    println!("one product: W₂·(W₁·x) = (W₂·W₁)·x.");
    Ok(())
}

/// The largest distance of Σⱼ wⱼ·relu(x − xⱼ), which bends at xⱼ = 2π·j/hidden and meets sin x there, from sin x.
fn sine_by_bends(hidden: usize) -> f64 {
    let step = std::f64::consts::TAU / hidden as f64;
    let slope = |j: usize| (((j + 1) as f64 * step).sin() - (j as f64 * step).sin()) / step;
    let w: Vec<f64> = (0..hidden).map(|j| if j == 0 { slope(0) } else { slope(j) - slope(j - 1) }).collect();
    let x: Vec<f64> = (0..=1000).map(|i| f64::from(i) * std::f64::consts::TAU / 1000.0).collect();
    let bends: Vec<f64> = x.iter().flat_map(|x| (0..hidden).map(move |j| x - j as f64 * step)).collect();
    let units = Var::constant(Tensor::from_slice(&bends, &[x.len(), hidden])).relu();
    let y = units.value().matmul(&Tensor::from_slice(&w, &[hidden, 1])).to_vec::<f64>();
    std::iter::zip(&x, y).map(|(x, y)| (x.sin() - y).abs()).fold(0.0, f64::max)
}

fn gelu() {
    println!("\n6. Why GELU? x·Φ(x): x times the chance that a normal number is below x\n");
    println!("       x     relu   relu'     gelu   gelu'");
    for at in [-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0] {
        let both = [Var::relu, Var::gelu].map(|f: fn(&Var) -> Var| {
            let tape = Tape::new();
            let x = tape.leaf(Tensor::from_slice(&[at], &[1]));
            let y = f(&x);
            let value = y.value().item();
            (value, tape.backward(&y).get(&x).map_or(0.0, Tensor::item))
        });
        println!("  {at:6.1} {:8.4} {:7.4} {:8.4} {:7.4}", both[0].0, both[0].1, both[1].0, both[1].1);
    }
    println!(
        "\nLeft of 0 relu is flat: a unit that is negative for every input gets no gradient ever again. GELU has a slope"
    );
    println!("there, and no corner at 0, where relu' jumps. Far from 0 the two are the same.");
}

// Exercises
//
// 1. A sixth grade, 0, is added to the five. What becomes of 90, 80, 70, 60 and 50 under min–max, layer norm and RMS norm?
//    Which differences between the good grades survive best?
// 2. For which depth does f(x) without a stream still learn the 64 points in 160 steps of SGD? Try 1, 2, 4 and 8 layers.
//    Then put AdamW with the rate 0.003 in its place. Why does it get further? (Lesson 5: what does it divide by?)
// 3. Llama's feed-forward layer has three matrices, of C × h each. Which h gives it as many weights as GPT's 2 · C × 4C? What
//    is it for C = 4096, and what does Llama 2 7B take?
