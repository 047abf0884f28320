//! Figures that stand in running text: numbers with a unit of what is measured here.

use std::collections::BTreeSet;

const UNITS: [&str; 13] =
    ["tokens/s", "TFLOP/s", "GFLOP/s", "GFLOP", "GB/s", "GiB", "MiB", "ns", "µs", "ms", "s", "×", "%"];

/// The figures of a Markdown text, such as `29,700 tokens/s` and `61%`, outside of code.
pub fn figures(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        for prose in line.split('`').step_by(2) {
            of_line(prose, &mut found);
        }
    }
    found
}

fn of_line(mut text: &str, found: &mut BTreeSet<String>) {
    let is_digit = |c: char| c.is_ascii_digit();
    while let Some(start) = text.find(is_digit) {
        let joined = text[..start].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '×');
        let rest = &text[start..];
        let end = rest.find(|c: char| !is_digit(c) && c != '.' && c != ',').unwrap_or(rest.len());
        let number = rest[..end].trim_end_matches(['.', ',']);
        let after = &rest[number.len()..];
        let unit = UNITS.into_iter().find(|unit| {
            let after = after.strip_prefix(' ').unwrap_or(after).strip_prefix(unit);
            after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '/'))
        });
        if let (Some(unit), false) = (unit, joined) {
            found.insert(format!("{number} {unit}"));
        }
        text = &rest[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_numbers_with_a_unit_outside_of_code() {
        let text = "It makes 29,700 tokens/s (61% of the limit), 1.4× as many as `12 ms`, in 52 MiB.\n\
                    Two cores at 3.7 GHz, 4 layers; 16×6×256×64 in 2025.\n    90 s\n```\n10 ms\n```\nand 5.7 s, 20 steps.\n";
        let expected = ["1.4 ×", "29,700 tokens/s", "5.7 s", "52 MiB", "61 %"];
        assert_eq!(figures(text).into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(
            figures("| 20.0 ms | 100.0 GFLOP/s |").into_iter().collect::<Vec<_>>(),
            ["100.0 GFLOP/s", "20.0 ms"]
        );
    }
}
