//! Lines on which a function has one value, from its values on a grid.
//!
//! On every edge of the grid between a value above the level and one below it lies a point of such a line, and the line
//! crosses each square from edge to edge (marching squares, Lorensen and Cline 1987 in two dimensions).

use std::collections::BTreeMap;

/// The values of a function at the corners of squares, row by row.
pub struct Grid {
    pub values: Vec<f32>,
    /// Squares in a row, one fewer than corners.
    pub squares: usize,
}

/// An edge of the grid: from corner (i, j) to the right, or down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    i: usize,
    j: usize,
    down: bool,
}

impl Grid {
    pub fn at(&self, i: usize, j: usize) -> f32 {
        self.values[j * (self.squares + 1) + i]
    }

    fn rows(&self) -> usize {
        self.values.len() / (self.squares + 1) - 1
    }

    /// The lines of this level, in squares from the first corner: to the right, and down.
    pub fn lines(&self, level: f32) -> Vec<Vec<(f32, f32)>> {
        let mut links: BTreeMap<Edge, Vec<Edge>> = BTreeMap::new();
        for (j, i) in (0..self.rows()).flat_map(|j| (0..self.squares).map(move |i| (j, i))) {
            for [a, b] in self.crossings(level, i, j) {
                links.entry(a).or_default().push(b);
                links.entry(b).or_default().push(a);
            }
        }
        let place = |edge| self.place(level, edge);
        chains(links).into_iter().map(|chain| chain.into_iter().map(place).collect()).collect()
    }

    /// Where the level is reached on an edge, were the function a straight line between the corners.
    fn place(&self, level: f32, Edge { i, j, down }: Edge) -> (f32, f32) {
        let (a, b) = (self.at(i, j) - level, if down { self.at(i, j + 1) } else { self.at(i + 1, j) } - level);
        let on = a / (a - b);
        if down { (i as f32, j as f32 + on) } else { (i as f32 + on, j as f32) }
    }

    /// From which edge to which the line crosses a square: not at all, once, or twice.
    fn crossings(&self, level: f32, i: usize, j: usize) -> Vec<[Edge; 2]> {
        // Clockwise.
        let corners =
            [self.at(i, j), self.at(i + 1, j), self.at(i + 1, j + 1), self.at(i, j + 1)].map(|value| value - level);
        let (top, left) = (Edge { i, j, down: false }, Edge { i, j, down: true });
        let (right, bottom) = (Edge { i: i + 1, ..left }, Edge { j: j + 1, ..top });
        let above = corners.map(|value| value > 0.0);
        let edges = [top, right, bottom, left];
        let crossed: Vec<Edge> = (0..4).filter(|&k| above[k] != above[(k + 1) % 4]).map(|k| edges[k]).collect();
        match crossed[..] {
            [a, b] => vec![[a, b]],
            [] => vec![],
            // Above and below stand crosswise, as in XOR: the middle decides which pair belongs together.
            _ if (corners.iter().sum::<f32>() > 0.0) == above[0] => vec![[top, right], [bottom, left]],
            _ => vec![[left, top], [right, bottom]],
        }
    }
}

/// Follows the links from edge to edge: first the open lines, from their ends, then what is left, which are loops.
fn chains(mut links: BTreeMap<Edge, Vec<Edge>>) -> Vec<Vec<Edge>> {
    let mut starts: Vec<Edge> = links.keys().copied().collect();
    starts.sort_by_key(|edge| links[edge].len());
    let mut chains = Vec::new();
    for start in starts {
        let (mut chain, mut at) = (vec![start], start);
        while let Some(next) = links.get_mut(&at).and_then(Vec::pop) {
            links.get_mut(&next).expect("links go both ways").retain(|back| *back != at);
            chain.push(next);
            at = next;
        }
        if chain.len() > 1 {
            chains.push(chain);
        }
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_one_closed_line_of_its_radius() {
        let (squares, middle, radius) = (40, 20.0, 12.5);
        let distance = |i: usize, j: usize| (i as f32 - middle).hypot(j as f32 - middle);
        let values = (0..=squares).flat_map(|j| (0..=squares).map(move |i| distance(i, j))).collect();
        let lines = Grid { values, squares }.lines(radius);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].first(), lines[0].last());
        for (x, y) in &lines[0] {
            assert!(((x - middle).hypot(y - middle) - radius).abs() < 0.02, "({x}, {y})");
        }
    }

    #[test]
    fn an_open_line_goes_from_side_to_side_of_a_grid_that_is_no_square() {
        let values = (0..3).flat_map(|j| (0..=4).map(move |_| j as f32)).collect();
        let [line] = &Grid { values, squares: 4 }.lines(0.25)[..] else { panic!("not one line") };
        assert_eq!(line.len(), 5);
        assert!(line.iter().all(|(_, y)| *y == 0.25) && (line[0].0 - line[4].0).abs() == 4.0, "{line:?}");
    }
}
