use super::{Place, push};
use crate::oracle::values;
use half::bf16;

/// Element by element, by the indices of both shapes.
fn expected(place: Place, qkv: &[f32], part: usize, cache: &mut [f32]) {
    let Place { b, t, h, h_kv, d, room, past } = place;
    let first = [0, h, h + h_kv][part];
    for (sequence, position, head, i) in
        (0..b).flat_map(|s| (0..t).flat_map(move |p| (0..h_kv).flat_map(move |n| (0..d).map(move |i| (s, p, n, i)))))
    {
        let from = ((sequence * t + position) * (h + 2 * h_kv) + first + head) * d + i;
        cache[((sequence * h_kv + head) * room + past + position) * d + i] = qkv[from];
    }
}

#[test]
fn keys_and_values_go_to_their_places_and_nothing_else_changes() {
    for (b, t, h, h_kv, d, room, past) in [
        (1, 1, 1, 1, 1, 1, 0),
        (1, 1, 6, 6, 64, 256, 255),
        (3, 5, 4, 2, 7, 11, 6),
        (2, 3, 3, 1, 4, 3, 0),
        (2, 0, 3, 3, 4, 5, 5),
    ] {
        let place = Place { b, t, h, h_kv, d, room, past };
        let qkv = values(1, b * t * (h + 2 * h_kv) * d);
        let before = values(2, b * h_kv * room * d);
        let (mut k, mut v) = (before.clone(), before.clone());
        push(place, &qkv, &mut k, &mut v);
        for (part, found) in [(1, &k), (2, &v)] {
            let mut wanted = before.clone();
            expected(place, &qkv, part, &mut wanted);
            assert_eq!(found, &wanted, "{place:?}, part {part}");
        }
        let stored = |x: &[f32]| x.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>();
        let (mut k16, mut v16) = (stored(&before), stored(&before));
        push(place, &qkv, &mut k16, &mut v16);
        assert_eq!((k16, v16), (stored(&k), stored(&v)), "{place:?} in bf16");
    }
}

#[test]
#[should_panic(expected = "no room for 2 positions behind 3 of 4")]
fn a_full_cache_is_refused() {
    let place = Place { b: 1, t: 2, h: 1, h_kv: 1, d: 1, room: 4, past: 3 };
    push(place, &[0.0_f32; 6], &mut [0.0_f32; 4], &mut [0.0_f32; 4]);
}
