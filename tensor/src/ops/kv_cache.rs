//! Keys and values of the positions that are past: with them, one more position costs one query, not T.
//!
//! A key depends only on its own position's input, and under the causal mask that never changes. Decoding is small work in
//! many steps, so this is one operation: it reads q, k and v where the projection left them and makes no view of any.
//! A cache in bf16 is half the memory, and half of what each token reads of its past.

use super::attention::Options;
use super::{not_a_float, run, same_dtype};
use crate::{DType, Element, Error, Result, Tensor};
use gradus_kernels::attention::{Shape, Strides, View, stored};
use gradus_kernels::{Bf16Isa, simd::bf16::round_all};
use half::bf16;

/// Room for the keys and values of B sequences.
#[derive(Debug)]
pub struct KvCache {
    /// [B, H, context, D], as `v`.
    k: Tensor,
    v: Tensor,
    filled: usize,
}

impl KvCache {
    /// Room for `context` positions of B sequences, in the type of the activations, or in bf16 where these are `f32`.
    ///
    /// # Panics
    /// Where that is more than can be addressed.
    pub fn new(dtype: DType, batch: usize, heads: usize, context: usize, head_size: usize) -> KvCache {
        let zeros = || Tensor::zeros_of(dtype, &[batch, heads, context, head_size]);
        KvCache { k: zeros(), v: zeros(), filled: 0 }
    }

    /// The number of positions in it.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Causal self-attention of T new positions, which see those in the cache and are added to it: the packed projection
    /// qkv [B, T, 3·C], C = H·D, rows ordered q, k, v → O [B, T, C]. As [`super::attention::packed_forward`] of all
    /// positions, for the last T of them. In a cache in bf16 keys and values are rounded, those of the new positions too;
    /// queries and everything else are then `f32`, whatever the precision in the options.
    ///
    /// # Errors
    /// Where the shape or type is not that of the cache, or it has no room; it is then as it was.
    pub fn try_attend(&mut self, qkv: &Tensor, options: &Options) -> Result<Tensor> {
        let shape = self.shape_with(qkv)?;
        let Shape { b, h, tq: t, d, .. } = shape;
        options.check("attention")?;
        let (options, precision) = (Options { causal: true, ..options.clone() }, options.precision);
        let mask = options.mask("attention", shape)?;
        let qkv = qkv.contiguous();
        match (qkv.dtype(), self.k.dtype()) {
            (DType::F32, DType::Bf16) => self.push::<f32, bf16>(&qkv, shape, |x, y| round_all(Bf16Isa::active(), x, y)),
            (DType::F32, _) => self.push::<f32, f32>(&qkv, shape, copy),
            (DType::F64, _) => self.push::<f64, f64>(&qkv, shape, copy),
            (other, _) => return Err(not_a_float("attention", other)),
        }
        let mut o = Tensor::recycled(qkv.dtype(), &[b, t, h * d])?;
        let mut lse = Tensor::recycled(qkv.dtype(), &[b, h, t])?;
        let (options, context) = (options.kernel(d, &mask), self.k.shape()[2]);
        let rows = |width: usize| Strides { b: t * width, h: d, t: width };
        let cached = Strides { b: h * context * d, h: context * d, t: d };
        if self.k.dtype() == DType::Bf16 {
            let (q, kv) = (view(&qkv, rows(3 * h * d)), [view(&self.k, cached), view(&self.v, cached)]);
            stored::forward(shape, &options, q, kv, (o.data_mut(), rows(h * d)), lse.data_mut());
            return Ok(o);
        }
        run!(
            "attention",
            qkv.dtype(),
            precision,
            attention::forward(
                shape,
                &options,
                [view(&qkv, rows(3 * h * d)), view(&self.k, cached), view(&self.v, cached)],
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

    /// The problem: all queries of `qkv`, all keys that there will then be.
    fn shape_with(&self, qkv: &Tensor) -> Result<Shape> {
        let error = |problem: &str| Error::new("attention", problem).shape(qkv.shape()).shape(self.k.shape());
        if (qkv.dtype(), self.k.dtype()) != (DType::F32, DType::Bf16) {
            same_dtype("attention", qkv, &self.k)?;
        }
        let [b, h, context, d] = *self.k.shape() else { unreachable!("made with four axes") };
        let [b_new, t, width] = *qkv.shape() else {
            return Err(error("qkv needs the axes [B, T, 3·H·D]"));
        };
        if b_new != b {
            return Err(error("batches differ").axis(0).hint(format!("{b_new} ≠ {b}")));
        }
        if width != 3 * h * d {
            return Err(error("the cache is of other heads").axis(2).hint(format!("{width} ≠ 3·{h}·{d}")));
        }
        let end = self.filled + t;
        if end > context {
            return Err(error("the cache is full")
                .axis(1)
                .hint(format!("it has room for {context} positions, not {end}")));
        }
        Ok(Shape { b, h, h_kv: h, tq: t, tk: end, d })
    }

    /// Writes the keys and values behind those that are there.
    fn push<E: Element, C: Element>(
        &mut self,
        qkv: &Tensor,
        Shape { h, tq: t, tk: end, d, .. }: Shape,
        write: impl Fn(&[E], &mut [C]),
    ) {
        let past = std::mem::replace(&mut self.filled, end);
        if qkv.is_empty() {
            return;
        }
        let context = self.k.shape()[2];
        for (part, cache) in [(1, &mut self.k), (2, &mut self.v)] {
            let cache = cache.data_mut::<C>();
            for (i, row) in qkv.data::<E>().chunks_exact(d).enumerate().filter(|(i, _)| i / h % 3 == part) {
                let (position, head) = (i / (3 * h), i % h);
                let at = (position / t * h + head) * context + past + position % t;
                write(row, &mut cache[at * d..][..d]);
            }
        }
    }
}

fn view<E: Element>(x: &Tensor, strides: Strides) -> View<'_, E> {
    View { data: x.data(), strides }
}

fn copy<E: Copy>(from: &[E], to: &mut [E]) {
    to.copy_from_slice(from);
}
