//! A step of AdamW and one of SGD, and the sum of squares that clipping needs.

use super::{Buffer, Ladder, Parts, aligned, cast, ends, ladder, scaled, values};
use gradus_kernels::{
    Float,
    optimizer::{self, ADAMW_RUNGS, AdamW, NORM_RUNGS, SGD_RUNGS, Sgd, naive},
};

pub(super) const ADAMW: AdamW =
    AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 10, grad_scale: 0.5 };

pub(super) const SGD: Sgd = Sgd { lr: 1e-3, momentum: 0.9, weight_decay: 0.1, nesterov: false, grad_scale: 0.5 };

/// Parameters with `STATE` − 1 arrays that go with them.
pub(super) struct Data<const STATE: usize> {
    /// p, and m and v or the velocity, before the first step.
    pub(super) first: [Buffer; STATE],
    pub(super) state: [Buffer; STATE],
    pub(super) g: Buffer,
}

/// Sets back what the steps updated.
fn reset<const STATE: usize>(d: &mut Data<STATE>) {
    d.state.clone_from(&d.first);
}

/// What is compared of the state.
fn outputs<const STATE: usize>(d: &Data<STATE>) -> Parts<f32> {
    d.state.iter().map(|x| ends(x, 1)).collect()
}

pub(super) fn adamw(n: usize) -> Ladder<optimizer::adamw::Step, Data<3>> {
    let squares = aligned(scaled(3, n, 0.1).iter().map(|x| x * x));
    let first = [values(1, n), scaled(2, n, 0.1), squares];
    let data = Data { state: first.clone(), first, g: values(4, n) };
    fn reference<E: Float>(d: &Data<3>) -> Parts<E> {
        let [mut p, mut m, mut v] = [0, 1, 2].map(|i| cast::<E>(&ends(&d.first[i], 1)));
        naive::adamw(ADAMW, &mut p, &cast::<E>(&ends(&d.g, 1)), &mut m, &mut v);
        [p, m, v].map(|x| x.to_vec()).into()
    }
    let expected = (reference(&data), reference(&data));
    let call = |run: optimizer::adamw::Step, isa, d: &mut Data<3>| {
        let [p, m, v] = &mut d.state;
        run(isa, ADAMW, p, &d.g, m, v);
    };
    ladder(&ADAMW_RUNGS, data, call, reset, outputs, expected)
}

pub(super) fn sgd(n: usize) -> Ladder<optimizer::sgd::Step, Data<2>> {
    let first = [values(1, n), scaled(2, n, 0.1)];
    let data = Data { state: first.clone(), first, g: values(4, n) };
    fn reference<E: Float>(d: &Data<2>) -> Parts<E> {
        let [mut p, mut velocity] = [0, 1].map(|i| cast::<E>(&ends(&d.first[i], 1)));
        naive::sgd(SGD, &mut p, &cast::<E>(&ends(&d.g, 1)), &mut velocity);
        [p, velocity].map(|x| x.to_vec()).into()
    }
    let expected = (reference(&data), reference(&data));
    let call = |run: optimizer::sgd::Step, isa, d: &mut Data<2>| {
        let [p, velocity] = &mut d.state;
        run(isa, SGD, p, &d.g, velocity);
    };
    ladder(&SGD_RUNGS, data, call, reset, outputs, expected)
}

pub(super) fn sum_of_squares(n: usize) -> Ladder<optimizer::norm::SumOfSquares, (Buffer, f64)> {
    let g = values(1, n);
    let sum = naive::sum_of_squares(&g);
    let expected = (vec![vec![sum as f32]], vec![vec![sum]]);
    ladder(
        &NORM_RUNGS,
        (g, f64::NAN),
        |run, isa, (g, sum)| *sum = run(isa, g),
        |(_, sum)| *sum = f64::NAN,
        |(_, sum)| vec![vec![*sum as f32]],
        expected,
    )
}
