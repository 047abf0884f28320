//! The operands of the rungs, checked once when they are made, and how kernels take them.

use crate::attention::{OptionsOf, Shape, Strides, ViewOf, view};
use crate::cuda::{Buffer, Error, Gpu, Result, Slice, SliceMut, narrow};

/// A tensor \[B,H,T,D\] in a device's memory.
pub type View<'a, E = f32> = ViewOf<Slice<'a, E>>;

/// Scale of the scores, masks and dropout.
pub type Options<'a> = OptionsOf<Slice<'a, f32>>;

/// What forward and backward read; keys and values may be stored in a type of their own.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, C = f32> {
    pub(super) shape: Shape,
    pub(super) options: Options<'a>,
    pub(super) q: View<'a>,
    pub(super) k: View<'a, C>,
    pub(super) v: View<'a, C>,
}

impl<'a, C> Inputs<'a, C> {
    /// The inputs, once every access to them is known to stay inside.
    ///
    /// # Panics
    /// As [`crate::attention::Inputs::new`].
    pub fn new(shape: Shape, options: Options<'a>, q: View<'a>, k: View<'a, C>, v: View<'a, C>) -> Self {
        view::expect_inputs(
            shape,
            &options,
            [(q.data.len(), q.strides), (k.data.len(), k.strides), (v.data.len(), v.strides)],
        );
        Inputs { shape, options, q, k, v }
    }
}

/// What only the backward pass reads.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    pub(super) o: View<'a>,
    pub(super) lse: Slice<'a, f32>,
    pub(super) d_o: View<'a>,
}

impl<'a> Saved<'a> {
    /// The results of the forward pass and the gradient of O.
    ///
    /// # Panics
    /// As [`crate::attention::Saved::new`].
    pub fn new(shape: Shape, o: View<'a>, lse: Slice<'a, f32>, d_o: View<'a>) -> Self {
        view::expect_saved(shape, (o.data.len(), o.strides), lse.len(), (d_o.data.len(), d_o.strides));
        Saved { o, lse, d_o }
    }
}

/// A tensor \[B,H,T,D\] that is written. It stands for an exclusive borrow of its rows; several of them may lie in one buffer.
#[derive(Debug)]
pub struct Output<'a> {
    pub(super) data: Slice<'a, f32>,
    pub(super) strides: Strides,
}

impl<'a> Output<'a> {
    /// The rows of \[B,H,T,D\] = `sizes` × `d` in `data`.
    ///
    /// # Panics
    /// As [`crate::attention::Output::new`].
    pub fn new(name: &str, data: &'a mut SliceMut<'_, f32>, sizes: [usize; 3], strides: Strides, d: usize) -> Self {
        view::expect_output(name, data.len(), sizes, strides, d);
        Output { data: data.as_slice(), strides }
    }

    /// The three parts of a \[B,T,3,H,D\] buffer.
    ///
    /// # Panics
    /// Where `data` has another length, H ≠ Hkv or Tq ≠ Tk.
    pub fn packed(data: &'a mut SliceMut<'_, f32>, shape: Shape) -> [Self; 3] {
        packed(data.as_slice(), shape).map(|View { data, strides }| Output { data, strides })
    }
}

/// The three parts of a \[B,T,3,H,D\] buffer, which do not overlap.
pub(super) fn packed(data: Slice<'_, f32>, shape: Shape) -> [View<'_>; 3] {
    let strides = crate::attention::packed_strides(shape, data.len());
    let c = shape.h * shape.d;
    // The memory of no elements need not hold the offset.
    [0, c, 2 * c].map(|start| View { data: data.range(start.min(data.len())..data.len()), strides })
}

/// The struct `Problem` of attention.cuh.
#[derive(Clone, Copy)]
pub(super) struct Problem(pub(super) [u64; 11]);

/// Tiles may end so far past the last query or key.
const LARGEST_TILE: usize = 256;

/// What stands in the place of a window where there is none; a window of as many keys hides nothing.
const NO_WINDOW: u32 = u32::MAX;

impl Problem {
    /// The problem with sizes that the kernels can count.
    pub(super) fn new<C>(inputs: &Inputs<'_, C>) -> Result<Problem> {
        let (Shape { b, h, h_kv, tq, tk, d }, options) = (inputs.shape, &inputs.options);
        for (what, size) in [("the number of queries", tq), ("the number of keys", tk), ("the size of a head", d)] {
            narrow(what, size.saturating_add(LARGEST_TILE))?;
        }
        narrow("the number of heads", b.saturating_mul(h))?;
        narrow("the number of key heads", b.saturating_mul(h_kv))?;
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let window = options.window.map_or(NO_WINDOW, |w| u32::try_from(w).unwrap_or(NO_WINDOW));
        let (threshold, keep_scale, seed, stream) =
            options.dropout.map_or((0, 1.0, 0, 0), |x| (x.threshold(), x.scale(), x.seed, x.stream));
        let [mask_b, mask_h, mask_t] = options.mask.map_or([0; 3], |mask| mask.strides.map(|step| step as u64));
        let [b, h, h_kv, tq, tk, d] = [b, h, h_kv, tq, tk, d].map(|size| size as u32); // none is larger than what was counted
        Ok(Problem([
            pair(b, h),
            pair(h_kv, tq),
            pair(tk, d),
            pair(options.causal.into(), window),
            pair(options.scale.to_bits(), threshold),
            pair(keep_scale.to_bits(), options.mask.is_some().into()),
            seed,
            stream,
            mask_b,
            mask_h,
            mask_t,
        ]))
    }
}

/// The struct `Strides` of attention.cuh.
pub(super) fn steps(Strides { b, h, t }: Strides) -> [u64; 3] {
    [b, h, t].map(|step| step as u64)
}

/// A product of sizes; where it overflows, a number that is refused wherever it is used.
pub(super) fn product(sizes: &[usize]) -> usize {
    if sizes.contains(&0) { 0 } else { sizes.iter().fold(1, |n, &size| n.saturating_mul(size)) }
}

/// That many blocks.
pub(super) fn blocks(sizes: &[usize]) -> Result<u32> {
    narrow("the number of blocks", product(sizes))
}

/// Scratch memory for so many numbers.
pub(super) fn scratch<E>(gpu: &Gpu, sizes: &[usize]) -> Result<(Buffer, usize)> {
    let len = product(sizes);
    let Some(bytes) = len.checked_mul(size_of::<E>()) else {
        return Err(Error::TooLarge { what: "the scratch memory of attention", size: len });
    };
    Ok((Buffer::new(gpu, bytes)?, len))
}
