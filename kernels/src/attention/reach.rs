//! Which elements of a memory rows at strides reach, and whether any two of them share one.

use super::Strides;

/// One past the last element of `sizes` rows of `d` elements, if that can be counted.
fn end(sizes: [usize; 3], strides: [usize; 3], d: usize) -> Option<usize> {
    if sizes.contains(&0) || d == 0 {
        return Some(0);
    }
    sizes.iter().zip(strides).try_fold(d, |end, (size, stride)| (size - 1).checked_mul(stride)?.checked_add(end))
}

/// Refuses memory that is too short for rows of `sizes` × `d`.
pub(super) fn assert_holds(name: &str, len: usize, sizes: [usize; 3], strides: Strides, d: usize) {
    let end = end(sizes, [strides.b, strides.h, strides.t], d);
    let [b, h, t] = sizes;
    assert!(
        end.is_some_and(|end| end <= len),
        "attention: {name} is too short: {len} elements for [{b},{h},{t},{d}] with {strides:?}"
    );
}

/// Whether each stride steps over all that the smaller ones reach.
pub(super) fn nested(sizes: [usize; 3], strides: [usize; 3], d: usize) -> bool {
    if d == 0 || sizes.contains(&0) {
        return true;
    }
    let mut axes = [0, 1, 2].map(|i| (strides[i], sizes[i]));
    axes.sort_unstable();
    let mut reach = d;
    axes.iter().filter(|(_, size)| *size > 1).all(|&(stride, size)| {
        let apart = stride >= reach;
        reach += (size - 1) * stride; // does not overflow: `assert_holds` has added the same numbers
        apart
    })
}
