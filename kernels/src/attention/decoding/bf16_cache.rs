//! Decoding with keys and values that are stored in bf16: half the cache, and half the bytes that a token reads.
//!
//! O = softmax(scale · Q·Kᵀ)·V with Q in `f32` and K and V as they are stored: only rounding them loses anything, once, when
//! they are written. A pair of neighbours becomes an even and an odd number by a shift and a mask, in registers, so
//! arithmetic and sums are those of the rung for `f32` (`mod.rs`); q is split the same way, and O put together at the end.
//!
//! Two more instructions for 64 bytes are free only where reading these bytes takes the time. Rows that lie in no cache are
//! prefetched 2 KiB ahead: 1×12×1024×64 takes 305 µs on one thread of a Granite Rapids, 531 in `f32`.

use crate::attention::{
    Inputs, Options, Output, Shape, Strides, View,
    decoding::{self, Rows, attend, load},
    ladder::naive,
    view,
};
use crate::{
    Bf16Isa, Float, Rung, bf16_fn, scratch,
    simd::{
        Simd,
        bf16::{Bf16, F32, load_stored},
    },
};
use half::bf16;

/// A rung: inputs to O and lse, as [`crate::attention::Forward`].
pub type Forward = for<'a> fn(Bf16Isa, &Inputs<'a, f32, bf16>, Output<'_>, &mut [f32]);

/// The ladder of decoding from a cache in bf16: shapes with one query.
pub const DECODE_RUNGS: &[Rung<Forward>] = &[
    Rung {
        name: "naive",
        idea: "the definition, after all keys and values were written to memory as f32",
        run: |_, inputs, o, lse| naive_forward(inputs, o, lse),
        simd: false,
    },
    Rung { name: "widened", idea: "written to memory as f32 too, then the top rung for f32", run: widened, simd: true },
    Rung {
        name: "decode",
        idea: "pairs taken apart in registers, the cache as it lies",
        run: forward_serial,
        simd: true,
    },
    Rung {
        name: "decode_threads",
        idea: "a task for each few heads, where the cache is long",
        run: forward_threads,
        simd: true,
    },
];

/// [`crate::attention::forward`] with keys and values stored in bf16, by the best rung. With more queries than one (a prompt) they are
/// widened into scratch memory first.
///
/// ```
/// use gradus_kernels::attention::{Options, Shape, Strides, View, bf16_cache};
/// use gradus_kernels::simd::bf16::round;
/// let shape = Shape { b: 1, h: 1, h_kv: 1, tq: 1, tk: 2, d: 1 };
/// let options = Options { scale: 1.0, causal: true, window: None, mask: None, dropout: None };
/// let strides = Strides { b: 2, h: 2, t: 1 };
/// let (k, v) = ([0.0, 0.0].map(round), [1.0, 3.0].map(round)); // both keys are alike: the mean of the values
/// let kv = [View { data: &k[..], strides }, View { data: &v, strides }];
/// let (mut o, mut lse) = ([0.0], [0.0]);
/// bf16_cache::forward(shape, &options, View { data: &[1.0], strides }, kv, (&mut o, strides), &mut lse);
/// assert_eq!((o, lse), ([2.0], [2.0_f32.ln()]));
/// ```
///
/// # Panics
/// Like [`crate::attention::forward`].
pub fn forward(
    shape: Shape,
    options: &Options<'_>,
    q: View<'_>,
    [k, v]: [View<'_, bf16>; 2],
    o: (&mut [f32], Strides),
    lse: &mut [f32],
) {
    let inputs = Inputs::new(shape, *options, q, k, v);
    view::assert_lse(shape, lse.len());
    let o = Output::new("o", o.0, [shape.b, shape.h, shape.tq], o.1, shape.d);
    if shape.tq == 1 {
        return forward_threads(Bf16Isa::active(), &inputs, o, lse);
    }
    with_widened(Bf16Isa::active(), &inputs, |inputs| crate::attention::best_forward(inputs, o, lse));
}

/// The definition, and in `f64` the oracle.
pub fn naive_forward<E: Float>(inputs: &Inputs<'_, f32, bf16>, o: Output<'_, E>, lse: &mut [E]) {
    let wide = |x: &[bf16]| -> Vec<E> { x.iter().map(|x| E::from(x.to_f32()).expect("a number")).collect() };
    let q: Vec<E> = inputs.q.data.iter().map(|&x| E::from(x).expect("a number")).collect();
    let [k, v] = [inputs.k, inputs.v].map(|x| (wide(x.data), x.strides));
    let [q, k, v] =
        [(&q, inputs.q.strides), (&k.0, k.1), (&v.0, v.1)].map(|(data, strides)| View { data: &data[..], strides });
    naive::forward_view(&Inputs::new(inputs.shape, inputs.options, q, k, v), o, lse);
}

fn widened(isa: Bf16Isa, inputs: &Inputs<'_, f32, bf16>, o: Output<'_>, lse: &mut [f32]) {
    with_widened(isa, inputs, |inputs| decoding::forward_threads(isa.isa(), inputs, o, lse));
}

/// Calls `work` with the keys and values in `f32`, the rows of a head one after the other.
fn with_widened(isa: Bf16Isa, inputs: &Inputs<'_, f32, bf16>, work: impl FnOnce(&Inputs<'_>)) {
    let Shape { b, h_kv, tk, d, .. } = inputs.shape;
    let len = b * h_kv * tk * d;
    scratch::with(2 * len, |buffer: &mut [f32]| {
        let (k, v) = buffer.split_at_mut(len);
        widen(isa, inputs.shape, inputs.k, k);
        widen(isa, inputs.shape, inputs.v, v);
        let strides = Strides { b: h_kv * tk * d, h: tk * d, t: d };
        let [k, v] = [&*k, &*v].map(|data| View { data, strides });
        work(&Inputs::new(inputs.shape, inputs.options, inputs.q, k, v));
    });
}

bf16_fn! {
    /// y \[B,Hkv,Tk,D\] ← x.
    fn widen<B>(b: B, shape: Shape, x: View<'_, bf16>, y: &mut [f32]) {
        let Shape { h_kv, tk, d, .. } = shape;
        if y.is_empty() {
            return;
        }
        for (head, y) in y.chunks_exact_mut(tk * d).enumerate() {
            for (t, y) in y.chunks_exact_mut(d).enumerate() {
                let (x, rows) = (x.row(head / h_kv, head % h_kv, t, d), Stored(b));
                for at in (0..d).step_by(2 * B::S::N) {
                    rows.store_f32(&mut y[at..], rows.load_rest(&x[at..]));
                }
            }
        }
    }
}

fn forward_serial(isa: Bf16Isa, inputs: &Inputs<'_, f32, bf16>, o: Output<'_>, lse: &mut [f32]) {
    decoding::serial(inputs, o, lse, |head, scores, o| one(isa, inputs, head, scores, o));
}

fn forward_threads(isa: Bf16Isa, inputs: &Inputs<'_, f32, bf16>, o: Output<'_>, lse: &mut [f32]) {
    decoding::parallel(inputs, o, lse, |head, scores, o| one(isa, inputs, head, scores, o));
}

bf16_fn! {
    fn one<B>(b: B, inputs: &Inputs<'_, f32, bf16>, head: [usize; 2], scores: &mut [f32], o: &mut [f32]) -> f32 {
        attend(Stored(b), inputs, head, scores, o)
    }
}

/// Rows of bf16: a vector of the even numbers, and one of the odd ones.
#[derive(Clone, Copy)]
struct Stored<B>(B);

impl<B: Bf16> Rows for Stored<B> {
    type S = B::S;
    type Element = bf16;
    const VECTORS: usize = 2;

    #[inline(always)]
    fn simd(self) -> B::S {
        self.0.simd()
    }
    #[inline(always)]
    fn load(self, row: &[bf16]) -> [F32<B>; 2] {
        let pairs = load_stored(self.0, row, 2 * B::S::N);
        [self.0.even(pairs), self.0.odd(pairs)]
    }
    #[inline(always)]
    fn load_rest(self, row: &[bf16]) -> [F32<B>; 2] {
        let pairs = load_stored(self.0, row, row.len());
        [self.0.even(pairs), self.0.odd(pairs)]
    }
    #[inline(always)]
    fn load_f32(self, row: &[f32]) -> [F32<B>; 2] {
        let s = self.simd();
        let (first, second) = row.split_at(row.len().min(B::S::N));
        let (even, odd) = self.0.unzip([load(s, first), load(s, second)]);
        [even, odd]
    }
    #[inline(always)]
    fn store_f32(self, row: &mut [f32], [even, odd]: [F32<B>; 2]) {
        let s = self.simd();
        let (first, second) = row.split_at_mut(row.len().min(B::S::N));
        let [low, high] = self.0.zip(even, odd);
        s.store_partial(first, low);
        s.store_partial(second, high);
    }
}
