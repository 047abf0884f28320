//! The types of elements.

use gradus_kernels::cast::Number;
use half::bf16;
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// The working type.
    F32,
    /// The type of the oracle: it runs on the naive kernels alone, so that gradients can be checked to 1e-6.
    F64,
    /// Half the bytes, 8 significant bits: for weights that are only read, by the matrix product and the embedding.
    Bf16,
    /// Indices: token ids, class labels, the result of `argmax`.
    U32,
}

impl DType {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            DType::Bf16 => 2,
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
            DType::Bf16 => "bf16",
            DType::U32 => "u32",
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for half::bf16 {}
    impl Sealed for u32 {}
}

/// A Rust type that tensors can hold: `f32`, `f64`, `bf16` of the crate `half`, and `u32`.
pub trait Element: sealed::Sealed + Number + fmt::Display + fmt::Debug + PartialOrd {
    /// Its name among the types.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}
impl Element for f64 {
    const DTYPE: DType = DType::F64;
}
impl Element for bf16 {
    const DTYPE: DType = DType::Bf16;
}
impl Element for u32 {
    const DTYPE: DType = DType::U32;
}

/// What matrix products and attention round their operands to; sums, and all else, keep the type of the tensors.
///
/// The operands stay `f32` in memory and are rounded on the way into the kernel. Tensors of other types than `f32`
/// ignore it, so a check in `f64` is exact at any precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// To bf16: half the bytes in caches and, where the processor has the instruction, twice the speed.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        })
    }
}
