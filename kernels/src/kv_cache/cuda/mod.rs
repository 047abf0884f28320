//! Writing to the cache of keys and values on CUDA; as on the CPU there is no ladder.

use super::Place;
use crate::cast::Number;
use crate::cuda::{Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};
use half::bf16;
use std::any::TypeId;

static PUSH: Module = module!("kv_cache", "push");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&PUSH];

/// The threads of a block.
const THREADS: u32 = 256;

/// Writes keys and values of the new positions behind those that are there; see [`super::push`]. Caches have the type of the projection,
/// or are of bf16 for `f32`.
///
/// # Errors
/// Where the launch fails, or a size is no number of 32 bits.
///
/// # Panics
/// Where there is no room for them, a length is not that of its shape, or there is no kernel for the two types.
pub fn push<X: Number, C: Number>(
    gpu: &Gpu,
    place: Place,
    qkv: Slice<'_, X>,
    k: SliceMut<'_, C>,
    v: SliceMut<'_, C>,
) -> Result<()> {
    place.check(qkv.len(), k.len(), v.len());
    let Place { b, t, h, h_kv, d, room, past } = place;
    let n = narrow("the number of keys and values", 2 * b * t * h_kv * d)?;
    if n == 0 {
        return Ok(());
    }
    let id = TypeId::of::<X>;
    let kernel = match (id(), TypeId::of::<C>()) {
        (x, c) if x == c && x == TypeId::of::<f32>() => "kv_cache_push_f32_f32",
        (x, c) if x == c && x == TypeId::of::<f64>() => "kv_cache_push_f64_f64",
        (x, c) if x == TypeId::of::<f32>() && c == TypeId::of::<bf16>() => "kv_cache_push_f32_bf16",
        _ => panic!("a cache of {} for {}", std::any::type_name::<C>(), std::any::type_name::<X>()),
    };
    // `struct Place` of the kernel.
    let mut sizes = [0; 6];
    for (to, size) in sizes.iter_mut().zip([t, h, h_kv, d, room, past]) {
        *to = narrow("a size of the cache", size)?;
    }
    // SAFETY: qkv and both caches have the lengths of their shapes, there is room for the new positions, and threads past the last
    // element return. The kernel is the one of both types.
    unsafe { gpu.launch(&PUSH, kernel, Size::threads(n as usize, THREADS)?, (sizes, n, qkv, k, v)) }
}
