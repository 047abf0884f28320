//! tmp
use gradus_kernels::{Rung, matmul::Run};
pub(super) static MATMUL: &[Rung<Run>] = &[];
