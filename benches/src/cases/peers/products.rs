//! Other people's matrix products: faer by its own interface, matrixmultiply through ndarray, and gemm, whose own is
//! unsafe, through candle, whose product also allocates its result.

use super::{
    super::{Buffer, zeros},
    Peer,
    candle::{self, Candle},
};
use crate::workload::Layout;
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

/// A product C = A·B, as `layout` says how A and B are stored.
pub(in super::super) struct Operands {
    pub(in super::super) layout: Layout,
    pub(in super::super) m: usize,
    pub(in super::super) k: usize,
    pub(in super::super) n: usize,
    pub(in super::super) a: Buffer,
    pub(in super::super) b: Buffer,
}

/// All of them, ready to be run.
pub(in super::super) fn all(operands: impl Fn() -> Operands) -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(Faer { result: Mat::zeros(operands().m, operands().n), operands: operands() }),
        Box::new(Ndarray { result: zeros(operands().m * operands().n), operands: operands() }),
        Box::new(candle(&operands())),
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

fn candle(&Operands { layout, m, k, n, ref a, ref b }: &Operands) -> Candle {
    let a = if layout == Layout::TN { candle::tensor(a, &[k, m]).t() } else { Ok(candle::tensor(a, &[m, k])) };
    let b = if layout == Layout::NT { candle::tensor(b, &[n, k]).t() } else { Ok(candle::tensor(b, &[k, n])) };
    let [a, b] = [a, b].map(|x| x.expect("a matrix has a transpose"));
    Candle::new("gemm through candle 0.11, which allocates its result", move || a.matmul(&b))
}
