//! A model that is no language model, on data that are no text, through the same trainer, checkpoint, resume and metrics.

use gradus_autograd::gradcheck::values;
use gradus_autograd::ops::cross_entropy::Options;
use gradus_autograd::{Tape, Var};
use gradus_gpt::checkpoint;
use gradus_gpt::error::Error;
use gradus_gpt::files::Disk;
use gradus_gpt::metrics::{self, Metric, MetricsLog};
use gradus_nn::data::{LabelledRows, RowBatch};
use gradus_nn::optim::{AdamWConfig, Schedule};
use gradus_nn::training::{Step, StepError, Trainable, Trainer, TrainerConfig};
use gradus_nn::{Init, Layer, Mlp, Module, Visitor};

/// Two numbers in, three classes out.
struct Classifier {
    mlp: Mlp,
}

impl Module for Classifier {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("mlp", &self.mlp);
    }
}

impl Trainable for Classifier {
    type Batch = RowBatch;

    fn loss(&self, tape: &Tape, batch: &RowBatch) -> Var {
        let x = Var::constant(batch.inputs.clone()).dropout(tape.dropout(0.1));
        self.mlp.forward(tape, &x).cross_entropy(&batch.labels, Options::default())
    }
}

const MEANING: &str = "mlp 2 16 3";
const STEPS: u64 = 40;

fn trainer(seed: u64) -> Trainer<Classifier> {
    let schedule = Schedule { learning_rate: 0.03, min_learning_rate: 0.003, warmup: 4, steps: STEPS };
    let adamw = AdamWConfig::default();
    let config = TrainerConfig { seed: 5, batch: 16, grad_accum: 2, clip: 1.0, schedule, adamw };
    Trainer::new(Classifier { mlp: Mlp::new(&mut Init::new(seed), &[2, 16, 3]) }, config)
}

/// The three sectors of a disc.
fn sectors() -> LabelledRows {
    let inputs: Vec<f32> = values(7, 600).into_iter().map(|x| x as f32).collect();
    let sector = |point: &[f32]| ((point[1].atan2(point[0]) / std::f32::consts::TAU + 0.5) * 2.999) as u32;
    let labels = inputs.chunks(2).map(sector).collect();
    LabelledRows::new(inputs, labels, 3).unwrap()
}

fn steps(trainer: &mut Trainer<Classifier>, data: &LabelledRows, count: u64) -> Vec<Step> {
    (0..count).map(|_| trainer.step(data).unwrap()).collect()
}

fn bits(trainer: &Trainer<Classifier>) -> Vec<u32> {
    let moments = trainer.optimizer().state();
    let weights = trainer.model().named_parameters().into_iter().map(|(name, parameter)| (name, parameter.value()));
    weights.chain(moments).flat_map(|(_, tensor)| tensor.to_vec::<f32>()).map(f32::to_bits).collect()
}

#[test]
fn a_classifier_learns_stops_and_goes_on_bit_for_bit() {
    let (folder, data) = (tempfile::tempdir().unwrap(), sectors());
    let mut whole = trainer(1);
    let losses = steps(&mut whole, &data, STEPS);
    assert!(losses[0].loss > 0.8 && losses.last().unwrap().loss < 0.6, "{losses:?}");

    let mut first = trainer(1);
    let mut seen = steps(&mut first, &data, 17);
    checkpoint::save(&first, MEANING, &Disk, folder.path()).unwrap();
    let mut second = trainer(2); // other first weights, which the checkpoint replaces
    checkpoint::resume(&mut second, MEANING, folder.path()).unwrap();
    assert!(second.step_count() == 17 && bits(&second) == bits(&first));
    seen.extend(steps(&mut second, &data, STEPS - 17));
    assert_eq!(seen, losses);
    assert!(bits(&second) == bits(&whole), "weights and moments");
}

#[test]
fn its_checkpoint_is_not_taken_for_that_of_another_model() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint::save(&trainer(1), MEANING, &Disk, folder.path()).unwrap();
    let mut other = trainer(1);
    let error = checkpoint::resume(&mut other, "mlp 2 16 4", folder.path()).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    assert!(checkpoint::load_weights(other.model(), MEANING, folder.path()).is_ok());
}

#[test]
fn its_metrics_are_lines_as_those_of_a_gpt() {
    let (folder, data) = (tempfile::tempdir().unwrap(), sectors());
    let mut trainer = trainer(1);
    let (mut log, _) = MetricsLog::resume(&Disk, folder.path(), 0).unwrap();
    for Step { loss, learning_rate, grad_norm } in steps(&mut trainer, &data, 3) {
        let metric = Metric {
            step: trainer.step_count(),
            train_loss: loss,
            val_loss: None,
            val_tokens: None,
            val_standard_error: None,
            lr: learning_rate,
            grad_norm,
            tokens_per_second: 0.0,
            elapsed_s: 0.0,
        };
        log.push(&metric).unwrap();
    }
    let lines = metrics::read(folder.path()).unwrap();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.train_loss.is_finite()), "{lines:?}");
}

#[test]
fn a_loss_that_ran_away_leaves_the_weights_as_they_were() {
    let wild = LabelledRows::new(vec![f32::MAX, -f32::MAX], vec![0], 3).unwrap();
    let mut trainer = trainer(1);
    trainer.model().mlp.layers[0].weight.set_value(&trainer.model().mlp.layers[0].weight.value() * f64::INFINITY);
    let before = bits(&trainer);
    assert!(matches!(trainer.step(&wild), Err(StepError::NotFinite { step: 0, .. })));
    assert!(bits(&trainer) == before && trainer.step_count() == 0);
    assert!(trainer.model().named_parameters().iter().all(|(_, parameter)| parameter.grad().is_none()));
}
