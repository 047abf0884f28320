//! Cross-entropy from logits.

use super::{Buffer, Case, Parts, cast, indices, ladder, scaled, zeros};
use gradus_kernels::{
    Float,
    cross_entropy::{BACKWARD_RUNGS, Backward, FORWARD_RUNGS, Forward, Options, naive},
};

struct Data<E> {
    rows: usize,
    v: usize,
    logits: Buffer<E>,
    targets: Vec<u32>,
    losses: Buffer<E>,
    lse: Buffer<E>,
    loss: E,
    dlogits: Buffer<E>,
}

impl<E: Float> Data<E> {
    /// Inputs, and what the forward pass makes of them.
    fn new(rows: usize, v: usize) -> Data<E> {
        let logits = cast(&scaled(1, rows * v, 4.0));
        let targets = indices(2, rows, v);
        let (mut losses, mut lse) = (zeros(rows), zeros(rows));
        let loss = naive::forward(rows, v, Options::default(), &logits, &targets, &mut losses, &mut lse);
        Data { rows, v, logits, targets, losses, lse, loss, dlogits: zeros(rows * v) }
    }
}

pub(super) fn forward(rows: usize, v: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![vec![d.loss], d.losses.to_vec(), d.lse.to_vec()]
    }
    let expected = (parts(&Data::new(rows, v)), parts(&Data::new(rows, v)));
    let call = |run: Forward, isa, d: &mut Data<f32>| {
        d.loss = run(isa, d.rows, d.v, Options::default(), &d.logits, &d.targets, &mut d.losses, &mut d.lse);
    };
    let spoil = |d: &mut Data<f32>| {
        d.loss = f32::NAN;
        d.losses.fill(f32::NAN);
        d.lse.fill(f32::NAN);
    };
    Box::new(ladder(&FORWARD_RUNGS, Data::new(rows, v), call, spoil, parts, expected))
}

pub(super) fn backward(rows: usize, v: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.dlogits.to_vec()]
    }
    fn reference<E: Float>(rows: usize, v: usize) -> Parts<E> {
        let mut d = Data::<E>::new(rows, v);
        naive::backward(rows, v, Options::default(), &d.logits, &d.targets, &d.lse, E::one(), &mut d.dlogits);
        parts(&d)
    }
    let call = |run: Backward, isa, d: &mut Data<f32>| {
        run(isa, d.rows, d.v, Options::default(), &d.logits, &d.targets, &d.lse, 1.0, &mut d.dlogits);
    };
    let (data, expected) = (Data::new(rows, v), (reference(rows, v), reference(rows, v)));
    Box::new(ladder(&BACKWARD_RUNGS, data, call, |d| d.dlogits.fill(f32::NAN), parts, expected))
}
