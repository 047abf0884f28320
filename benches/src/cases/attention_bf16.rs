//! Causal attention with operands rounded to bf16.
//!
//! The oracle is the naive rung on rounded operands. What it does not round is P and dS, so an element may be off by
//! what that does at most: 2⁻⁹ of each term of its sum, and twice that is allowed.

use super::{
    Case, Parts,
    attention::{
        Data, Sub, backward_outputs, backward_reference, forward_outputs, forward_reference, spoil_backward,
        spoil_forward,
    },
    bf16_isa, ladder,
};
use crate::workload::Precision;
use gradus_kernels::{
    Bf16Isa, Isa,
    attention::bf16::{self, BACKWARD_RUNGS, Backward, FORWARD_RUNGS, Forward},
};

/// Twice what rounding to bf16 loses of a number at most, relative to it.
const UNIT: f64 = 1.0 / 256.0;

impl Data {
    fn in_bf16(sizes: [usize; 4]) -> Data {
        let mut data = Data::new(sizes, sizes[2]);
        // What the backward pass starts from is of the same precision.
        let best = FORWARD_RUNGS[FORWARD_RUNGS.len() - 1].run;
        data.forward_by(|inputs, o, lse| best(Bf16Isa::active(), inputs, o, lse));
        data
    }

    fn rounded(&self) -> Data {
        let [q, k, v, d_o] = [&self.q, &self.k, &self.v, &self.d_o].map(|x| bf16::rounded(x));
        let none = Vec::new;
        Data { shape: self.shape, q, k, v, d_o, o: none(), lse: none(), dq: none(), dk: none(), dv: none() }
    }
}

pub(super) fn forward(sizes: [usize; 4]) -> Box<dyn Case> {
    let data = Data::in_bf16(sizes);
    let rounded = data.rounded();
    let expected = (forward_reference(&rounded), forward_reference(&rounded));
    let call = |run: Forward, isa: Isa, data: &mut Data| {
        data.forward_by(|inputs, o, lse| run(bf16_isa(isa), inputs, o, lse));
    };
    let mut ladder = ladder(FORWARD_RUNGS, data, call, spoil_forward, forward_outputs, expected);
    (ladder.precision, ladder.bounds) = (Precision::Bf16, Some(forward_bounds(&rounded)));
    Box::new(ladder)
}

pub(super) fn backward(sizes: [usize; 4]) -> Box<dyn Case> {
    let data = Data::in_bf16(sizes);
    let rounded = data.rounded();
    let expected = (backward_reference(&rounded), backward_reference(&rounded));
    let call = |run: Backward, isa: Isa, data: &mut Data| {
        data.backward_by(|inputs, saved, gradients| run(bf16_isa(isa), inputs, saved, gradients));
    };
    let mut ladder = ladder(BACKWARD_RUNGS, data, call, spoil_backward, backward_outputs, expected);
    (ladder.precision, ladder.bounds) = (Precision::Bf16, Some(backward_bounds(&rounded)));
    Box::new(ladder)
}

/// For O and lse of the parts that are compared.
fn forward_bounds(data: &Data) -> Parts<f64> {
    let part = |(head, first, n)| {
        let bounds = Bounds::new(data, head, first, n);
        [bounds.o, vec![0.0; n]]
    };
    data.windows().into_iter().flat_map(part).collect()
}

/// For dQ, and at the end dK and dV.
fn backward_bounds(data: &Data) -> Parts<f64> {
    let (mut parts, d) = (Vec::new(), data.shape.d);
    for (head, first, n) in data.windows() {
        let Bounds { dq, dk, dv, .. } = Bounds::new(data, head, first, n);
        parts.push(dq);
        if first + n == data.shape.tq {
            parts.extend([dk, dv].map(|x| x[first * d..].to_vec()));
        }
    }
    parts
}

/// How far each element may be off.
struct Bounds {
    o: Vec<f64>,
    dq: Vec<f64>,
    dk: Vec<f64>,
    dv: Vec<f64>,
}

impl Bounds {
    fn new(data: &Data, head: usize, first: usize, n: usize) -> Bounds {
        let sub = Sub::<f64>::new(data, head, first, n);
        let d_o: Vec<f64> = data.rows(&data.d_o, head, first, n).iter().map(|&x| f64::from(x)).collect();
        let (d, keys) = (sub.shape.d, sub.shape.tk);
        let zeros = |rows: usize| vec![0.0; rows * d];
        let mut bounds = Bounds { o: zeros(n), dq: zeros(n), dk: zeros(keys), dv: zeros(keys) };
        for i in 0..n {
            bounds.add_row(&sub, &d_o[i * d..][..d], i, keys - n + i);
        }
        bounds
    }

    /// What query `i`, which sees the keys up to `last`, adds.
    fn add_row(&mut self, sub: &Sub<f64>, d_o: &[f64], i: usize, last: usize) {
        let d = d_o.len();
        let scale = 1.0 / (d as f64).sqrt();
        let row = |x: &'_ [f64], i: usize| x[i * d..][..d].to_vec();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let q = row(&sub.q, i);
        let p: Vec<f64> = (0..=last).map(|j| (scale * dot(&q, &sub.k[j * d..][..d]) - sub.lse[i]).exp()).collect();
        for (j, p) in p.iter().enumerate() {
            (0..d).for_each(|x| self.o[i * d + x] += UNIT * p * sub.v[j * d + x].abs());
        }
        let delta = dot(d_o, &sub.o[i * d..][..d]);
        let of_delta: f64 = (0..d).map(|x| d_o[x].abs() * self.o[i * d + x]).sum();
        for (j, p) in p.iter().enumerate() {
            let ds = p * (dot(d_o, &sub.v[j * d..][..d]) - delta);
            let of_ds = scale * (UNIT * ds.abs() + p * of_delta);
            for x in 0..d {
                self.dq[i * d + x] += of_ds * sub.k[j * d + x].abs();
                self.dk[j * d + x] += of_ds * q[x].abs();
                self.dv[j * d + x] += UNIT * p * d_o[x].abs();
            }
        }
    }
}
