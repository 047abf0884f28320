//! Working memory of a kernel: a stack of buffers for each thread, kept between calls.
//!
//! After the first calls there is a buffer of every size that a program uses, and a kernel allocates nothing.

use bytemuck::{Pod, Zeroable};
use std::cell::RefCell;

/// A cache line; a `Vec` of them starts on one, so that no vector load straddles two.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` elements of scratch memory, aligned to 64 bytes, of this thread.
///
/// They hold what earlier calls left: write before you read. Calls may be nested.
///
/// ```
/// let sum = gradus_kernels::scratch::with(3, |buffer: &mut [f32]| {
///     buffer.fill(2.0);
///     buffer.iter().sum::<f32>()
/// });
/// assert_eq!(sum, 6.0);
/// ```
pub fn with<E: Pod, R>(len: usize, work: impl FnOnce(&mut [E]) -> R) -> R {
    let lines = (len * size_of::<E>()).div_ceil(size_of::<Line>());
    let mut buffer = take(lines);
    let result = work(&mut bytemuck::cast_slice_mut(&mut buffer)[..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// The smallest free buffer that is large enough, or the largest one grown, or a new one.
fn take(lines: usize) -> Vec<Line> {
    let found = FREE.with_borrow_mut(|free| {
        let fits = (0..free.len()).filter(|&i| free[i].len() >= lines).min_by_key(|&i| free[i].len());
        let best = fits.or_else(|| (0..free.len()).max_by_key(|&i| free[i].len()));
        best.map(|i| free.swap_remove(i))
    });
    match found {
        Some(buffer) if buffer.len() >= lines => buffer,
        found => {
            drop(found); // before the new one is allocated, because both at once would raise the peak
            bytemuck::allocation::zeroed_vec(lines)
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn buffers_are_aligned_nested_and_used_again() {
        let first = super::with(100, |a: &mut [f32]| {
            super::with(7, |b: &mut [f64]| {
                assert_eq!((a.len(), b.len()), (100, 7));
                assert_eq!(b.as_ptr().addr() % 64, 0);
            });
            assert_eq!(a.as_ptr().addr() % 64, 0);
            a.as_ptr().addr()
        });
        assert_eq!(super::with(90, |a: &mut [f32]| a.as_ptr().addr()), first);
        assert!(super::with(0, |a: &mut [f32]| a.is_empty()));
    }
}
