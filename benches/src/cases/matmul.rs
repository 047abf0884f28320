//! The matrix product, also of one row (`decode`), where peers join the ladder under the feature of that name.

use super::{Buffer, Case, Parts, cast, ladder, values, zeros};
use crate::workload::Layout;
use gradus_kernels::{
    Float,
    matmul::{self, RUNGS, Run, Shape, Strides},
};

pub(super) struct Data {
    pub(super) shape: Shape,
    pub(super) a: Buffer,
    pub(super) a_strides: Strides,
    pub(super) b: Buffer,
    pub(super) b_strides: Strides,
    pub(super) c: Buffer,
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

pub(super) fn case(layout: Layout, m: usize, k: usize, n: usize) -> Box<dyn Case> {
    let data = data(layout, m, k, n);
    let same = |x| x;
    let expected = (vec![reference::<f32>(&data, same)], vec![reference::<f64>(&data, same)]);
    let call = |run: Run, isa, d: &mut Data| run(isa, d.shape, &d.a, d.a_strides, &d.b, d.b_strides, &mut d.c, false);
    let ladder = ladder(RUNGS, data, call, |d| d.c.fill(f32::NAN), outputs, expected);
    #[cfg(feature = "peers")]
    let ladder = with_peers::WithPeers::new(ladder, layout);
    Box::new(ladder)
}

#[cfg(feature = "peers")]
mod with_peers {
    use super::*;
    use crate::{
        Result,
        cases::{
            Entry, Ladder, aligned,
            peers::{self, Operands, Peer},
        },
        timing::seconds,
        workload::Precision,
    };
    use gradus_kernels::Isa;

    /// The ladder, and other people's products after it.
    pub(super) struct WithPeers {
        ladder: Ladder<Run, Data>,
        peers: Vec<Box<dyn Peer>>,
    }

    impl WithPeers {
        pub(super) fn new(ladder: Ladder<Run, Data>, layout: Layout) -> WithPeers {
            let Data { shape: Shape { m, n, k, .. }, ref a, ref b, .. } = ladder.data;
            let peers = peers::all(|| Operands { layout, m, k, n, a: a.clone(), b: b.clone() });
            WithPeers { ladder, peers }
        }
    }

    impl Case for WithPeers {
        fn rungs(&self) -> Vec<Entry> {
            let peers = self.peers.iter().map(|peer| Entry {
                name: peer.name(),
                idea: peer.idea(),
                simd: false,
                peer: true,
                precision: Precision::F32,
            });
            self.ladder.rungs().into_iter().chain(peers).collect()
        }

        fn run(&mut self, rung: usize, isa: Isa) {
            match rung.checked_sub(RUNGS.len()) {
                None => self.ladder.run(rung, isa),
                Some(peer) => self.peers[peer].run(),
            }
        }

        fn check(&mut self, rung: usize, isa: Isa) -> Result<f64> {
            let Some(peer) = rung.checked_sub(RUNGS.len()) else { return self.ladder.check(rung, isa) };
            let peer = &mut self.peers[peer];
            let once = seconds(|| peer.run());
            self.ladder.data.c = aligned(peer.result());
            let got = outputs(&self.ladder.data);
            self.ladder.compare(&got, None, peer.name(), isa)?;
            Ok(once)
        }
    }
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
