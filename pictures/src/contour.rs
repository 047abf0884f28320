//! A function of two numbers as lines of equal height, as on a map, and paths that walk across it.

use crate::level::Grid;
use crate::style::{Area, BLUE, FAINT, GREY, INK, SERIES, canvas, columns, header, label, text, tint};
use crate::{Error, Result, Series};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

const SQUARES: (usize, usize) = (240, 150);
const PIXELS: i32 = 3;
const WIDTH: i32 = SQUARES.0 as i32 * PIXELS;
const HEIGHT: i32 = SQUARES.1 as i32 * PIXELS;
const LEFT: i32 = 70;
const TOP: i32 = 84;
const RIGHT: i32 = 30;
const BOTTOM: i32 = 84;

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Contour<'a> {
    /// The heading.
    pub title: &'a str,
    /// One line below it.
    pub note: &'a str,
    /// From where to where to the right.
    pub x: (f64, f64),
    /// From where to where upwards.
    pub y: (f64, f64),
    /// The heights that get a line each, from low to high.
    pub levels: &'a [f64],
    /// The place that is marked with a cross.
    pub mark: (f64, f64),
    /// The paths, each from a black dot to one in its colour; at most seven have colours of their own. What lies outside is cut off.
    pub paths: Vec<Series<'a>>,
}

impl Contour<'_> {
    /// The picture of the function f(x, y).
    ///
    /// # Errors
    /// Where a range is empty, or there is no line to draw.
    pub fn svg(&self, f: impl Fn(f64, f64) -> f64) -> Result<String> {
        for (from, to) in [self.x, self.y] {
            if !(from < to && (to - from).is_finite()) {
                return Err(Error::invalid(self.title, format!("has an axis from {from} to {to}")));
            }
        }
        let lines = self.lines(f);
        if lines.iter().all(|(_, line)| line.is_empty()) {
            return Err(Error::invalid(self.title, "has no line of equal height in its ranges"));
        }
        canvas(((LEFT + WIDTH + RIGHT) as u32, (TOP + HEIGHT + BOTTOM) as u32), |root| {
            for (color, line) in lines {
                root.draw(&PathElement::new(line, color.stroke_width(1)))?;
            }
            self.paths(root)?;
            self.margins(root)?;
            header(root, LEFT, self.title, self.note)?;
            self.axes(root)?;
            self.legend(root)
        })
    }

    /// The lines of all levels, darker where it is lower.
    fn lines(&self, f: impl Fn(f64, f64) -> f64) -> Vec<(RGBColor, Vec<(i32, i32)>)> {
        let place = |(from, to): (f64, f64), share: f64| from + (to - from) * share;
        let value = |i: usize, j: usize| {
            let share = [i as f64 / SQUARES.0 as f64, 1.0 - j as f64 / SQUARES.1 as f64];
            f(place(self.x, share[0]), place(self.y, share[1])) as f32
        };
        let values = (0..=SQUARES.1).flat_map(|j| (0..=SQUARES.0).map(move |i| (i, j))).map(|(i, j)| value(i, j));
        let grid = Grid { values: values.collect(), squares: SQUARES.0 };
        let pixel = |(x, y): (f32, f32)| {
            let [x, y] = [x, y].map(|place| (place * PIXELS as f32).round() as i32);
            (LEFT + x, TOP + y)
        };
        let colors = (0..self.levels.len()).map(|n| tint(BLUE, 0.75 - 0.5 * n as f32 / self.levels.len() as f32));
        let of_level = |(level, color): (&f64, RGBColor)| {
            grid.lines(*level as f32).into_iter().map(move |line| (color, line.into_iter().map(pixel).collect()))
        };
        self.levels.iter().zip(colors).flat_map(of_level).collect()
    }

    /// Far outside is near enough: SVG counts pixels in small numbers.
    fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let share = |value: f64, (from, to): (f64, f64)| ((value - from) / (to - from)).clamp(-9.0, 9.0);
        let [right, up] = [share(x, self.x) * f64::from(WIDTH), share(y, self.y) * f64::from(HEIGHT)];
        (LEFT + right.round() as i32, TOP + HEIGHT - up.round() as i32)
    }

    fn paths(&self, root: &Area<'_>) -> Result<()> {
        let (x, y) = self.pixel(self.mark);
        for (dx, dy) in [(7, 7), (7, -7)] {
            root.draw(&PathElement::new(vec![(x - dx, y - dy), (x + dx, y + dy)], INK.stroke_width(2)))?;
        }
        for (path, color) in self.paths.iter().zip(SERIES[1..].iter().cycle()) {
            let finite = path.points.iter().take_while(|(x, y)| x.is_finite() && y.is_finite());
            let points: Vec<(i32, i32)> = finite.map(|point| self.pixel(*point)).collect();
            let (Some(start), Some(end)) = (points.first().copied(), points.last().copied()) else { continue };
            for point in points.iter().skip(1).take(200) {
                root.draw(&Circle::new(*point, 2, color.filled()))?;
            }
            root.draw(&PathElement::new(points, color.stroke_width(2)))?;
            root.draw(&Circle::new(start, 5, INK.filled()))?;
            root.draw(&Circle::new(end, 8, WHITE.filled()))?;
            root.draw(&Circle::new(end, 6, color.filled()))?;
        }
        Ok(())
    }

    /// Covers what reaches beyond the frame.
    fn margins(&self, root: &Area<'_>) -> Result<()> {
        let (right, bottom) = (LEFT + WIDTH, TOP + HEIGHT);
        let (width, height) = (right + RIGHT, bottom + BOTTOM);
        for corners in [
            [(0, 0), (width, TOP)],
            [(0, bottom), (width, height)],
            [(0, 0), (LEFT, height)],
            [(right, 0), (width, height)],
        ] {
            root.draw(&Rectangle::new(corners, WHITE.filled()))?;
        }
        root.draw(&Rectangle::new([(LEFT, TOP), (right, bottom)], FAINT.stroke_width(2)))?;
        Ok(())
    }

    fn axes(&self, root: &Area<'_>) -> Result<()> {
        for tick in 0..=4 {
            let value = |(from, to): (f64, f64)| from + (to - from) * f64::from(tick) / 4.0;
            let (x, y) = self.pixel((value(self.x), value(self.y)));
            let below = text(14, GREY, HPos::Center, VPos::Top);
            root.draw(&Text::new(label(value(self.x)), (x, TOP + HEIGHT + 8), below))?;
            root.draw(&Text::new(label(value(self.y)), (LEFT - 8, y), text(14, GREY, HPos::Right, VPos::Center)))?;
        }
        Ok(())
    }

    fn legend(&self, root: &Area<'_>) -> Result<()> {
        let (mut x, y) = (LEFT, TOP + HEIGHT + 54);
        for (path, color) in self.paths.iter().zip(SERIES[1..].iter().cycle()) {
            root.draw(&PathElement::new(vec![(x, y), (x + 22, y)], color.stroke_width(3)))?;
            root.draw(&Text::new(path.name.to_string(), (x + 28, y), text(14, INK, HPos::Left, VPos::Center)))?;
            x += 50 + 8 * columns(path.name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contour(levels: &'static [f64], points: Vec<(f64, f64)>) -> Contour<'static> {
        let (x, y) = ((-4.0, 4.0), (-2.5, 2.5));
        let paths = vec![Series { name: "walk", points }];
        Contour { title: "Bowl", note: "", x, y, levels, mark: (0.0, 0.0), paths }
    }

    #[test]
    fn a_bowl_has_a_line_for_each_level_that_it_reaches() {
        let bowl = |x: f64, y: f64| x * x + y * y;
        let thin = |levels| contour(levels, vec![]).svg(bowl).unwrap().matches("stroke-width=\"1\"").count();
        assert_eq!(thin(&[1.0]), 1);
        assert_eq!(thin(&[1.0, 4.0, 100.0]), 2);
        // 3² is above the upper and lower edges: an arc on each side.
        assert_eq!(thin(&[9.0]), 2);
    }

    #[test]
    fn a_path_is_drawn_in_its_place_until_it_is_not_finite() {
        let svg = contour(&[1.0], vec![(-4.0, 2.5), (0.0, 0.0), (f64::NAN, 0.0), (4.0, 2.5)]).svg(|x, y| x * x + y * y);
        let svg = svg.unwrap();
        let middle = (LEFT + WIDTH / 2, TOP + HEIGHT / 2);
        assert!(svg.contains(&format!("points=\"{LEFT},{TOP} {},{}", middle.0, middle.1)), "{svg}");
        assert!(!svg.contains(&format!("{},{TOP} \"", LEFT + WIDTH)), "{svg}");
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let problem = |contour: Contour<'_>| contour.svg(|x, _| x).unwrap_err().to_string();
        assert_eq!(problem(contour(&[9.0], vec![])), "the picture \"Bowl\" has no line of equal height in its ranges");
        let empty = Contour { x: (1.0, 1.0), ..contour(&[0.0], vec![]) };
        assert_eq!(problem(empty), "the picture \"Bowl\" has an axis from 1 to 1");
    }
}
