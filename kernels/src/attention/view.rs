//! The operands of attention: rows of D contiguous elements, found by strides, in one buffer or in several.
//!
//! A model keeps q, k and v in one \[B,T,3,H,D\] buffer, as one matrix product writes them. Reading them through
//! strides costs nothing. Copying them into separate tensors would cost as much traffic as attention itself.

use super::reach::{assert_holds, nested};
use super::{MaskOf, Options, OptionsOf, Shape, Strides};
use crate::{
    Float,
    memory::Elements,
    prefetch::{prefetch, prefetch_write},
    rows::is_far,
};
use std::{marker::PhantomData, ops::Range};

/// A tensor \[B,H,T,D\] that is read.
#[derive(Clone, Copy, Debug)]
pub struct ViewOf<S> {
    /// The memory, from the first element of the tensor on.
    pub data: S,
    /// Where its rows lie.
    pub strides: Strides,
}

/// The same in the memory of the CPU.
pub type View<'a, E = f32> = ViewOf<&'a [E]>;

impl<'a, E> View<'a, E> {
    /// The D elements of row (b, h, t).
    #[inline(always)]
    pub fn row(&self, b: usize, h: usize, t: usize, d: usize) -> &'a [E] {
        if d == 0 {
            return &[]; // the memory of no elements need not hold the offset
        }
        &self.data[b * self.strides.b + h * self.strides.h + t * self.strides.t..][..d]
    }
}

/// Rows of one head of a tensor, which are the rows of a matrix.
#[derive(Clone, Copy)]
pub(super) struct HeadRows<'a> {
    data: &'a [f32],
    /// Where the first row begins.
    first: usize,
    stride: usize,
    pub(super) count: usize,
    pub(super) d: usize,
}

impl<'a> HeadRows<'a> {
    /// `count` rows of `d` elements, `stride` apart.
    pub(super) fn new(data: &'a [f32], stride: usize, count: usize, d: usize) -> Self {
        HeadRows { data, first: 0, stride, count, d }
    }

    /// The elements of row r.
    #[inline(always)]
    pub(super) fn row(&self, r: usize) -> &'a [f32] {
        if self.d == 0 {
            return &[]; // the memory of no elements need not hold the offset
        }
        &self.data[self.first + r * self.stride..][..self.d]
    }

    /// The memory from the first to the last element, and the distance of its rows.
    #[inline(always)]
    pub(super) fn memory(&self) -> (&'a [f32], usize) {
        (&self.data[self.first..][..(self.count - 1) * self.stride + self.d], self.stride)
    }
}

impl<'a> View<'a> {
    /// The rows `t` of (b, h), which have D elements.
    #[inline(always)]
    pub(super) fn rows(&self, [b, h, d]: [usize; 3], t: Range<usize>) -> HeadRows<'a> {
        let Strides { b: b_step, h: h_step, t: stride } = self.strides;
        let first = if d == 0 || t.is_empty() { 0 } else { b * b_step + h * h_step + t.start * stride };
        HeadRows { data: self.data, first, stride, count: t.len(), d }
    }
}

impl View<'_> {
    /// Prefetches rows of (b, h); nothing happens where there are none.
    #[inline(always)]
    pub(super) fn prefetch(&self, [b, h, d]: [usize; 3], rows: Range<usize>) {
        let Strides { b: b_step, h: h_step, .. } = self.strides;
        let head = self.data.as_ptr().wrapping_add(b.wrapping_mul(b_step)).wrapping_add(h.wrapping_mul(h_step));
        prefetch_rows::<false>(head, rows, self.strides.t, d);
    }
}

/// Prefetches rows of d elements, `stride` apart, for reading or writing.
#[inline(always)]
fn prefetch_rows<const WRITE: bool>(row_0: *const f32, rows: Range<usize>, stride: usize, d: usize) {
    for t in rows {
        for x in (0..d).step_by(16) {
            let line = row_0.wrapping_add(t.wrapping_mul(stride)).wrapping_add(x);
            if WRITE { prefetch_write(line) } else { prefetch(line) }
        }
    }
}

/// What forward and backward read; keys and values may be stored in a type of their own.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, E = f32, C = E> {
    /// The sizes.
    pub(super) shape: Shape,
    /// Scale, masks and dropout.
    pub(super) options: Options<'a>,
    /// The queries \[B,H,Tq,D\].
    pub(super) q: View<'a, E>,
    /// The keys \[B,Hkv,Tk,D\].
    pub(super) k: View<'a, C>,
    /// The values \[B,Hkv,Tk,D\].
    pub(super) v: View<'a, C>,
}

/// What only the backward pass reads: the results of the forward pass, and the gradient that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a, E = f32> {
    /// The output of the forward pass \[B,H,Tq,D\].
    pub(super) o: View<'a, E>,
    /// log Σ exp of each row of scores \[B,H,Tq\].
    pub(super) lse: &'a [E],
    /// The gradient of the output \[B,H,Tq,D\].
    pub(super) d_o: View<'a, E>,
}

impl<'a, E, C> Inputs<'a, E, C> {
    /// The inputs, once every access to them is known to stay inside.
    ///
    /// # Panics
    /// Where a slice is too short for its shape and strides, Hkv does not divide H, or p is not in \[0, 1).
    pub fn new(shape: Shape, options: Options<'a>, q: View<'a, E>, k: View<'a, C>, v: View<'a, C>) -> Self {
        expect_inputs(
            shape,
            &options,
            [(q.data.len(), q.strides), (k.data.len(), k.strides), (v.data.len(), v.strides)],
        );
        Inputs { shape, options, q, k, v }
    }

    /// The keys that the causal rule and the window let query i see; the mask may take some of them away.
    #[inline(always)]
    pub(super) fn keys(&self, i: usize) -> Range<usize> {
        let Shape { tq, tk, .. } = self.shape;
        let next = (tk + i + 1).saturating_sub(tq); // one past the query's own position; tq > tk: before all keys
        let end = if self.options.causal { next.min(tk) } else { tk };
        // Positions before the first key have to count too: position + 1 − window, with the borrow kept.
        let start = self.options.window.map_or(0, |w| (tk + i + 1).saturating_sub(w.saturating_add(tq))).min(tk);
        start..end.max(start)
    }

    /// The queries that the causal rule and the window let see any of these keys.
    #[inline(always)]
    pub(super) fn queries(&self, keys: Range<usize>) -> Range<usize> {
        let Shape { tq, tk, .. } = self.shape;
        if self.options.causal && self.options.window == Some(0) {
            return 0..0; // not even the own position: between the two bounds below there is no query that sees a key
        }
        let start = if self.options.causal { (keys.start + tq).saturating_sub(tk).min(tq) } else { 0 };
        let window_end = |w: usize| (keys.end - 1).saturating_add(tq).saturating_add(w).saturating_sub(tk);
        let end = self.options.window.map_or(tq, |w| window_end(w).min(tq));
        start..end.max(start)
    }

    /// The mask of row (b, h, i), Tk long.
    #[inline(always)]
    pub(super) fn mask_row(&self, b: usize, h: usize, i: usize) -> Option<&'a [f32]> {
        let mask = self.options.mask.filter(|_| self.shape.tk > 0)?;
        Some(&mask.keep[b * mask.strides[0] + h * mask.strides[1] + i * mask.strides[2]..][..self.shape.tk])
    }

    /// The index of row (b, h, i) in a contiguous \[B,H,Tq\] tensor.
    #[inline(always)]
    pub(super) fn row_index(&self, b: usize, h: usize, i: usize) -> usize {
        (b * self.shape.h + h) * self.shape.tq + i
    }

    /// The dropout group (64 elements) that row (b, h, i) starts with: every row starts on a group.
    #[inline(always)]
    pub(super) fn first_group(&self, b: usize, h: usize, i: usize) -> u64 {
        self.row_index(b, h, i) as u64 * self.shape.tk.div_ceil(64) as u64
    }

    /// The dropout factor of the probability of (i, j): 1 without dropout, else 0 or 1 / (1 − p).
    pub(super) fn keep_factor(&self, b: usize, h: usize, i: usize, j: usize) -> f32 {
        let kept = |d: crate::philox::Dropout| d.keeps(self.first_group(b, h, i) * 64 + j as u64);
        self.options.dropout.map_or(1.0, |d| if kept(d) { d.scale() } else { 0.0 })
    }

    /// The key head that query head h reads.
    #[inline(always)]
    pub(super) fn kv_head(&self, h: usize) -> usize {
        h / (self.shape.h / self.shape.h_kv)
    }

    /// The query heads that read key head `kv`.
    #[inline(always)]
    pub(super) fn query_heads(&self, kv: usize) -> Range<usize> {
        let group = self.shape.h / self.shape.h_kv;
        kv * group..(kv + 1) * group
    }
}

impl<'a, E: Float> Saved<'a, E> {
    /// The results of the forward pass, checked like [`Inputs::new`].
    pub fn new(shape: Shape, o: View<'a, E>, lse: &'a [E], d_o: View<'a, E>) -> Self {
        expect_saved(shape, (o.data.len(), o.strides), lse.len(), (d_o.data.len(), d_o.strides));
        Saved { o, lse, d_o }
    }
}

/// Refuses what [`Inputs::new`] does: of q, k and v the elements of the memory, and where the rows lie.
pub(super) fn expect_inputs(shape: Shape, options: &OptionsOf<impl Elements>, [q, k, v]: [(usize, Strides); 3]) {
    let Shape { b, h, h_kv, tq, tk, d } = shape;
    assert!(h == 0 || h_kv != 0 && h.is_multiple_of(h_kv), "attention: {h} heads share {h_kv} key heads");
    assert_holds("q", q.0, [b, h, tq], q.1, d);
    for (name, (len, strides)) in [("k", k), ("v", v)] {
        assert_holds(name, len, [b, h_kv, tk], strides, d);
    }
    if let Some(MaskOf { keep, strides: [b_stride, h_stride, t] }) = &options.mask {
        assert_holds("mask", keep.count(), [b, h, tq], Strides { b: *b_stride, h: *h_stride, t: *t }, tk);
    }
    if let Some(dropout) = options.dropout {
        assert!((0.0..1.0).contains(&dropout.p), "attention: dropout probability {}", dropout.p);
    }
}

/// Refuses what [`Saved::new`] does.
pub(super) fn expect_saved(shape: Shape, o: (usize, Strides), lse: usize, d_o: (usize, Strides)) {
    let rows = [shape.b, shape.h, shape.tq];
    assert_holds("o", o.0, rows, o.1, shape.d);
    assert_holds("d_o", d_o.0, rows, d_o.1, shape.d);
    assert_lse(shape, lse);
}

/// Refuses what [`Output::new`] does.
pub(super) fn expect_output(name: &str, len: usize, sizes: [usize; 3], strides: Strides, d: usize) {
    assert_holds(name, len, sizes, strides, d);
    let steps = [strides.b, strides.h, strides.t];
    assert!(nested(sizes, steps, d), "attention: rows of {name} overlap: {sizes:?} × {d} with {steps:?}");
}

pub(super) fn assert_lse(shape: Shape, len: usize) {
    let rows = shape.b.checked_mul(shape.h).and_then(|n| n.checked_mul(shape.tq));
    assert_eq!(Some(len), rows, "attention: lse must be [B,H,Tq]");
}

/// A tensor \[B,H,T,D\] that is written: rows that do not overlap.
#[derive(Debug)]
pub struct Output<'a, E = f32> {
    data: *mut E,
    sizes: [usize; 3],
    strides: [usize; 3],
    d: usize,
    memory: PhantomData<&'a mut [E]>,
}

// SAFETY: it stands for an exclusive borrow of its rows, which may go to another thread.
unsafe impl<E: Send> Send for Output<'_, E> {}
// SAFETY: through a shared reference, rows are reached by the unsafe `row_shared` alone.
unsafe impl<E: Send> Sync for Output<'_, E> {}

impl<'a, E> Output<'a, E> {
    /// The rows of \[B,H,T,D\] = `sizes` × `d` in `data`.
    ///
    /// # Panics
    /// Where `data` is too short, or where the strides do not nest, so that two rows might share an element.
    pub fn new(name: &str, data: &'a mut [E], sizes: [usize; 3], strides: Strides, d: usize) -> Self {
        expect_output(name, data.len(), sizes, strides, d);
        let strides = [strides.b, strides.h, strides.t];
        Output { data: data.as_mut_ptr(), sizes, strides, d, memory: PhantomData }
    }

    /// The three parts of a contiguous \[B,T,3,H,D\] buffer.
    ///
    /// # Panics
    /// Where `data` has another length.
    pub fn packed(data: &'a mut [E], [b, h, t]: [usize; 3], d: usize) -> [Self; 3] {
        super::assert_packed(data.len(), [b, h, t], d);
        let c = h * d;
        let data = data.as_mut_ptr();
        // Part p lies at p·C of every 3·C elements: inside, and apart from the other two.
        [0, 1, 2].map(|part| Output {
            data: data.wrapping_add(part * c),
            sizes: [b, h, t],
            strides: [t * 3 * c, d, 3 * c],
            d,
            memory: PhantomData,
        })
    }

    /// Row (b, h, t).
    pub fn row(&mut self, b: usize, h: usize, t: usize) -> &mut [E] {
        // SAFETY: `&mut self` is the only way in while the row lives.
        unsafe { self.row_shared(b, h, t) }
    }

    /// Row (b, h, t), for tasks that share the tensor.
    ///
    /// # Safety
    /// No other reference to this row is alive.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // that is what it is for: the caller answers for it
    pub unsafe fn row_shared(&self, b: usize, h: usize, t: usize) -> &mut [E] {
        assert!(b < self.sizes[0] && h < self.sizes[1] && t < self.sizes[2], "a row outside of the output");
        if self.d == 0 {
            return &mut [];
        }
        let offset = b * self.strides[0] + h * self.strides[1] + t * self.strides[2];
        // SAFETY: the constructor has shown that all rows lie in the borrowed memory and do not overlap; the caller
        // has no other reference to this one.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(offset), self.d) }
    }
}

/// Some rows of one head of an [`Output`], which belong to one task.
pub(super) struct Part<'a> {
    /// Row 0 of the head.
    data: *mut f32,
    rows: Range<usize>,
    stride: usize,
    d: usize,
    far: bool,
    memory: PhantomData<&'a mut [f32]>,
}

/// What gives the rows of a head.
pub(super) type PartOf<'a> = dyn Fn(usize) -> Part<'a> + 'a;

impl Output<'_> {
    /// The rows (b, h, t) for all t in `rows`.
    ///
    /// # Safety
    /// No other reference to these rows is alive while the part is.
    pub(super) unsafe fn part(&self, b: usize, h: usize, rows: Range<usize>) -> Part<'_> {
        assert!(b < self.sizes[0] && h < self.sizes[1] && rows.end <= self.sizes[2], "rows outside of the output");
        let offset = if self.d == 0 || rows.is_empty() { 0 } else { b * self.strides[0] + h * self.strides[1] };
        let data = self.data.wrapping_add(offset);
        let far = is_far(self.sizes.iter().product::<usize>() * self.d);
        Part { data, rows, stride: self.strides[2], d: self.d, far, memory: PhantomData }
    }
}

impl Part<'_> {
    /// D.
    #[inline(always)]
    pub(super) fn width(&self) -> usize {
        self.d
    }

    /// Whether the whole output is too large to wait in a cache for its reader: then it is written past the caches,
    /// which at 64×6×256×64 saves 3% of the forward and 3.5% of the backward pass.
    #[inline(always)]
    pub(super) fn is_far(&self) -> bool {
        self.far
    }

    /// Prefetches rows for writing; nothing happens where there are none.
    #[inline(always)]
    pub(super) fn prefetch(&self, rows: Range<usize>) {
        prefetch_rows::<true>(self.data, rows, self.stride, self.d);
    }

    /// Row t.
    #[inline(always)]
    pub(super) fn row(&mut self, t: usize) -> &mut [f32] {
        assert!(self.rows.contains(&t), "a row of another task");
        if self.d == 0 {
            return &mut [];
        }
        // SAFETY: the constructor of the output has shown that the rows lie in its memory and do not overlap; these
        // belong to this part, and `&mut self` is the only way to them.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(t * self.stride), self.d) }
    }
}
