//! Colours, text and the drawing area that all pictures share.

use crate::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub const INK: RGBColor = RGBColor(0x2b, 0x31, 0x3b);
pub const GREY: RGBColor = RGBColor(0x6b, 0x74, 0x80);
pub const FAINT: RGBColor = RGBColor(0xe6, 0xe9, 0xed);
pub const BLUE: RGBColor = RGBColor(0x2b, 0x76, 0xb9);
pub const ORANGE: RGBColor = RGBColor(0xdd, 0x6b, 0x10);
/// Colours of curves and bars, told apart by colour-blind readers too (Okabe and Ito 2008, two of them darker).
pub const SERIES: [RGBColor; 7] = [
    BLUE,
    ORANGE,
    RGBColor(0x00, 0x8f, 0x68),
    RGBColor(0xb0, 0x4a, 0x8f),
    RGBColor(0xb8, 0x86, 0x0b),
    RGBColor(0x4a, 0xa5, 0xd8),
    RGBColor(0x5a, 0x5f, 0x69),
];

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Text of this size in pixels, placed by its anchor.
pub fn text(size: u32, color: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    TextStyle { color: color.to_backend_color(), ..("sans-serif", size).into() }.pos(Pos::new(h, v))
}

/// Between white (0) and a colour (1).
pub fn tint(color: RGBColor, share: f32) -> RGBColor {
    let mixed = |c: u8| (255.0 + (f32::from(c) - 255.0) * share.clamp(0.0, 1.0)).round() as u8;
    RGBColor(mixed(color.0), mixed(color.1), mixed(color.2))
}

/// A white picture of this size, with what `draw` puts on it.
pub fn canvas(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
    }
    Ok(compact(&svg))
}

/// Rectangles in a row from which it pays to make paths.
const MANY: usize = 200;

/// The same picture with less text: where very many rectangles follow each other, those of one colour become one path.
pub fn compact(svg: &str) -> String {
    let lines: Vec<&str> = svg.lines().collect();
    let stretches = lines.chunk_by(|a, b| is_square(a) == is_square(b));
    let texts = stretches.map(|stretch| {
        let paths = if stretch.len() >= MANY && is_square(stretch[0]) { paths(stretch) } else { None };
        paths.unwrap_or_else(|| stretch.join("\n"))
    });
    texts.collect::<Vec<_>>().join("\n") + "\n"
}

fn is_square(line: &str) -> bool {
    line.starts_with("<rect ") && line.contains("stroke=\"none\"") && line.contains("opacity=\"1\"")
}

/// `None` where a rectangle lacks a number, which would be another library's way of writing it.
fn paths(rectangles: &[&str]) -> Option<String> {
    let mut colors: Vec<(&str, String)> = Vec::new();
    for rectangle in rectangles {
        let value = |name: &str| rectangle.split_once(&format!(" {name}=\""))?.1.split('"').next();
        let [x, y, width, height] = ["x", "y", "width", "height"].map(value);
        let path = format!("M{} {}h{}v{}H{}z", x?, y?, width?, height?, x?);
        let fill = value("fill")?;
        match colors.iter_mut().find(|(color, _)| *color == fill) {
            Some((_, paths)) => paths.push_str(&path),
            None => colors.push((fill, path)),
        }
    }
    let paths = colors.iter().map(|(fill, path)| format!("<path fill=\"{fill}\" stroke=\"none\" d=\"{path}\"/>"));
    Some(paths.collect::<Vec<_>>().join("\n"))
}

/// Title and note, from the left edge at `x`.
pub fn header(root: &Area<'_>, x: i32, title: &str, note: &str) -> Result<()> {
    root.draw(&Text::new(title.to_string(), (x, 14), text(22, INK, HPos::Left, VPos::Top)))?;
    root.draw(&Text::new(note.to_string(), (x, 44), text(14, GREY, HPos::Left, VPos::Top)))?;
    Ok(())
}

/// A number as a label: with three significant digits, whole where it is whole, with a real minus.
pub fn label(value: f64) -> String {
    let text = match value.abs() {
        0.0 => "0".into(),
        size if !(1e-3..1e6).contains(&size) => format!("{value:.0e}"),
        size => {
            let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
            let text = format!("{value:.decimals$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
        }
    };
    text.replace('-', "−")
}

/// How many columns of a half-width letter a text takes: 2 for a Chinese character.
pub fn columns(text: &str) -> i32 {
    unicode_width::UnicodeWidthStr::width(text) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_squares_become_a_path_for_each_colour_and_few_stay() {
        let squares = |count: i32| {
            let size = (count as u32 * 10, 10);
            canvas(size, |root| {
                (0..count).try_for_each(|i| {
                    let corners = [(10 * i, 0), (10 * i + 10, 10)];
                    root.draw(&Rectangle::new(corners, if i % 2 == 0 { BLUE } else { ORANGE }.filled()))?;
                    Ok(())
                })
            })
            .unwrap()
        };
        let (few, many) = (squares(20), squares(300));
        assert_eq!((few.matches("<rect").count(), few.matches("<path").count()), (21, 0)); // the ground is one, too
        assert_eq!((many.matches("<rect").count(), many.matches("<path").count()), (0, 3));
        assert_eq!(many.matches('z').count(), 301);
        assert!(many.contains("M2990 0h10v10H2990z") && many.ends_with("</svg>\n"));
    }
}
