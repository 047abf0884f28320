//! A few numbers beside each other.

use crate::style::{GREY, INK, SERIES, canvas, columns, header, label, text};
use crate::{Error, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

const LONGEST: i32 = 460;
const TOP: i32 = 84;

/// One row of bars, a bar for each kind.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// What stands before it.
    pub label: &'a str,
    /// The lengths, none below zero.
    pub values: Vec<f64>,
}

/// What is to be drawn: horizontal bars, in groups.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    /// The heading.
    pub title: &'a str,
    /// One line below it.
    pub note: &'a str,
    /// What the bars of a group are called, in the legend.
    pub kinds: Vec<&'a str>,
    /// From the top.
    pub groups: Vec<Group<'a>>,
    /// What is written behind a number, such as ` %`.
    pub unit: &'a str,
}

impl Bars<'_> {
    /// The picture.
    ///
    /// # Errors
    /// Where a group has not one value for each kind, a value is negative or not finite, or there are none.
    pub fn svg(&self) -> Result<String> {
        let values = || self.groups.iter().flat_map(|group| &group.values);
        if self.groups.iter().any(|group| group.values.len() != self.kinds.len()) || values().next().is_none() {
            return Err(Error::invalid(self.title, format!("needs {} values in each group", self.kinds.len().max(1))));
        }
        if let Some(value) = values().find(|value| !value.is_finite() || **value < 0.0) {
            return Err(Error::invalid(self.title, format!("cannot draw a bar of length {value}")));
        }
        let most = values().fold(f64::MIN_POSITIVE, |most, value| most.max(*value));
        let left = 30 + 8 * self.groups.iter().map(|group| columns(group.label)).max().unwrap_or(0);
        let line = if self.kinds.len() > 3 { 17 } else { 24 };
        let step = line * self.kinds.len() as i32 + 10;
        let legend = if self.kinds.len() > 1 { 34 } else { 0 };
        let height = TOP + step * self.groups.len() as i32 + legend + 10;
        let legend_width: i32 = self.kinds.iter().map(|kind| 46 + 8 * columns(kind)).sum();
        let words = (columns(self.title) * 12).max(columns(self.note) * 8).max(legend_width);
        let width = left + words.max(LONGEST + 110);
        canvas((width as u32, height as u32), |root| {
            header(root, left, self.title, self.note)?;
            for (g, group) in self.groups.iter().enumerate() {
                let y = TOP + step * g as i32;
                let at = (left - 10, y + line * self.kinds.len() as i32 / 2);
                root.draw(&Text::new(group.label.to_string(), at, text(15, INK, HPos::Right, VPos::Center)))?;
                for (k, (value, color)) in group.values.iter().zip(SERIES.iter().cycle()).enumerate() {
                    let (y, length) = (y + line * k as i32, (value / most * f64::from(LONGEST)).round() as i32);
                    let corner = (left + length, y + line - 4);
                    root.draw(&Rectangle::new([(left, y), corner], color.filled()))?;
                    let (at, written) = ((corner.0 + 8, y + line / 2 - 2), label(*value) + self.unit);
                    root.draw(&Text::new(written, at, text(14, GREY, HPos::Left, VPos::Center)))?;
                }
            }
            self.legend(root, left, height - 26)
        })
    }

    fn legend(&self, root: &crate::style::Area<'_>, mut x: i32, y: i32) -> Result<()> {
        if self.kinds.len() < 2 {
            return Ok(());
        }
        for (kind, color) in self.kinds.iter().zip(SERIES.iter().cycle()) {
            root.draw(&Rectangle::new([(x, y - 6), (x + 14, y + 8)], color.filled()))?;
            root.draw(&Text::new(kind.to_string(), (x + 22, y), text(14, INK, HPos::Left, VPos::Center)))?;
            x += 46 + 8 * columns(kind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(values: Vec<f64>) -> Bars<'static> {
        let groups = vec![Group { label: "the", values }];
        Bars { title: "Chances", note: "", kinds: vec!["before", "after"], groups, unit: " %" }
    }

    #[test]
    fn the_longest_bar_has_the_full_length() {
        let svg = bars(vec![50.0, 25.0]).svg().unwrap();
        for width in ["width=\"460\"", "width=\"230\""] {
            assert!(svg.contains(width), "{width} in {svg}");
        }
    }

    #[test]
    fn what_is_no_length_is_an_error() {
        for (values, problem) in [
            (vec![1.0], "needs 2 values in each group"),
            (vec![1.0, -1.0], "cannot draw a bar of length -1"),
            (vec![f64::NAN, 1.0], "cannot draw a bar of length NaN"),
        ] {
            assert!(bars(values).svg().unwrap_err().to_string().ends_with(problem));
        }
    }
}
