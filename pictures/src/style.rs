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
    Ok(svg)
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
