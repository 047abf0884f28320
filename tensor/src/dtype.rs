//! The types of elements.

use bytemuck::Pod;
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// The working type.
    F32,
    /// The type of the oracle: it runs on the naive kernels alone, so that gradients can be checked to 1e-6.
    F64,
    /// Indices: token ids, class labels, the result of `argmax`.
    U32,
}

impl DType {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F64 => 8,
        }
    }

    /// Whether it is a number that gradients flow through.
    pub fn is_float(self) -> bool {
        self != DType::U32
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::U32 => "u32",
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for u32 {}
}

/// A Rust type that tensors can hold: `f32`, `f64` and `u32`.
pub trait Element: sealed::Sealed + Pod + Send + Sync + fmt::Display + fmt::Debug + PartialOrd {
    /// Its name among the types.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}
impl Element for f64 {
    const DTYPE: DType = DType::F64;
}
impl Element for u32 {
    const DTYPE: DType = DType::U32;
}
