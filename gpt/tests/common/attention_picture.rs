//! Reads attention maps back out of a picture, by the scale of colours that it shows.

#![allow(dead_code)] // each test binary uses its own part

use super::svg::{Element, elements};

/// A map as it is drawn.
#[derive(Debug)]
pub struct Map {
    pub layer: usize,
    pub head: usize,
    /// The upper left corner, and the side of a square.
    pub x: f64,
    pub y: f64,
    pub cell: f64,
    /// The squares: column, row and the root of the weight.
    squares: Vec<(usize, usize, f64)>,
}

/// The root of the weight that a colour stands for: the numbers below the scale are read, and between them lengths on
/// the scale are differences of roots, as it says.
fn root_of_weight(all: &[Element], color: &str) -> f64 {
    assert!(all.iter().any(|e| e.text == "weight, square-root scale"));
    let scale = all.iter().position(|e| e.get("id") == Some("scale")).expect("a scale");
    let bars: Vec<&Element> = all[scale + 1..].iter().take_while(|e| e.name == "rect").collect();
    let bar =
        bars.iter().find(|e| e.get("fill") == Some(color)).unwrap_or_else(|| panic!("{color} is not in the scale"));
    let middle = bar.number("x") + bar.number("width") / 2.0;
    let below = bars[0].number("y") + bars[0].number("height");
    let numbers = all.iter().filter(|e| e.name == "text" && e.get("dy").is_none());
    let numbers = numbers.filter(|e| (below..below + 20.0).contains(&e.number("y")));
    let ticks: Vec<(f64, f64)> = numbers.map(|e| (e.number("x"), e.text.parse::<f64>().unwrap().sqrt())).collect();
    assert!(ticks.len() >= 4 && ticks.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "{ticks:?}");
    let after = ticks.iter().position(|tick| tick.0 >= middle).unwrap_or(ticks.len() - 1).max(1);
    let ((x0, r0), (x1, r1)) = (ticks[after - 1], ticks[after]);
    r0 + (r1 - r0) * (middle - x0) / (x1 - x0)
}

/// All maps, each with the title that stands over it.
pub fn read_maps(svg: &str) -> Vec<Map> {
    let all = elements(svg);
    let mut maps = Vec::new();
    for (i, group) in all.iter().enumerate().filter(|(_, e)| e.name == "g" && e.get("transform").is_some()) {
        let [x, y, cell] = group.numbers("transform")[..] else { panic!("{group:?}") };
        let over = |e: &&Element| {
            e.text.starts_with("layer ") && e.number("x") == x && (0.0..12.0).contains(&(y - e.number("y")))
        };
        let title = all.iter().find(over).expect("a title");
        let mut numbers = title.text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
        let (layer, head) = (numbers.next().unwrap(), numbers.next().unwrap());
        let mut squares = Vec::new();
        for path in all[i + 1..].iter().take_while(|e| e.name == "path") {
            let root = root_of_weight(&all, path.get("fill").unwrap());
            for square in path.get("d").unwrap().split('M').skip(1) {
                let place = square.strip_suffix("h1v1h-1z").unwrap_or_else(|| panic!("no square: {square}"));
                let (column, row) = place.split_once(' ').unwrap();
                squares.push((column.parse().unwrap(), row.parse().unwrap(), root));
            }
        }
        maps.push(Map { layer, head, x, y, cell, squares });
    }
    maps
}

/// That the map shows these weights [T, T], and nothing of the future.
#[track_caller]
pub fn assert_shows(map: &Map, weights: &[f32], time: usize) {
    let mut found = vec![None; time * time];
    for &(column, row, root) in &map.squares {
        assert!(found[row * time + column].replace(root).is_none(), "two squares at row {row}, column {column}");
    }
    for (i, root) in found.into_iter().enumerate() {
        let (row, column) = (i / time, i % time);
        assert_eq!(root.is_some(), column <= row, "row {row}, column {column}");
        if let Some(root) = root {
            let wanted = f64::from(weights[i]).sqrt();
            // Half a shade of 32, and a pixel of the scale.
            assert!((root - wanted).abs() < 0.5 / 31.0 + 0.006, "row {row}, column {column}: {root}² for {wanted}²");
        }
    }
}
