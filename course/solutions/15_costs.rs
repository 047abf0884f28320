//! Solutions of the exercises of lesson 15.

use gradus_gpt::plan::{Card, Cluster, KnownModel, TrainingPlan};

fn main() {
    println!("1. GPT-3\n");
    let cluster = Cluster { card: Card::A100, cards: 1000, utilisation: 0.45, price_per_hour: 1.2, overhead: 1.1 };
    let shape = KnownModel::Gpt3.shape();
    let cost = TrainingPlan { shape, tokens: 300e9, batch_tokens: 3.2e6, cluster }.cost();
    println!("  6·N·D = {:.2e} FLOPs; with attention {:.2e}, {:.1} days.", cost.rule_of_thumb, cost.flops, cost.days);
    assert!((cost.rule_of_thumb / 3.14e23 - 1.0).abs() < 0.01);

    println!("\n2. The best model for the FLOPs of Llama 2 70B\n");
    // 6·N·D with D = 20·N is 120·N².
    let flops = 6.0 * KnownModel::Llama2_70b.shape().parameters() as f64 * 2e12;
    let parameters = (flops / 120.0).sqrt();
    println!("  {:.0} billion parameters on {:.1} trillion tokens.", parameters / 1e9, 20.0 * parameters / 1e12);
    println!(
        "  It would answer slower for ever: a smaller model that reads more costs more once and less with every token."
    );
    assert!((parameters / 83e9 - 1.0).abs() < 0.02);

    println!("\n3. On your machine\n");
    println!(
        "  Norms, GELU and residual sums move numbers and hardly compute, so their rate is that of a memory or cache."
    );
    println!(
        "  AdamW touches each parameter once a step, however few tokens the batch has: `small` has 768 of them for 0.8"
    );
    println!("  million parameters, `large` 16384 for 10.7 million, about one and a half times as many a parameter.");
    let tokens_a_parameter = |model: KnownModel, tokens: f64| tokens / model.shape().parameters() as f64;
    let (small, large) =
        (tokens_a_parameter(KnownModel::Small, 768.0), tokens_a_parameter(KnownModel::Large, 16_384.0));
    println!("  Tokens for each parameter: {small:.5} and {large:.5}.");
    assert!((large / small - 1.59).abs() < 0.02);
}
