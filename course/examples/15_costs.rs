//! Lesson 15: what a large language model costs, worked out from its sizes.
//!
//!     cargo run --release --example 15_costs
//!
//! An introduction to large models tells it like this: a language model is two files, 140 GB of parameters and the code that
//! runs them; to train them took 2 trillion tokens, 6000 cards for 12 days and 2 million dollars (Llama 2 70B). Nobody has to
//! believe these numbers. They follow from six sizes of the model and from the data sheet of the card:
//!
//! > N ≈ L·(2·C² + 2·C·C·Hkv/H + 3·C·F) + 2·V·C,  FLOPs ≈ 6·N·D,  time = FLOPs / (cards · peak · utilisation)
//!
//! Why 6: forward, each parameter is multiplied once and added once for each token, 2·N. Backward takes two such products, one
//! for the gradient of the input and one for the gradient of the parameters, 4·N (Kaplan et al. 2020, section 2.1).
//!
//! Read beside it: `gpt/src/plan`, one file for each formula. `gradus plan --help` does the same with your own numbers, and
//! `gradus plan --here small` predicts a training step on your machine.

use gradus_course::{Result, show};
use gradus_gpt::plan::{Card, Cluster, InferenceCost, KnownModel, Shape, TrainingPlan};
use gradus_pictures::{Bars, Group};

const LESSON: &str = "15_costs";

fn main() -> Result {
    let llama = KnownModel::Llama2_70b.shape();
    count_parameters(&llama)?;
    two_files(&llama)?;
    train(&llama)?;
    answer(&llama);
    wide_layers();
    draw()?;
    println!("\nExercises: at the end of course/examples/15_costs.rs.");
    Ok(())
}

fn count_parameters(llama: &Shape) -> Result {
    println!("1. 70 billion parameters, counted\n");
    let Shape { layers, heads, kv_heads, width, feed_forward, vocab_size, .. } = *llama;
    println!("  L = {layers} blocks of width C = {width}, H = {heads} heads of {} numbers", width / heads);
    let line = |what: &str, formula: &str, count: u64| println!("  {what:<42} {formula:<14} {count:>14}");
    line("queries and output of attention", "2·C²", 2 * width * width);
    line(&format!("keys and values, {kv_heads} heads for {heads}"), "2·C·C·8/64", 2 * width * width / heads * kv_heads);
    line(&format!("feed-forward with a gate, F = {feed_forward}"), "3·C·F", 3 * width * feed_forward);
    line("one block", "", llama.block_matrices());
    line(&format!("{layers} blocks"), "", layers * llama.block_matrices());
    line(&format!("tokens in and out, V = {vocab_size}"), "2·V·C", 2 * vocab_size * width);
    let norms = (2 * layers + 1) * width;
    line("norms", "(2·L + 1)·C", norms);
    let sum = layers * llama.block_matrices() + 2 * vocab_size * width + norms;
    line("all", "", sum);
    check(sum == llama.parameters(), "the sum of the parts is the whole")
}

fn two_files(llama: &Shape) -> Result {
    let file = InferenceCost::of(llama, 2.0).file_bytes;
    println!("\n2. Two files\n");
    println!(
        "  In bf16 a parameter takes 2 bytes: {:.1} GB. The other file is the code, some hundred lines.",
        file / 1e9
    );
    check((file / 140e9 - 1.0).abs() < 0.02, "the file has about 140 GB")
}

fn train(llama: &Shape) -> Result {
    println!("\n3. Training\n");
    let cluster = Cluster { card: Card::A100, cards: 6000, utilisation: 0.45, price_per_hour: 1.2, overhead: 1.1 };
    let plan = TrainingPlan { shape: llama.clone(), tokens: 2e12, batch_tokens: 4e6, cluster };
    plan.validate()?;
    let cost = plan.cost();
    println!(
        "  We assume: 6000 A100 of 312 TFLOP/s each, of which a training gets 45%, and 1.20 dollars for an hour of one."
    );
    println!("  Llama's own report has 1,720,320 card hours; the 45% are chosen to fit that, the rest follows.\n");
    println!("  6·N·D                        {:.2e} FLOPs", cost.rule_of_thumb);
    println!("  with attention, counted      {:.2e} FLOPs", cost.flops);
    println!("  time                         {:.1} days", cost.days);
    println!("  card hours                   {:.2} million", cost.card_hours / 1e6);
    println!("  money                        {:.2} million dollars", cost.money / 1e6);
    println!("  energy                       {:.0} MWh", cost.kilowatt_hours / 1e3);
    println!(
        "  weights, gradients, moments  {:.0} GB: {} cards hold them",
        cost.state_bytes / 1e9,
        cost.cards_for_state
    );
    println!(
        "  sent by each card an update  {:.0} GB, were the gradients simply added up around a ring",
        cost.wire_bytes / 1e9
    );
    println!(
        "\n  Why Adam needs 16 bytes a parameter: 2 for the weight and 2 for the gradient in bf16, and in f32 the weight"
    );
    println!("  that is updated and two moments, 4 each. The model that is read in 2 bytes is trained in 16.");
    check((cost.days - 12.0).abs() < 0.6 && (cost.money / 2e6 - 1.0).abs() < 0.1, "12 days and 2 million dollars")
}

fn answer(llama: &Shape) {
    println!("\n4. Answering\n");
    let run = InferenceCost::of(llama, 2.0);
    let card = Card::H100.specification();
    let (compute, memory) = (card.flops / run.flops_per_token, run.tokens_per_second(card.bandwidth, 0.0));
    println!("  A token takes {:.0} GFLOPs and reads all {:.0} GB.", run.flops_per_token / 1e9, run.file_bytes / 1e9);
    println!("  One {} could compute {compute:.0} tokens a second, and its memory can feed {memory:.0}.", card.name);
    println!("  So one reader leaves the arithmetic idle, and many readers share one pass over the parameters.");
    println!(
        "  Each token stays in the cache with {:.0} kB: keys and values of 8 heads in 80 layers. With 64 heads",
        run.cache_bytes_per_token / 1e3
    );
    let own = InferenceCost::of(&Shape { kv_heads: llama.heads, ..llama.clone() }, 2.0).cache_bytes_per_token;
    println!(
        "  it would be {:.0} kB, {:.0} GB for a text of 4096 tokens: that is why queries share keys.",
        own / 1e3,
        own * 4096.0 / 1e9
    );
}

fn wide_layers() {
    println!("\n5. Where the parameters are\n");
    println!("  model          attention  feed-forward  embeddings");
    for (name, model) in MODELS {
        let [attention, feed_forward, embeddings] = shares(&model.shape());
        println!("  {name:<13} {attention:>9.1}%  {feed_forward:>11.1}%  {embeddings:>9.1}%");
    }
    println!(
        "\n  The larger the model, the less its vocabulary counts. GPT-3's feed-forward layers go from 12288 to 49152 and back."
    );
}

const MODELS: [(&str, KnownModel); 5] = [
    ("small", KnownModel::Small),
    ("large", KnownModel::Large),
    ("GPT-2", KnownModel::Gpt2),
    ("GPT-3", KnownModel::Gpt3),
    ("Llama 2 70B", KnownModel::Llama2_70b),
];

/// Percent of the parameters in attention, in feed-forward layers and in everything else.
fn shares(shape: &Shape) -> [f64; 3] {
    let feed_forward = if shape.gated { 3 } else { 2 } * shape.width * shape.feed_forward;
    let attention = shape.block_matrices() - feed_forward;
    let percent = |count: u64| 100.0 * count as f64 / shape.parameters() as f64;
    let [attention, feed_forward] = [attention, feed_forward].map(|count| percent(shape.layers * count));
    [attention, feed_forward, 100.0 - attention - feed_forward]
}

fn draw() -> Result {
    println!("\n6. Picture\n");
    let groups = MODELS.map(|(label, model)| Group { label, values: shares(&model.shape()).to_vec() }).to_vec();
    let kinds = vec!["attention", "feed-forward", "embeddings and the rest"];
    let bars = Bars { title: "Where the parameters are", note: "in percent of all", kinds, groups, unit: " %" };
    show(LESSON, "parameters.svg", &bars.svg()?)
}

fn check(holds: bool, what: &str) -> Result {
    if holds { Ok(()) } else { Err(gradus_course::Failure::new(format!("it does not hold that {what}"))) }
}

// Exercises
//
// 1. GPT-3 was trained on 300 billion tokens. How many FLOPs are that by 6·N·D, and how many days on 1000 A100 at 45%? Its paper
//    says 3.14·10²³ FLOPs.
// 2. With fixed FLOPs a model may be larger or read more. Hoffmann et al. (2022) found about 20 tokens a parameter to be best. How
//    large is the best model for the FLOPs of Llama 2 70B, and on how many tokens? Why was Llama trained on more?
// 3. Run `gradus plan --here small` and `gradus plan --here large`. Which part of a step is furthest below the rate of the
//    products, and why does AdamW matter more for `small`?
