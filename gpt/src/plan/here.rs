//! The time of a training step on this machine: the work of each part of a step, divided by a rate that is measured here on
//! the operation that dominates the part, at the sizes of the model.

use crate::config::{ModelConfig, TrainConfig};
use gradus_autograd::{Parameter, Tape, Tensor, Var};
use gradus_kernels::parallel::with_spinning_pool;
use gradus_nn::layers::Linear;
use gradus_nn::optim::AdamW;
use gradus_nn::{Init, Layer, Module, Visitor};
use gradus_tensor::ops::attention::Options;
use std::time::{Duration, Instant};

/// How long each rate is measured.
const PATIENCE: Duration = Duration::from_millis(300);
/// Numbers of one parameter that AdamW reads and writes: weight and two moments both ways, the gradient once.
const ADAMW_NUMBERS: f64 = 7.0;
/// Numbers that GELU reads and writes for each of its own, forward and backward.
const GELU_NUMBERS: f64 = 5.0;

/// What one part of a step needs, and how fast this machine does such work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// FLOPs, or bytes where memory is the limit.
    pub work: f64,
    /// The same in a second.
    pub rate: f64,
    /// What both are counted in.
    pub unit: &'static str,
}

impl Part {
    /// How long it takes.
    pub fn seconds(&self) -> f64 {
        self.work / self.rate
    }
}

/// The work of one training step, in FLOPs and bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepWork {
    /// FLOPs of linear layers: three products of each, with 12·C² numbers in a block and V·C in the head.
    pub products: f64,
    /// FLOPs of attention, for the half of the scores that is not masked: two products forward, five backward (Dao et al.
    /// 2022, section 3.1).
    pub attention: f64,
    /// Bytes that norms, GELU and residual sums read and write: 40·C numbers for each token of a block.
    pub activations: f64,
    /// Bytes that AdamW reads and writes.
    pub parameters: f64,
}

impl StepWork {
    /// Of one update.
    pub fn of(model: &ModelConfig, train: &TrainConfig) -> StepWork {
        let [l, c, t, v] = [model.layers, model.width, model.context, model.vocab_size].map(|size| size as f64);
        let sequences = (train.batch * train.grad_accum) as f64;
        StepWork {
            products: 6.0 * sequences * t * (12.0 * l * c * c + v * c),
            attention: 14.0 * l * sequences * c * t * (t + 1.0) / 2.0,
            activations: 4.0 * 40.0 * l * sequences * t * c,
            parameters: 4.0 * ADAMW_NUMBERS * model.parameters() as f64,
        }
    }
}

/// Where the time of a step goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Its parts.
    pub parts: [Part; 4],
}

impl Forecast {
    /// Measures the rates, about a second in all, and divides.
    pub fn measure(model: &ModelConfig, train: &TrainConfig) -> Forecast {
        let work = StepWork::of(model, train);
        let part = |name, work, rate, unit| Part { name, work, rate, unit };
        Forecast {
            parts: [
                part("matrix products", work.products, products(model, train), "FLOP"),
                part("attention", work.attention, attention(model, train), "FLOP"),
                part("norms, GELU, residual sums", work.activations, activations(model, train), "byte"),
                part("AdamW", work.parameters, parameters(model, train), "byte"),
            ],
        }
    }

    /// All parts one after the other.
    pub fn seconds(&self) -> f64 {
        self.parts.iter().map(Part::seconds).sum()
    }
}

/// The median time of `run`, after once to warm up.
fn seconds(mut run: impl FnMut()) -> f64 {
    with_spinning_pool(|| {
        run();
        let (begin, mut times) = (Instant::now(), Vec::new());
        while times.len() < 3 || begin.elapsed() < PATIENCE {
            let start = Instant::now();
            run();
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

/// Forward and backward through `f`, from an input [B, T, width].
fn forward_and_backward(model: &ModelConfig, train: &TrainConfig, width: usize, f: impl Fn(&Tape, &Var) -> Var) -> f64 {
    let shape = [train.batch, model.context, width];
    let x = Tensor::zeros(&[]).new_full(0.5, &shape);
    seconds(|| {
        let tape = Tape::new().with_precision(train.precision.of_products());
        let y = f(&tape, &tape.leaf(x.clone()));
        tape.backward_from(&y, x.new_full(1e-3, y.shape()));
    })
}

/// FLOP/s of the four linear layers of a block.
fn products(model: &ModelConfig, train: &TrainConfig) -> f64 {
    let (c, mut init) = (model.width, Init::new(1));
    let time = |(inputs, outputs): (usize, usize)| {
        let layer = Linear::new(&mut init, inputs, outputs, model.bias, 0.02);
        forward_and_backward(model, train, inputs, |tape, x| {
            layer.named_parameters().iter().for_each(|(_, parameter)| _ = parameter.take_grad());
            layer.forward(tape, x)
        })
    };
    let time: f64 = [(c, 3 * c), (c, c), (c, 4 * c), (4 * c, c)].map(time).iter().sum();
    6.0 * (train.batch * model.context * 12 * c * c) as f64 / time
}

/// FLOP/s of the attention of a block.
fn attention(model: &ModelConfig, train: &TrainConfig) -> f64 {
    let options = Options { causal: true, ..Options::default() };
    let time = forward_and_backward(model, train, 3 * model.width, |_, qkv| qkv.self_attention(model.heads, &options));
    let one = ModelConfig { layers: 1, ..model.clone() };
    StepWork::of(&one, &TrainConfig { grad_accum: 1, ..train.clone() }).attention / time
}

/// Bytes a second of GELU on the widest activations.
fn activations(model: &ModelConfig, train: &TrainConfig) -> f64 {
    let time = forward_and_backward(model, train, 4 * model.width, |_, x| x.gelu());
    4.0 * GELU_NUMBERS * (train.batch * model.context * 4 * model.width) as f64 / time
}

/// Bytes a second of AdamW on as many numbers as the model has, at most 64 MiB of them.
fn parameters(model: &ModelConfig, train: &TrainConfig) -> f64 {
    let count = model.parameters().min(16 << 20) as usize;
    let numbers = Numbers(Init::new(1).normal(&[count], 0.02));
    let mut adamw = AdamW::new(&numbers, train.adamw());
    let grad = numbers.0.value().new_full(1e-3, &[count]);
    let time = seconds(|| {
        numbers.0.add_grad(grad.clone());
        adamw.step(1e-4, 1.0);
    });
    4.0 * ADAMW_NUMBERS * count as f64 / time
}

/// Parameters, for the optimiser.
struct Numbers(Parameter);

impl Module for Numbers {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("numbers", &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Preset;

    #[test]
    fn work_is_counted_by_hand() {
        let (model, train, _) = Preset::Small.settings();
        let model = ModelConfig { vocab_size: 65, ..model };
        let work = StepWork::of(&model, &TrainConfig { batch: 12, grad_accum: 2, ..train });
        assert_eq!(work.products, 6.0 * 24.0 * 64.0 * (12.0 * 4.0 * 128.0 * 128.0 + 65.0 * 128.0));
        assert_eq!(work.attention, 14.0 * 4.0 * 24.0 * 128.0 * 64.0 * 65.0 / 2.0);
        assert_eq!(work.parameters, 28.0 * model.parameters() as f64);
    }

    #[test]
    fn every_part_of_a_small_step_has_a_time() {
        let (model, train, _) = Preset::Small.settings();
        let model = ModelConfig { layers: 1, width: 32, context: 8, ..model };
        let forecast = Forecast::measure(&model, &TrainConfig { batch: 2, ..train });
        assert!(forecast.parts.iter().all(|part| part.seconds() > 0.0 && part.seconds().is_finite()));
        assert_eq!(forecast.seconds(), forecast.parts.iter().map(|part| part.work / part.rate).sum::<f64>());
    }
}
