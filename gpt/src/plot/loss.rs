//! The loss over the steps.

use crate::{
    error::{Error, Result},
    metrics::Metric,
};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

const SIZE: (u32, u32) = (960, 560);
const TRAIN: RGBColor = RGBColor(0x3b, 0x82, 0xc4);
const VAL: RGBColor = RGBColor(0xd9, 0x5f, 0x02);
const INK: RGBColor = RGBColor(0x33, 0x3a, 0x45);
const GREY: RGBColor = RGBColor(0x8a, 0x93, 0x9f);
const FAINT: RGBColor = RGBColor(0xe6, 0xe9, 0xed);

/// More than the picture has columns would only make a large file.
const MOST_POINTS: usize = 1500;

type Problem = Box<dyn std::error::Error>;

/// Draws the training and the validation loss over the steps, and the loss of mere guessing, ln V, that they start
/// from. The vertical axis is logarithmic: the way from 4 to 2 is as long as the one from 2 to 1.
/// Losses that are not finite are left out.
///
/// # Errors
/// [`Error::Plot`].
pub fn loss_curve(metrics: &[Metric], vocab_size: usize) -> Result<String> {
    let mut svg = String::new();
    let drawn = draw(&mut svg, metrics, (vocab_size as f64).ln());
    drawn.map_err(|error| Error::Plot { what: "the loss curve", problem: error.to_string() })?;
    Ok(svg)
}

fn draw(svg: &mut String, metrics: &[Metric], guessing: f64) -> std::result::Result<(), Problem> {
    let usable = |loss: f32| loss.is_finite() && loss > 0.0;
    let points = |loss: &dyn Fn(&Metric) -> Option<f32>| -> Vec<(f64, f64)> {
        metrics.iter().filter_map(|m| loss(m).filter(|&x| usable(x)).map(|x| (m.step as f64, f64::from(x)))).collect()
    };
    let train = points(&|m| Some(m.train_loss));
    let val = points(&|m| m.val_loss);
    let last = metrics.iter().map(|m| m.step).max().unwrap_or(0).max(1) as f64;
    let losses = train.iter().chain(&val).map(|point| point.1).chain((guessing > 0.0).then_some(guessing));
    let (low, high) = losses.fold((f64::INFINITY, 0.0f64), |(low, high), loss| (low.min(loss), high.max(loss)));
    let (low, high) = if high > 0.0 { (low * 0.93, high * 1.07) } else { (0.5, 2.0) };

    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(20)
        .margin_right(120)
        .caption("Loss", text(24, INK))
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, (low..high).log_scale().with_key_points(ticks(low, high)))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .x_desc("step")
        .y_desc("cross-entropy in nats per token")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y}"))
        .label_style(text(15, INK))
        .axis_desc_style(text(16, INK))
        .draw()?;

    if guessing > 0.0 {
        chart.draw_series(DashedLineSeries::new([(0.0, guessing), (last, guessing)], 5, 5, GREY.stroke_width(1)))?;
    }
    let smoothed = smooth(&train);
    chart.draw_series(LineSeries::new(thin(&train), TRAIN.mix(0.28).stroke_width(1)))?;
    chart.draw_series(LineSeries::new(thin(&smoothed), TRAIN.stroke_width(3)))?;
    chart.draw_series(LineSeries::new(val.iter().copied(), VAL.stroke_width(3)))?;
    chart.draw_series(val.iter().map(|&point| Circle::new(point, 4, VAL.filled())))?;

    // Each curve carries its name and its last value at its end; those that would meet are moved apart.
    let ends = [
        (smoothed.last().copied(), "training", TRAIN),
        (val.last().copied(), "validation", VAL),
        ((guessing > 0.0).then_some((last, guessing)), "guessing", GREY),
    ];
    let mut labels: Vec<_> = ends
        .into_iter()
        .filter_map(|(end, name, color)| end.map(|end| (chart.backend_coord(&(last, end.1)), end.1, name, color)))
        .collect();
    labels.sort_by_key(|label| label.0.1);
    let mut free = i32::MIN;
    for ((x, y), loss, name, color) in labels {
        let y = y.max(free);
        free = y + 36;
        let style = text(15, color).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(name, (x + 10, y - 8), style.clone()))?;
        root.draw(&Text::new(format!("{loss:.3}"), (x + 10, y + 9), style))?;
    }
    root.present()?;
    Ok(())
}

fn text(size: u32, color: RGBColor) -> TextStyle<'static> {
    TextStyle { color: color.to_backend_color(), ..("sans-serif", size).into() }
}

/// The mean of the logarithms over a fiftieth of the points to either side, for a batch is a small sample. At the start,
/// where the loss falls steeply, both sides are cut alike, or the curve would lag behind.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sums = vec![0.0];
    sums.extend(points.iter().scan(0.0, |sum, (_, loss)| {
        *sum += loss.ln();
        Some(*sum)
    }));
    let mean = |i: usize| {
        let half = (points.len() / 50).min(i);
        let (first, end) = (i - half, (i + half + 1).min(points.len()));
        f64::exp((sums[end] - sums[first]) / (end - first) as f64)
    };
    points.iter().enumerate().map(|(i, point)| (point.0, mean(i))).collect()
}

/// Every n-th point, so that at most `MOST_POINTS` are left, and the last.
fn thin(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let step = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points.iter().enumerate().filter(move |(i, _)| i.is_multiple_of(step) || *i == last).map(|(_, point)| *point)
}

/// Round values from `low` to `high`, four to nine of them: evenly spaced on a narrow range, 1, 2, 5, 10 … on a wide one.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let round = |exponent: i32, digit: f64| format!("{digit}e{exponent}").parse().unwrap_or(digit); // 0.3, not 0.30000000000000004
    if high / low > 12.0 {
        let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let all = exponents.flat_map(|e| [1.0, 2.0, 5.0].map(|digit| round(e, digit)));
        return all.filter(|tick| (low..=high).contains(tick)).collect();
    }
    let exponent = ((high - low) / 5.0).log10().floor() as i32;
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * 10f64.powi(exponent));
    let step = steps.into_iter().find(|step| (high - low) / step <= 8.0).unwrap_or(steps[3]);
    let count = |x: f64| x / step;
    let decimals = (1 - exponent).max(0) as usize;
    (count(low).ceil() as i64..=count(high).floor() as i64)
        .map(|i| format!("{:.decimals$}", i as f64 * step).parse().unwrap_or(low))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(step: u64, train_loss: f32, val_loss: Option<f32>) -> Metric {
        Metric { step, train_loss, val_loss, lr: 1e-3, grad_norm: 1.0, tokens_per_second: 1.0, elapsed_s: 1.0 }
    }

    #[test]
    fn both_curves_and_their_ends_are_drawn() {
        let metrics: Vec<_> = (0..=100)
            .map(|i| {
                let loss = 1.5 + 2.7 * (-0.04 * i as f32).exp();
                metric(i * 10, loss, i.is_multiple_of(25).then_some(loss + 0.1))
            })
            .collect();
        let svg = loss_curve(&metrics, 65).unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<circle").count(), 5, "one dot for every validation");
        for text in ["training", "validation", "guessing", "4.174", "1.649", "step", "nats per token"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn little_or_wild_data_draws_too() {
        let one = [metric(0, 4.2, None)];
        let wild = [metric(1, f32::NAN, Some(f32::INFINITY)), metric(2, 0.0, Some(-1.0)), metric(u64::MAX, 1e30, None)];
        for (metrics, vocabulary) in [(&[][..], 65), (&[], 1), (&one, 65), (&wild, 2), (&one, 1)] {
            let svg = loss_curve(metrics, vocabulary).unwrap();
            assert!(svg.trim_end().ends_with("</svg>") && !svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn ticks_are_round_and_not_too_many() {
        assert_eq!(ticks(1.4, 4.5), [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]);
        assert_eq!(ticks(1.0, 2.9), [1.0, 1.5, 2.0, 2.5]);
        assert_eq!(ticks(0.3, 9.0), [0.5, 1.0, 2.0, 5.0]);
        for (low, high) in [(1.49, 1.51), (0.01, 0.09), (100.0, 700.0), (2.0, 2.2)] {
            let count = ticks(low, high).len();
            assert!((3..=9).contains(&count), "{low} to {high}: {:?}", ticks(low, high));
        }
    }

    #[test]
    fn smoothing_keeps_a_constant_and_the_steps() {
        let points: Vec<_> = (0..200).map(|i| (i as f64, 2.0)).collect();
        assert!(smooth(&points).iter().zip(&points).all(|(a, b)| a.0 == b.0 && (a.1 - 2.0).abs() < 1e-12));
        let zigzag: Vec<_> = (0..200).map(|i| (i as f64, if i % 2 == 0 { 1.0 } else { 4.0 })).collect();
        let smoothed = smooth(&zigzag);
        assert_eq!(smoothed[0].1, 1.0, "the first point has no one to be averaged with");
        for (step, loss) in &smoothed[4..] {
            assert!((1.6..2.4).contains(loss), "near 2, the middle of 1 and 4 in ratios: {loss} at {step}");
        }
    }

    #[test]
    fn a_long_run_makes_no_large_file() {
        let points: Vec<_> = (0..100_001).map(|i| (f64::from(i), 1.0)).collect();
        let thinned: Vec<_> = thin(&points).collect();
        assert!((1000..=MOST_POINTS + 1).contains(&thinned.len()));
        assert_eq!((thinned[0].0, thinned[thinned.len() - 1].0), (0.0, 100_000.0));
        assert_eq!(thin(&[]).count(), 0);
    }
}
