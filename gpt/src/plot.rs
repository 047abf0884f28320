//! Pictures as SVG, which needs no font, no window and no library on the machine.

mod attention;
mod loss;

pub use attention::attention_map;
pub use loss::loss_curve;

/// Text as it may stand between two tags.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
