//! Causal attention with operands rounded to bf16.
//!
//! The oracle is the naive rung in `f64` on rounded operands, and in the backward pass on the O and lse that the rungs
//! are given. The naive rung differs from it by the roundings of `f32` alone, so its check is that of the other ladders.
//! The fast rungs round P and dS besides, so an element may be off by what that does at most: 2⁻⁹ of each term of its
//! sum, and twice that is allowed. Where a query sees one key, P = 1 is exact, and O has to be the rounded V.

use super::{
    Buffer, Ladder, Parts, aligned,
    attention::{
        Data, Sub, backward_outputs, backward_reference, forward_outputs, forward_reference, options, spoil_backward,
        spoil_forward, strides,
    },
    bf16_isa, cast, ladder, zeros,
};
use crate::workload::Precision;
use gradus_kernels::{
    Bf16Isa, Float, Isa, Rung,
    attention::{
        Inputs, Output, Shape, View,
        bf16::{self, BACKWARD_RUNGS, Backward, FORWARD_RUNGS, Forward},
        bf16_cache,
    },
    simd::bf16::round,
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

    /// The rounded operands, with the O and lse that the backward pass is given.
    fn rounded(&self) -> Data {
        let [q, k, v, d_o] = [&self.q, &self.k, &self.v, &self.d_o].map(|x| aligned(bf16::rounded(x)));
        let [o, lse, dq, dk, dv] = [&self.o, &self.lse, &self.dq, &self.dk, &self.dv].map(Buffer::clone);
        Data { shape: self.shape, q, k, v, d_o, o, lse, dq, dk, dv }
    }
}

pub(super) fn forward(sizes: [usize; 4]) -> Ladder<Forward, Data> {
    let call = |run: Forward, isa: Isa, data: &mut Data| {
        data.forward_by(|inputs, o, lse| run(bf16_isa(isa), inputs, o, lse));
    };
    forward_ladder(FORWARD_RUNGS, sizes, call)
}

/// One query at the end of `t` keys that are stored in bf16. The definition is that of `f32` on these keys and values, and
/// so is the oracle: nothing else is rounded.
pub(super) fn decode([b, h, t, d]: [usize; 4]) -> Ladder<bf16_cache::Forward, (Data, [Buffer<half::bf16>; 2])> {
    let mut data = Data::new([b, h, 1, d], t);
    let [k, v] = [&data.k, &data.v].map(|x| aligned(x.iter().copied().map(round)));
    (data.k, data.v) = (aligned(widened(&k)), aligned(widened(&v)));
    let expected = (forward_reference(&data), forward_reference(&data));
    (data.k, data.v) = (zeros(0), zeros(0)); // no rung reads them
    let call = |run: bf16_cache::Forward, isa: Isa, (data, [k, v]): &mut (Data, [Buffer<half::bf16>; 2])| {
        let Data { shape, q, o, lse, .. } = data;
        let Shape { b, h, tq, tk, d, .. } = *shape;
        let [queries, keys] = [tq, tk].map(|t| strides(*shape, t));
        let [k, v] = [&k[..], &v[..]].map(|data| View { data, strides: keys });
        let inputs = Inputs::new(*shape, options(d), View { data: q, strides: queries }, k, v);
        run(bf16_isa(isa), &inputs, Output::new("o", o, [b, h, tq], queries, d), lse);
    };
    let spoil = |(data, _): &mut (Data, _)| spoil_forward(data);
    let mut ladder =
        ladder(bf16_cache::DECODE_RUNGS, (data, [k, v]), call, spoil, |(d, _)| forward_outputs(d), expected);
    ladder.precision = Precision::Bf16;
    ladder
}

fn widened(x: &[half::bf16]) -> impl Iterator<Item = f32> {
    x.iter().map(|x| x.to_f32())
}

fn forward_ladder<F: Copy>(
    rungs: &'static [Rung<F>],
    sizes: [usize; 4],
    call: fn(F, Isa, &mut Data),
) -> Ladder<F, Data> {
    let data = Data::in_bf16(sizes);
    let rounded = data.rounded();
    let expected = (forward_reference(&rounded), forward_reference(&rounded));
    let mut ladder = ladder(rungs, data, call, spoil_forward, forward_outputs, expected);
    (ladder.precision, ladder.bounds) = (Precision::Bf16, Some(forward_bounds(&rounded)));
    ladder
}

pub(super) fn backward(sizes: [usize; 4]) -> Ladder<Backward, Data> {
    let call = |run: Backward, isa: Isa, data: &mut Data| {
        data.backward_by(|inputs, saved, gradients| run(bf16_isa(isa), inputs, saved, gradients));
    };
    backward_ladder(BACKWARD_RUNGS, sizes, call)
}

fn backward_ladder<F: Copy>(
    rungs: &'static [Rung<F>],
    sizes: [usize; 4],
    call: fn(F, Isa, &mut Data),
) -> Ladder<F, Data> {
    let data = Data::in_bf16(sizes);
    let rounded = data.rounded();
    let expected = (backward_reference(&rounded, given), backward_reference(&rounded, given));
    let mut ladder = ladder(rungs, data, call, spoil_backward, backward_outputs, expected);
    (ladder.precision, ladder.bounds) = (Precision::Bf16, Some(backward_bounds(&rounded)));
    ladder
}

/// A part with the O and lse that a backward pass is given.
fn given<E: Float>(data: &Data, head: usize, first: usize, n: usize) -> Sub<E> {
    let o = cast(data.rows(&data.o, head, first, n)).to_vec();
    let lse = cast(&data.lse[head * data.shape.tq + first..][..n]).to_vec();
    Sub { o, lse, ..Sub::new(data, head, first, n) }
}

/// For O and lse of the parts that are compared.
fn forward_bounds(data: &Data) -> Parts<f64> {
    let part = |(head, first, n)| {
        let bounds = Bounds::new(&Sub::new(data, head, first, n), data, head, first);
        [bounds.o, vec![0.0; n]]
    };
    data.windows().into_iter().flat_map(part).collect()
}

/// For dQ, and at the end dK and dV.
fn backward_bounds(data: &Data) -> Parts<f64> {
    let (mut parts, d) = (Vec::new(), data.shape.d);
    for (head, first, n) in data.windows() {
        let Bounds { dq, dk, dv, .. } = Bounds::new(&given(data, head, first, n), data, head, first);
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
    fn new(sub: &Sub<f64>, data: &Data, head: usize, first: usize) -> Bounds {
        let (d, n, keys) = (sub.shape.d, sub.shape.tq, sub.shape.tk);
        let d_o = cast::<f64>(data.rows(&data.d_o, head, first, n));
        let zeros = |rows: usize| vec![0.0; rows * d];
        let mut bounds = Bounds { o: zeros(n), dq: zeros(n), dk: zeros(keys), dv: zeros(keys) };
        for i in 0..n {
            bounds.add_row(sub, &d_o[i * d..][..d], i, keys - n + i);
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
        // One key has P = 1, which is exact in bf16.
        let unit = if last == 0 { 0.0 } else { UNIT };
        let delta = dot(d_o, &sub.o[i * d..][..d]);
        for (j, p) in p.iter().enumerate() {
            let v = &sub.v[j * d..][..d];
            let of_ds = scale * UNIT * (p * (dot(d_o, v) - delta)).abs();
            for x in 0..d {
                self.o[i * d + x] += unit * p * v[x].abs();
                self.dq[i * d + x] += of_ds * sub.k[j * d + x].abs();
                self.dk[j * d + x] += of_ds * q[x].abs();
                self.dv[j * d + x] += unit * p * d_o[x].abs();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Case, *};
    use gradus_kernels::attention;

    const SIZES: [usize; 4] = [2, 2, 70, 16];

    /// Which operand is not rounded: Q, K, V, dO or none.
    type Forgotten = usize;
    const NONE: Forgotten = 4;

    const fn rung(run: Forgotten) -> Rung<Forgotten> {
        Rung { name: "forgets", idea: "none", run, simd: false }
    }
    static RUNGS: [Rung<Forgotten>; 5] = [rung(NONE), rung(0), rung(1), rung(2), rung(3)];

    /// The operands rounded, but for one.
    fn rounded_but(data: &Data, forgotten: Forgotten) -> Data {
        let mut rounded = data.rounded();
        match forgotten {
            0 => rounded.q.clone_from(&data.q),
            1 => rounded.k.clone_from(&data.k),
            2 => rounded.v.clone_from(&data.v),
            3 => rounded.d_o.clone_from(&data.d_o),
            _ => {}
        }
        rounded
    }

    fn forward_forgets(forgotten: Forgotten, isa: Isa, data: &mut Data) {
        let mut rounded = rounded_but(data, forgotten);
        rounded.forward_by(|inputs, o, lse| (attention::FORWARD_RUNGS[0].run)(isa, inputs, o, lse));
        (data.o, data.lse) = (rounded.o, rounded.lse);
    }

    fn backward_forgets(forgotten: Forgotten, isa: Isa, data: &mut Data) {
        let mut rounded = rounded_but(data, forgotten);
        rounded.backward_by(|inputs, saved, gradients| {
            (attention::BACKWARD_RUNGS[0].run)(isa, inputs, saved, gradients);
        });
        (data.dq, data.dk, data.dv) = (rounded.dq, rounded.dk, rounded.dv);
    }

    #[test]
    fn a_naive_rung_that_forgets_to_round_an_operand_is_found() {
        for (rung, forgotten) in RUNGS.iter().zip([NONE, 0, 1, 2, 3]) {
            let alone = std::slice::from_ref(rung);
            let forward = forward_ladder(alone, SIZES, forward_forgets).check(0, Isa::Portable);
            assert_eq!(forward.is_err(), forgotten < 3, "operand {forgotten}: {forward:?}"); // dO is not read
            let backward = backward_ladder(alone, SIZES, backward_forgets).check(0, Isa::Portable);
            assert_eq!(backward.is_err(), forgotten < NONE, "operand {forgotten}: {backward:?}");
        }
    }

    #[test]
    fn a_fast_rung_that_forgets_to_round_an_operand_of_the_forward_pass_is_found() {
        let mut ladder = forward_ladder(&RUNGS[..4], SIZES, forward_forgets);
        for (rung, forgotten) in [(1, "Q"), (2, "K"), (3, "V")] {
            assert!(ladder.check(rung, Isa::Portable).is_err(), "{forgotten}");
        }
    }
}
