//! Lesson 11: one step of a GPT in numbers, from a batch to changed weights, and the same model answering.
//!
//!     cargo run --release --example 11_one_step
//!
//! The model reads one sentence of Confucius, 知之为知之，不知为不知，是知也 (to know what one knows and to know what one does not
//! know: that is knowledge), character by character, and learns to continue it. Everything a large model does in training happens
//! here, in sizes that fit on a page:
//!
//! > logits = model(x),  p = softmax(logits),  loss = mean of −ln p(next),  w ← w − lr·m̂ / (√v̂ + ε)
//!
//! Training and answering are the same function, used differently. In training all next characters are known, so that one
//! pass makes a prediction at every position at once. In answering the next character is not known: it is drawn from p, appended,
//! and read. That is why ChatGPT answers one token at a time.
//!
//! Read beside it: `gpt/src/model.rs` (`logits`, `loss`), `nn/src/optim/adamw.rs`, `gpt/src/generation/sampler.rs`. Next:
//! `15_costs.rs`.

use gradus_autograd::{Tape, Tensor};
use gradus_course::{Failure, Result, progress, show};
use gradus_gpt::checkpoint;
use gradus_gpt::config::{FORMAT, ModelConfig, RunConfig};
use gradus_gpt::files::Disk;
use gradus_gpt::model::{Gpt, Reader};
use gradus_gpt::preset::Preset;
use gradus_gpt::sampler::{Sampler, Sampling};
use gradus_gpt::tokenizer::{Tokenizer, TokenizerKind};
use gradus_nn::optim::{AdamW, AdamWConfig, global_norm};
use gradus_nn::{Init, Module};
use gradus_pictures::{Bars, Group, LineChart, Series};
use std::path::Path;

const LESSON: &str = "11_one_step";
const SENTENCE: &str = "知之为知之，不知为不知，是知也";
/// What is asked in the end, and the answer.
const PROMPT: &str = "知之为知之，不知为不知，";
const RATE: f32 = 3e-3;
const STEPS: u64 = 300;

fn main() -> Result {
    let tokenizer = Tokenizer::new(TokenizerKind::Char, SENTENCE);
    let (model_config, ..) = Preset::Small.settings();
    let config =
        ModelConfig { layers: 2, heads: 2, width: 16, context: 16, vocab_size: tokenizer.vocab_size(), ..model_config };
    let model = Gpt::new(&config, &mut Init::new(1));
    let ids = tokenizer.encode(SENTENCE)?;
    let batch = the_batch(&tokenizer, &ids);
    guess(&model, &batch, config.vocab_size)?;
    one_step(&model, &batch)?;
    learn(&model, &tokenizer, &batch)?;
    answer(&model, &tokenizer, &ids)?;
    the_two_files(&model, &config, &tokenizer)?;
    temperature(&model, &tokenizer)?;
    println!("\nExercises: at the end of course/examples/11_one_step.rs.");
    Ok(())
}

/// x, the sentence without its last character, and the character that follows each: both [1, T].
struct Batch {
    x: Tensor,
    next: Tensor,
}

fn the_batch(tokenizer: &Tokenizer, ids: &[u32]) -> Batch {
    println!("1. The batch\n");
    println!("  {SENTENCE}: {} characters, {} of them distinct\n", ids.len(), tokenizer.vocab_size());
    let row = |name: &str, ids: &[u32]| {
        let cells: Vec<String> =
            ids.iter().map(|&id| format!("{} {id}", tokenizer.label(id).trim_matches('\''))).collect();
        println!("  {name}  {}", cells.join("  "));
    };
    row("x   ", &ids[..ids.len() - 1]);
    row("next", &ids[1..]);
    println!("\n  The second row is the first, one place on: the text itself says what is right at every place.");
    let t = ids.len() - 1;
    Batch { x: Tensor::from_slice(&ids[..t], &[1, t]), next: Tensor::from_slice(&ids[1..], &[1, t]) }
}

fn guess(model: &Gpt, batch: &Batch, vocabulary: usize) -> Result {
    println!("\n2. Logits and loss before the first step\n");
    let tape = Tape::inference();
    let logits = model.logits(&tape, &batch.x).value().to_vec::<f32>();
    let first = &logits[..vocabulary];
    println!("  logits after the first character: {}", numbers(first));
    println!("  softmax of them:                  {}", numbers(&softmax(first)));
    let loss = model.loss(&tape, &batch.x, &batch.next).value().item();
    let by_chance = (vocabulary as f64).ln();
    println!("\n  loss {loss:.4}; guessing among {vocabulary} characters alike has ln {vocabulary} = {by_chance:.4}.");
    println!("  A first loss far from ln V is the sign of a mistake: wrong targets, or weights that are too large.");
    check((loss / by_chance - 1.0).abs() < 0.05, "the first loss is about ln V")
}

fn one_step(model: &Gpt, batch: &Batch) -> Result {
    println!("\n3. One step of AdamW on one weight\n");
    let tape = model_tape(0);
    let loss = model.loss(&tape, &batch.x, &batch.next);
    let operations = tape.len();
    tape.backward(&loss);
    println!(
        "  The tape has {} operations; played backwards, it left a gradient in each of {} parameters.",
        operations,
        model.named_parameters().len()
    );
    println!("  The norm of the whole gradient is {:.4}.\n", global_norm(model));
    let (name, parameter) = model.named_parameters().swap_remove(0);
    let grad = parameter.grad().ok_or_else(|| Failure::new("the first parameter has no gradient"))?.to_vec::<f32>();
    let before = parameter.value().to_vec::<f32>();
    let settings = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
    AdamW::new(model, settings).step(RATE, 1.0);
    let after = parameter.value().to_vec::<f32>();
    // The largest gradient, because rounding hardly moves it.
    let i = (0..grad.len()).max_by(|&a, &b| grad[a].abs().total_cmp(&grad[b].abs())).unwrap_or(0);
    let g = f64::from(grad[i]);
    let (m, v) = ((1.0 - f64::from(settings.beta1)) * g, (1.0 - f64::from(settings.beta2)) * g * g);
    let (m_hat, v_hat) = (m / (1.0 - f64::from(settings.beta1)), v / (1.0 - f64::from(settings.beta2)));
    let change = -f64::from(RATE) * m_hat / (v_hat.sqrt() + f64::from(settings.eps));
    println!("  {name}, number {i}: gradient g = {g:.4}");
    println!("  first moment   m = (1 − {})·g  = {m:.5}", settings.beta1);
    println!("  second moment  v = (1 − {})·g² = {v:.8}", settings.beta2);
    println!("  both divided by 1 − βᵗ, t = 1: m̂ = {m_hat:.4}, √v̂ = {:.4}", v_hat.sqrt());
    println!("  change −lr·m̂/(√v̂ + ε) = {change:.5}: {:.5} becomes {:.5}", before[i], after[i]);
    let too_small = [1.0 / (1.0 - settings.beta1), 1.0 / (1.0 - settings.beta2).sqrt()];
    println!(
        "\n  Why divide by 1 − βᵗ: both moments begin at zero, so at t = 1 m is {:.0} and √v {:.0} times too small. Divided,",
        too_small[0], too_small[1]
    );
    println!("  the first step of every weight has the length of the learning rate, however small its gradient.");
    let made = f64::from(after[i] - before[i]);
    check((made / change - 1.0).abs() < 1e-3, "AdamW does what the formula says")
}

fn model_tape(step: u64) -> Tape {
    Tape::training(1, step)
}

fn learn(model: &Gpt, tokenizer: &Tokenizer, batch: &Batch) -> Result {
    println!("\n4. The chance of one continuation\n");
    println!("  How likely is 是知也 after {PROMPT}?\n\n   step     loss   p(是)   p(知)   p(也)   together");
    let mut adamw = AdamW::new(model, AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() });
    let (mut losses, mut chances) = (Vec::new(), Vec::new());
    let bar = progress("learning", STEPS);
    for step in 1..=STEPS {
        let tape = model_tape(step);
        let loss = model.loss(&tape, &batch.x, &batch.next);
        tape.backward(&loss);
        adamw.step(RATE, 1.0);
        let p = continuation(model, tokenizer)?;
        let together: f64 = p.iter().product();
        losses.push((step as f64, loss.value().item()));
        chances.push((step as f64, together));
        bar.inc(1);
        if [1, 10, 20, 40, 60, 80, 100, 150, 200, 250, 300].contains(&step) {
            println!(
                "  {step:>5}   {:.4}   {:.3}   {:.3}   {:.3}   {together:.3}",
                loss.value().item(),
                p[0],
                p[1],
                p[2]
            );
        }
    }
    drop(bar);
    println!(
        "\n  After 知 the sentence goes on with 之, 为, ， and 也. Only what stands before decides, and attention finds it."
    );
    let series =
        vec![Series { name: "chance of 是知也", points: chances.clone() }, Series { name: "loss", points: losses }];
    let chart = LineChart {
        title: "One sentence is learned",
        note: "300 steps of AdamW",
        x: "step",
        y: "",
        logarithmic: false,
        series,
    };
    show(LESSON, "learning.svg", &chart.svg()?)?;
    check(chances.last().is_some_and(|last| last.1 >= 0.97), "the continuation has a chance of 97%")
}

/// The chance of each character of 是知也 after all that stand before it.
fn continuation(model: &Gpt, tokenizer: &Tokenizer) -> Result<Vec<f64>> {
    let (ids, begin) = (tokenizer.encode(SENTENCE)?, tokenizer.encode(PROMPT)?.len());
    let mut reader = Reader::new(model);
    let mut logits = reader.read(&ids[..begin]);
    let mut chances = Vec::new();
    for &id in &ids[begin..] {
        chances.push(f64::from(softmax(&logits)[id as usize]));
        logits = reader.read(&[id]);
    }
    Ok(chances)
}

fn answer(model: &Gpt, tokenizer: &Tokenizer, ids: &[u32]) -> Result {
    println!("\n5. Training reads all at once, answering one at a time\n");
    let t = ids.len() - 1;
    let all = model.logits(&Tape::inference(), &Tensor::from_slice(&ids[..t], &[1, t])).value().to_vec::<f32>();
    let mut reader = Reader::new(model);
    let mut worst = 0.0f32;
    for (&id, row) in ids.iter().zip(all.chunks(tokenizer.vocab_size())) {
        let one = reader.read(&[id]);
        worst = row.iter().zip(&one).fold(worst, |worst, (a, b)| worst.max((a - b).abs()));
    }
    println!(
        "  The logits of {t} positions in one pass, and of {t} tokens one after the other with a cache of keys and values, are"
    );
    println!(
        "  the same but for rounding. Why the cache stays valid when a token is appended: the causal mask lets no position"
    );
    println!("  see a later one, so what was computed for the earlier ones does not change.\n");
    let mut text = PROMPT.to_string();
    let mut reader = Reader::new(model);
    let mut logits = reader.read(&tokenizer.encode(PROMPT)?);
    for _ in 0..3 {
        let likeliest = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0) as u32;
        text += &tokenizer.decode(&[likeliest])?;
        println!("  {text}");
        logits = reader.read(&[likeliest]);
    }
    check(worst < 1e-3, "both ways give the same logits")?;
    check(text == SENTENCE, "the model continues the sentence")
}

fn the_two_files(model: &Gpt, config: &ModelConfig, tokenizer: &Tokenizer) -> Result {
    println!("\n6. The two files\n");
    let folder = Path::new("out").join(LESSON).join("model");
    std::fs::create_dir_all(&folder)?;
    let run = RunConfig {
        format: FORMAT,
        model: config.clone(),
        train: Preset::Small.settings().1,
        tokenizer: tokenizer.clone(),
    };
    run.save(&Disk, &folder)?;
    checkpoint::save_weights(model, STEPS + 1, &run.meaning(), &Disk, &folder)?;
    let weights = std::fs::read(folder.join("model.safetensors"))?;
    let (length, rest) = weights.split_at(8);
    let header = usize::try_from(u64::from_le_bytes(length.try_into()?))?;
    let names = model.distinct_parameters().len();
    println!(
        "  model.safetensors: 8 bytes that say how long the header is, the header (JSON: {names} names with type, shape and"
    );
    println!(
        "  place), and {} bytes of numbers: {} parameters of 4 bytes.",
        rest.len() - header,
        model.parameter_count()
    );
    println!(
        "  config.json: the sizes of the model and its {} characters. `gradus sample --model {}` opens them.",
        tokenizer.vocab_size(),
        folder.display()
    );
    check(rest.len() - header == 4 * model.parameter_count(), "the numbers are 4 bytes each")
}

fn temperature(model: &Gpt, tokenizer: &Tokenizer) -> Result {
    println!("\n7. Temperature, top-k and top-p\n");
    // After 知 alone the model has to choose: the sentence has it before 之, 为, ， and 也.
    let logits: Vec<f32> = Reader::new(model).read(&tokenizer.encode("不知")?).iter().map(|z| z / 4.0).collect();
    let plain = Sampling { temperature: 1.0, top_k: None, top_p: None };
    let kinds = [
        ("as it is", plain),
        ("temperature 0.5", Sampling { temperature: 0.5, ..plain }),
        ("temperature 2", Sampling { temperature: 2.0, ..plain }),
        ("top-k 3", Sampling { top_k: Some(3), ..plain }),
        ("top-p 0.8", Sampling { top_p: Some(0.8), ..plain }),
    ];
    let mut tables = Vec::new();
    for (_, sampling) in kinds {
        tables.push(Sampler::new(sampling, 1)?.candidates(&logits)?);
    }
    println!("  The chances after 不知, from logits divided by 4 so that there is something to choose:\n");
    println!("        {}", kinds.map(|(name, _)| format!("{name:>16}")).join(""));
    let mut groups = Vec::new();
    let label = |id: u32| tokenizer.label(id).trim_matches('\'').to_string();
    let labels: Vec<String> = tables[0].iter().map(|candidate| label(candidate.token)).collect();
    for (place, label) in labels.iter().enumerate() {
        let token = tables[0][place].token;
        let chance = |table: &Vec<gradus_gpt::sampler::Candidate>| {
            table.iter().find(|candidate| candidate.token == token).map_or(0.0, |candidate| 100.0 * candidate.sampling)
        };
        let values: Vec<f64> = tables.iter().map(chance).collect();
        println!("    {label}  {}", values.iter().map(|value| format!("{value:>15.1}%")).collect::<String>());
        groups.push(Group { label, values });
    }
    let bars = Bars {
        title: "The chances of the next character after 不知",
        note: "in percent; each way of drawing changes them",
        kinds: kinds.iter().map(|(name, _)| *name).collect(),
        groups,
        unit: " %",
    };
    println!();
    show(LESSON, "chances.svg", &bars.svg()?)?;
    let sums = tables.iter().map(|table| table.iter().map(|candidate| candidate.sampling).sum::<f64>());
    check(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-9), "chances add up to 1")
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    // Less the largest, or e to a large logit would overflow; the quotient is the same.
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|z| (z - largest).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn numbers(values: &[f32]) -> String {
    values.iter().map(|value| format!("{value:>6.3}")).collect::<Vec<_>>().join(" ")
}

fn check(holds: bool, what: &str) -> Result {
    if holds { Ok(()) } else { Err(Failure::new(format!("it does not hold that {what}"))) }
}

// Exercises
//
// 1. Take the positions away: set the position embedding to zeros before training, and keep it so. What becomes of the loss? The
//    last layers can still count what stands before. Why can they?
// 2. Train with a learning rate of 0.3, and with 0.00003. What do the two curves look like?
// 3. How large is the loss when the chance of every next character is 97%? And what is the perplexity, e to the loss? Compare
//    with the last line of the table.
