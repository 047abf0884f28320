//! Causal attention on contiguous \[B,H,T,D\] operands, and of one query to the keys of a cache.
//!
//! What is compared: the first and the last queries of the first and the last head. The first n queries see the first n
//! keys alone; the last n keys are seen by the last n queries alone, so their dK and dV come from these. Each part is a
//! small problem of its own for the oracle.

#[cfg(feature = "peers")]
use super::peers::{WithPeers, candle};
use super::{Buffer, Case, Ladder, Parts, cast, ladder, values, zeros};
use gradus_kernels::{
    Float, Isa, Rung,
    attention::{
        self, BACKWARD_RUNGS, Backward, DECODE_RUNGS, FORWARD_RUNGS, Forward, Inputs, Options, Output, Saved, Shape,
        Strides, View, naive,
    },
};

/// The queries at each end that are compared.
const SAMPLE: usize = 64;

pub(super) struct Data {
    pub(super) shape: Shape,
    pub(super) q: Buffer,
    pub(super) k: Buffer,
    pub(super) v: Buffer,
    pub(super) o: Buffer,
    pub(super) lse: Buffer,
    pub(super) d_o: Buffer,
    pub(super) dq: Buffer,
    pub(super) dk: Buffer,
    pub(super) dv: Buffer,
}

pub(super) fn options(d: usize) -> Options<'static> {
    Options { scale: 1.0 / (d as f32).sqrt(), causal: true, window: None, mask: None, dropout: None }
}

/// The strides of a tensor with `t` positions.
pub(super) fn strides(Shape { h, d, .. }: Shape, t: usize) -> Strides {
    Strides { b: h * t * d, h: t * d, t: d }
}

fn inputs<'a>(shape: Shape, q: &'a [f32], k: &'a [f32], v: &'a [f32]) -> Inputs<'a> {
    let view = |data, t| View { data, strides: strides(shape, t) };
    let Shape { tq, tk, d, .. } = shape;
    Inputs::new(shape, options(d), view(q, tq), view(k, tk), view(v, tk))
}

impl Data {
    pub(super) fn new([b, h, tq, d]: [usize; 4], tk: usize) -> Data {
        let shape = Shape { b, h, h_kv: h, tq, tk, d };
        let [queries, keys] = [tq, tk].map(|t| b * h * t * d);
        let [q, d_o] = [1, 4].map(|seed| values(seed, queries));
        let [k, v] = [2, 3].map(|seed| values(seed, keys));
        let [o, dq] = [0; 2].map(|_| zeros(queries));
        let [dk, dv] = [0; 2].map(|_| zeros(keys));
        let mut data = Data { shape, q, k, v, o, lse: zeros(b * h * tq), d_o, dq, dk, dv };
        let Data { q, k, v, o, lse, .. } = &mut data;
        let [of_q, of_k] = [strides(shape, tq), strides(shape, tk)];
        let view = |data, strides| View { data, strides };
        attention::forward(shape, &options(d), [view(q, of_q), view(k, of_k), view(v, of_k)], (o, of_q), lse);
        data
    }

    /// Runs a forward pass over the operands.
    pub(super) fn forward_by(&mut self, run: impl FnOnce(&Inputs<'_>, Output<'_>, &mut [f32])) {
        let Data { shape, q, k, v, o, lse, .. } = self;
        let Shape { b, h, tq, d, .. } = *shape;
        run(&inputs(*shape, q, k, v), Output::new("o", o, [b, h, tq], strides(*shape, tq), d), lse);
    }

    /// Runs a backward pass over them.
    pub(super) fn backward_by(&mut self, run: impl FnOnce(&Inputs<'_>, &Saved<'_>, [Output<'_>; 3])) {
        let Data { shape, q, k, v, o, lse, d_o, dq, dk, dv } = self;
        let Shape { b, h, tq, d, .. } = *shape;
        let s = strides(*shape, tq);
        let saved = Saved::new(*shape, View { data: &o[..], strides: s }, lse, View { data: &d_o[..], strides: s });
        let gradients = [("dq", dq), ("dk", dk), ("dv", dv)].map(|(name, x)| Output::new(name, x, [b, h, tq], s, d));
        run(&inputs(*shape, q, k, v), &saved, gradients);
    }

    /// The parts that are compared: for each of two heads its number, and first query and number of the queries.
    pub(super) fn windows(&self) -> Vec<(usize, usize, usize)> {
        let (heads, t) = (self.shape.b * self.shape.h, self.shape.tq);
        let n = t.min(SAMPLE);
        [0, heads - 1].into_iter().flat_map(|head| [(head, 0, n), (head, t - n, n)]).collect()
    }

    /// The rows `first..first + n` of a head in a tensor with queries or keys.
    pub(super) fn rows<'a>(&self, x: &'a [f32], head: usize, first: usize, n: usize) -> &'a [f32] {
        let Shape { b, h, d, .. } = self.shape;
        &x[head * (x.len() / (b * h)) + first * d..][..n * d]
    }
}

/// O and lse of the parts that are compared.
pub(super) fn forward_reference<E: Float>(data: &Data) -> Parts<E> {
    let parts = data.windows().into_iter().map(|(head, first, n)| Sub::<E>::new(data, head, first, n));
    parts.flat_map(|sub| [sub.o, sub.lse]).collect()
}

pub(super) fn forward_outputs(data: &Data) -> Parts<f32> {
    let part = |(head, first, n)| {
        let lse = &data.lse[head * data.shape.tq + first..][..n];
        [data.rows(&data.o, head, first, n).to_vec(), lse.to_vec()]
    };
    data.windows().into_iter().flat_map(part).collect()
}

fn run_forward(run: Forward, isa: Isa, data: &mut Data) {
    data.forward_by(|inputs, o, lse| run(isa, inputs, o, lse));
}

pub(super) fn spoil_forward(data: &mut Data) {
    data.o.fill(f32::NAN);
    data.lse.fill(f32::NAN);
}

fn forward_over(rungs: &'static [Rung<Forward>], data: Data) -> Ladder<Forward, Data> {
    let expected = (forward_reference(&data), forward_reference(&data));
    ladder(rungs, data, run_forward, spoil_forward, forward_outputs, expected)
}

/// A ladder, with other people's kernels where they are compiled in.
fn boxed(ladder: Ladder<Forward, Data>) -> Box<dyn Case> {
    #[cfg(feature = "peers")]
    let ladder = {
        let Data { shape, ref q, ref k, ref v, .. } = ladder.data;
        let peers = candle::attention(shape, [q, k, v]);
        WithPeers::new(ladder, peers, |d, o| d.o.copy_from_slice(o))
    };
    Box::new(ladder)
}

pub(super) fn forward_ladder(sizes: [usize; 4]) -> Ladder<Forward, Data> {
    forward_over(FORWARD_RUNGS, Data::new(sizes, sizes[2]))
}

pub(super) fn forward(sizes: [usize; 4]) -> Box<dyn Case> {
    boxed(forward_ladder(sizes))
}

/// One query at the end of `t` keys.
pub(super) fn decode_ladder([b, h, t, d]: [usize; 4]) -> Ladder<Forward, Data> {
    forward_over(DECODE_RUNGS, Data::new([b, h, 1, d], t))
}

pub(super) fn decode(sizes: [usize; 4]) -> Box<dyn Case> {
    boxed(decode_ladder(sizes))
}

/// dQ, dK and dV of the parts that are compared, which `part(data, head, first, n)` makes.
pub(super) fn backward_reference<E: Float>(
    data: &Data,
    part: impl Fn(&Data, usize, usize, usize) -> Sub<E>,
) -> Parts<E> {
    let mut parts = Vec::new();
    for (head, first, n) in data.windows() {
        let [dq, dk, dv] = part(data, head, first, n).backward(data, head, first);
        parts.push(dq);
        if first + n == data.shape.tq {
            let d = data.shape.d;
            parts.extend([dk, dv].map(|x| x[first * d..].to_vec()));
        }
    }
    parts
}

pub(super) fn backward_outputs(data: &Data) -> Parts<f32> {
    let mut parts = Vec::new();
    for (head, first, n) in data.windows() {
        parts.push(data.rows(&data.dq, head, first, n).to_vec());
        if first + n == data.shape.tq {
            parts.extend([&data.dk, &data.dv].map(|x| data.rows(x, head, first, n).to_vec()));
        }
    }
    parts
}

pub(super) fn backward(sizes: [usize; 4]) -> Ladder<Backward, Data> {
    let data = Data::new(sizes, sizes[2]);
    let expected = (backward_reference(&data, Sub::new), backward_reference(&data, Sub::new));
    let call = |run: Backward, isa, data: &mut Data| {
        data.backward_by(|inputs, saved, gradients| run(isa, inputs, saved, gradients));
    };
    ladder(BACKWARD_RUNGS, data, call, spoil_backward, backward_outputs, expected)
}

pub(super) fn spoil_backward(data: &mut Data) {
    [&mut data.dq, &mut data.dk, &mut data.dv].into_iter().for_each(|x| x.fill(f32::NAN));
}

/// Some queries of one head, and the keys that they see.
pub(super) struct Sub<E> {
    pub(super) shape: Shape,
    pub(super) q: Buffer<E>,
    pub(super) k: Buffer<E>,
    pub(super) v: Buffer<E>,
    pub(super) o: Vec<E>,
    pub(super) lse: Vec<E>,
}

impl<E: Float> Sub<E> {
    pub(super) fn new(data: &Data, head: usize, first: usize, n: usize) -> Sub<E> {
        let Shape { tq, tk, d, .. } = data.shape;
        let keys = tk - tq + first + n; // the last query stands at the last key
        let shape = Shape { b: 1, h: 1, h_kv: 1, tq: n, tk: keys, d };
        let [q, k, v] = [(&data.q, first, n), (&data.k, 0, keys), (&data.v, 0, keys)]
            .map(|(x, first, n)| cast::<E>(data.rows(x, head, first, n)));
        let (mut o, mut lse) = (vec![E::zero(); n * d], vec![E::zero(); n]);
        let s = Strides { b: 0, h: 0, t: d };
        let qkv = [&q, &k, &v].map(|x| View { data: &x[..], strides: s });
        naive::forward(shape, &options(d), qkv, (&mut o, s), &mut lse);
        Sub { shape, q, k, v, o, lse }
    }

    pub(super) fn backward(&self, data: &Data, head: usize, first: usize) -> [Vec<E>; 3] {
        let Shape { tq, tk, d, .. } = self.shape;
        let d_o = cast::<E>(data.rows(&data.d_o, head, first, tq));
        let [mut dq, mut dk, mut dv] = [tq, tk, tk].map(|t| vec![E::zero(); t * d]);
        let s = Strides { b: 0, h: 0, t: d };
        let view = |data| View { data, strides: s };
        let (qkv, o, d_o) = ([&self.q, &self.k, &self.v].map(|x| view(&x[..])), view(&self.o), view(&d_o));
        let gradients = [(&mut dq[..], s), (&mut dk, s), (&mut dv, s)];
        naive::backward(self.shape, &options(d), qkv, o, &self.lse, d_o, gradients);
        [dq, dk, dv]
    }
}
