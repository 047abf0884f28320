//! Numbers as a reader of a table wants them: few digits, with their unit.

/// exp of the mean logarithm; none of nothing.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().map(|x| x.ln()).sum();
    (!values.is_empty()).then(|| (sum / values.len() as f64).exp())
}

/// A time with three digits and its unit.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// 29,700
pub fn thousands(x: f64) -> String {
    let digits = format!("{x:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its power of thousand: 12.3 M.
pub fn engineering(x: f64) -> String {
    let (value, unit) = match x {
        x if x < 1e6 => (x / 1e3, "k"),
        x if x < 1e9 => (x / 1e6, "M"),
        x => (x / 1e9, "G"),
    };
    format!("{value:.1} {unit}")
}

/// Memory in MiB, or in GiB from 1024 of them.
pub fn memory(mib: f64) -> String {
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// 61%
pub fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

/// The share of the limit, and in brackets that of the limit beside.
pub fn share(of_limit: f64, beside: Option<f64>) -> String {
    percent(of_limit) + &beside.map_or(String::new(), |beside| format!(" ({})", percent(beside)))
}

/// 1.67×, or a dash.
pub fn times(ratio: Option<f64>) -> String {
    ratio.map_or("–".into(), |ratio| format!("{ratio:.2}×"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([3e-9, 1.234e-5, 0.1234, 12.34].map(time), ["3.00 ns", "12.3 µs", "123 ms", "12.3 s"]);
        assert_eq!([7.0, 869.4, 29_700.2, 1_234_567.0].map(thousands), ["7", "869", "29,700", "1,234,567"]);
        assert_eq!([1.5e3, 268.4e6, 17.2e9].map(engineering), ["1.5 k", "268.4 M", "17.2 G"]);
        assert_eq!([51.6, 2048.0].map(memory), ["52 MiB", "2.0 GiB"]);
        assert_eq!((share(0.5, None), share(0.5, Some(0.75))), ("50%".into(), "50% (75%)".into()));
        assert_eq!(geometric_mean(&[1.0, 4.0]), Some(2.0));
        assert_eq!((geometric_mean(&[]), times(None)), (None, "–".into()));
    }
}
