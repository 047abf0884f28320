//! One unit: its inputs, the weights, the sum, the threshold and the answer.

use crate::style::{Area, BLUE, FAINT, GREY, INK, ORANGE, canvas, columns, header, label, text};
use crate::{Error, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

const TOP: i32 = 90;
const ROW: i32 = 92;
const RADIUS: i32 = 28;
/// The thickest line, in pixels.
const THICKEST: f64 = 12.0;

/// One input of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input<'a> {
    /// What it stands for.
    pub name: &'a str,
    /// Its value in this case.
    pub value: f64,
    /// Its weight.
    pub weight: f64,
}

/// What is to be drawn: a unit that answers yes if Σ weight·value is more than its threshold.
#[derive(Clone, Debug)]
pub struct Unit<'a> {
    /// The heading.
    pub title: &'a str,
    /// One line below it.
    pub note: &'a str,
    /// From the top.
    pub inputs: &'a [Input<'a>],
    /// What the sum has to exceed.
    pub threshold: f64,
    /// What the answers no and yes are called.
    pub answers: [&'a str; 2],
}

impl Unit<'_> {
    /// The picture. A line is as thick as its weight is large: blue for a weight above 0, orange for one below. A faint line
    /// carries nothing, because its input is 0.
    ///
    /// # Errors
    /// Where there are no inputs, or a number is not finite.
    pub fn svg(&self) -> Result<String> {
        let numbers = self.inputs.iter().flat_map(|input| [input.value, input.weight]).chain([self.threshold]);
        if self.inputs.is_empty() || numbers.clone().any(|number| !number.is_finite()) {
            return Err(Error::invalid(self.title, "needs an input, and numbers that are finite"));
        }
        let left = 30 + 9 * self.inputs.iter().map(|input| columns(input.name)).max().unwrap_or(0) + RADIUS + 12;
        let height = TOP + ROW * self.inputs.len().max(2) as i32 + 30;
        let sum_at = (left + 340, (TOP + height - 30) / 2);
        let answer = sum_at.0 + 190;
        let words = (30 + 12 * columns(self.title)).max(30 + 8 * columns(self.note));
        let size = ((answer + 170).max(words) as u32, height as u32);
        canvas(size, |root| {
            header(root, 30, self.title, self.note)?;
            let first = sum_at.1 - ROW * (self.inputs.len() as i32 - 1) / 2;
            let rows = || self.inputs.iter().enumerate().map(|(i, input)| ((left, first + ROW * i as i32), input));
            rows().try_for_each(|(at, input)| self.line(root, at, sum_at, input))?;
            rows().try_for_each(|(at, input)| circle(root, at, input))?;
            self.decision(root, sum_at, answer)
        })
    }

    fn line(&self, root: &Area<'_>, from: (i32, i32), to: (i32, i32), input: &Input<'_>) -> Result<()> {
        let largest = self.inputs.iter().fold(f64::MIN_POSITIVE, |most, input| most.max(input.weight.abs()));
        let thickness = (THICKEST * input.weight.abs() / largest).round().max(1.0) as u32;
        let color = match (input.value == 0.0, input.weight < 0.0) {
            (true, _) => FAINT,
            (_, true) => ORANGE,
            _ => BLUE,
        };
        root.draw(&PathElement::new(vec![from, to], color.stroke_width(thickness)))?;
        let written = format!("× {}", label(input.weight));
        let (x, y) = ((from.0 * 11 + to.0 * 9) / 20, (from.1 * 11 + to.1 * 9) / 20);
        let half = columns(&written) * 5 + 6;
        root.draw(&Rectangle::new([(x - half, y - 13), (x + half, y + 13)], WHITE.filled()))?;
        root.draw(&Text::new(written, (x, y), text(17, INK, HPos::Center, VPos::Center)))?;
        Ok(())
    }

    /// The sum, the threshold below it, and the answer.
    fn decision(&self, root: &Area<'_>, at: (i32, i32), answer: i32) -> Result<()> {
        let sum: f64 = self.inputs.iter().map(|input| input.value * input.weight).sum();
        let yes = sum > self.threshold;
        let relation = if yes { "more than" } else { "not more than" };
        let middle = |size, color| text(size, color, HPos::Center, VPos::Center);
        root.draw(&PathElement::new(vec![at, (answer, at.1)], INK.stroke_width(2)))?;
        root.draw(&Circle::new(at, 46, WHITE.filled()))?;
        root.draw(&Circle::new(at, 46, INK.stroke_width(2)))?;
        root.draw(&Text::new("sum", (at.0, at.1 - 18), middle(14, GREY)))?;
        root.draw(&Text::new(label(sum), (at.0, at.1 + 6), middle(24, INK)))?;
        root.draw(&Text::new(format!("threshold {}", label(self.threshold)), (at.0, at.1 + 64), middle(15, INK)))?;
        root.draw(&Text::new(relation, (at.0 + 108, at.1 - 14), middle(13, GREY)))?;
        let (color, ink) = if yes { (BLUE, WHITE) } else { (FAINT, INK) };
        root.draw(&Rectangle::new([(answer, at.1 - 24), (answer + 130, at.1 + 24)], color.filled()))?;
        let word = self.answers[usize::from(yes)].to_string();
        root.draw(&Text::new(word, (answer + 65, at.1), middle(19, ink)))?;
        Ok(())
    }
}

fn circle(root: &Area<'_>, at: (i32, i32), input: &Input<'_>) -> Result<()> {
    root.draw(&Circle::new(at, RADIUS, WHITE.filled()))?;
    root.draw(&Circle::new(at, RADIUS, if input.value == 0.0 { GREY } else { INK }.stroke_width(2)))?;
    root.draw(&Text::new(label(input.value), at, text(19, INK, HPos::Center, VPos::Center)))?;
    let name = (at.0 - RADIUS - 12, at.1);
    root.draw(&Text::new(input.name.to_string(), name, text(16, INK, HPos::Right, VPos::Center)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(weights: [f64; 2], threshold: f64) -> String {
        let [a, b] = weights;
        let inputs = [Input { name: "weather", value: 1.0, weight: a }, Input { name: "price", value: 1.0, weight: b }];
        let answers = ["we stay", "we go"];
        Unit { title: "A unit", note: "", inputs: &inputs, threshold, answers }.svg().unwrap()
    }

    #[test]
    fn lines_are_as_thick_as_weights_and_blue_or_orange_by_sign() {
        let svg = unit([8.0, -4.0], 3.5);
        let line = |color: &str, width: u32| {
            svg.lines().any(|l| {
                l.starts_with("<polyline") && l.contains(color) && l.contains(&format!("stroke-width=\"{width}\""))
            })
        };
        assert!(line("#2B76B9", 12) && line("#DD6B10", 6), "{svg}");
    }

    #[test]
    fn the_answer_is_yes_above_the_threshold_only() {
        for (threshold, yes) in [(11.5, true), (12.0, false), (12.5, false)] {
            let svg = unit([8.0, 4.0], threshold);
            assert_eq!((svg.contains("we go"), svg.contains("we stay")), (yes, !yes), "{threshold}");
            assert_eq!(svg.contains("not more than"), !yes);
        }
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        let inputs = [Input { name: "a", value: f64::NAN, weight: 1.0 }];
        for inputs in [&inputs[..], &[]] {
            let picture = Unit { title: "U", note: "", inputs, threshold: 0.0, answers: ["no", "yes"] };
            let error = picture.svg().unwrap_err().to_string();
            assert_eq!(error, "the picture \"U\" needs an input, and numbers that are finite");
        }
    }
}
