//! Solutions of the exercises of lesson 10.

use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_course::{Failure, Result};
use gradus_nn::layers::{Activation, FeedForward, FeedForwardConfig, NormPlacement};
use gradus_nn::loss::binary_cross_entropy;
use gradus_nn::optim::{AdamW, AdamWConfig, Schedule, Sgd, SgdConfig};
use gradus_nn::{Deep, DeepConfig, DeepNorm, Init, Layer, Module};

fn main() -> Result {
    println!("1. 90, 80, 70, 60, 50 and 0:");
    let x = Var::constant(Tensor::from_slice(&[90.0, 80.0, 70.0, 60.0, 50.0, 0.0], &[1, 6]));
    let min_max = &x * (1.0 / 90.0); // the least is 0, the largest 90
    let (layer, rms) = (x.layer_norm(None, None, 0.0), x.rms_norm(None, 0.0));
    for (name, y) in [("min–max", &min_max), ("layer norm", &layer), ("RMS norm", &rms)] {
        let y = y.value().to_vec::<f64>();
        println!("   {name:<10} {y:.3?}, 90 and 50 are {:.3} apart", y[0] - y[4]);
    }
    println!(
        "   Before they were 1, 2.828 and 0.560 apart: min–max and layer norm lose more than half, RMS norm gains a little."
    );

    println!("2. The loss of f(x) without a stream after 160 steps:");
    println!("   layers     SGD   AdamW");
    let mut losses = Vec::new();
    for depth in [1, 2, 4, 8, 16] {
        losses.push([plain(depth, false)?, plain(depth, true)?]);
        let [sgd, adamw] = losses[losses.len() - 1];
        println!("   {depth:>6}  {sgd:.4}  {adamw:.4}");
    }
    println!("   AdamW divides each gradient by its usual size, so a small one makes as large a step as any other.");
    if losses[0].iter().any(|loss| *loss > 0.1) || losses[4][0] < 0.69 {
        return Err(Failure::new("one layer should learn the points, and SGD should not learn sixteen"));
    }

    println!("3. 3·C·h = 8·C² gives h = 8·C/3:");
    let config = FeedForwardConfig::swiglu(24, 64);
    let count = FeedForward::new(&mut Init::new(1), &config).parameter_count();
    println!("   C = 24, h = 64: {count} weights, and 8·24² = {}", 8 * 24 * 24);
    println!(
        "   C = 4096: h = {:.1}; Llama 2 7B takes 11008, the next multiple of 256: {}",
        8.0 * 4096.0 / 3.0,
        (8_usize * 4096 / 3).next_multiple_of(256)
    );
    if count != 8 * 24 * 24 {
        return Err(Failure::new("the two layers should have as many weights"));
    }
    Ok(())
}

/// The loss of lesson 10's 64 points after 160 steps, without residual connections and norms.
fn plain(depth: usize, adaptive: bool) -> Result<f64> {
    let places = || (0..8).map(|i| (f64::from(i) - 3.5) * 0.375);
    let points: Vec<f64> = places().flat_map(|x| places().flat_map(move |y| [x, y])).collect();
    let labels: Vec<f64> = points.chunks(2).map(|p| f64::from(u8::from((p[0] > 0.0) != (p[1] > 0.0)))).collect();
    let (x, y) = (Var::constant(Tensor::from_slice(&points, &[64, 2])), Tensor::from_slice(&labels, &[64, 1]));
    let (norm, placement, activation) = (DeepNorm::None, NormPlacement::Before, Activation::Gelu);
    let (residual, width, hidden) = (false, 16, 16);
    let config = DeepConfig { inputs: 2, width, hidden, outputs: 1, depth, residual, norm, placement, activation };
    let network = Deep::new(&mut Init::with_dtype(1, DType::F64), config)?;
    let mut sgd = Sgd::new(&network, SgdConfig { momentum: 0.9, ..SgdConfig::default() });
    let mut adamw = AdamW::new(&network, AdamWConfig::default());
    let learning_rate = if adaptive { 3e-3 } else { 0.05 };
    let schedule = Schedule { learning_rate, min_learning_rate: 0.0, warmup: 10, steps: 160 };
    let mut last = 0.0;
    for step in 0..=160 {
        let tape = Tape::new();
        let loss = binary_cross_entropy(&network.forward(&tape, &x), &y);
        tape.backward(&loss);
        last = loss.value().item();
        let rate = schedule.at(step) as f32;
        if adaptive { adamw.step(rate, 1.0) } else { sgd.step(rate, 1.0) }
    }
    Ok(last)
}
