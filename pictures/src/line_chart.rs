//! Curves over a common axis.

use crate::style::{FAINT, GREY, INK, SERIES, canvas, header, label, text};
use crate::{Error, Result};
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

const SIZE: (u32, u32) = (860, 480);

/// One curve.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// What it is called in the legend.
    pub name: &'a str,
    /// Its points, from left to right. A point that is not finite ends a stroke, and the next one begins another.
    pub points: Vec<(f64, f64)>,
}

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct LineChart<'a> {
    /// The heading.
    pub title: &'a str,
    /// One line below it.
    pub note: &'a str,
    /// What is to the right.
    pub x: &'a str,
    /// What is upwards.
    pub y: &'a str,
    /// Whether the vertical axis is logarithmic; then values that are not positive are left out.
    pub logarithmic: bool,
    /// The curves; at most seven have colours of their own.
    pub series: Vec<Series<'a>>,
}

impl LineChart<'_> {
    /// The picture.
    ///
    /// # Errors
    /// Where no point can be drawn.
    pub fn svg(&self) -> Result<String> {
        let drawn = || self.series.iter().flat_map(|series| &series.points).filter(|point| self.is_drawn(point));
        let (x, y) = (range(drawn().map(|p| p.0)), range(drawn().map(|p| p.1)));
        let (Some(x), Some(y)) = (x, y) else { return Err(Error::invalid(self.title, "has no point to draw")) };
        canvas(SIZE, |root| {
            header(root, 70, self.title, self.note)?;
            let area = root.margin(70, 50, 16, 24);
            let mut chart = ChartBuilder::on(&area);
            chart.x_label_area_size(44).y_label_area_size(70);
            if self.logarithmic {
                let y = y.0 / 1.15..y.1 * 1.15;
                self.draw(&mut chart.build_cartesian_2d(x.0..x.1, y.log_scale())?)?;
            } else {
                let room = (y.1 - y.0) * 0.04;
                self.draw(&mut chart.build_cartesian_2d(x.0..x.1, y.0 - room..y.1 + room)?)?;
            }
            self.legend(root)
        })
    }

    fn is_drawn(&self, (x, y): &(f64, f64)) -> bool {
        x.is_finite() && y.is_finite() && (!self.logarithmic || *y > 0.0)
    }

    fn draw<'a, Y>(
        &self,
        chart: &mut ChartContext<'a, SVGBackend<'_>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    ) -> Result<()>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let small = text(14, GREY, HPos::Center, VPos::Center);
        let format = |value: &f64| label(*value);
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(WHITE).bold_line_style(FAINT).axis_style(GREY);
        mesh.x_labels(8).y_labels(7).x_label_formatter(&format).y_label_formatter(&format);
        mesh.label_style(small.clone()).axis_desc_style(small).x_desc(self.x).y_desc(self.y).draw()?;
        for (series, color) in self.series.iter().zip(SERIES.iter().cycle()) {
            for stroke in series.points.split(|point| !self.is_drawn(point)).filter(|stroke| !stroke.is_empty()) {
                chart.draw_series(LineSeries::new(stroke.iter().copied(), color.stroke_width(2)))?;
            }
        }
        Ok(())
    }

    /// Names of the curves in one line at the bottom, each with a dash in its colour.
    fn legend(&self, root: &crate::style::Area<'_>) -> Result<()> {
        let (mut x, y) = (76, SIZE.1 as i32 - 26);
        if self.series.len() < 2 {
            return Ok(());
        }
        for (series, color) in self.series.iter().zip(SERIES.iter().cycle()) {
            root.draw(&PathElement::new(vec![(x, y), (x + 22, y)], color.stroke_width(3)))?;
            root.draw(&Text::new(series.name.to_string(), (x + 28, y), text(14, INK, HPos::Left, VPos::Center)))?;
            x += 50 + 8 * crate::style::columns(series.name);
        }
        Ok(())
    }
}

/// From the smallest to the largest; a little room around a single value.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = if low == high { low.abs().max(1.0) * 0.05 } else { 0.0 };
    (low <= high).then_some((low - room, high + room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>, logarithmic: bool) -> LineChart<'static> {
        let series = vec![Series { name: "loss", points }];
        LineChart { title: "A curve", note: "", x: "step", y: "loss", logarithmic, series }
    }

    #[test]
    fn a_gap_makes_two_strokes() {
        let strokes = |points| chart(points, false).svg().unwrap().matches("stroke-width=\"2\"").count();
        assert_eq!(strokes(vec![(0.0, 1.0), (1.0, 2.0), (2.0, 0.5), (3.0, 1.0)]), 1);
        assert_eq!(strokes(vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 1.0)]), 2);
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        for (points, logarithmic) in [(vec![], false), (vec![(0.0, f64::NAN)], false), (vec![(1.0, 0.0)], true)] {
            let error = chart(points, logarithmic).svg().unwrap_err().to_string();
            assert_eq!(error, "the picture \"A curve\" has no point to draw");
        }
        assert!(chart(vec![(1.0, 1.0)], true).svg().is_ok() && chart(vec![(0.0, 0.0)], false).svg().is_ok());
    }
}
