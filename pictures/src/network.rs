//! A whole network on a plane: a small map of what every unit answers in every place, a line for every weight, and a large map
//! of the answer with the points.

use crate::style::{Area, BLUE, GREY, INK, ORANGE, columns, compact, text, tint};
use crate::{Error, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

// Plotters places things on whole pixels; all sizes are doubled, and the picture is shown at half of them.
const SMALL: i32 = 96;
const LARGE: i32 = 640;
const DOWN: i32 = 140;
const ACROSS: i32 = 250;
const LEFT: i32 = 110;
const TOP: i32 = 220;
/// Between white and a full colour; few, so that neighbours of one shade become one rectangle.
const SHADES: f32 = 8.0;
/// The thickest line.
const THICKEST: f32 = 14.0;

/// What one unit answers.
#[derive(Clone, Debug, PartialEq)]
pub struct NetUnit {
    /// A name to its left; may be empty.
    pub name: String,
    /// Its answers on a grid of as many rows as columns, row by row from the top.
    pub map: Vec<f32>,
}

/// A point on the plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetPoint {
    /// Where it lies.
    pub at: [f32; 2],
    /// What the network should answer, from −1 to 1.
    pub target: f32,
    /// Whether the network was trained on it; others have a dark rim.
    pub trained: bool,
}

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Network<'a> {
    /// The heading.
    pub title: &'a str,
    /// One line below it.
    pub note: &'a str,
    /// The inputs, and then the units of every hidden layer.
    pub layers: Vec<Vec<NetUnit>>,
    /// For every layer but the inputs, and for the answer, its weights, unit by unit.
    pub weights: Vec<Vec<f32>>,
    /// The answer.
    pub answer: NetUnit,
    /// Both axes go from minus this to this.
    pub reach: f32,
    /// The points.
    pub points: &'a [NetPoint],
}

impl Network<'_> {
    /// The picture. Blue is above 0 and orange below it, in maps, points and weights; a line is as thick as its weight is
    /// large, compared with the largest. A map is in full colour from 1 on.
    ///
    /// # Errors
    /// Where maps are not square, or there is not a weight between every two units of neighbouring layers.
    pub fn svg(&self) -> Result<String> {
        self.check()?;
        let rows = self.layers.iter().map(Vec::len).max().unwrap_or(1) as i32;
        let height = TOP + (rows * DOWN).max(LARGE) + 130;
        let answer = LEFT + self.layers.len() as i32 * ACROSS + 20;
        let words = (LEFT + 24 * columns(self.title)).max(LEFT + 15 * columns(self.note));
        let width = (answer + LARGE + 80).max(words);
        let middle = TOP + (rows * DOWN).max(LARGE) / 2;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (width as u32, height as u32)).into_drawing_area();
            root.fill(&WHITE)?;
            let begin = |size, color, y| (text(size, color, HPos::Left, VPos::Top), (40, y));
            let (style, at) = begin(44, INK, 28);
            root.draw(&Text::new(self.title, at, style))?;
            let (style, at) = begin(28, GREY, 92);
            root.draw(&Text::new(self.note, at, style))?;
            self.lines(&root, middle, answer)?;
            for (l, layer) in self.layers.iter().enumerate() {
                let name = if l == 0 { "inputs".into() } else { format!("layer {l}") };
                let style = text(26, GREY, HPos::Center, VPos::Bottom);
                root.draw(&Text::new(name, (place(l, 0, 1, 0).0 + SMALL / 2, TOP - 24), style))?;
                for (u, unit) in layer.iter().enumerate() {
                    let at = place(l, u, layer.len(), middle);
                    map(&root, at, SMALL, &unit.map)?;
                    let style = text(26, INK, HPos::Right, VPos::Center);
                    root.draw(&Text::new(unit.name.clone(), (at.0 - 10, at.1 + SMALL / 2), style))?;
                }
            }
            self.plane(&root, (answer, middle - LARGE / 2))?;
            root.present()?;
        }
        let size = |factor: i32| format!("width=\"{}\" height=\"{}\"", width / factor, height / factor);
        Ok(compact(&svg.replacen(&size(1), &size(2), 1)))
    }

    fn check(&self) -> Result<()> {
        let refuse = |problem: String| Err(Error::invalid(self.title, problem));
        let units = || self.layers.iter().flatten().chain([&self.answer]);
        if let Some(unit) = units().find(|unit| side(&unit.map) == 0 || side(&unit.map).pow(2) != unit.map.len()) {
            return refuse(format!("has a map of {} values, which is no square", unit.map.len()));
        }
        let sizes: Vec<usize> = self.layers.iter().map(Vec::len).chain([1]).collect();
        let wanted: Vec<usize> = sizes.windows(2).map(|pair| pair[0] * pair[1]).collect();
        let given: Vec<usize> = self.weights.iter().map(Vec::len).collect();
        if wanted != given { refuse(format!("has {given:?} weights, not {wanted:?}")) } else { Ok(()) }
    }

    fn lines(&self, root: &Area<'_>, middle: i32, answer: i32) -> Result<()> {
        let largest = self.weights.iter().flatten().fold(f32::MIN_POSITIVE, |most, w| most.max(w.abs()));
        for (l, weights) in self.weights.iter().enumerate() {
            let inputs = self.layers[l].len();
            let count = self.layers.get(l + 1).map_or(1, Vec::len);
            for (i, &weight) in weights.iter().enumerate() {
                let from = place(l, i % inputs, inputs, middle);
                let (x, y) = match l + 1 == self.layers.len() {
                    true => (answer, middle),
                    false => {
                        let at = place(l + 1, i / inputs, count, middle);
                        (at.0, at.1 + SMALL / 2)
                    }
                };
                let width = (THICKEST * weight.abs() / largest).round() as u32;
                if width > 0 {
                    let color = if weight < 0.0 { ORANGE } else { BLUE };
                    let line = vec![(from.0 + SMALL, from.1 + SMALL / 2), (x, y)];
                    root.draw(&PathElement::new(line, color.mix(0.75).stroke_width(width)))?;
                }
            }
        }
        Ok(())
    }

    fn plane(&self, root: &Area<'_>, (left, top): (i32, i32)) -> Result<()> {
        map(root, (left, top), LARGE, &self.answer.map)?;
        let pixel = |x: f32| ((x + self.reach) / (2.0 * self.reach) * LARGE as f32).round() as i32;
        for NetPoint { at: [x, y], target, trained } in self.points {
            let at = (left + pixel(*x), top + LARGE - pixel(*y));
            if x.abs() <= self.reach && y.abs() <= self.reach {
                root.draw(&Circle::new(at, 9, if *trained { WHITE } else { INK }.filled()))?;
                root.draw(&Circle::new(at, 7, color(*target).filled()))?;
            }
        }
        let reach = self.reach;
        for (share, name) in [(-reach, format!("−{reach}")), (0.0, "0".into()), (reach, reach.to_string())] {
            let below = (left + pixel(share), top + LARGE + 14);
            root.draw(&Text::new(name.clone(), below, text(24, GREY, HPos::Center, VPos::Top)))?;
            let beside = (left + LARGE + 12, top + LARGE - pixel(share));
            root.draw(&Text::new(name, beside, text(24, GREY, HPos::Left, VPos::Center)))?;
        }
        let style = text(26, INK, HPos::Center, VPos::Bottom);
        root.draw(&Text::new(self.answer.name.clone(), (left + LARGE / 2, top - 14), style))?;
        Ok(())
    }
}

/// The left upper corner of a unit: `middle` is the height of the middle of its layer.
fn place(layer: usize, unit: usize, units: usize, middle: i32) -> (i32, i32) {
    let above = middle - DOWN * units as i32 / 2 + (DOWN - SMALL) / 2;
    (LEFT + layer as i32 * ACROSS, above + DOWN * unit as i32)
}

/// The largest number whose square is not more than the number of values.
fn side(map: &[f32]) -> usize {
    map.len().isqrt()
}

fn shade(value: f32) -> i32 {
    (value.clamp(-1.0, 1.0) * SHADES).round() as i32
}

fn color(value: f32) -> RGBColor {
    let shade = shade(value);
    tint(if shade < 0 { ORANGE } else { BLUE }, shade.abs() as f32 / SHADES)
}

/// Equal neighbours in a row become one rectangle. Each reaches one pixel under the next, or the gaps would show when the
/// picture is scaled.
fn map(root: &Area<'_>, (left, top): (i32, i32), size: i32, values: &[f32]) -> Result<()> {
    let side = side(values);
    let edge = |i: usize| (i as i32 * size) / side as i32;
    for (j, row) in values.chunks(side).enumerate() {
        let mut start = 0;
        for run in row.chunk_by(|a, b| shade(*a) == shade(*b)) {
            let end = start + run.len();
            let corner = (left + (edge(end) + 1).min(size), top + (edge(j + 1) + 1).min(size));
            let from = (left + edge(start), top + edge(j));
            root.draw(&Rectangle::new([from, corner], color(run[0]).filled()))?;
            start = end;
        }
    }
    root.draw(&Rectangle::new([(left, top), (left + size, top + size)], GREY.stroke_width(2)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(map: &[f32]) -> NetUnit {
        NetUnit { name: "u".into(), map: map.to_vec() }
    }

    fn network(weights: Vec<Vec<f32>>, points: &[NetPoint]) -> Network<'_> {
        let layers = vec![vec![unit(&[0.0; 4]), unit(&[0.0; 4])], vec![unit(&[0.0; 4])]];
        let answer = unit(&[1.0, 1.0, -1.0, 0.5]);
        Network { title: "A network", note: "", layers, weights, answer, reach: 6.0, points }
    }

    #[test]
    fn a_line_for_each_weight_thick_by_size_and_coloured_by_sign() {
        let svg = network(vec![vec![2.0, -1.0], vec![0.5]], &[]).svg().unwrap();
        let lines: Vec<&str> = svg.lines().filter(|line| line.starts_with("<polyline")).collect();
        assert_eq!(lines.len(), 3);
        for (line, color, width) in [(0, "#2B76B9", 14), (1, "#DD6B10", 7), (2, "#2B76B9", 4)] {
            let has = |part: &str| assert!(lines[line].contains(part), "{part}: {}", lines[line]);
            has(color);
            has(&format!("stroke-width=\"{width}\""));
        }
        let svg = network(vec![vec![2.0, 0.0], vec![0.5]], &[]).svg().unwrap();
        assert_eq!(svg.lines().filter(|line| line.starts_with("<polyline")).count(), 2, "a weight of 0 has no line");
    }

    #[test]
    fn maps_are_blue_above_zero_and_orange_below_from_the_top() {
        let svg = network(vec![vec![1.0, 1.0], vec![1.0]], &[]).svg().unwrap();
        let filled = |color: &str| {
            let mut found = svg.lines().filter(|line| line.starts_with("<rect") && line.contains(color));
            found.next().unwrap_or_else(|| panic!("{color} in {svg}"))
        };
        assert!(filled("#2B76B9").contains(&format!("width=\"{LARGE}\"")), "equal neighbours are one rectangle");
        assert!(filled("#DD6B10").contains(&format!("width=\"{}\"", LARGE / 2 + 1)));
        assert!(filled("#95BBDC").contains(&format!("width=\"{}\"", LARGE / 2)));
    }

    #[test]
    fn points_lie_where_they_are_and_tested_ones_have_a_dark_rim() {
        let points = [
            NetPoint { at: [0.0, 3.0], target: 1.0, trained: true },
            NetPoint { at: [7.0, 0.0], target: 1.0, trained: true },
            NetPoint { at: [-6.0, -6.0], target: -1.0, trained: false },
        ];
        let svg = network(vec![vec![1.0, 1.0], vec![1.0]], &points).svg().unwrap();
        let left = LEFT + 2 * ACROSS + 20;
        let circles: Vec<&str> = svg.lines().filter(|line| line.starts_with("<circle")).collect();
        assert_eq!(circles.len(), 4, "one point is outside");
        let first = format!("cx=\"{}\" cy=\"{}\"", left + LARGE / 2, TOP + LARGE / 4);
        assert!(circles[0].contains(&first) && circles[0].contains("#FFFFFF"), "{first}: {circles:?}");
        assert!(
            circles[2].contains(&format!("cx=\"{left}\" cy=\"{}\"", TOP + LARGE)) && circles[2].contains("#2B313B")
        );
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        let error = |picture: Network<'_>| picture.svg().unwrap_err().to_string();
        let wrong = network(vec![vec![1.0], vec![1.0]], &[]);
        assert_eq!(error(wrong), "the picture \"A network\" has [1, 1] weights, not [2, 1]");
        let mut wrong = network(vec![vec![1.0, 1.0], vec![1.0]], &[]);
        wrong.answer.map.pop();
        assert_eq!(error(wrong), "the picture \"A network\" has a map of 3 values, which is no square");
    }
}
