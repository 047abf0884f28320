//! The colour scale of attention maps: from pale blue for 0 to dark blue for 1.

/// How many shades there are. Equal squares of a map become one path, so few shades make a small file.
pub const COUNT: usize = 32;

/// The shade of a weight from 0 to 1: shade k has the weights around (k / 31)². The square root spreads the small weights,
/// which would all look alike on a linear scale.
pub fn of(weight: f32) -> usize {
    (weight.clamp(0.0, 1.0).sqrt() * (COUNT - 1) as f32).round() as usize
}

/// A shade as `#rrggbb`, by straight lines between four colours.
pub fn color(shade: usize) -> String {
    const STOPS: [[f32; 3]; 4] =
        [[234.0, 241.0, 248.0], [148.0, 196.0, 223.0], [43.0, 123.0, 186.0], [8.0, 38.0, 84.0]];
    let place = shade as f32 / (COUNT - 1) as f32 * (STOPS.len() - 1) as f32;
    let below = (place as usize).min(STOPS.len() - 2);
    let mix = |i: usize| (STOPS[below][i] + (STOPS[below + 1][i] - STOPS[below][i]) * (place - below as f32)) as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_weight_is_darker() {
        let shades: Vec<usize> = (0..=1000).map(|i| of(i as f32 / 1000.0)).collect();
        assert!(shades.is_sorted() && shades[0] == 0 && shades[1000] == COUNT - 1);
        let light = |shade: usize| u32::from_str_radix(&color(shade)[1..3], 16).unwrap();
        assert!((1..COUNT).all(|shade| light(shade) < light(shade - 1)));
        assert_eq!((color(0), color(COUNT - 1)), ("#eaf1f8".into(), "#082654".into()));
    }

    #[test]
    fn weights_that_are_none_are_pale_or_dark() {
        assert_eq!([-1.0, f32::NAN, 2.0, f32::INFINITY].map(of), [0, 0, 31, 31]);
    }
}
