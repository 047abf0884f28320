//! One token after the other by the generator that `gradus sample` uses, from random weights: what decoding costs.
//!
//! One run reads one token and chooses the next. After as many tokens as the workload says the text begins again, so
//! that the median is the time at a middle position.

use super::{Case, Entry};
use crate::{
    Result,
    timing::seconds,
    workload::{Gpt, Precision},
};
use gradus_autograd::Device;
use gradus_gpt::{
    generate::Generator,
    model::{Gpt as Model, Reader},
    sampler::{Sampler, Sampling},
};
use gradus_kernels::Isa;
use gradus_nn::{Init, Module};

struct Generate {
    generator: Generator<'static, Model>,
    model: &'static Model,
    /// The tokens that were read since the beginning of the text, and how many there are at most.
    position: usize,
    tokens: usize,
    precision: Precision,
}

pub(super) fn case(device: &Device, gpt: Gpt, tokens: usize, precision: Precision) -> impl Case + use<> {
    assert!((1..=gpt.context).contains(&tokens), "no token is forgotten");
    // The generator borrows it, and a case is made a few times in a process.
    let model: &'static Model = Box::leak(Box::new(Model::new(&gpt.config(0.0), &mut Init::new(1337))));
    model.to_device(device);
    if precision == Precision::Bf16 {
        model.store_in_bf16();
    }
    Generate { generator: start(model), model, position: 1, tokens, precision }
}

/// A text of one token.
fn start(model: &Model) -> Generator<'_, Model> {
    let greedy = Sampler::new(Sampling::GREEDY, 0).expect("greedy is a way to sample");
    Generator::new(model, greedy, &[0])
}

impl Case for Generate {
    fn rungs(&self) -> Vec<Entry> {
        let (idea, precision) = ("the top rung of everything, one position", self.precision);
        vec![Entry { name: "generator", idea, simd: true, peer: false, precision }]
    }

    fn run(&mut self, _: usize, _: Isa) {
        if self.position == self.tokens {
            (self.generator, self.position) = (start(self.model), 1);
        } else {
            self.generator.next_token().expect("the logits of such small weights are finite");
            self.position += 1;
        }
    }

    /// The logits after three tokens one by one are those after the three at once.
    fn check(&mut self, rung: usize, isa: Isa) -> Result<f64> {
        let ids = [0, 1, 2];
        let (mut slow, mut fast) = (Reader::new(self.model), Reader::new(self.model));
        let at_once = slow.read(&ids);
        let [.., one_by_one] = ids.map(|id| fast.read(&[id]));
        let size = at_once.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        let apart = at_once.iter().zip(&one_by_one).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // In bf16 an activation that differs in its last digit may be rounded to its other neighbour.
        let share = if self.precision == Precision::Bf16 { 2e-2 } else { 1e-4 };
        if apart <= share * size {
            return Ok(seconds(|| self.run(rung, isa)));
        }
        Err(format!("the logits of one token at a time are off by {apart}; they go up to {size}"))
    }
}
