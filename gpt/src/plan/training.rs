//! What a training costs.

use super::{Cluster, Shape};
use crate::error::{Error, Result};

/// Bytes that one parameter takes while it is trained in mixed precision with Adam: 2 for the weight and 2 for the gradient
/// in bf16, and 4 each for the weight in `f32` and both moments (Rajbhandari et al. 2020, ZeRO, section 3.1).
pub const TRAINING_BYTES: f64 = 16.0;

/// A training: a model, a text, and what computes it.
#[derive(Clone, Debug)]
pub struct TrainingPlan {
    /// The model.
    pub shape: Shape,
    /// Tokens of the text, each counted as often as it is read.
    pub tokens: f64,
    /// Tokens between two updates.
    pub batch_tokens: f64,
    /// The cards.
    pub cluster: Cluster,
}

/// What follows from a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingCost {
    /// Kaplan's estimate 6·N·D for N parameters and D tokens (Kaplan et al. 2020, section 2.1).
    pub rule_of_thumb: f64,
    /// All multiplications and additions: three times those of the forward pass, for the backward pass computes two products
    /// for each of it.
    pub flops: f64,
    /// Updates.
    pub steps: f64,
    /// Days.
    pub days: f64,
    /// Cards times hours.
    pub card_hours: f64,
    /// In the currency of the price.
    pub money: f64,
    /// Kilowatt hours, with the overhead of the data centre.
    pub kilowatt_hours: f64,
    /// Bytes of weights, gradients and moments.
    pub state_bytes: f64,
    /// The fewest cards whose memory holds those.
    pub cards_for_state: f64,
    /// Bytes that each card sends for an update, where every card has a copy of the weights and gradients in bf16 are added up
    /// around a ring: 2·(n − 1)/n of them (Patarasuk and Yuan 2009).
    pub wire_bytes: f64,
}

impl TrainingPlan {
    /// That it can be computed.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first setting that is out of its range.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [("tokens", self.tokens), ("batch-tokens", self.batch_tokens)] {
            if !(value.is_finite() && value >= 1.0) {
                return Err(Error::setting(name, value, "must be a number of tokens, such as 2e12"));
            }
        }
        self.cluster.validate()
    }

    /// What it costs.
    pub fn cost(&self) -> TrainingCost {
        let (parameters, card) = (self.shape.parameters() as f64, self.cluster.card.specification());
        let flops = 3.0 * self.shape.forward_flops() * self.tokens;
        let hours = flops / self.cluster.flops() / 3600.0;
        let card_hours = hours * self.cluster.cards as f64;
        let cards = self.cluster.cards as f64;
        TrainingCost {
            rule_of_thumb: 6.0 * parameters * self.tokens,
            flops,
            steps: (self.tokens / self.batch_tokens).ceil(),
            days: hours / 24.0,
            card_hours,
            money: card_hours * self.cluster.price_per_hour,
            kilowatt_hours: card_hours * card.watts * self.cluster.overhead / 1000.0,
            state_bytes: TRAINING_BYTES * parameters,
            cards_for_state: (TRAINING_BYTES * parameters / card.memory).ceil(),
            wire_bytes: 2.0 * (cards - 1.0) / cards * 2.0 * parameters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Card, KnownModel};

    /// Llama 2 70B as an introduction tells it: 2 trillion tokens, 6000 cards, 12 days, 2 million dollars.
    fn llama() -> TrainingPlan {
        let cluster = Cluster { card: Card::A100, cards: 6000, utilisation: 0.45, price_per_hour: 1.2, overhead: 1.1 };
        TrainingPlan { shape: KnownModel::Llama2_70b.shape(), tokens: 2e12, batch_tokens: 4e6, cluster }
    }

    #[test]
    fn an_introduction_s_figures_follow_from_its_assumptions() {
        let cost = llama().cost();
        let close = |value: f64, told: f64, share: f64| (value / told - 1.0).abs() < share;
        assert!(close(cost.days, 12.0, 0.05), "{} days", cost.days);
        assert!(close(cost.money, 2e6, 0.1), "{}", cost.money);
        assert!(close(cost.flops, 1e24, 0.15), "{}", cost.flops);
        assert!(close(cost.card_hours, 1_720_320.0, 0.05), "{}; table 2 of the paper has 1720320", cost.card_hours);
        assert_eq!(cost.steps, 500_000.0);
    }

    #[test]
    fn every_figure_follows_by_hand_for_a_round_cluster() {
        let mut plan = llama();
        plan.cluster = Cluster { card: Card::A100, cards: 2, utilisation: 1.0, price_per_hour: 3.0, overhead: 2.0 };
        let cost = plan.cost();
        let n = 68_976_648_192.0;
        let seconds = cost.flops / 624e12;
        assert!((cost.days * 86_400.0 / seconds - 1.0).abs() < 1e-12);
        assert!((cost.money / (seconds / 3600.0 * 2.0 * 3.0) - 1.0).abs() < 1e-12);
        assert!((cost.kilowatt_hours / (seconds / 3600.0 * 2.0 * 400.0 * 2.0 / 1000.0) - 1.0).abs() < 1e-12);
        assert_eq!((cost.rule_of_thumb, cost.state_bytes, cost.wire_bytes), (6.0 * n * 2e12, 16.0 * n, 2.0 * n));
        assert_eq!(cost.cards_for_state, 14.0); // 1104 GB in pieces of 80
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let refused = |change: fn(&mut TrainingPlan)| {
            let mut plan = llama();
            change(&mut plan);
            plan.validate().unwrap_err().to_string()
        };
        assert!(llama().validate().is_ok());
        for (message, name) in [
            (refused(|plan| plan.tokens = 0.0), "tokens 0"),
            (refused(|plan| plan.batch_tokens = f64::NAN), "batch-tokens NaN"),
            (refused(|plan| plan.cluster.cards = 0), "gpus 0"),
            (refused(|plan| plan.cluster.utilisation = 1.5), "utilisation 1.5"),
            (refused(|plan| plan.cluster.price_per_hour = -1.0), "price -1"),
            (refused(|plan| plan.cluster.overhead = 0.9), "overhead 0.9"),
        ] {
            assert!(message.contains(name), "{message}");
        }
    }
}
