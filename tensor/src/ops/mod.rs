//! The operations, a file for each family: shapes are checked here, numbers are made in `gradus_kernels`.
//!
//! Every operation runs the best rung of its ladder for `f32` and the naive rung, the oracle, for `f64`.
//! What only the backward pass needs are functions beside the methods: `softmax::backward(&y, &dy)`.

pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod embedding;
pub mod kv_cache;
pub mod matmul;
pub mod norm;
pub mod optimizer;
pub mod reduce;
pub mod rope;
pub mod shape;
pub mod softmax;

use crate::{DType, Device, Error, Result, Tensor};

/// Calls a kernel on the device and for the type of the tensor `$x`. The arguments are written once and take their type from
/// the function: slices of Rust on the host, slices of the device there. All kernels are called from here, and their arguments are
/// taken from tensors here alone. A kernel that a device lacks does not compile, unless the call says `cpu`.
///
/// - `run!("op", x, module::f(..))`: `gradus_kernels::module::f` for `f32`, its oracle `module::naive::f` for `f64`; on CUDA
///   `gradus_kernels::cuda::module::f`, for `f32`. The name of the operation may be a variable.
/// - `run!("op", x, precision, module::f(..))`: the same, with `module::bf16::f` for `f32` whose operands are rounded.
/// - `run!(f32 x, module::f(..))`: a kernel that has no other type; the caller has looked at the type.
/// - `run!(any x, module::f(..))`: a kernel that is generic over all element types.
/// - `run!(cpu x, module::f(..))`: a kernel that only the CPU has.
macro_rules! run {
    ($op:tt, $x:expr, $precision:expr, $module:ident :: $function:ident ( $($arg:expr),* $(,)? )) => {
        match ($x.dtype(), $precision) {
            ($crate::DType::F32, $crate::Precision::Bf16) => $crate::ops::run!(f32 $x, $module::bf16::$function($($arg),*)),
            _ => $crate::ops::run!($op, $x, $module::$function($($arg),*)),
        }
    };
    ($op:tt, $x:expr, $module:ident :: $function:ident ( $($arg:expr),* $(,)? )) => {{
        let _launch = $crate::device::launch($x.device());
        match ($x.device(), $x.dtype()) {
            #[cfg(feature = "cuda")]
            ($crate::Device::Cuda(gpu), $crate::DType::F32) => gradus_kernels::cuda::$module::$function(gpu, $($arg),*)?,
            (device, $crate::DType::F64) => {
                $crate::ops::only_cpu($op, device)?;
                gradus_kernels::$module::naive::$function::<f64>($($arg),*)
            }
            (_, $crate::DType::F32) => gradus_kernels::$module::$function($($arg),*),
            (_, other) => return Err($crate::ops::not_a_float($op, other)),
        }
    }};
    (f32 $x:expr, $($path:ident)::+ $(::<$($type:ty),*>)? ( $($arg:expr),* $(,)? )) => {{
        let _launch = $crate::device::launch($x.device());
        match $x.device() {
            #[cfg(feature = "cuda")]
            $crate::Device::Cuda(gpu) => gradus_kernels::cuda::$($path)::+ $(::<$($type),*>)? (gpu, $($arg),*)?,
            _ => gradus_kernels::$($path)::+ $(::<$($type),*>)? ($($arg),*),
        }
    }};
    (any $x:expr, $($path:ident)::+ ( $($arg:expr),* $(,)? )) => {
        match $x.dtype() {
            $crate::DType::F32 => $crate::ops::run!(f32 $x, $($path)::+::<f32>($($arg),*)),
            $crate::DType::F64 => $crate::ops::run!(f32 $x, $($path)::+::<f64>($($arg),*)),
            $crate::DType::Bf16 => $crate::ops::run!(f32 $x, $($path)::+::<half::bf16>($($arg),*)),
            $crate::DType::U32 => $crate::ops::run!(f32 $x, $($path)::+::<u32>($($arg),*)),
        }
    };
    (cpu $x:expr, $($path:ident)::+ $(::<$($type:ty),*>)? ( $($arg:expr),* $(,)? )) => {{
        let _launch = $crate::device::launch($x.device());
        $crate::ops::only_cpu(stringify!($($path)::+), $x.device())?;
        gradus_kernels::$($path)::+ $(::<$($type),*>)? ($($arg),*)
    }};
}
pub(crate) use run;

/// Fails where the device has no kernel for it: on CUDA.
pub(crate) fn only_cpu(op: &'static str, device: &Device) -> Result<()> {
    let has_kernel = match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => false,
        _ => true,
    };
    if has_kernel {
        return Ok(());
    }
    Err(Error::new(op, format!("{device} computes in f32 alone")).hint("the cpu has f64"))
}

pub(crate) fn not_a_float(op: &'static str, dtype: DType) -> Error {
    Error::new(op, format!("not defined for {dtype}")).hint("it takes f32 or f64")
}

/// Fails where the tensors are on different devices.
pub(crate) fn same_device(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.device() == b.device() {
        return Ok(());
    }
    let error = Error::new(op, "devices differ").shape(a.shape()).shape(b.shape());
    Err(error.hint(format!("{} and {}", a.device(), b.device())))
}

/// Fails where the types or devices differ.
pub(crate) fn same_dtype(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    same_device(op, a, b)?;
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    let error = Error::new(op, "types differ").shape(a.shape()).shape(b.shape());
    Err(error.hint(format!("{} and {}", a.dtype(), b.dtype())))
}

/// Fails where the shapes, types or devices differ.
pub(crate) fn same_shape(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    same_dtype(op, a, b)?;
    if a.shape() == b.shape() {
        return Ok(());
    }
    let axis = (0..a.rank().min(b.rank())).find(|&axis| a.shape()[axis] != b.shape()[axis]);
    let error = Error::new(op, "shapes differ").shape(a.shape()).shape(b.shape());
    Err(axis.map_or(error.clone(), |axis| error.axis(axis)))
}

/// Fails where `vector` is not one number for each element of the last axis of `x`.
pub(crate) fn fits_last_axis(op: &'static str, x: &Tensor, vector: Option<&Tensor>) -> Result<()> {
    let Some(vector) = vector else { return Ok(()) };
    same_dtype(op, x, vector)?;
    if vector.rank() == 1 && vector.len() == x.last_size() {
        return Ok(());
    }
    let error = Error::new(op, "a weight for each element of the last axis is needed").shape(x.shape());
    Err(error.shape(vector.shape()).axis(x.rank().saturating_sub(1)))
}

/// Fails where `statistic` is not one number for each row of `x`.
pub(crate) fn one_per_row(op: &'static str, x: &Tensor, statistic: &Tensor) -> Result<()> {
    same_dtype(op, x, statistic)?;
    if *statistic.shape() == [rows(x).0] {
        return Ok(());
    }
    Err(Error::new(op, "a number for each row is needed").shape(x.shape()).shape(statistic.shape()))
}

/// The rows of a tensor: (number of rows, size of the last axis).
pub(crate) fn rows(x: &Tensor) -> (usize, usize) {
    (x.shape().iter().rev().skip(1).product(), x.last_size())
}
