//! Slices of one memory or another. A struct of arguments, such as [`crate::norm::InputOf`], is generic over its kind of slice: on the
//! CPU it holds slices of Rust ([`crate::norm::Input`]), on a device those of the device.

/// Something with a number of elements, which a contract checks.
pub trait Elements {
    /// How many elements there are.
    fn count(&self) -> usize;
}

impl<E> Elements for &[E] {
    fn count(&self) -> usize {
        self.len()
    }
}

impl<E> Elements for &mut [E] {
    fn count(&self) -> usize {
        self.len()
    }
}
