//! Epochs, validation, early stopping and what is told, on data in which all of it can be counted.

use gradus_autograd::{Parameter, Tape, Tensor, Var};
use gradus_nn::data::{LabelledRows, drawn_digits};
use gradus_nn::optim::{AdamWConfig, Schedule};
use gradus_nn::training::{
    Batches, End, Event, Examples, FitConfig, Fitted, Score, Scored, StepError, Trainable, Trainer, TrainerConfig,
    score,
};
use gradus_nn::{ClassLoss, Classifier, Init, Module, Visitor};
use std::convert::Infallible;
use std::ops::ControlFlow;

fn config(batch: usize, learning_rate: f64) -> TrainerConfig {
    let schedule = Schedule { learning_rate, min_learning_rate: learning_rate, warmup: 0, steps: u64::MAX };
    let adamw = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
    TrainerConfig { seed: 1, batch, grad_accum: 1, clip: 0.0, schedule, adamw }
}

/// One weight w with the loss −w: each step of Adam adds the learning rate to it. Its validation loss is |w − 5|.
struct Climber(Parameter);

/// So many examples, of which none says anything.
struct Silent(usize);

impl Module for Climber {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("w", &self.0);
    }
}

impl Trainable for Climber {
    type Batch = usize;

    fn loss(&self, tape: &Tape, _: &usize) -> Var {
        -&tape.parameter(&self.0)
    }
}

impl Scored for Climber {
    fn score(&self, rows: &usize) -> Score {
        let loss = (self.0.value().item() - 5.0).abs() * *rows as f64;
        Score { loss, right: rows / 2, count: *rows }
    }
}

impl Batches for Silent {
    type Batch = usize;
    type Error = Infallible;

    fn batch(&self, _: u64, _: u64, rows: usize) -> Result<usize, Infallible> {
        Ok(rows)
    }
}

impl Examples for Silent {
    fn count(&self) -> usize {
        self.0
    }

    fn in_order(&self, first: usize, rows: usize) -> Result<usize, Infallible> {
        Ok(rows.min(self.0 - first))
    }
}

fn climb(limits: FitConfig, tell: impl FnMut(Event<'_>) -> ControlFlow<()>) -> (f64, Fitted) {
    let mut trainer =
        Trainer::new(Climber(Parameter::new(Tensor::scalar(gradus_autograd::DType::F64, 0.0))), config(4, 1.0));
    let fitted = trainer.fit(&Silent(4), &Silent(10), limits, tell).unwrap();
    (trainer.model().0.value().item(), fitted)
}

/// A step an epoch, so w is the number of the epoch, and nearest to 5 after the fifth.
#[test]
fn early_stopping_ends_after_the_patience_and_the_best_weights_stay() {
    let go_on = |_: Event<'_>| ControlFlow::Continue(());
    for (patience, epochs, end) in
        [(Some(3), 8, End::NoLongerBetter), (Some(1), 6, End::NoLongerBetter), (None, 20, End::Done)]
    {
        let (w, fitted) = climb(FitConfig { epochs: 20, patience }, go_on);
        assert!((w - 5.0).abs() < 1e-5, "patience {patience:?}: {w}");
        assert_eq!((fitted.epochs.len(), fitted.end), (epochs, end), "patience {patience:?}");
        assert_eq!(fitted.best().unwrap().epoch, 5);
        let losses: Vec<f64> = fitted.epochs.iter().map(|e| e.validation.mean_loss().round()).collect();
        assert_eq!(losses[..6], [4.0, 3.0, 2.0, 1.0, 0.0, 1.0]);
        assert!(fitted.epochs.iter().all(|e| e.validation.count == 10 && e.is_best == (e.epoch <= 5)), "{fitted:?}");
        // Before the update of epoch 3 the loss is −2.
        assert!((fitted.epochs[2].training_loss + 2.0).abs() < 1e-5, "{}", fitted.epochs[2].training_loss);
    }
    // The last epochs of a run that ends anyway are not called early.
    let (_, fitted) = climb(FitConfig { epochs: 8, patience: Some(3) }, go_on);
    assert_eq!(fitted.end, End::Done);
}

#[test]
fn whoever_is_told_may_end_it() {
    let (w, fitted) = climb(FitConfig { epochs: 20, patience: None }, |event| match event {
        Event::Epoch(e) if e.epoch == 2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!((w - 2.0).abs() < 1e-5 && fitted.end == End::Told && fitted.epochs.len() == 2, "{w} {fitted:?}");
    let (_, fitted) = climb(FitConfig { epochs: 20, patience: None }, |_| ControlFlow::Break(()));
    assert!(fitted.epochs.is_empty() && fitted.best().is_none());
}

/// 10 examples in batches of 4 are 2.5 steps an epoch: 3, 2, 3, 2.
#[test]
fn an_epoch_shows_every_example_once_more() {
    let model = Climber(Parameter::new(Tensor::scalar(gradus_autograd::DType::F64, 0.0)));
    let mut trainer = Trainer::new(model, config(4, 0.0));
    let (mut steps, mut of_epochs) = (0, Vec::new());
    let limits = FitConfig { epochs: 4, patience: None };
    let fitted = trainer.fit(&Silent(10), &Silent(3), limits, |event| {
        match event {
            Event::Step(step, all, _) => {
                steps += 1;
                assert_eq!((step, all), (steps, 10));
            }
            Event::Epoch(_) => of_epochs.push(steps),
        }
        ControlFlow::Continue(())
    });
    assert!(fitted.is_ok());
    assert_eq!(of_epochs, [3, 5, 8, 10]);
    assert_eq!(trainer.step_count(), 10);
}

#[test]
fn a_loss_that_is_no_number_is_said() {
    let model = Climber(Parameter::new(Tensor::scalar(gradus_autograd::DType::F64, f64::NAN)));
    let error = Trainer::new(model, config(4, 1.0))
        .fit(&Silent(4), &Silent(4), FitConfig { epochs: 2, patience: None }, |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(matches!(error, StepError::NotFinite { step: 0, .. }), "{error}");
}

/// Batches of other sizes give the same sums, and the last, smaller one counts by its rows.
#[test]
fn the_score_does_not_depend_on_the_batches() {
    let (rows, model) = (drawn_digits(1, 103), Classifier::new(&mut Init::new(1), &[64, 10], ClassLoss::CrossEntropy));
    let Ok(whole) = score(&model, &rows, 103);
    let Ok(parts) = score(&model, &rows, 10);
    assert_eq!((whole.right, whole.count), (parts.right, parts.count));
    assert!((whole.mean_loss() - parts.mean_loss()).abs() < 1e-5, "{whole:?} {parts:?}");
    let all: Vec<usize> = (0..103).collect();
    let answers = model.predict(&rows.pick(&all).inputs);
    let right = answers.iter().zip(rows.labels()).filter(|(a, b)| a == b).count();
    assert_eq!((right, right as f64 / 103.0), (whole.right, whole.accuracy()));
}

/// Chance is 10%. Straight borders are not enough for glyphs that are pushed aside; a hidden layer is.
#[test]
fn drawn_digits_are_learned_with_either_loss() {
    let (training, held_out) = (drawn_digits(1, 1500), drawn_digits(2, 500));
    for (loss, sizes, least) in
        [(ClassLoss::CrossEntropy, &[64, 64, 10][..], 0.9), (ClassLoss::Hinge, &[64, 10][..], 0.6)]
    {
        let model = Classifier::new(&mut Init::new(1), sizes, loss);
        let mut trainer = Trainer::new(model, config(32, 3e-3));
        let limits = FitConfig { epochs: 10, patience: None };
        trainer.fit(&training, &held_out, limits, |_| ControlFlow::Continue(())).unwrap();
        let Ok(reached) = score(trainer.model(), &held_out, 100);
        assert!(reached.accuracy() > least, "{loss:?}: {reached:?}");
    }
}

#[test]
fn what_does_not_fit_the_model_is_named_with_both_sides() {
    let model = Classifier::new(&mut Init::new(1), &[3, 5], ClassLoss::CrossEntropy);
    let rows = |width: usize, labels: Vec<u32>| LabelledRows::new(vec![0.0; width * labels.len()], labels, 10).unwrap();
    assert_eq!(model.accepts(&rows(3, vec![0, 4])), Ok(()));
    let error = |rows| model.accepts(&rows).unwrap_err();
    assert_eq!(error(rows(2, vec![0, 4])), "the rows have 2 numbers each, and the model takes 3");
    assert_eq!(error(rows(3, vec![4, 5])), "row 1 has the label 5, and the model has 5 classes");
}
