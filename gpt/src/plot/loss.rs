//! The loss curve: training and validation loss over the steps.

use super::{
    axis::{loss_label, loss_tick_label, loss_ticks, step_tick_label, step_ticks},
    curve::{Point, pieces, smooth, thin},
    spread::spread,
};
use crate::{
    error::{Error, Result},
    metrics::Metric,
};
use plotters::{
    coord::{
        Shift,
        combinators::WithKeyPoints,
        ranged1d::{DefaultFormatting, KeyPointHint},
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// Plotters places everything on whole pixels. Drawn at twice the size, lines are smooth to half of one.
const FINENESS: i32 = 2;
const WIDTH: i32 = 960;
const HEIGHT: i32 = 560;
const TRAIN: RGBColor = RGBColor(0x3b, 0x82, 0xc4);
const VAL: RGBColor = RGBColor(0xd9, 0x5f, 0x02);
const INK: RGBColor = RGBColor(0x33, 0x3a, 0x45);
const GREY: RGBColor = RGBColor(0x6f, 0x78, 0x84);
const FAINT: RGBColor = RGBColor(0xe6, 0xe9, 0xed);

const NOTE: &str =
    "thin: the batch of a step; thick: the mean of neighbouring batches; dots: validation; logarithmic scale";
const NOTHING: &str = "no finite loss above 0 has been logged";

/// More columns than this would only make a large file.
const COLUMNS: usize = 750;

/// Where there are more validations, a dot for each would hide the curve.
const MOST_DOTS: usize = 100;

type Problem = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Steps, WithKeyPoints<LogCoord<f64>>>>;

/// Draws the training and the validation loss over the steps, and the loss ln V of a uniform guess, which they start
/// from. The vertical axis is logarithmic: the way from 4 to 2 is as long as the one from 2 to 1.
/// Losses that are not finite, or not above 0, interrupt the curve.
///
/// # Errors
/// [`Error::Plot`].
pub fn loss_curve(metrics: &[Metric], vocab_size: usize) -> Result<String> {
    let mut svg = String::new();
    let drawn = draw(&mut svg, &Losses::new(metrics, vocab_size));
    drawn.map_err(|error| Error::Plot { what: "the loss curve", problem: error.to_string() })?;
    let size = |fineness: i32| format!("width=\"{}\" height=\"{}\"", WIDTH * fineness, HEIGHT * fineness);
    Ok(svg.replacen(&size(FINENESS), &size(1), 1))
}

/// The horizontal axis, from step 0 to the last one.
struct Steps(f64);

impl Ranged for Steps {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, step: &f64, (left, right): (i32, i32)) -> i32 {
        left + (step / self.0 * f64::from(right - left)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        step_ticks(self.0)
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..self.0
    }
}

/// What is drawn.
struct Losses {
    train: Vec<Vec<Point>>,
    smoothed: Vec<Vec<Point>>,
    val: Vec<Vec<Point>>,
    guessing: Option<f64>,
    last: f64,
}

impl Losses {
    fn new(metrics: &[Metric], vocab_size: usize) -> Losses {
        let train = pieces(metrics, |metric| Some(metric.train_loss));
        Losses {
            smoothed: train.iter().map(|piece| smooth(piece)).collect(),
            train,
            val: pieces(metrics, |metric| metric.val_loss),
            guessing: Some((vocab_size as f64).ln()).filter(|loss| *loss > 0.0),
            last: metrics.iter().map(|metric| metric.step).max().unwrap_or(0).max(1) as f64,
        }
    }

    /// From which loss to which the picture reaches: from the lowest to the highest, and a little beyond both.
    fn range(&self) -> (f64, f64) {
        let all = self.train.iter().chain(&self.val).flatten().map(|point| point.1).chain(self.guessing);
        let (low, high) = all.fold((f64::INFINITY, 0.0f64), |(low, high), loss| (low.min(loss), high.max(loss)));
        if high > 0.0 { (low * 0.93, high * 1.07) } else { (0.5, 2.0) }
    }
}

fn draw(svg: &mut String, losses: &Losses) -> std::result::Result<(), Problem> {
    let root = SVGBackend::with_string(svg, (px(WIDTH) as u32, px(HEIGHT) as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let (low, high) = losses.range();
    let mut chart = ChartBuilder::on(&root)
        .margin(px(20))
        .margin_top(px(74))
        .margin_right(px(124))
        .x_label_area_size(px(48))
        .y_label_area_size(px(64))
        .build_cartesian_2d(Steps(losses.last), (low..high).log_scale().with_key_points(loss_ticks(low, high)))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(FAINT.stroke_width(px(1) as u32))
        .light_line_style(TRANSPARENT)
        .axis_style(GREY.stroke_width(px(1) as u32))
        .set_all_tick_mark_size(px(5))
        .x_desc("step")
        .y_desc("cross-entropy in nats per token")
        .x_label_formatter(&|x| step_tick_label(*x))
        .y_label_formatter(&|y| loss_tick_label(*y))
        .label_style(text(15, INK))
        .axis_desc_style(text(16, INK))
        .draw()?;
    let left = chart.plotting_area().get_pixel_range().0.start;
    root.draw(&Text::new("Loss", (left, px(22)), text(26, INK)))?;
    let nothing = losses.train.is_empty() && losses.val.is_empty();
    root.draw(&Text::new(if nothing { NOTHING } else { NOTE }, (left, px(50)), text(14, GREY)))?;
    curves(&mut chart, losses)?;
    ends(&root, &chart, losses)?;
    root.present()?;
    Ok(())
}

fn curves(chart: &mut Chart<'_, '_>, losses: &Losses) -> std::result::Result<(), Problem> {
    if let Some(loss) = losses.guessing {
        let style = GREY.stroke_width(px(1) as u32);
        chart.draw_series(DashedLineSeries::new(
            [(0.0, loss), (losses.last, loss)],
            px(5) as u32,
            px(5) as u32,
            style,
        ))?;
    }
    let sets =
        [(&losses.train, TRAIN.mix(0.3), 1), (&losses.smoothed, TRAIN.mix(1.0), 3), (&losses.val, VAL.mix(1.0), 3)];
    for (pieces, color, width) in sets {
        for piece in pieces {
            let points = thin(piece, losses.last, COLUMNS);
            if let [point] = points[..] {
                chart.draw_series([Circle::new(point, px(width), color.filled())])?; // a line of one point is invisible
            } else {
                chart.draw_series(LineSeries::new(points, color.stroke_width(px(width) as u32)))?;
            }
        }
    }
    let dots = losses.val.iter().flatten();
    if dots.clone().count() <= MOST_DOTS {
        chart.draw_series(dots.map(|&point| Circle::new(point, px(4), VAL.filled())))?;
    }
    Ok(())
}

/// Each curve carries its name and its last value at its end. Labels that would meet each other or the axis are moved,
/// and a line leads to them.
fn ends(root: &Area<'_>, chart: &Chart<'_, '_>, losses: &Losses) -> std::result::Result<(), Problem> {
    let end = |pieces: &[Vec<Point>]| pieces.last().and_then(|piece| piece.last()).map(|point| point.1);
    let ends = [
        (end(&losses.smoothed), "training", TRAIN),
        (end(&losses.val), "validation", VAL),
        (losses.guessing, "guessing", GREY),
    ];
    let place = |loss: f64| chart.backend_coord(&(losses.last, loss)).1;
    let mut labels: Vec<_> =
        ends.into_iter().filter_map(|(end, name, color)| end.map(|loss| (place(loss), loss, name, color))).collect();
    labels.sort_by_key(|label| label.0);
    let (x, y) = chart.plotting_area().get_pixel_range();
    let wanted: Vec<i32> = labels.iter().map(|label| label.0).collect();
    let places = spread(&wanted, px(36), y.start + px(4), y.end - px(20));
    for ((from, loss, name, color), to) in labels.into_iter().zip(places) {
        let style = text(15, color).pos(Pos::new(HPos::Left, VPos::Center));
        let x = x.end + px(8);
        root.draw(&PathElement::new([(x, from), (x + px(12), to)], color.stroke_width(px(1) as u32)))?;
        root.draw(&Text::new(name, (x + px(16), to - px(8)), style.clone()))?;
        root.draw(&Text::new(loss_label(loss), (x + px(16), to + px(9)), style))?;
    }
    Ok(())
}

/// Pixels of the finished picture in those that it is drawn in.
fn px(pixels: i32) -> i32 {
    pixels * FINENESS
}

fn text(size: i32, color: RGBColor) -> TextStyle<'static> {
    TextStyle { color: color.to_backend_color(), ..("sans-serif", px(size)).into() }
}
