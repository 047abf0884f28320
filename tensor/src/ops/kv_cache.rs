//! Keys and values of the positions so far: with them, one more position costs one query instead of T.
//!
//! A key depends only on its own position's input, and under the causal mask that never changes. Decoding is small work in
//! many steps, so this is one operation: it reads q, k and v where the projection left them and makes no view of any.
//! A cache in bf16 takes half the memory, and each token reads half as many bytes of it.

use super::attention::Options;
use super::{not_a_float, run, same_device, same_dtype};
use crate::access::Read;
use crate::{DType, Device, Error, Result, Tensor};
use gradus_kernels::attention::{Shape, Strides, ViewOf};
use gradus_kernels::kv_cache::Place;
use half::bf16;

/// What happens where a cache has no room for another position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenFull {
    Refuse,
    Grow,
    /// Drop all but this many positions.
    Slide(usize),
}

/// The keys and values of the positions so far, of B sequences.
///
/// Learned positions end at the context, so a model with them takes a cache of that size ([`KvCache::new`]). Rotary positions
/// do not: a key is rotated once, by its own position, so decoding continues past the context, with memory that grows
/// ([`KvCache::growing`]) or with a window of the last positions ([`KvCache::sliding`]).
#[derive(Debug)]
pub struct KvCache {
    /// [B, Hkv, room, D], as `v`.
    k: Tensor,
    v: Tensor,
    filled: usize,
    /// How many positions have been dropped.
    dropped: usize,
    when_full: WhenFull,
}

impl KvCache {
    /// Room for `context` positions of B sequences, and no more, on the CPU. It is stored in the type of the activations, or in bf16 where
    /// these are `f32`. `heads` are those of keys and values; queries may have a multiple of them.
    ///
    /// # Panics
    /// Where that is more than can be addressed.
    pub fn new(dtype: DType, batch: usize, heads: usize, context: usize, head_size: usize) -> KvCache {
        let zeros = || Tensor::zeros_of(dtype, &[batch, heads, context, head_size]);
        KvCache { k: zeros(), v: zeros(), filled: 0, dropped: 0, when_full: WhenFull::Refuse }
    }

    /// The same with room for `context` positions at first, and twice as many whenever it is full.
    ///
    /// # Panics
    /// As [`KvCache::new`].
    pub fn growing(dtype: DType, batch: usize, heads: usize, context: usize, head_size: usize) -> KvCache {
        KvCache { when_full: WhenFull::Grow, ..KvCache::new(dtype, batch, heads, context, head_size) }
    }

    /// The same where a position sees itself and the `window − 1` before it, which are all that is kept. There is room for
    /// twice as many, so that old ones are dropped once in `window` positions.
    ///
    /// # Panics
    /// As [`KvCache::new`], and where the window is 0.
    pub fn sliding(dtype: DType, batch: usize, heads: usize, window: usize, head_size: usize) -> KvCache {
        assert!(window > 0, "a cache with a window of 0 positions holds nothing: a position sees at least itself");
        let room = window.saturating_mul(2);
        KvCache { when_full: WhenFull::Slide(window), ..KvCache::new(dtype, batch, heads, room, head_size) }
    }

    /// The same cache on another device.
    pub fn to_device(&self, device: &Device) -> KvCache {
        KvCache { k: self.k.to_device(device), v: self.v.to_device(device), ..*self }
    }

    /// The number of positions in it.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The position of the next key, counted from 0: all positions so far, also those that a sliding cache has dropped.
    pub fn next_position(&self) -> usize {
        self.dropped + self.filled
    }

    /// The positions of the keys that T more queries meet, their own included: the columns of their mask.
    pub fn positions_with(&self, t: usize) -> std::ops::Range<usize> {
        let end = self.next_position() + t;
        end - (self.kept_for(t) + t)..end
    }

    /// Removes all positions.
    pub fn clear(&mut self) {
        (self.filled, self.dropped) = (0, 0);
    }

    /// Causal self-attention of T new positions, which see those in the cache and are added to it: the packed projection
    /// qkv [B, T, (H + 2·Hkv)·D], rows ordered q, k, v → O [B, T, H·D]. As [`super::attention::packed_forward`] of all
    /// positions, for the last T of them; a mask in the options is broadcast to [B, H, T, keys], the keys at
    /// [`KvCache::positions_with`] T. In a cache in bf16 keys and values are rounded, those of the new positions too;
    /// queries and everything else are then `f32`, whatever the precision in the options.
    ///
    /// # Errors
    /// Where the shape or type is not that of the cache, or it has no room; it is then as it was.
    pub fn try_attend(&mut self, qkv: &Tensor, options: &Options) -> Result<Tensor> {
        let shape = self.shape_with(qkv)?;
        let Shape { b, h, h_kv, tq: t, d, .. } = shape;
        options.check("attention")?;
        let mut options = Options { causal: true, ..options.clone() };
        if let WhenFull::Slide(window) = self.when_full {
            options.window = Some(options.window.map_or(window, |own| own.min(window)));
        }
        let precision = options.precision;
        let mask = options.mask("attention", shape, qkv)?;
        let qkv = qkv.contiguous();
        if !matches!(qkv.dtype(), DType::F32 | DType::F64) {
            return Err(not_a_float("attention", qkv.dtype()));
        }
        self.make_room(t)?;
        self.push(&qkv, shape)?;
        let mut o = qkv.new_empty(&[b, t, h * d])?;
        let mut lse = qkv.new_empty(&[b, h, t])?;
        let room = self.k.shape()[2];
        let rows = |width: usize| Strides { b: t * width, h: d, t: width };
        let cached = Strides { b: h_kv * room * d, h: room * d, t: d };
        let queries = rows((h + 2 * h_kv) * d);
        if self.k.dtype() == DType::Bf16 {
            run!(
                f32 qkv,
                attention::bf16_cache::forward(
                    shape,
                    &options.kernel(d, &mask),
                    view(&qkv, queries),
                    [view(&self.k, cached), view(&self.v, cached)],
                    (o.data_mut(), rows(h * d)),
                    lse.data_mut(),
                )
            );
            return Ok(o);
        }
        run!(
            "attention",
            qkv,
            precision,
            attention::forward(
                shape,
                &options.kernel(d, &mask),
                [view(&qkv, queries), view(&self.k, cached), view(&self.v, cached)],
                (o.data_mut(), rows(h * d)),
                lse.data_mut(),
            )
        );
        Ok(o)
    }

    /// [`KvCache::try_attend`] that panics with the text of its error.
    #[track_caller]
    pub fn attend(&mut self, qkv: &Tensor, options: &Options) -> Tensor {
        self.try_attend(qkv, options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// How many of its positions stay where T more come in.
    fn kept_for(&self, t: usize) -> usize {
        match self.when_full {
            WhenFull::Slide(window) if self.filled + t > self.k.shape()[2] => self.filled.min(window - 1),
            _ => self.filled,
        }
    }

    /// The problem: all queries of `qkv`, all keys that there will then be.
    fn shape_with(&self, qkv: &Tensor) -> Result<Shape> {
        let error = |problem: &str| Error::new("attention", problem).shape(qkv.shape()).shape(self.k.shape());
        same_device("attention", qkv, &self.k)?;
        if (qkv.dtype(), self.k.dtype()) != (DType::F32, DType::Bf16) {
            same_dtype("attention", qkv, &self.k)?;
        }
        let [b, h_kv, room, d] = self.sizes();
        let [b_new, t, width] = *qkv.shape() else {
            return Err(error("qkv needs the axes [B, T, (H + 2·Hkv)·D]"));
        };
        if b_new != b {
            return Err(error("batches differ").axis(0).hint(format!("{b_new} ≠ {b}")));
        }
        let heads = width / d.max(1);
        let h = heads.saturating_sub(2 * h_kv);
        if heads * d != width || h == 0 || !h.is_multiple_of(h_kv.max(1)) {
            return Err(error("the cache is of other heads").axis(2).hint(format!("{width} ≠ (H + 2·{h_kv})·{d}")));
        }
        let end = self.kept_for(t) + t;
        if end > room && self.when_full == WhenFull::Refuse {
            return Err(error("the cache is full")
                .axis(1)
                .hint(format!("it has room for {room} positions, not {end}")));
        }
        Ok(Shape { b, h, h_kv, tq: t, tk: end, d })
    }

    /// Makes room for T more positions: drops the oldest, or takes more memory.
    fn make_room(&mut self, t: usize) -> Result<()> {
        let (kept, [b, h, room, d]) = (self.kept_for(t), self.sizes());
        if kept == self.filled && kept + t <= room {
            return Ok(());
        }
        let larger = if kept + t > room { (2 * room).max(kept + t) } else { room };
        for cache in [&mut self.k, &mut self.v] {
            let last = cache.try_slice(2, self.filled - kept..self.filled)?.copied();
            if larger > room {
                *cache = last.new_zeros(&[b, h, larger, d]);
            }
            cache.write_slice(2, 0, &last);
        }
        self.dropped += self.filled - kept;
        self.filled = kept;
        Ok(())
    }

    fn sizes(&self) -> [usize; 4] {
        self.k.shape().try_into().expect("made with four axes")
    }

    /// Writes the keys and values behind those that are there.
    fn push(&mut self, qkv: &Tensor, Shape { b, h, h_kv, tq: t, tk: end, d }: Shape) -> Result<()> {
        let past = std::mem::replace(&mut self.filled, end);
        let place = Place { b, t, h, h_kv, d, room: self.k.shape()[2], past };
        let (k, v) = (&mut self.k, &mut self.v);
        match (qkv.dtype(), k.dtype()) {
            (DType::F32, DType::Bf16) => {
                run!(f32 qkv, kv_cache::push::<f32, bf16>(place, qkv.data(), k.data_mut(), v.data_mut()));
            }
            (DType::F64, _) => run!(cpu qkv, kv_cache::push::<f64, f64>(place, qkv.data(), k.data_mut(), v.data_mut())),
            _ => run!(f32 qkv, kv_cache::push::<f32, f32>(place, qkv.data(), k.data_mut(), v.data_mut())),
        }
        Ok(())
    }
}

fn view<'a, S: Read<'a>>(x: &'a Tensor, strides: Strides) -> ViewOf<S> {
    ViewOf { data: x.data(), strides }
}
