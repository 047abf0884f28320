//! Where each head of each layer looks.
//!
//! Written as SVG by hand: a map is thousands of squares, and one path for all squares of a shade takes 12 bytes for a
//! square instead of the 80 that an element for each would take.

use super::escape;
use std::fmt::Write;

const SHADES: usize = 32;
const MARGIN: usize = 28;
const GAP: usize = 22;
const HEADER: usize = 74;

/// Draws softmax(q·kᵀ / √D), layer by layer (downwards) and head by head (to the right), for a text of T tokens.
///
/// `weights` is \[L, H, T, T\]: row t of a map is the token that asks, column s ≤ t a token that it looks at. The squares
/// above the diagonal are the future, and stay empty. `tokens` are the T tokens as they are to be shown.
///
/// # Panics
/// Where `weights` has not L·H·T² elements.
pub fn attention_map(weights: &[f32], layers: usize, heads: usize, tokens: &[String]) -> String {
    let time = tokens.len();
    assert_eq!(weights.len(), layers * heads * time * time, "weights must be [L, H, T, T]");
    let cell = (320 / time.max(1)).clamp(5, 16);
    let longest = tokens.iter().map(|token| shown(token).chars().count()).max().unwrap_or(0);
    let labels = 14 + longest.min(12) * 7;
    let turn = if longest > 1 { " rotate(90)" } else { "" };
    let anchor = if longest > 1 { "start" } else { "middle" };
    let side = time * cell;
    let size = |count: usize| count * side + count.saturating_sub(1) * GAP;
    let (left, top) = (MARGIN + labels, HEADER);
    let (width, height) = ((left + size(heads) + MARGIN).max(560), top + size(layers) + labels + MARGIN);

    let mut svg = String::new();
    let mut put = |text: std::fmt::Arguments<'_>| svg.write_fmt(text).expect("a string takes all");
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>text{{font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:{}px;fill:#333a45}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"30\" style=\"font-size:18px\">Where each head looks</text>\n\
         <text x=\"{MARGIN}\" y=\"48\" style=\"font-size:11px;fill:#6b7480\">row: the token that asks; \
         column: the tokens it looks at, dark for much; a row sums to 1</text>\n",
        cell.min(12)
    ));
    for (map, values) in weights.chunks_exact((time * time).max(1)).enumerate() {
        let (layer, head) = (map / heads, map % heads);
        let (x, y) = (left + head * (side + GAP), top + layer * (side + GAP));
        put(format_args!(
            "<text x=\"{x}\" y=\"{}\" style=\"font-size:10px;fill:#6b7480\">layer {layer}, head {head}</text>\n\
             <g transform=\"translate({x} {y}) scale({cell})\" shape-rendering=\"crispEdges\">\n\
             <path fill=\"#f3f5f8\" d=\"{}\"/>\n",
            y - 5,
            staircase(time)
        ));
        for (shade, path) in shades(values, time).iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            put(format_args!("<path fill=\"{}\" d=\"{path}\"/>\n", color(shade)));
        }
        put(format_args!("</g>\n"));
    }
    for (i, token) in tokens.iter().enumerate() {
        let (token, middle) = (escape(&shown(token)), i * cell + cell / 2);
        for layer in 0..layers {
            let y = top + layer * (side + GAP) + middle;
            put(format_args!(
                "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\" dominant-baseline=\"central\">{token}</text>\n",
                left - 6
            ));
        }
        for head in 0..heads {
            let (x, y) = (left + head * (side + GAP) + middle, top + size(layers) + 10);
            put(format_args!(
                "<text transform=\"translate({x} {y}){turn}\" text-anchor=\"{anchor}\" \
                 dominant-baseline=\"central\">{token}</text>\n"
            ));
        }
    }
    put(format_args!("</svg>\n"));
    svg
}

/// The squares on and below the diagonal as one outline.
fn staircase(time: usize) -> String {
    let mut path = String::from("M0 0");
    (0..time).for_each(|_| path.push_str("h1v1"));
    path.push_str("H0z");
    path
}

/// For each shade but the palest, the squares that have it, as one path.
fn shades(values: &[f32], time: usize) -> Vec<String> {
    let mut paths = vec![String::new(); SHADES];
    for (i, &value) in values.iter().enumerate() {
        let (row, column) = (i / time, i % time);
        // The square root lifts the small shares, which would all look alike.
        let shade = (value.clamp(0.0, 1.0).sqrt() * (SHADES - 1) as f32).round() as usize;
        if column <= row && shade > 0 {
            let _ = write!(paths[shade], "M{column} {row}h1v1h-1z");
        }
    }
    paths
}

/// From pale blue to a dark one, by straight lines between four colours.
fn color(shade: usize) -> String {
    const STOPS: [[f32; 3]; 4] =
        [[234.0, 241.0, 248.0], [148.0, 196.0, 223.0], [43.0, 123.0, 186.0], [8.0, 38.0, 84.0]];
    let place = shade as f32 / (SHADES - 1) as f32 * (STOPS.len() - 1) as f32;
    let below = (place as usize).min(STOPS.len() - 2);
    let mix = |i: usize| (STOPS[below][i] + (STOPS[below + 1][i] - STOPS[below][i]) * (place - below as f32)) as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

/// What cannot be seen, as something that can.
fn shown(token: &str) -> String {
    let visible = |c: char| match c {
        ' ' => '·',
        '\n' => '↵',
        '\t' => '→',
        c if c.is_control() || c.is_whitespace() => '□',
        c => c,
    };
    token.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn every_share_becomes_a_square_of_its_shade() {
        let weights = [1.0, 0.7, 0.5, 0.5]; // one head, two tokens; the 0.7 lies in the future
        let svg = attention_map(&weights, 1, 1, &tokens("ab"));
        assert!(svg.contains(&format!("<path fill=\"{}\" d=\"M0 0h1v1h-1z\"/>", color(SHADES - 1))), "{svg}");
        assert!(svg.contains("d=\"M0 1h1v1h-1zM1 1h1v1h-1z\"/>"), "the two halves share a path: {svg}");
        assert!(!svg.contains("M1 0h1v1h-1z"), "nothing in the future");
    }

    #[test]
    fn labels_are_visible_and_escaped() {
        let svg = attention_map(&[0.0; 16], 1, 1, &tokens("<&\n\u{1}"));
        for label in [">&lt;<", ">&amp;<", ">↵<", ">□<"] {
            assert_eq!(svg.matches(label).count(), 2, "{label} beside and below the map");
        }
        assert!(!svg.contains('\u{1}'));
    }

    #[test]
    fn every_layer_and_head_has_its_map() {
        let svg = attention_map(&[0.5; 2 * 3 * 4], 2, 3, &tokens("ab"));
        for layer in 0..2 {
            for head in 0..3 {
                assert!(svg.contains(&format!("layer {layer}, head {head}<")));
            }
        }
        assert!(attention_map(&[], 2, 2, &[]).ends_with("</svg>\n"));
    }

    #[test]
    #[should_panic(expected = "weights must be [L, H, T, T]")]
    fn sizes_must_match() {
        attention_map(&[0.0; 3], 1, 1, &tokens("ab"));
    }
}
