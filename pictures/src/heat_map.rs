//! A matrix as squares, darker for more.

use crate::style::{BLUE, GREY, INK, ORANGE, canvas, columns, header, label, text, tint};
use crate::{Error, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

const TOP: i32 = 76;
const LETTER: i32 = 8;

/// How values become colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From white for this value to blue for that one.
    Sequential(f32, f32),
    /// Orange for minus this value, white for 0, blue for this value.
    Diverging(f32),
}

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct HeatMap<'a> {
    /// The heading.
    pub title: &'a str,
    /// One line below it.
    pub note: &'a str,
    /// A label for each row, from the top. Empty labels are not drawn.
    pub rows: Vec<String>,
    /// A label for each column, from the left.
    pub columns: Vec<String>,
    /// The values, row by row.
    pub values: &'a [f32],
    /// How they become colours.
    pub scale: Scale,
    /// The side of a square in pixels.
    pub side: i32,
    /// Whether each value is written into its square, with this many decimals.
    pub decimals: Option<usize>,
}

impl HeatMap<'_> {
    /// The picture.
    ///
    /// # Errors
    /// Where the values are not rows times columns, or there are none.
    pub fn svg(&self) -> Result<String> {
        let (m, n) = (self.rows.len(), self.columns.len());
        if m * n != self.values.len() || m * n == 0 {
            let problem = format!("has {} values for {m} rows and {n} columns", self.values.len());
            return Err(Error::invalid(self.title, problem));
        }
        let widest = |labels: &[String]| labels.iter().map(|l| columns(l)).max().unwrap_or(0) * LETTER;
        let turned = widest(&self.columns) > self.side;
        let (left, above) = (24 + widest(&self.rows), if turned { widest(&self.columns) + 8 } else { 24 });
        let words = [(self.title, 12), (self.note, LETTER)].map(|(text, letter)| columns(text) * letter);
        let width = (left + n as i32 * self.side + 24).max(left + words[0].max(words[1]));
        let top = TOP + above;
        canvas((width as u32, (top + m as i32 * self.side + 20) as u32), |root| {
            header(root, left, self.title, self.note)?;
            for (i, row) in self.values.chunks(n).enumerate() {
                let y = top + i as i32 * self.side;
                let at = (left - 8, y + self.side / 2);
                root.draw(&Text::new(self.rows[i].clone(), at, text(14, INK, HPos::Right, VPos::Center)))?;
                row.iter()
                    .enumerate()
                    .try_for_each(|(j, value)| self.square(root, (left + j as i32 * self.side, y), *value))?;
            }
            for (j, name) in self.columns.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let at = (left + j as i32 * self.side + self.side / 2, top - 6);
                let style = text(14, GREY, if turned { HPos::Left } else { HPos::Center }, VPos::Bottom);
                let style = if turned {
                    style
                        .transform(FontTransform::Rotate270)
                        .pos(plotters::style::text_anchor::Pos::new(HPos::Left, VPos::Center))
                } else {
                    style
                };
                root.draw(&Text::new(name.clone(), at, style))?;
            }
            Ok(())
        })
    }

    fn square(&self, root: &crate::style::Area<'_>, (x, y): (i32, i32), value: f32) -> Result<()> {
        let (color, share) = match self.scale {
            Scale::Sequential(low, high) => (BLUE, (value - low) / (high - low)),
            Scale::Diverging(most) => (if value < 0.0 { ORANGE } else { BLUE }, value.abs() / most),
        };
        // One pixel more, or the gaps would show when the picture is scaled.
        let corner = (x + self.side + 1, y + self.side + 1);
        root.draw(&Rectangle::new([(x, y), corner], tint(color, share).filled()))?;
        let Some(decimals) = self.decimals else { return Ok(()) };
        let ink = if share > 0.55 { WHITE } else { INK };
        let written =
            if value.is_finite() { format!("{value:.decimals$}").replace('-', "−") } else { label(value.into()) };
        let at = (x + self.side / 2, y + self.side / 2);
        root.draw(&Text::new(written, at, text(13, ink, HPos::Center, VPos::Center)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f32]) -> HeatMap<'_> {
        let labels = |names: [&str; 2]| names.map(String::from).to_vec();
        let (rows, columns) = (labels(["順", "序"]), labels(["a", "b"]));
        let scale = Scale::Diverging(2.0);
        HeatMap { title: "M", note: "", rows, columns, values, scale, side: 40, decimals: Some(1) }
    }

    #[test]
    fn each_value_has_its_square_and_colour() {
        let svg = map(&[2.0, -2.0, 0.0, 1.0]).svg().unwrap();
        for (color, count) in [("#2B76B9", 1), ("#DD6B10", 1), ("#95BBDC", 1)] {
            assert_eq!(svg.matches(color).count(), count, "{color} in {svg}");
        }
        for text in ["2.0", "−2.0", "順"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn a_wrong_number_of_values_is_an_error() {
        let error = map(&[1.0]).svg().unwrap_err().to_string();
        assert_eq!(error, "the picture \"M\" has 1 values for 2 rows and 2 columns");
    }
}
