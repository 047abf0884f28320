//! Other people's matrix products, on the same operands: references for development, under the feature `peers`.
//!
//! Each is called by its safe interface, with its operands prepared outside of what is timed: faer by its own,
//! matrixmultiply through ndarray, and gemm through candle, whose product also allocates its result.

use super::{Buffer, zeros};
use crate::workload::Layout;
use candle_core::{Device, Tensor};
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

/// A product C = A·B, as `layout` says how A and B are stored.
pub(super) struct Operands {
    pub(super) layout: Layout,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) a: Buffer,
    pub(super) b: Buffer,
}

/// Somebody else's matrix product.
pub(super) trait Peer: Send {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it is.
    fn idea(&self) -> &'static str;
    /// Computes C.
    fn run(&mut self);
    /// C, row by row.
    fn result(&self) -> Vec<f32>;
}

/// All of them, ready to be run.
pub(super) fn all(operands: impl Fn() -> Operands) -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(Faer { result: Mat::zeros(operands().m, operands().n), operands: operands() }),
        Box::new(Ndarray { result: zeros(operands().m * operands().n), operands: operands() }),
        Box::new(Candle::new(&operands())),
    ]
}

struct Faer {
    operands: Operands,
    result: Mat<f32>,
}

impl Peer for Faer {
    fn name(&self) -> &'static str {
        "faer"
    }
    fn idea(&self) -> &'static str {
        "faer 0.24, its result by columns"
    }
    fn run(&mut self) {
        let Operands { layout, m, k, n, ref a, ref b } = self.operands;
        let (a_rows, b_rows) = (MatRef::from_row_major_slice, MatRef::from_row_major_slice);
        let a = if layout == Layout::TN { a_rows(a, k, m).transpose() } else { a_rows(a, m, k) };
        let b = if layout == Layout::NT { b_rows(b, n, k).transpose() } else { b_rows(b, k, n) };
        faer::linalg::matmul::matmul(self.result.as_mut(), Accum::Replace, a, b, 1.0, Par::rayon(0));
    }
    fn result(&self) -> Vec<f32> {
        let Operands { m, n, .. } = self.operands;
        (0..m).flat_map(|i| (0..n).map(move |j| self.result[(i, j)])).collect()
    }
}

struct Ndarray {
    operands: Operands,
    result: Buffer,
}

impl Peer for Ndarray {
    fn name(&self) -> &'static str {
        "matrixmultiply"
    }
    fn idea(&self) -> &'static str {
        "matrixmultiply through ndarray 0.17, threads on"
    }
    fn run(&mut self) {
        let Operands { layout, m, k, n, ref a, ref b } = self.operands;
        let view = |rows: usize, columns: usize, transposed: bool, data| {
            let shape = (rows, columns).set_f(transposed);
            ArrayView2::from_shape(shape, data).expect("the operands have these sizes")
        };
        let a = view(m, k, layout == Layout::TN, &a[..]);
        let b = view(k, n, layout == Layout::NT, &b[..]);
        let mut c = ArrayViewMut2::from_shape((m, n), &mut self.result).expect("the result has this size");
        ndarray::linalg::general_mat_mul(1.0, &a, &b, 0.0, &mut c);
    }
    fn result(&self) -> Vec<f32> {
        self.result.to_vec()
    }
}

struct Candle {
    a: Tensor,
    b: Tensor,
    result: Option<Tensor>,
}

impl Candle {
    fn new(operands: &Operands) -> Candle {
        let &Operands { layout, m, k, n, ref a, ref b } = operands;
        let tensor = |rows, columns, transposed, data: &[f32]| {
            if transposed {
                Tensor::from_slice(data, (columns, rows), &Device::Cpu)?.t()
            } else {
                Tensor::from_slice(data, (rows, columns), &Device::Cpu)
            }
        };
        let a = tensor(m, k, layout == Layout::TN, a).expect("the operands have these sizes");
        let b = tensor(k, n, layout == Layout::NT, b).expect("the operands have these sizes");
        Candle { a, b, result: None }
    }
}

impl Peer for Candle {
    fn name(&self) -> &'static str {
        "candle"
    }
    fn idea(&self) -> &'static str {
        "gemm through candle 0.11, which allocates its result"
    }
    fn run(&mut self) {
        self.result = Some(self.a.matmul(&self.b).expect("the operands have these sizes"));
    }
    fn result(&self) -> Vec<f32> {
        let result = self.result.as_ref().and_then(|c| c.flatten_all().ok());
        result.and_then(|c| c.to_vec1().ok()).unwrap_or_default()
    }
}
