//! What a network of two inputs answers in every place, and where its answer turns.
//!
//! The network is asked on a grid of points. Squares of the grid are shaded by the probability p that it gives, and a
//! line is drawn where p = ½.

use crate::Result;
use crate::level::Grid;
use crate::style::{Area, BLUE as NO, GREY, INK, ORANGE as YES, compact, text, tint};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Squares of the grid along each axis, and pixels along each side of a square.
const SQUARES: usize = 180;
const PIXELS: i32 = 8;
/// Between white and a full colour; few, so that neighbours of one shade become one rectangle.
const SHADES: f32 = 6.0;
const SIDE: i32 = SQUARES as i32 * PIXELS;
const LEFT: i32 = 110;
const TOP: i32 = 170;
const RIGHT: i32 = 50;
const BOTTOM: i32 = 100;

/// An example on the plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where it lies.
    pub at: [f32; 2],
    /// Its class.
    pub label: bool,
}

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Plane<'a> {
    /// The heading.
    pub title: &'a str,
    /// One line below it.
    pub note: &'a str,
    /// What the answers no and yes are called.
    pub names: [&'a str; 2],
    /// Both axes go from here to there.
    pub from: f32,
    /// See `from`.
    pub to: f32,
    /// The values that the axes are labelled with.
    pub ticks: &'a [f32],
    /// The radius of the examples' dots.
    pub dot: i32,
}

impl Plane<'_> {
    /// The picture, of the logits that a network gives for points (x₁, x₂).
    ///
    /// # Errors
    /// Where it cannot be drawn.
    pub fn svg(&self, examples: &[Point], logits: impl Fn(&[[f32; 2]]) -> Vec<f32>) -> Result<String> {
        let place = |i: usize| self.from + (self.to - self.from) * i as f32 / SQUARES as f32;
        // Corners of squares, row by row, from the top.
        let corners: Vec<[f32; 2]> =
            (0..=SQUARES).flat_map(|j| (0..=SQUARES).map(move |i| [place(i), place(SQUARES - j)])).collect();
        let field = Grid { values: logits(&corners), squares: SQUARES };
        let (width, height) = (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (width as u32, height as u32)).into_drawing_area();
            root.fill(&WHITE)?;
            shade(&root, &field)?;
            for line in border(&field) {
                root.draw(&PathElement::new(line, INK.stroke_width(4)))?;
            }
            self.frame(&root)?;
            self.examples(&root, examples)?;
            self.header(&root)?;
            root.present()?;
        }
        // Plotters places things on whole pixels; drawn at twice the size, the line is smooth to half of one.
        let size = |factor: i32| format!("width=\"{}\" height=\"{}\"", width / factor, height / factor);
        Ok(compact(&svg.replacen(&size(1), &size(2), 1)))
    }

    fn pixel(&self, x: f32) -> i32 {
        ((x - self.from) / (self.to - self.from) * SIDE as f32).round() as i32
    }

    fn frame(&self, root: &Area<'_>) -> Result<()> {
        root.draw(&Rectangle::new([(LEFT, TOP), (LEFT + SIDE, TOP + SIDE)], GREY.stroke_width(2)))?;
        for &tick in self.ticks {
            let (x, y) = (LEFT + self.pixel(tick), TOP + SIDE - self.pixel(tick));
            let label = tick.to_string().replace('-', "−");
            root.draw(&PathElement::new(vec![(x, TOP + SIDE), (x, TOP + SIDE + 10)], GREY.stroke_width(2)))?;
            root.draw(&PathElement::new(vec![(LEFT - 10, y), (LEFT, y)], GREY.stroke_width(2)))?;
            root.draw(&Text::new(label.clone(), (x, TOP + SIDE + 18), text(28, GREY, HPos::Center, VPos::Top)))?;
            root.draw(&Text::new(label, (LEFT - 18, y), text(28, GREY, HPos::Right, VPos::Center)))?;
        }
        let (middle, end) = (LEFT + SIDE / 2, TOP + SIDE + 56);
        root.draw(&Text::new("x₁", (middle, end), text(32, INK, HPos::Center, VPos::Top)))?;
        root.draw(&Text::new("x₂", (22, TOP + SIDE / 2), text(32, INK, HPos::Left, VPos::Center)))?;
        Ok(())
    }

    fn examples(&self, root: &Area<'_>, examples: &[Point]) -> Result<()> {
        for Point { at: [x, y], label } in examples {
            dot(root, (LEFT + self.pixel(*x), TOP + SIDE - self.pixel(*y)), self.dot, *label)?;
        }
        Ok(())
    }

    fn header(&self, root: &Area<'_>) -> Result<()> {
        root.draw(&Text::new(self.title, (LEFT, 36), text(48, INK, HPos::Left, VPos::Top)))?;
        root.draw(&Text::new(self.note, (LEFT, 106), text(30, GREY, HPos::Left, VPos::Top)))?;
        for (i, name) in self.names.into_iter().enumerate() {
            let (x, y) = (LEFT + SIDE - 170, 62 + 58 * i as i32);
            dot(root, (x, y), 13, i == 1)?;
            root.draw(&Text::new(name, (x + 28, y), text(30, INK, HPos::Left, VPos::Center)))?;
        }
        Ok(())
    }
}

fn dot(root: &Area<'_>, at: (i32, i32), radius: i32, label: bool) -> Result<()> {
    root.draw(&Circle::new(at, radius + 3, WHITE.filled()))?;
    root.draw(&Circle::new(at, radius, if label { YES } else { NO }.filled()))?;
    Ok(())
}

/// Equal neighbours in a row become one rectangle. Each reaches one pixel under the next, or the gaps would show when
/// the picture is scaled.
fn shade(root: &Area<'_>, field: &Grid) -> Result<()> {
    for j in 0..SQUARES {
        let shades: Vec<i32> = (0..SQUARES).map(|i| sureness(field, i, j)).collect();
        let mut start = 0;
        for run in shades.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            let (left, right) = (LEFT + start as i32 * PIXELS, LEFT + end as i32 * PIXELS);
            let top = TOP + j as i32 * PIXELS;
            let color = if run[0] > 0 { YES } else { NO };
            let share = 0.5 * run[0].abs() as f32 / SHADES;
            let color = tint(color, share);
            let corner = ((right + 1).min(LEFT + SIDE), (top + PIXELS + 1).min(TOP + SIDE));
            root.draw(&Rectangle::new([(left, top), corner], color.filled()))?;
            start = end;
        }
    }
    Ok(())
}

/// How sure the network is of a square, from −SHADES, surely no, to SHADES, surely yes.
fn sureness(field: &Grid, i: usize, j: usize) -> i32 {
    let corners = [field.at(i, j), field.at(i + 1, j), field.at(i, j + 1), field.at(i + 1, j + 1)];
    let tanh = corners.iter().map(|z| (z / 2.0).tanh()).sum::<f32>() / 4.0; // 2·p − 1
    (tanh * SHADES).round() as i32
}

/// The lines on which the logit is 0.
fn border(field: &Grid) -> Vec<Vec<(i32, i32)>> {
    let pixel = |place: f32| (place * PIXELS as f32).round() as i32;
    let line = |line: Vec<(f32, f32)>| line.into_iter().map(|(x, y)| (LEFT + pixel(x), TOP + pixel(y))).collect();
    field.lines(0.0).into_iter().map(line).collect()
}
