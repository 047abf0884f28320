//! Comparisons whose failure says where the worst element is, and how far off.

/// How far two lists of numbers are apart, and where most.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// The largest |a − b| / (|b| + rms(b)).
    pub relative: f64,
    /// Where that is.
    pub at: usize,
}

/// The distance of `got` from `expected`.
///
/// Each difference is divided by the size of its own element plus the root mean square of all. The first alone would ask
/// for digits that cancelled: an element that is 0 as the sum of large terms has no relative error. The second alone
/// would let small elements be anything beside one large one.
///
/// # Panics
/// Where the lengths differ, or a number is not finite.
pub fn distance(what: &str, got: &[f64], expected: &[f64]) -> Distance {
    assert_eq!(got.len(), expected.len(), "{what}: the number of elements");
    let rms = (expected.iter().map(|x| x * x).sum::<f64>() / expected.len().max(1) as f64).sqrt();
    let mut worst = Distance { relative: 0.0, at: 0 };
    for (at, (&g, &e)) in got.iter().zip(expected).enumerate() {
        assert!(g.is_finite() && e.is_finite(), "{what}: element {at} is {g}, expected {e}");
        let size = e.abs() + rms;
        let relative = if g == e { 0.0 } else { (g - e).abs() / size };
        if relative > worst.relative {
            worst = Distance { relative, at };
        }
    }
    worst
}

/// Fails where [`distance`] is above `tolerance`.
///
/// # Panics
/// With the worst element.
#[track_caller]
pub fn assert_close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    let Distance { relative, at } = distance(what, got, expected);
    assert!(
        relative <= tolerance,
        "{what}: element {at} is {:e}, expected {:e}: {relative:.1e} apart, and {tolerance:.0e} is allowed",
        got[at],
        expected[at]
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_element_is_found_and_zero_beside_large_numbers_is_no_excuse() {
        assert_close("equal", &[0.0, 0.0], &[0.0, 0.0], 0.0);
        let found = distance("x", &[1.0, 2.0, 3.1], &[1.0, 2.0, 3.0]);
        assert_eq!(found.at, 2);
        assert!((found.relative - 0.1 / (3.0 + (14.0_f64 / 3.0).sqrt())).abs() < 1e-12);
        assert!(distance("x", &[1e-3, 0.0], &[0.0, 0.0]).relative.is_infinite());
    }

    #[test]
    #[should_panic(expected = "dx: element 1 is 2.1e0, expected 2e0: 2.8e-2 apart, and 1e-3 is allowed")]
    fn a_failure_names_the_element() {
        assert_close("dx", &[1.0, 2.1], &[1.0, 2.0], 1e-3);
    }
}
