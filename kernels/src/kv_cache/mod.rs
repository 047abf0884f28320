//! The cache of keys and values: how those of new positions are written to it.
//!
//! [`push`] takes k and v out of packed projections qkv \[B,T,H + 2·Hkv,D\] and writes them at positions `past` to
//! `past` + T of a cache \[B,Hkv,room,D\]. It moves 2·B·T·Hkv·D elements, rows of D at a time, once a layer and token, so
//! there is no ladder: it is little beside reading the whole cache, which decoding does for every token.

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(test)]
mod tests;

use crate::cast::{Number, cast};

/// Where new positions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// B: the sequences.
    pub b: usize,
    /// T: the new positions of each.
    pub t: usize,
    /// H: the heads of the queries, which stand before the keys and are not copied.
    pub h: usize,
    /// Hkv: the heads of the keys, and those of the values behind them.
    pub h_kv: usize,
    /// D: the size of a head.
    pub d: usize,
    /// The positions that the cache has room for.
    pub room: usize,
    /// The positions that are in it.
    pub past: usize,
}

impl Place {
    /// Panics where there is no room, or a length is not that of its shape.
    #[track_caller]
    fn check(&self, qkv: usize, k: usize, v: usize) {
        let Place { b, t, h, h_kv, d, room, past } = *self;
        assert!(t <= room && past <= room - t, "no room for {t} positions behind {past} of {room}");
        assert_eq!(qkv, b * t * (h + 2 * h_kv) * d, "the length of qkv");
        assert_eq!((k, v), (b * h_kv * room * d, b * h_kv * room * d), "the lengths of k and v");
    }
}

/// Writes keys and values of the new positions behind those that are there, rounded to the type of the cache.
///
/// # Panics
/// Where there is no room for them, or a length is not that of its shape.
///
/// ```
/// use gradus_kernels::kv_cache::{Place, push};
/// let (mut k, mut v) = ([0.0_f32; 2], [0.0_f32; 2]);
/// let place = Place { b: 1, t: 1, h: 1, h_kv: 1, d: 1, room: 2, past: 1 };
/// push(place, &[1.0_f32, 2.0, 3.0], &mut k, &mut v); // q = 1, k = 2, v = 3
/// assert_eq!((k, v), ([0.0, 2.0], [0.0, 3.0]));
/// ```
pub fn push<X: Number, C: Number>(place: Place, qkv: &[X], k: &mut [C], v: &mut [C]) {
    let Place { t, h, h_kv, d, room, past, .. } = place;
    let heads = h + 2 * h_kv;
    place.check(qkv.len(), k.len(), v.len());
    if qkv.is_empty() {
        return;
    }
    for (position, row) in qkv.chunks_exact(heads * d).enumerate() {
        let (sequence, position) = (position / t, past + position % t);
        for (first, cache) in [(h, &mut *k), (h + h_kv, &mut *v)] {
            for (head, row) in row[first * d..][..h_kv * d].chunks_exact(d).enumerate() {
                let at = (sequence * h_kv + head) * room + position;
                cast(row, &mut cache[at * d..][..d]);
            }
        }
    }
}
