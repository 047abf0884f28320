//! What a run writes down is what its trainer showed: every loss, norm and rate of `metrics.jsonl`, to the last bit.

mod common;

use common::{Place, metrics, succeeds};
use gradus_gpt::config::RunConfig;
use gradus_gpt::dataset::{Dataset, Part};
use gradus_gpt::error::Error;
use gradus_gpt::evaluation::Coverage;
use gradus_gpt::trainer::Trainer;

#[test]
fn each_line_has_the_numbers_of_its_step() {
    let place = Place::new();
    let flags =
        "--steps 6 --grad-accum 3 --dropout 0.3 --clip 0.2 --log-every 1 --eval-every 2 --eval-batches 1 --warmup 2";
    succeeds(place.train("run", flags));
    let mut run = RunConfig::load(&place.path("run")).unwrap();
    let data = Dataset::load_with(&mut run.train.data, &run.tokenizer, None).unwrap();
    let mut trainer = Trainer::new(&run, &data);

    let lines = metrics(&place.path("run"));
    assert_eq!(lines.len(), 6);
    for (line, number) in lines.iter().zip(1_u64..) {
        let step = trainer.step().unwrap();
        // A number of type f32 is written with as many digits as name it.
        let bits = |key: &str| (line[key].as_f64().unwrap() as f32).to_bits();
        assert_eq!(line["step"].as_u64(), Some(number));
        assert_eq!(bits("train_loss"), step.loss.to_bits(), "step {number}");
        assert_eq!(bits("grad_norm"), step.grad_norm.to_bits(), "step {number}");
        assert_eq!(line["lr"].as_f64().unwrap(), step.learning_rate, "step {number}");
        match number {
            2 | 4 => {
                let expected = trainer.estimate(Part::Validation, 1, |_, _| {}).unwrap();
                assert_eq!(bits("val_loss"), expected.to_bits(), "step {number}");
            }
            6 => {
                let go_on = |_, _| Ok::<(), Error>(());
                let whole = trainer.evaluate(Part::Validation, Coverage::Whole, go_on).unwrap();
                assert_eq!(bits("val_loss"), (whole.loss as f32).to_bits(), "the last step");
            }
            _ => assert!(line["val_loss"].is_null(), "{line}"),
        }
    }
    assert!(lines.iter().any(|line| line["grad_norm"].as_f64().unwrap() > 0.2), "a step is clipped");
}
