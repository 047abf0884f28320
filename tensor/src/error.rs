//! The one error of this crate: which operation, on what shapes, at which axis, and how to fix it.

use std::fmt;

/// The result of a checked operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What an operation could not do with its arguments.
///
/// ```
/// use gradus_tensor::Tensor;
/// let a = Tensor::zeros(&[8, 64, 32]);
/// let b = Tensor::zeros(&[64, 128]);
/// let error = a.try_matmul(&b).unwrap_err();
/// assert_eq!(error.to_string(), "matmul: inner sizes differ: [8, 64, 32] × [64, 128] (32 ≠ 64)");
/// assert_eq!(error.axis, Some(2));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The operation, by the name of its method.
    pub op: &'static str,
    /// What is wrong.
    pub problem: String,
    /// The shapes of the tensors that it was given.
    pub shapes: Vec<Vec<usize>>,
    /// The axis of the first tensor at which they do not fit.
    pub axis: Option<usize>,
    /// The sizes at fault, or what to do.
    pub hint: String,
}

impl Error {
    /// An error of `op` with nothing but its problem; the other parts are added with the methods below.
    pub fn new(op: &'static str, problem: impl Into<String>) -> Error {
        Error { op, problem: problem.into(), shapes: Vec::new(), axis: None, hint: String::new() }
    }

    /// Adds the shape of one more argument.
    pub fn shape(mut self, shape: &[usize]) -> Error {
        self.shapes.push(shape.to_vec());
        self
    }

    /// Adds the axis at fault.
    pub fn axis(mut self, axis: usize) -> Error {
        self.axis = Some(axis);
        self
    }

    /// Adds the sizes at fault, or what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = hint.into();
        self
    }
}

/// An error of the device is one of the operation `cuda`.
#[cfg(feature = "cuda")]
impl From<gradus_kernels::cuda::Error> for Error {
    fn from(error: gradus_kernels::cuda::Error) -> Error {
        Error::new("cuda", error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.problem)?;
        for (i, shape) in self.shapes.iter().enumerate() {
            write!(f, "{}{shape:?}", if i == 0 { ": " } else { " × " })?;
        }
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

/// Gives fallible methods a twin that panics with the error's text: `matmul` for `try_matmul`.
macro_rules! panicking {
    ($ty:ty { $($name:ident = $fallible:ident($($arg:ident : $arg_ty:ty),*) -> $out:ty;)* }) => {
        impl $ty {$(
            #[doc = concat!("[`", stringify!($fallible), "`](Self::", stringify!($fallible), ") that panics with the text of its error.")]
            #[track_caller]
            pub fn $name(&self, $($arg: $arg_ty),*) -> $out {
                self.$fallible($($arg),*).unwrap_or_else(|error| panic!("{error}"))
            }
        )*}
    };
}
pub(crate) use panicking;
