//! `gradus plan`: what a model costs on a cluster, and how long a training step takes here.

use crate::config::{ModelConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::model::Gpt;
use crate::options::plan::PlanArgs;
use crate::plan::{Forecast, InferenceCost, KnownModel, TrainingPlan};
use crate::preset::Preset;
use crate::{output, threads};
use gradus_autograd::Tensor;
use gradus_kernels::Isa;
use gradus_nn::Init;
use gradus_nn::data::TextBatch;
use gradus_nn::training::{Batches, StepError, Trainer};
use std::convert::Infallible;
use std::time::Instant;

/// Prints the plan.
///
/// # Errors
/// Those of the settings, and of writing to standard output.
pub fn run(args: &PlanArgs) -> Result<()> {
    match args.here {
        Some(preset) => here(args, preset),
        None => cluster(args),
    }
}

fn cluster(args: &PlanArgs) -> Result<()> {
    let shape = args.model.shape();
    let plan = TrainingPlan {
        shape: shape.clone(),
        tokens: args.tokens,
        batch_tokens: args.batch_tokens,
        cluster: args.cluster(),
    };
    plan.validate()?;
    let (cost, card) = (plan.cost(), args.card.specification());
    let run = InferenceCost::of(&shape, 2.0);
    let context = shape.context as f64;
    let lines = [
        format!("parameters           {}", output::thousands(shape.parameters().into())),
        format!("file, in bf16        {}", bytes(run.file_bytes)),
        String::new(),
        format!(
            "training on {} tokens, {} {} at {:.0}% of {:.0} TFLOP/s",
            scaled(plan.tokens),
            args.gpus,
            card.name,
            100.0 * args.utilisation,
            card.flops / 1e12
        ),
        format!("  arithmetic         {:.2e} FLOPs; 6·N·D gives {:.2e}", cost.flops, cost.rule_of_thumb),
        format!(
            "  time               {:.1} days, {} updates of {} tokens",
            cost.days,
            scaled(cost.steps),
            scaled(plan.batch_tokens)
        ),
        format!("  card hours         {}", scaled(cost.card_hours)),
        format!("  money              {} at {} an hour", scaled(cost.money), args.price),
        format!(
            "  energy             {} kWh at {} W a card, times {}",
            scaled(cost.kilowatt_hours),
            card.watts,
            args.overhead
        ),
        format!(
            "  memory             {} for weights, gradients and moments: at least {} cards",
            bytes(cost.state_bytes),
            cost.cards_for_state
        ),
        format!("  on the wire        {} from each card for every update", bytes(cost.wire_bytes)),
        String::new(),
        "answering, one reader, weights in bf16".into(),
        format!("  arithmetic         {:.2e} FLOPs a token", run.flops_per_token),
        format!(
            "  cache              {} a token, {} for {} tokens",
            bytes(run.cache_bytes_per_token),
            bytes(run.cache_bytes_per_token * context),
            shape.context
        ),
        format!(
            "  at most            {:.1} tokens a second from the memory of one {}, were it large enough",
            run.tokens_per_second(card.bandwidth, 0.0),
            card.name
        ),
    ];
    lines.iter().try_for_each(|line| output::line(line))
}

fn here(args: &PlanArgs, preset: Preset) -> Result<()> {
    let (model, train, _) = preset.settings();
    let model = ModelConfig { vocab_size: KnownModel::CHARACTERS, ..model };
    let train = TrainConfig { precision: args.precision, ..train };
    threads::run(args.threads, || {
        output::note(&format!("measuring this machine: {}, {} threads", Isa::active(), rayon::current_num_threads()));
        let forecast = Forecast::measure(&model, &train);
        output::print(&table(&forecast))?;
        output::note("measuring whole steps");
        let predicted = forecast.seconds();
        let measured =
            measure(&model, &train, predicted).map_err(|error| Error::setting("here", preset, error.to_string()))?;
        output::line(&format!(
            "measured                                                   {:>9.1} ms: the prediction is {:+.0}% off",
            1e3 * measured,
            100.0 * (predicted / measured - 1.0)
        ))
    })
}

fn table(forecast: &Forecast) -> String {
    let mut text = "part                              work                rate       time\n".to_string();
    for part in &forecast.parts {
        let (work, rate, unit) = (part.work / 1e9, part.rate / 1e9, part.unit);
        text += &format!(
            "{:<26} {work:>9.3} G{unit:<5} {rate:>8.1} G{unit}/s {:>8.1} ms\n",
            part.name,
            1e3 * part.seconds()
        );
    }
    text + &format!("predicted                                                  {:>9.1} ms\n", 1e3 * forecast.seconds())
}

/// The median time of a step, over about three seconds and at least three steps.
fn measure(
    model: &ModelConfig,
    train: &TrainConfig,
    predicted: f64,
) -> std::result::Result<f64, StepError<Infallible>> {
    let data = OneBatch(model.clone());
    let mut gpt = Gpt::new(model, &mut Init::new(1));
    gpt.precision = train.precision.of_products();
    let mut trainer = Trainer::new(gpt, train.trainer());
    let mut step = || {
        let start = Instant::now();
        trainer.step(&data).map(|_| start.elapsed().as_secs_f64())
    };
    step()?; // the first fills the pool
    let count = ((3.0 / predicted) as usize).clamp(3, 200);
    let mut times = (0..count).map(|_| step()).collect::<std::result::Result<Vec<f64>, _>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Always the same tokens: what they are does not change the time.
struct OneBatch(ModelConfig);

impl Batches for OneBatch {
    type Batch = TextBatch;
    type Error = Infallible;

    fn batch(&self, _: u64, _: u64, rows: usize) -> std::result::Result<TextBatch, Infallible> {
        let ids: Vec<u32> = (0..rows * self.0.context).map(|i| (i * 31 % self.0.vocab_size) as u32).collect();
        let ids = Tensor::from_slice(&ids, &[rows, self.0.context]);
        Ok(TextBatch { targets: ids.clone(), ids })
    }
}

/// `140 GB`.
fn bytes(count: f64) -> String {
    let (divisor, unit) = match count {
        _ if count >= 1e12 => (1e12, "TB"),
        _ if count >= 1e9 => (1e9, "GB"),
        _ if count >= 1e6 => (1e6, "MB"),
        _ => (1e3, "kB"),
    };
    let value = count / divisor;
    format!("{value:.*} {unit}", if value < 10.0 { 1 } else { 0 })
}

/// `1.7 million`.
fn scaled(count: f64) -> String {
    let (divisor, unit) = match count {
        _ if count >= 1e12 => (1e12, " trillion"),
        _ if count >= 1e9 => (1e9, " billion"),
        _ if count >= 1e6 => (1e6, " million"),
        _ if count >= 1e4 => return output::thousands(count.round() as u128),
        _ => (1.0, ""),
    };
    format!("{}{unit}", (100.0 * count / divisor).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::{bytes, scaled};

    #[test]
    fn large_numbers_are_readable() {
        let cases = [1.379e11, 8e3, 3.5e6, 1.1e12].map(bytes);
        assert_eq!(cases, ["138 GB", "8.0 kB", "3.5 MB", "1.1 TB"]);
        assert_eq!([2e12, 1_720_320.0, 12_345.6, 12.0].map(scaled), ["2 trillion", "1.72 million", "12,346", "12"]);
    }
}
