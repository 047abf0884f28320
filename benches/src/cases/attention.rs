//! Causal attention on contiguous \[B,H,T,D\] operands.
//!
//! What is compared: the first and the last queries of the first and the last head. The first n queries see the first n
//! keys alone; the last n keys are seen by the last n queries alone, so their dK and dV come from these. Each part is a
//! small problem of its own for the oracle.

use super::{Case, Parts, cast, ladder};
use gradus_kernels::{
    Float,
    attention::{
        self, BACKWARD_RUNGS, Backward, FORWARD_RUNGS, Forward, Inputs, Options, Output, Saved, Shape, Strides, View,
        naive,
    },
    oracle,
};

/// The queries at each end that are compared.
const SAMPLE: usize = 64;

struct Data {
    shape: Shape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    o: Vec<f32>,
    lse: Vec<f32>,
    d_o: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

fn options(d: usize) -> Options<'static> {
    Options { scale: 1.0 / (d as f32).sqrt(), causal: true, window: None, mask: None, dropout: None }
}

fn strides(shape: Shape) -> Strides {
    Strides { b: shape.h * shape.tq * shape.d, h: shape.tq * shape.d, t: shape.d }
}

impl Data {
    fn new([b, h, t, d]: [usize; 4]) -> Data {
        let shape = Shape { b, h, h_kv: h, tq: t, tk: t, d };
        let n = b * h * t * d;
        let [q, k, v, d_o] = [1, 2, 3, 4].map(|seed| oracle::values(seed, n));
        let [o, dq, dk, dv] = [0; 4].map(|_| vec![0.0; n]);
        let mut data = Data { shape, q, k, v, o, lse: vec![0.0; b * h * t], d_o, dq, dk, dv };
        let s = strides(shape);
        let Data { q, k, v, o, lse, .. } = &mut data;
        attention::forward(shape, &options(d), q, s, k, s, v, s, o, s, lse);
        data
    }

    fn inputs(&self) -> Inputs<'_> {
        let view = |data| View { data, strides: strides(self.shape) };
        let (q, k, v) = (view(&self.q[..]), view(&self.k[..]), view(&self.v[..]));
        Inputs { shape: self.shape, options: options(self.shape.d), q, k, v }
    }

    /// The parts that are compared: for each of two heads its number, and first query and number of the queries.
    fn windows(&self) -> Vec<(usize, usize, usize)> {
        let (heads, t) = (self.shape.b * self.shape.h, self.shape.tq);
        let n = t.min(SAMPLE);
        [0, heads - 1].into_iter().flat_map(|head| [(head, 0, n), (head, t - n, n)]).collect()
    }

    /// The rows `first..first + n` of a head.
    fn rows<'a>(&self, x: &'a [f32], head: usize, first: usize, n: usize) -> &'a [f32] {
        let Shape { tq: t, d, .. } = self.shape;
        &x[(head * t + first) * d..][..n * d]
    }
}

pub(super) fn forward(sizes: [usize; 4]) -> Box<dyn Case> {
    fn reference<E: Float>(data: &Data) -> Parts<E> {
        let mut parts = Vec::new();
        for (head, first, n) in data.windows() {
            let sub = Sub::<E>::new(data, head, first, n);
            parts.extend([sub.o, sub.lse]);
        }
        parts
    }
    fn outputs(data: &Data) -> Parts<f32> {
        let part = |(head, first, n)| {
            let lse = &data.lse[head * data.shape.tq + first..][..n];
            [data.rows(&data.o, head, first, n).to_vec(), lse.to_vec()]
        };
        data.windows().into_iter().flat_map(part).collect()
    }
    let data = Data::new(sizes);
    let expected = (reference(&data), reference(&data));
    let call = |run: Forward, isa, data: &mut Data| {
        let (mut o, mut lse) = (std::mem::take(&mut data.o), std::mem::take(&mut data.lse));
        let Shape { b, h, tq, d, .. } = data.shape;
        run(isa, &data.inputs(), Output::new("o", &mut o, [b, h, tq], strides(data.shape), d), &mut lse);
        (data.o, data.lse) = (o, lse);
    };
    let spoil = |data: &mut Data| {
        data.o.fill(f32::NAN);
        data.lse.fill(f32::NAN);
    };
    Box::new(ladder(FORWARD_RUNGS, data, call, spoil, outputs, expected))
}

pub(super) fn backward(sizes: [usize; 4]) -> Box<dyn Case> {
    fn reference<E: Float>(data: &Data) -> Parts<E> {
        let mut parts = Vec::new();
        for (head, first, n) in data.windows() {
            let [dq, dk, dv] = Sub::<E>::new(data, head, first, n).backward(data, head, first);
            parts.push(dq);
            if first + n == data.shape.tq {
                let d = data.shape.d;
                parts.extend([dk, dv].map(|x| x[first * d..].to_vec()));
            }
        }
        parts
    }
    fn outputs(data: &Data) -> Parts<f32> {
        let mut parts = Vec::new();
        for (head, first, n) in data.windows() {
            parts.push(data.rows(&data.dq, head, first, n).to_vec());
            if first + n == data.shape.tq {
                parts.extend([&data.dk, &data.dv].map(|x| data.rows(x, head, first, n).to_vec()));
            }
        }
        parts
    }
    let data = Data::new(sizes);
    let expected = (reference(&data), reference(&data));
    let call = |run: Backward, isa, data: &mut Data| {
        let [mut dq, mut dk, mut dv] = [&mut data.dq, &mut data.dk, &mut data.dv].map(std::mem::take);
        let s = strides(data.shape);
        let Shape { b, h, tq, d, .. } = data.shape;
        let view = |data| View { data, strides: s };
        let saved = Saved { o: view(&data.o[..]), lse: &data.lse, d_o: view(&data.d_o[..]) };
        let gradients =
            [("dq", &mut dq), ("dk", &mut dk), ("dv", &mut dv)].map(|(name, x)| Output::new(name, x, [b, h, tq], s, d));
        run(isa, &data.inputs(), &saved, gradients);
        (data.dq, data.dk, data.dv) = (dq, dk, dv);
    };
    let spoil = |data: &mut Data| [&mut data.dq, &mut data.dk, &mut data.dv].into_iter().for_each(|x| x.fill(f32::NAN));
    Box::new(ladder(BACKWARD_RUNGS, data, call, spoil, outputs, expected))
}

/// Some queries of one head, and the keys that they see.
struct Sub<E> {
    shape: Shape,
    q: Vec<E>,
    k: Vec<E>,
    v: Vec<E>,
    o: Vec<E>,
    lse: Vec<E>,
}

impl<E: Float> Sub<E> {
    fn new(data: &Data, head: usize, first: usize, n: usize) -> Sub<E> {
        let d = data.shape.d;
        let shape = Shape { b: 1, h: 1, h_kv: 1, tq: n, tk: first + n, d };
        let [q, k, v] = [(&data.q, first, n), (&data.k, 0, first + n), (&data.v, 0, first + n)]
            .map(|(x, first, n)| cast::<E>(data.rows(x, head, first, n)));
        let (mut o, mut lse) = (vec![E::zero(); n * d], vec![E::zero(); n]);
        let s = Strides { b: 0, h: 0, t: d };
        naive::forward(shape, &options(d), &q, s, &k, s, &v, s, &mut o, s, &mut lse);
        Sub { shape, q, k, v, o, lse }
    }

    fn backward(&self, data: &Data, head: usize, first: usize) -> [Vec<E>; 3] {
        let Shape { tq, tk, d, .. } = self.shape;
        let d_o = cast::<E>(data.rows(&data.d_o, head, first, tq));
        let [mut dq, mut dk, mut dv] = [tq, tk, tk].map(|t| vec![E::zero(); t * d]);
        let s = Strides { b: 0, h: 0, t: d };
        naive::backward(
            self.shape,
            &options(d),
            &self.q,
            s,
            &self.k,
            s,
            &self.v,
            s,
            &self.o,
            s,
            &self.lse,
            &d_o,
            s,
            &mut dq,
            s,
            &mut dk,
            s,
            &mut dv,
            s,
        );
        [dq, dk, dv]
    }
}
