//! Round values for axes, and numbers as their labels.

const MOST: usize = 9;

/// Round values from `low` to `high`, both above 0 and a few percent apart, at most nine of them: evenly spaced on a narrow range; 1, 2, 5, 10 …
/// on a wide one; powers of ten on a very wide one.
pub fn loss_ticks(low: f64, high: f64) -> Vec<f64> {
    if high / low <= 12.0 {
        return even_ticks(low, high);
    }
    let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let within = |digits: &[f64], every: i32| -> Vec<f64> {
        let exponents = exponents.clone().filter(|exponent| exponent.rem_euclid(every) == 0);
        let all = exponents.flat_map(|exponent| digits.iter().map(move |&digit| power(digit, exponent)));
        all.filter(|tick| (low..=high).contains(tick)).collect()
    };
    let dense = within(&[1.0, 2.0, 5.0], 1);
    let sparse = (1..).map(|every| within(&[1.0], every)).find(|ticks| ticks.len() <= MOST);
    if dense.len() <= MOST { dense } else { sparse.unwrap_or(dense) }
}

/// Round whole steps from 0 to `last`.
pub fn step_ticks(last: f64) -> Vec<f64> {
    let step = round_step(last, 8.0).max(1.0);
    (0..=(last / step) as i64).map(|i| i as f64 * step).collect()
}

fn even_ticks(low: f64, high: f64) -> Vec<f64> {
    let step = round_step(high - low, 8.0);
    let first = (low / step).ceil() as i64;
    let value = |i: i64| format!("{:.3e}", i as f64 * step).parse().unwrap_or(low); // 0.3, not 0.30000000000000004
    (first..=(high / step).floor() as i64).map(value).collect()
}

/// The smallest of 1, 2 and 5 times a power of ten that goes into `range` at most `most` times.
fn round_step(range: f64, most: f64) -> f64 {
    let exponent = (range / most).log10().floor() as i32;
    let steps = [power(1.0, exponent), power(2.0, exponent), power(5.0, exponent)];
    steps.into_iter().find(|step| range / step <= most).unwrap_or(power(1.0, exponent + 1))
}

fn power(digit: f64, exponent: i32) -> f64 {
    format!("{digit}e{exponent}").parse().unwrap_or(digit) // the nearest number, which powi is not
}

/// A tick of the loss: `2.5`, `0.001`, `1e-7`.
pub fn loss_tick_label(value: f64) -> String {
    if (1e-4..1e5).contains(&value) { value.to_string() } else { format!("{value:e}") }
}

/// A tick of the steps: `200`, `20,000`, `2e9`.
pub fn step_tick_label(value: f64) -> String {
    if value < 1e7 { crate::output::thousands(value as u128) } else { format!("{value:e}") }
}

/// A loss with three decimals, or as many as show three digits: `1.773`, `0.0120`, `1.20e-7`.
pub fn loss_label(value: f64) -> String {
    match value {
        0.1..1e5 => format!("{value:.3}"),
        1e-4..0.1 => format!("{value:.*}", (2.0 - value.log10().floor()) as usize),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_the_loss_are_round_and_not_too_many() {
        assert_eq!(loss_ticks(1.4, 4.5), [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]);
        assert_eq!(loss_ticks(1.0, 2.9), [1.0, 1.5, 2.0, 2.5]);
        assert_eq!(loss_ticks(0.3, 9.0), [0.5, 1.0, 2.0, 5.0]);
        assert_eq!(loss_ticks(0.006, 9.0), [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(loss_ticks(0.0006, 9.0), [0.001, 0.01, 0.1, 1.0]);
        let ranges = [
            (1.49, 1.51),
            (0.01, 0.09),
            (100.0, 700.0),
            (2.0, 2.2),
            (1e-38, 1e-37),
            (1e-45, 3e38),
            (0.9, 11.0),
            (9.3e29, 1.1e30),
        ];
        for (low, high) in ranges {
            let ticks = loss_ticks(low, high);
            assert!((3..=9).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (low..=high).contains(tick)) && ticks.is_sorted(), "{ticks:?}");
            assert!(ticks.iter().all(|tick| loss_tick_label(*tick).len() <= 7), "{ticks:?}");
        }
    }

    #[test]
    fn ticks_of_the_steps_are_whole() {
        assert_eq!(step_ticks(1.0), [0.0, 1.0]);
        assert_eq!(step_ticks(6.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(step_ticks(10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(step_ticks(2000.0), [0.0, 500.0, 1000.0, 1500.0, 2000.0]);
        for last in (0..64).map(|bit| (1u64 << bit) as f64).chain([u64::MAX as f64]) {
            let ticks = step_ticks(last);
            assert!((2..=9).contains(&ticks.len()), "{last}: {ticks:?}");
            assert!(ticks.iter().all(|tick| tick.fract() == 0.0 && *tick <= last));
        }
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([2.5, 0.001, 1e-7, 1e30].map(loss_tick_label), ["2.5", "0.001", "1e-7", "1e30"]);
        assert_eq!([0.0, 20_000.0, 2e9].map(step_tick_label), ["0", "20,000", "2e9"]);
        assert_eq!(
            [1.7728, 12.0, 0.012, 0.00123, 1.2e-7].map(loss_label),
            ["1.773", "12.000", "0.0120", "0.00123", "1.20e-7"]
        );
    }
}
