//! The network of a playground: as a picture of all units, and as characters.

use crate::error::{Error, Result};
use gradus_autograd::{DType, Tensor};
use gradus_nn::data::PlanePoint;
use gradus_nn::playground::{PlaneNetwork, Playground};
use gradus_pictures::{NetPoint, NetUnit, Network};

/// The plane goes from minus this to this.
const REACH: f32 = 6.0;
/// Squares along each side of the map of a unit, and of the answer.
const SMALL: usize = 24;
const LARGE: usize = 80;

/// Maps of all units, a line for every weight, and the answer with the points: those that were not trained on have a dark rim.
/// The map of an input or a hidden unit is in full colour where it is largest.
///
/// # Errors
/// [`Error::Plot`].
pub fn network_picture(playground: &Playground, title: &str, note: &str) -> Result<String> {
    let network = playground.network();
    let points = |points: &[PlanePoint], trained| -> Vec<NetPoint> {
        points.iter().map(|p| NetPoint { at: p.at, target: p.target, trained }).collect()
    };
    let points = [points(playground.test(), false), points(playground.train(), true)].concat();
    let small = grid(SMALL, SMALL);
    let formula = |i: usize| network.features[i].formula().to_string();
    let mut layers = vec![units(&network.inputs(&small), formula)];
    let mut hidden = network.units(&small);
    hidden.pop(); // the answer, which is drawn larger
    layers.extend(hidden.iter().map(|unit| units(unit, |_| String::new())));
    let weights = network.layers.iter().map(|layer| layer.weight.value().to_dtype(DType::F32).to_vec()).collect();
    let map = network.answers(&grid(LARGE, LARGE)).into_iter().map(|y| y as f32).collect();
    let answer = NetUnit { name: "answer".into(), map };
    let picture = Network { title, note, layers, weights, answer, reach: REACH, points: &points };
    picture.svg().map_err(|error| Error::Plot { what: "the network", problem: error.to_string() })
}

/// Centres of the squares of a grid over the plane, row by row from the top.
fn grid(columns: usize, rows: usize) -> Vec<[f32; 2]> {
    let place = |i: usize, count: usize| REACH * ((2 * i + 1) as f32 / count as f32 - 1.0);
    (0..rows).flat_map(|j| (0..columns).map(move |i| [place(i, columns), -place(j, rows)])).collect()
}

/// The columns of these values [N, units], each divided by its largest size.
fn units(values: &Tensor, name: impl Fn(usize) -> String) -> Vec<NetUnit> {
    let (count, values) = (values.last_size(), values.to_f64_vec());
    let unit = |u: usize| {
        let column = || values.iter().skip(u).step_by(count);
        let largest = column().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
        NetUnit { name: name(u), map: column().map(|value| (value / largest) as f32).collect() }
    };
    (0..count).map(unit).collect()
}

/// The answer over the plane as block characters, from ` ` for −1 to `█` for 1, a line for each row. Of points that are
/// classified, those with a wrong answer are `x`.
pub fn network_blocks(playground: &Playground, columns: usize, rows: usize) -> Vec<String> {
    const BLOCKS: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let network = playground.network();
    let block = |y: f64| BLOCKS[((y.clamp(-1.0, 1.0) + 1.0) / 2.0 * 4.999) as usize];
    let mut blocks: Vec<char> = network.answers(&grid(columns, rows)).into_iter().map(block).collect();
    if playground.settings().data.is_classified() {
        for [x, y] in wrong(network, playground.train()).chain(wrong(network, playground.test())) {
            let share = |x: f32, count: usize| ((x / REACH + 1.0) / 2.0 * count as f32) as usize; // below 0 is 0
            let (i, j) = (share(x, columns).min(columns - 1), share(-y, rows).min(rows - 1));
            blocks[j * columns + i] = 'x';
        }
    }
    blocks.chunks(columns).map(|row| row.iter().collect()).collect()
}

/// The places of the points whose answer has not the sign of the target.
fn wrong<'a>(network: &PlaneNetwork, points: &'a [PlanePoint]) -> impl Iterator<Item = [f32; 2]> + 'a {
    let places: Vec<[f32; 2]> = points.iter().map(|point| point.at).collect();
    let answers = network.answers(&places);
    std::iter::zip(points, answers).filter(|(p, y)| f64::from(p.target) * y <= 0.0).map(|(p, _)| p.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_nn::data::PlaneSet;
    use gradus_nn::playground::Settings;

    /// A network without hidden layers that answers tanh(10·y): 1 above, −1 below.
    fn upper_half(data: PlaneSet) -> Playground {
        let settings = Settings { data, points: 40, hidden: vec![], ..Settings::default() };
        let playground = Playground::new(settings).unwrap();
        playground.network().layers[0].weight.set_value(Tensor::from_slice(&[0.0, 10.0], &[1, 2]));
        playground
    }

    #[test]
    fn blocks_are_full_above_and_empty_below() {
        let rows = network_blocks(&upper_half(PlaneSet::Plane), 6, 4);
        assert_eq!(rows, ["██████", "██████", "      ", "      "]);
    }

    #[test]
    fn wrong_points_are_marked_where_they_are() {
        // Of exclusive or, the points left of the axis are wrong: below on the left is a yes, above on the left a no.
        let rows = network_blocks(&upper_half(PlaneSet::Xor), 4, 4);
        let marked = |columns: std::ops::Range<usize>| {
            rows.iter()
                .flat_map(|row| row.chars().skip(columns.start).take(columns.len()))
                .filter(|c| *c == 'x')
                .count()
        };
        assert!(marked(0..2) >= 6, "{rows:?}");
        assert_eq!(marked(2..4), 0, "{rows:?}");
    }

    #[test]
    fn the_picture_has_every_unit_weight_and_point() {
        let settings = Settings { points: 40, hidden: vec![3, 2], ..Settings::default() };
        let svg = network_picture(&Playground::new(settings).unwrap(), "A title", "a note").unwrap();
        for text in ["A title", "a note", "inputs", "layer 1", "layer 2", "answer"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("<circle").count(), 80, "40 points with a rim each");
        let lines = svg.matches("<polyline").count();
        assert!((12..=14).contains(&lines), "{lines} of 2·3 + 3·2 + 2 weights; the smallest may be too thin");
    }
}
