//! Casts on CUDA. As on the CPU there is no ladder: a thread an element, which memory bounds.

use super::Number;
use crate::cuda::{Gpu, Module, Result, Size, Slice, SliceMut, module};
use half::bf16;
use std::any::TypeId;

static ELEMENTS: Module = module!("cast", "elements");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&ELEMENTS];

/// The threads of a block.
const THREADS: u32 = 256;

/// The kernels, from the type of the row to that of the column, in the order of [`place`].
const KERNELS: [[&str; 4]; 4] = [
    ["cast_f32_f32", "cast_f32_f64", "cast_f32_bf16", "cast_f32_u32"],
    ["cast_f64_f32", "cast_f64_f64", "cast_f64_bf16", "cast_f64_u32"],
    ["cast_bf16_f32", "cast_bf16_f64", "cast_bf16_bf16", "cast_bf16_u32"],
    ["cast_u32_f32", "cast_u32_f64", "cast_u32_bf16", "cast_u32_u32"],
];

/// The place of a type in [`KERNELS`].
fn place<E: Number>() -> usize {
    let types = [TypeId::of::<f32>(), TypeId::of::<f64>(), TypeId::of::<bf16>(), TypeId::of::<u32>()];
    types.iter().position(|&id| id == TypeId::of::<E>()).expect("a type of the device: f32, f64, bf16 or u32")
}

/// yᵢ = xᵢ in another type; see [`super::cast()`].
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where the lengths differ, or a type is none of `f32`, `f64`, bf16 and `u32`.
pub fn cast<X: Number, Y: Number>(gpu: &Gpu, x: Slice<'_, X>, y: SliceMut<'_, Y>) -> Result<()> {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    let kernel = KERNELS[place::<X>()][place::<Y>()];
    // SAFETY: the kernel is the one of both types, x and y have as many elements as it is told, and threads past them do nothing.
    unsafe { gpu.launch(&ELEMENTS, kernel, Size::threads(x.len(), THREADS)?, (x.len() as u64, x, y)) }
}

/// yᵢ = value, rounded to the type of y; see [`super::fill`].
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where an element has other than 2, 4 or 8 bytes.
pub fn fill<Y: Number>(gpu: &Gpu, value: f64, y: SliceMut<'_, Y>) -> Result<()> {
    let (size, n) = (Size::threads(y.len(), THREADS)?, y.len() as u64);
    let number = Y::from_f64(value);
    let bits = bytemuck::bytes_of(&number).iter().rev().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
    // SAFETY: the kernel is the one for elements of as many bytes, y has as many elements as it is told, and threads past them do
    // nothing.
    unsafe {
        match size_of::<Y>() {
            2 => gpu.launch(&ELEMENTS, "cast_fill_2", size, (n, bits as u32, y)),
            4 => gpu.launch(&ELEMENTS, "cast_fill_4", size, (n, bits as u32, y)),
            8 => gpu.launch(&ELEMENTS, "cast_fill_8", size, (n, bits, y)),
            bytes => panic!("elements of {bytes} bytes cannot be filled"),
        }
    }
}
