//! Text in pictures: how wide it is, what stands for characters that cannot be seen, and what SVG asks to be escaped.

use unicode_width::UnicodeWidthChar;

/// Fonts that most systems have, those of Chinese, Japanese and Korean after the Latin ones.
pub const FONTS: &str = "'DejaVu Sans Mono', Menlo, Consolas, 'Noto Sans Mono CJK SC', 'Noto Sans CJK SC', \
                         'PingFang SC', 'Microsoft YaHei', 'WenQuanYi Zen Hei', monospace";

/// `text` as it may stand between two tags.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// `text` with something visible for every character that is not: `·` for a space, and Rust's escapes, such as `\n` and
/// `\u{301}`, for control characters, lone combining marks and what Unicode does not assign. At most `most` columns wide;
/// what is longer ends in `…`.
pub fn visible(text: &str, most: usize) -> String {
    let all: String = text.chars().map(visible_character).collect();
    if columns(&all) <= most {
        return all;
    }
    let mut short = String::new();
    for c in all.chars() {
        if columns(&short) + character_columns(c) + 1 > most {
            break;
        }
        short.push(c);
    }
    short + "…"
}

fn visible_character(c: char) -> String {
    match c {
        ' ' => "·".into(),
        '·' => "\\u{b7}".into(), // or it would look like a space
        '\'' | '"' | '\\' => c.into(),
        c => c.escape_debug().collect(),
    }
}

/// The width of `text` in columns of a monospaced font; a Chinese character takes two.
pub fn columns(text: &str) -> usize {
    text.chars().map(character_columns).sum()
}

fn character_columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// The width of `text` in pixels, in a font of `size` pixels of the kinds that [`FONTS`] names.
pub fn width(text: &str, size: usize) -> usize {
    // 0.6 em for a column; a Chinese character takes one em, which is less than two columns.
    (columns(text) * size * 61).div_ceil(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        for (text, shown) in [
            ("a", "a"),
            ("天", "天"),
            (" ", "·"),
            ("·", "\\u{b7}"),
            ("\n", "\\n"),
            ("\0", "\\0"),
            ("\u{1b}", "\\u{1b}"),
            ("\u{301}", "\\u{301}"),
            ("\u{200b}", "\\u{200b}"),
            ("\u{202e}", "\\u{202e}"),
            ("\u{ffff}", "\\u{ffff}"),
            ("'", "'"),
            ("\\", "\\"),
        ] {
            assert_eq!(visible(text, 12), shown, "{text:?}");
        }
    }

    #[test]
    fn long_text_is_cut_to_its_columns() {
        assert_eq!(visible("internationalisation", 8), "interna…");
        assert_eq!(visible("天地玄黄宇宙", 8), "天地玄…");
        assert_eq!(visible("exactly8", 8), "exactly8");
        assert_eq!((columns("天a"), width("aaaaaaaaaa", 10)), (3, 61));
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
