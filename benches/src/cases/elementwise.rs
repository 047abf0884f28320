//! What has one result for each element: GELU, dropout, addition, a copy into another order; and sums of rows.

#[cfg(feature = "peers")]
use super::peers::{WithPeers, candle};
use super::{Buffer, Case, Ladder, Parts, cast, ends, ladder, scaled, values, zeros};
use gradus_kernels::{
    Float,
    dropout::{self, Dropout},
    elementwise::{
        BINARY_RUNGS, Binary, BinaryFn, COPY_RUNGS, CopyFn, UNARY_BACKWARD_RUNGS, UNARY_RUNGS, Unary, UnaryBackwardFn,
        UnaryFn, naive,
    },
    reduce::{self, Reduce, ReduceFn},
};

/// Two inputs and the output.
pub(super) struct Data {
    pub(super) shape: Vec<usize>,
    pub(super) x: Buffer,
    pub(super) dy: Buffer,
    pub(super) y: Buffer,
}

impl Data {
    fn new(shape: &[usize], outputs: usize) -> Data {
        let n = shape.iter().product();
        let (x, dy) = (scaled(1, n, 4.0), values(2, n));
        Data { shape: shape.into(), x, dy, y: zeros(outputs) }
    }

    /// The elements of a row.
    fn c(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// What `f(x, dy, y)` makes of the parts of x and dy that are compared.
    fn reference<E: Float>(&self, f: impl Fn(&[E], &[E], &mut [E])) -> Parts<E> {
        let [x, dy] = [&self.x, &self.dy].map(|x| cast::<E>(&ends(x, self.c())));
        let mut y = vec![E::zero(); x.len()];
        f(&x, &dy, &mut y);
        vec![y]
    }
}

fn spoil(d: &mut Data) {
    d.y.fill(f32::NAN);
}

fn outputs(d: &Data) -> Parts<f32> {
    vec![ends(&d.y, d.c())]
}

fn whole(d: &Data) -> Parts<f32> {
    vec![d.y.to_vec()]
}

pub(super) fn unary_ladder(op: Unary, n: usize) -> Ladder<UnaryFn, (Unary, Data)> {
    let d = Data::new(&[n, 1], n);
    let expected =
        (d.reference::<f32>(|x, _, y| naive::unary(op, x, y)), d.reference::<f64>(|x, _, y| naive::unary(op, x, y)));
    let call = |run: UnaryFn, isa, (op, d): &mut (Unary, Data)| run(isa, *op, &d.x, &mut d.y);
    ladder(&UNARY_RUNGS, (op, d), call, |(_, d)| spoil(d), |(_, d)| outputs(d), expected)
}

pub(super) fn unary_forward(op: Unary, n: usize) -> Box<dyn Case> {
    let ladder = unary_ladder(op, n);
    #[cfg(feature = "peers")]
    let ladder = {
        let peers = candle::unary(op, &ladder.data.1.x);
        WithPeers::new(ladder, peers, |(_, d), y| d.y.copy_from_slice(y))
    };
    Box::new(ladder)
}

pub(super) fn unary_backward(op: Unary, n: usize) -> Ladder<UnaryBackwardFn, (Unary, Data)> {
    let d = Data::new(&[n, 1], n);
    let expected = (
        d.reference::<f32>(|x, dy, y| naive::unary_backward(op, x, dy, y)),
        d.reference::<f64>(|x, dy, y| naive::unary_backward(op, x, dy, y)),
    );
    let call = |run: UnaryBackwardFn, isa, (op, d): &mut (Unary, Data)| run(isa, *op, &d.x, &d.dy, &mut d.y);
    ladder(&UNARY_BACKWARD_RUNGS, (op, d), call, |(_, d)| spoil(d), |(_, d)| outputs(d), expected)
}

pub(super) const DROPOUT: Dropout = Dropout { p: 0.2, seed: 1337, stream: 7 };

pub(super) fn dropout(n: usize) -> Ladder<dropout::Apply, Data> {
    fn reference<E: Float>(d: &Data) -> Parts<E> {
        let mut y = vec![E::zero(); d.x.len()]; // all of it: which elements are dropped depends on where they stand
        dropout::naive::apply(DROPOUT, &cast::<E>(&d.x), &mut y);
        vec![y]
    }
    let d = Data::new(&[n, 1], n);
    let expected = (reference(&d), reference(&d));
    let call = |run: dropout::Apply, isa, d: &mut Data| run(isa, DROPOUT, &d.x, &mut d.y);
    ladder(&dropout::RUNGS, d, call, spoil, whole, expected)
}

pub(super) fn add(n: usize) -> Ladder<BinaryFn, Data> {
    let d = Data::new(&[n], n);
    let sum = |x: f32, dy: f32| x + dy;
    let plain: Vec<f32> = d.x.iter().zip(d.dy.iter()).map(|(&x, &dy)| sum(x, dy)).collect();
    let exact = d.x.iter().zip(d.dy.iter()).map(|(&x, &dy)| f64::from(x) + f64::from(dy)).collect();
    let call = |run: BinaryFn, isa, d: &mut Data| run(isa, Binary::Add, &d.shape, &d.x, &[1], &d.dy, &[1], &mut d.y);
    ladder(&BINARY_RUNGS, d, call, spoil, whole, (vec![plain], vec![exact]))
}

/// The strides of \[B,T,H,D\] and of \[B,H,T,D\], by the sizes of the latter.
pub(super) fn strides(shape: &[usize]) -> [[usize; 4]; 2] {
    let &[_, h, t, d] = shape else { unreachable!("four sizes") };
    [[t * h * d, d, h * d, 1], [h * t * d, t * d, d, 1]]
}

/// \[B,T,H,D\] read as \[B,H,T,D\].
pub(super) fn heads([b, t, h, d]: [usize; 4]) -> Ladder<CopyFn, Data> {
    let data = Data::new(&[b, h, t, d], b * t * h * d);
    let [from, to] = strides(&data.shape);
    let mut plain = vec![0.0; data.x.len()];
    naive::copy(&data.shape, &data.x, &from, &mut plain, &to);
    let exact = cast(&plain).to_vec();
    let call = |run: CopyFn, isa, data: &mut Data| {
        let [from, to] = strides(&data.shape);
        run(isa, &data.shape, &data.x, &from, &mut data.y, &to);
    };
    ladder(&COPY_RUNGS, data, call, spoil, whole, (vec![plain], vec![exact]))
}

pub(super) fn row_sum(rows: usize, c: usize) -> Ladder<ReduceFn, Data> {
    fn reference<E: Float>(d: &Data) -> Parts<E> {
        let (rows, c) = (d.shape[0], d.shape[1]);
        let mut y = vec![E::zero(); rows];
        reduce::naive::reduce(Reduce::Sum, &[rows], &[c], &[c], &[1], &cast::<E>(&d.x), &mut y);
        vec![y]
    }
    let d = Data::new(&[rows, c], rows);
    let expected = (reference(&d), reference(&d));
    let call = |run: ReduceFn, isa, d: &mut Data| {
        run(isa, Reduce::Sum, &d.shape[..1], &d.shape[1..], &d.shape[1..], &[1], &d.x, &mut d.y);
    };
    ladder(&reduce::RUNGS, d, call, spoil, whole, expected)
}
