//! The matrix product, also of one row (`decode`), where peers join the ladder under the feature of that name.

#[cfg(feature = "peers")]
use super::peers::{
    WithPeers,
    products::{self, Operands},
};
use super::{Buffer, Case, Ladder, Parts, cast, ladder, values, zeros};
use crate::workload::Layout;
use gradus_kernels::{
    Float,
    matmul::{self, Operand, Products, RUNGS, Run, Shape, Strides},
};

pub(super) struct Data {
    pub(super) shape: Shape,
    pub(super) a: Buffer,
    pub(super) a_strides: Strides,
    pub(super) b: Buffer,
    pub(super) b_strides: Strides,
    pub(super) c: Buffer,
}

impl Data {
    pub(super) fn products(&mut self) -> Products<'_> {
        let (a, b) = (Operand::new(&self.a, self.a_strides), Operand::new(&self.b, self.b_strides));
        Products { shape: self.shape, a, b, c: &mut self.c, add: false }
    }
}

pub(super) fn data(layout: Layout, m: usize, k: usize, n: usize) -> Data {
    let strides = |row, col| Strides { batch: 0, row, col };
    Data {
        shape: Shape { batch: 1, m, n, k },
        a: values(1, m * k),
        a_strides: if layout == Layout::TN { strides(1, m) } else { strides(k, 1) },
        b: values(2, k * n),
        b_strides: if layout == Layout::NT { strides(1, k) } else { strides(n, 1) },
        c: zeros(m * n),
    }
}

pub(super) fn product_ladder(layout: Layout, m: usize, k: usize, n: usize) -> Ladder<Run, Data> {
    let data = data(layout, m, k, n);
    let same = |x| x;
    let expected = (vec![reference::<f32>(&data, same)], vec![reference::<f64>(&data, same)]);
    let call = |run: Run, isa, d: &mut Data| run(isa, d.products());
    ladder(RUNGS, data, call, |d| d.c.fill(f32::NAN), outputs, expected)
}

pub(super) fn case(layout: Layout, m: usize, k: usize, n: usize) -> Box<dyn Case> {
    let ladder = product_ladder(layout, m, k, n);
    #[cfg(feature = "peers")]
    let ladder = {
        let Data { ref a, ref b, .. } = ladder.data;
        let peers = products::all(|| Operands { layout, m, k, n, a: a.clone(), b: b.clone() });
        WithPeers::new(ladder, peers, |d, c| d.c.copy_from_slice(c))
    };
    Box::new(ladder)
}

/// At most `most` numbers below `n`, evenly spread, with the first and the last.
fn spread(n: usize, most: usize) -> Vec<usize> {
    if n <= most { (0..n).collect() } else { (0..most).map(|i| i * (n - 1) / (most - 1)).collect() }
}

/// The rows and columns of C that are compared: each takes a row of A and a column of B, and nothing else.
fn sample(shape: Shape) -> [Vec<usize>; 2] {
    [spread(shape.m, 24), spread(shape.n, 72)]
}

pub(super) fn outputs(d: &Data) -> Parts<f32> {
    let [rows, columns] = sample(d.shape);
    let element = |i: usize| columns.iter().map(move |j| d.c[i * d.shape.n + j]);
    vec![rows.iter().copied().flat_map(element).collect()]
}

/// The naive product of what is compared, of operands that `round` has gone over.
pub(super) fn reference<E: Float>(d: &Data, round: fn(f32) -> f32) -> Vec<E> {
    let ([rows, columns], k) = (sample(d.shape), d.shape.k);
    let row = |&i: &usize| (0..k).map(move |p| d.a[i * d.a_strides.row + p * d.a_strides.col]);
    let column = |&j: &usize| (0..k).map(move |p| d.b[p * d.b_strides.row + j * d.b_strides.col]);
    let a: Vec<f32> = rows.iter().flat_map(row).map(round).collect();
    let b: Vec<f32> = columns.iter().flat_map(column).map(round).collect();
    let shape = Shape { batch: 1, m: rows.len(), n: columns.len(), k };
    let mut c = vec![E::zero(); shape.m * shape.n];
    let (by_rows, by_columns) = (Strides { batch: 0, row: k, col: 1 }, Strides { batch: 0, row: 1, col: k });
    matmul::naive::forward(shape, &cast(&a), by_rows, &cast(&b), by_columns, &mut c, false);
    c
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sample_holds_the_corners() {
        assert_eq!(super::spread(5, 24), [0, 1, 2, 3, 4]);
        let rows = super::spread(1000, 24);
        assert_eq!((rows.len(), rows[0], rows[23]), (24, 0, 999));
    }
}
