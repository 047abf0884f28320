//! Attention maps: the attention weights of each head of each layer as a picture.
//!
//! Written as SVG by hand: a map is thousands of squares, and one path for all squares of a shade takes 12 bytes for a
//! square instead of the 80 that an element for each would take. Only attributes are used, no style sheet and no
//! `dominant-baseline`, for simple viewers ignore both.

use super::{
    shades,
    text::{FONTS, escape, visible, width},
};
use std::{
    fmt::{Arguments, Write},
    ops::Range,
};

const MARGIN: usize = 28;
const GAP: usize = 26;
const TITLE: usize = 20;
const NOTE: usize = 12;
const LABEL_COLUMNS: usize = 12;
const INK: &str = "#333a45";
const GREY: &str = "#5f6874";

const HEADLINE: &str = "What each head attends to";
const NOTES: [&str; 3] = [
    "Row: the token that attends (the query).",
    "Column: a token that it attends to (the key).",
    "The weights of a row sum to 1.",
];
const SCALE_NAME: &str = "weight, square-root scale";
const SCALE_TICKS: [f32; 6] = [0.0, 0.01, 0.1, 0.25, 0.5, 1.0];
const SCALE_WIDTH: usize = 320;
const SCALE_TOP: usize = 58 + NOTES.len() * 17;
const HEADER: usize = SCALE_TOP + 72;

/// The attention weights of some layers and heads, for a text of T tokens.
#[derive(Clone, Debug)]
pub struct AttentionMaps<'a> {
    /// softmax(q·kᵀ / √D), \[layers, heads, T, T\]: row t of a map is the token that attends, column s ≤ t a token
    /// that it attends to.
    pub weights: &'a [f32],
    /// The numbers of the layers; they become the rows of the picture.
    pub layers: Range<usize>,
    /// The numbers of the heads; they become the columns of the picture.
    pub heads: Range<usize>,
    /// The T tokens as text.
    pub tokens: &'a [String],
}

/// Draws the maps as SVG, with a scale of their colours. The squares above the diagonal are the future and stay empty.
///
/// # Panics
/// Where `weights` does not have layers · heads · T² elements.
pub fn attention_map(maps: &AttentionMaps<'_>) -> String {
    let time = maps.tokens.len();
    let cells = maps.layers.len() * maps.heads.len() * time * time;
    assert_eq!(maps.weights.len(), cells, "weights must be [layers, heads, T, T]");
    let layout = Layout::new(maps);
    let mut svg = Svg::new(&layout);
    svg.header();
    for (i, values) in maps.weights.chunks_exact((time * time).max(1)).enumerate() {
        let (row, column) = (i / maps.heads.len(), i % maps.heads.len());
        let title = format!("layer {}, head {}", maps.layers.start + row, maps.heads.start + column);
        svg.map(&title, layout.x(column), layout.y(row), layout.cell, values, time);
    }
    svg.labels(&layout, maps.layers.len(), maps.heads.len());
    svg.end()
}

/// Where things stand, in pixels.
struct Layout {
    labels: Vec<String>,
    /// The side of a square, and the size of the font of the labels.
    cell: usize,
    font: usize,
    left: usize,
    pitch: (usize, usize),
    side: usize,
    size: (usize, usize),
}

impl Layout {
    fn new(maps: &AttentionMaps<'_>) -> Layout {
        let labels: Vec<String> = maps.tokens.iter().map(|token| visible(token, LABEL_COLUMNS)).collect();
        let (rows, columns) = (maps.layers.len(), maps.heads.len());
        // A picture of a single map has room for larger squares; below 10 pixels a label could not be read.
        let room = if rows * columns <= 2 { 560 } else { 320 };
        let cell = (room / labels.len().max(1)).clamp(10, 26);
        let font = (cell - 1).min(13);
        let longest = labels.iter().map(|label| width(label, font)).max().unwrap_or(0);
        let side = labels.len() * cell;
        let last = (maps.layers.end.saturating_sub(1), maps.heads.end.saturating_sub(1));
        let title = width(&format!("layer {}, head {}", last.0, last.1), NOTE);
        let pitch = (side.max(title) + GAP, side + GAP);
        let left = MARGIN + longest + 6;
        let header = NOTES.iter().map(|note| width(note, NOTE)).chain([width(HEADLINE, TITLE), SCALE_WIDTH]);
        let right = (left + columns * pitch.0 - GAP).max(MARGIN + header.max().unwrap_or(0));
        let bottom = HEADER + rows * pitch.1 - GAP + 8 + longest.max(font);
        Layout { labels, cell, font, left, pitch, side, size: (right + MARGIN, bottom + MARGIN) }
    }

    fn x(&self, column: usize) -> usize {
        self.left + column * self.pitch.0
    }

    fn y(&self, row: usize) -> usize {
        HEADER + row * self.pitch.1
    }
}

struct Svg(String);

impl Svg {
    fn new(layout: &Layout) -> Svg {
        let (width, height) = layout.size;
        let mut svg = Svg(String::new());
        svg.line(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\">"
        ));
        svg.line(format_args!("<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"));
        svg.line(format_args!("<g font-family=\"{FONTS}\">"));
        svg
    }

    fn line(&mut self, text: Arguments<'_>) {
        let _ = writeln!(self.0, "{text}"); // a string takes all
    }

    fn text(&mut self, x: usize, y: usize, size: usize, color: &str, anchor: &str, text: &str) {
        let text = escape(text);
        self.line(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{color}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn header(&mut self) {
        self.text(MARGIN, 38, TITLE, INK, "start", HEADLINE);
        for (i, note) in NOTES.into_iter().enumerate() {
            self.text(MARGIN, 60 + i * 17, NOTE, GREY, "start", note);
        }
        let step = SCALE_WIDTH as f32 / shades::COUNT as f32;
        self.line(format_args!("<g id=\"scale\" shape-rendering=\"crispEdges\">"));
        for shade in 0..shades::COUNT {
            let x = MARGIN as f32 + shade as f32 * step;
            let color = shades::color(shade);
            self.line(format_args!(
                "<rect x=\"{x}\" y=\"{SCALE_TOP}\" width=\"{step}\" height=\"12\" fill=\"{color}\"/>"
            ));
        }
        self.line(format_args!("</g>"));
        for weight in SCALE_TICKS {
            // Below the middle of the rectangle whose shade has this weight.
            let place = (weight.sqrt() * (shades::COUNT - 1) as f32 + 0.5) * step;
            self.text(MARGIN + place.round() as usize, SCALE_TOP + 25, 11, GREY, "middle", &weight.to_string());
        }
        self.text(MARGIN, SCALE_TOP + 41, 11, GREY, "start", SCALE_NAME);
    }

    /// One map with its upper left corner at (x, y).
    fn map(&mut self, title: &str, x: usize, y: usize, cell: usize, values: &[f32], time: usize) {
        self.text(x, y - 6, NOTE, GREY, "start", title);
        self.line(format_args!("<g transform=\"translate({x} {y}) scale({cell})\" shape-rendering=\"crispEdges\">"));
        let paths = paths(values, time);
        for (shade, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            self.line(format_args!("<path fill=\"{}\" d=\"{path}\"/>", shades::color(shade)));
        }
        self.line(format_args!("</g>"));
    }

    /// The tokens to the left of the first column of maps and below the last row.
    fn labels(&mut self, layout: &Layout, rows: usize, columns: usize) {
        let Layout { font, cell, left, .. } = *layout;
        // `dy` lowers the baseline by half the height of a letter, so that the middle of the text is at y.
        self.line(format_args!("<g font-size=\"{font}\" fill=\"{INK}\">"));
        for (i, label) in layout.labels.iter().enumerate() {
            let (text, middle) = (escape(label), i * cell + cell / 2);
            for row in 0..rows {
                let (x, y) = (left - 6, layout.y(row) + middle);
                self.line(format_args!("<text x=\"{x}\" y=\"{y}\" dy=\"0.35em\" text-anchor=\"end\">{text}</text>"));
            }
            for column in 0..columns {
                let (x, y) = (layout.x(column) + middle, layout.y(rows - 1) + layout.side + 6);
                if width(label, font) <= cell + 1 {
                    let y = y + font / 2;
                    self.line(format_args!(
                        "<text x=\"{x}\" y=\"{y}\" dy=\"0.35em\" text-anchor=\"middle\">{text}</text>"
                    ));
                } else {
                    self.line(format_args!(
                        "<text transform=\"translate({x} {y}) rotate(90)\" dy=\"0.35em\" text-anchor=\"start\">{text}</text>"
                    ));
                }
            }
        }
        self.line(format_args!("</g>"));
    }

    fn end(mut self) -> String {
        self.line(format_args!("</g>\n</svg>"));
        self.0
    }
}

/// For each shade the squares on and below the diagonal that have it, as one path.
fn paths(values: &[f32], time: usize) -> Vec<String> {
    let mut paths = vec![String::new(); shades::COUNT];
    for (i, &value) in values.iter().enumerate() {
        let (row, column) = (i / time, i % time);
        if column <= row {
            let _ = write!(paths[shades::of(value)], "M{column} {row}h1v1h-1z");
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "weights must be [layers, heads, T, T]")]
    fn sizes_must_match() {
        attention_map(&AttentionMaps {
            weights: &[0.0; 3],
            layers: 0..1,
            heads: 0..1,
            tokens: &["a".into(), "b".into()],
        });
    }
}
