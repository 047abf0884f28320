//! The memory of the cases: it starts on a cache line, as that of the product's tensors and of PyTorch's does. A large
//! `Vec` starts 16 bytes after a page does, and every load of a 64-byte vector then straddles two lines.

use aligned_vec::{AVec, ConstAlign};
use gradus_kernels::Float;

/// A cache line, in bytes.
const LINE: usize = 64;

/// Elements, the first of them at the beginning of a cache line.
pub(super) type Buffer<E = f32> = AVec<E, ConstAlign<LINE>>;

/// `len` zeros.
pub(super) fn zeros<E: Float>(len: usize) -> Buffer<E> {
    aligned(std::iter::repeat_n(E::zero(), len))
}

/// These elements.
pub(super) fn aligned<E>(elements: impl IntoIterator<Item = E>) -> Buffer<E> {
    AVec::from_iter(LINE, elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    fn starts_on_a_line<E: Clone>(buffer: &Buffer<E>) -> bool {
        [buffer, &buffer.clone()].iter().all(|buffer| buffer.as_ptr().addr() % LINE == 0)
    }

    #[test]
    fn a_buffer_starts_on_a_cache_line() {
        for len in [0, 1, 2, 7, 16, 33, 1000, 4096, 100_003, 1 << 20] {
            let zeros = zeros::<f32>(len);
            let numbers = aligned((0..len).map(|i| i as f64));
            let words = aligned(vec![bf16::ONE; len]);
            assert_eq!([zeros.len(), numbers.len(), words.len()], [len; 3]);
            assert!(zeros.iter().all(|&x| x == 0.0) && numbers.iter().enumerate().all(|(i, &x)| x == i as f64));
            assert!(starts_on_a_line(&zeros) && starts_on_a_line(&numbers) && starts_on_a_line(&words), "{len}");
        }
    }
}
