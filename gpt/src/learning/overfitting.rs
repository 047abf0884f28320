//! Notices overfitting: the validation loss rises while the training loss still falls.
//!
//! A single validation that is worse than the best one proves nothing, for both losses are noisy. The noise of a curve is measured on
//! the curve itself, by its second differences, which a steady rise or fall does not touch.

use crate::metrics::Metric;
use std::collections::BTreeMap;

/// The last validations, whose mean is compared with the best one.
const RECENT: usize = 3;

/// How many standard deviations of the noise the validation loss must be above its minimum. The minimum of many noisy values lies
/// some two or three below their mean, and the noise itself is only estimated.
const DEVIATIONS: f64 = 8.0;

/// A change by less than this share of a loss is ignored, whatever the noise.
const LEAST: f64 = 0.01;

/// A rise by more than this share of the loss counts, whatever the noise.
const CLEAR: f64 = 0.25;

/// The notice of a validation loss that has been rising while the training loss fell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Notice {
    /// The step with the lowest validation loss.
    pub best_step: u64,
    /// The losses there: training, validation.
    pub best: [f64; 2],
    /// The losses now, as means of the last validations: training, validation.
    pub now: [f64; 2],
}

impl Notice {
    /// The text of the notice after `epochs` passes over a training part of `tokens` tokens; `kept` says that the best weights
    /// are kept already.
    pub fn text(&self, epochs: f64, tokens: &str, kept: bool) -> String {
        let Notice { best_step, best, now } = self;
        let weights = if kept {
            format!("best/ holds the weights of step {best_step}")
        } else {
            format!("--best keeps the weights with the lowest validation loss, and --stop-at {best_step} ends there")
        };
        format!(
            "overfitting: since step {best_step} the validation loss has risen from {:.4} to {:.4}, while the training loss fell \
             from {:.4} to {:.4}; these were {epochs:.1} epochs over {tokens} tokens. More text, a smaller model or more --dropout \
             help; {weights}",
            best[1], now[1], best[0], now[0]
        )
    }
}

/// The losses of a run, in which overfitting is looked for.
#[derive(Clone, Debug, Default)]
pub struct Overfitting {
    /// By the size of the sample: losses over different samples are not compared.
    series: BTreeMap<Option<usize>, Vec<Point>>,
    /// Sum and number of the training losses since the last validation.
    train: (f64, usize),
    told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    step: u64,
    train: f64,
    val: f64,
}

impl Overfitting {
    /// Adds the next metric of the run. Returns a notice once for each rise: the next one only after a new minimum.
    pub fn push(&mut self, metric: &Metric) -> Option<Notice> {
        if metric.train_loss.is_finite() {
            self.train = (self.train.0 + f64::from(metric.train_loss), self.train.1 + 1);
        }
        let val = metric.val_loss.filter(|loss| loss.is_finite())?;
        let (sum, count) = std::mem::take(&mut self.train);
        if count == 0 {
            return None;
        }
        let points = self.series.entry(metric.val_tokens).or_default();
        points.push(Point { step: metric.step, train: sum / count as f64, val: val.into() });
        if lowest(points) + 1 == points.len() {
            self.told = false;
        }
        let notice = rising(points).filter(|_| !self.told)?;
        self.told = true;
        Some(notice)
    }
}

fn lowest(points: &[Point]) -> usize {
    (0..points.len()).min_by(|&a, &b| points[a].val.total_cmp(&points[b].val)).unwrap_or(0)
}

fn rising(points: &[Point]) -> Option<Notice> {
    let best = lowest(points);
    if points.len() - best <= RECENT {
        return None;
    }
    let mean = |of: fn(&Point) -> f64| points[points.len() - RECENT..].iter().map(of).sum::<f64>() / RECENT as f64;
    let now = [mean(|point| point.train), mean(|point| point.val)];
    let at_best = [points[best].train, points[best].val];
    let since = &points[best.saturating_sub(2)..]; // the steep begin of a training is no noise
    let noise = [noise(since, |point| point.train)?, noise(since, |point| point.val)?];
    let rises = now[1] - at_best[1] > (DEVIATIONS * noise[1]).clamp(LEAST * at_best[1], CLEAR * at_best[1]);
    let falls = at_best[0] - now[0] > noise[0].max(LEAST * at_best[0]);
    (rises && falls).then_some(Notice { best_step: points[best].step, best: at_best, now })
}

/// The standard deviation of independent noise on a curve: that of its second differences is √6 times as large. `None`
/// where there are fewer than two of them.
fn noise(points: &[Point], of: fn(&Point) -> f64) -> Option<f64> {
    let seconds = points.windows(3).map(|three| of(&three[0]) - 2.0 * of(&three[1]) + of(&three[2]));
    let squares: Vec<f64> = seconds.map(|second| second * second).collect();
    (squares.len() >= 2).then(|| (squares.iter().sum::<f64>() / squares.len() as f64 / 6.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(step: u64, train: f64, val: Option<f64>) -> Metric {
        Metric {
            step,
            train_loss: train as f32,
            val_loss: val.map(|val| val as f32),
            val_tokens: val.map(|_| 640),
            val_standard_error: None,
            lr: 1e-3,
            grad_norm: 1.0,
            tokens_per_second: 1.0,
            elapsed_s: 1.0,
        }
    }

    /// The validations, counted from 0, at which something is told, and what.
    fn told(losses: impl IntoIterator<Item = (f64, f64)>) -> Vec<(usize, Notice)> {
        let mut watch = Overfitting::default();
        let metrics =
            losses.into_iter().enumerate().map(|(i, (train, val))| (i, metric(i as u64 * 50, train, Some(val))));
        metrics.filter_map(|(i, metric)| watch.push(&metric).map(|notice| (i, notice))).collect()
    }

    /// Noise between −1 and 1 that looks independent.
    fn jitter(i: usize) -> f64 {
        (i as f64 * 12.9898).sin() * 43758.5453 % 1.0
    }

    #[test]
    fn a_rise_is_told_once_soon_after_the_minimum() {
        let losses =
            |i: usize| (3.0 * (-0.2 * i as f64).exp() + 0.3, 2.0 + 1.5 * (-0.5 * i as f64).exp() + 0.05 * i as f64);
        let notices = told((0..40).map(losses));
        let best = (0..40).min_by(|&a, &b| losses(a).1.total_cmp(&losses(b).1)).unwrap();
        assert_eq!(notices.len(), 1, "{notices:?}");
        let (at, notice) = notices[0];
        assert!((best + 3..best + 8).contains(&at), "the minimum is at {best}, told at {at}");
        assert_eq!(notice.best_step, best as u64 * 50);
        assert!(notice.now[1] > notice.best[1] && notice.now[0] < notice.best[0], "{notice:?}");
        let text = notice.text(12.34, "4,320", false);
        for part in ["overfitting: since step ", "12.3 epochs over 4,320 tokens", "--dropout", "--best", "--stop-at"] {
            assert!(text.contains(part) && !text.contains('\n'), "{part}: {text}");
        }
        assert!(notice.text(1.0, "9", true).contains("best/ holds the weights of step"));
    }

    #[test]
    fn a_noisy_rise_is_told_too() {
        let losses = |i: usize| {
            (2.0 - 0.03 * i as f64, 2.0 + 1.5 * (-0.5 * i as f64).exp() + 0.05 * i as f64 + 0.03 * jitter(i))
        };
        assert_eq!(told((0..40).map(losses)).len(), 1);
    }

    #[test]
    fn noise_on_a_plateau_is_no_rise() {
        for amplitude in [0.001, 0.01, 0.1] {
            let losses =
                |i: usize| (2.0 - 0.01 * i as f64, 2.0 + 1.5 * (-0.3 * i as f64).exp() + amplitude * jitter(i));
            assert!(told((0..150).map(losses)).is_empty(), "amplitude {amplitude}");
        }
    }

    #[test]
    fn both_falling_and_both_rising_are_no_overfitting() {
        assert!(told((0..40).map(|i| (3.0 - 0.05 * i as f64, 3.2 - 0.05 * i as f64))).is_empty());
        assert!(told((0..40).map(|i| (2.0 + 0.05 * i as f64, 2.2 + 0.05 * i as f64))).is_empty(), "it diverges");
        assert!(told([(1.0, 1.0), (0.9, 1.1), (0.8, 1.2)]).is_empty(), "too few to tell");
        assert!(
            told((0..40).map(|i| (3.0 - 0.05 * i as f64, 2.0 + 0.0002 * i as f64))).is_empty(),
            "less than a hundredth"
        );
    }

    #[test]
    fn it_is_told_again_after_a_new_minimum() {
        let val = |i: usize| match i {
            0..10 => 2.0 + 0.05 * i as f64,
            10..30 => 2.45 - 0.0475 * (i - 10) as f64,
            _ => 1.5 + 0.05 * (i - 30) as f64,
        };
        let notices = told((0..45).map(|i| (5.0 - 0.1 * i as f64, val(i))));
        assert_eq!(notices.iter().map(|(_, notice)| notice.best_step).collect::<Vec<_>>(), [0, 1500]);
    }

    #[test]
    fn other_samples_and_numbers_that_are_none_do_not_count() {
        let mut watch = Overfitting::default();
        for i in 0..20 {
            let loss = 2.0 + 0.1 * i as f64;
            let other = Metric { val_tokens: Some(i), ..metric(i as u64, 3.0 - 0.1 * i as f64, Some(loss)) };
            assert_eq!(watch.push(&other), None, "every loss is over another sample");
            assert_eq!(watch.push(&metric(i as u64, f64::NAN, Some(f64::NAN))), None);
        }
    }
}
