//! Labels at a distance from each other.

/// Moves the sorted places `wanted` so that neighbours are at least `gap` apart and all lie from `low` to `high`. Where
/// there is no room for all, those at the top win.
pub fn spread(wanted: &[i32], gap: i32, low: i32, high: i32) -> Vec<i32> {
    let mut places = wanted.to_vec();
    // From below, none higher than there is room for those after it; then from above, none too close to the one before.
    let mut ceiling = high;
    for place in places.iter_mut().rev() {
        *place = (*place).min(ceiling);
        ceiling = *place - gap;
    }
    let mut floor = low;
    for place in &mut places {
        *place = (*place).max(floor);
        floor = *place + gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance_and_stay_inside() {
        assert_eq!(spread(&[100, 300, 500], 36, 0, 600), [100, 300, 500]);
        assert_eq!(spread(&[300, 300], 36, 0, 600), [264, 300]);
        assert_eq!(spread(&[590, 595, 600], 36, 0, 600), [528, 564, 600]);
        assert_eq!(spread(&[-5, 0, 5], 36, 10, 600), [10, 46, 82]);
        assert!(spread(&[], 36, 0, 600).is_empty());
        for seed in 0..1000_i32 {
            let mut wanted = [seed * 7919 % 700 - 50, seed * 104_729 % 700 - 50, seed * 1299 % 700 - 50];
            wanted.sort_unstable();
            let places = spread(&wanted, 36, 0, 600);
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 36), "{wanted:?}: {places:?}");
            assert!(places[0] >= 0 && places[2] <= 600, "{wanted:?}: {places:?}");
        }
    }
}
