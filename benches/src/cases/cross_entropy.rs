//! Cross-entropy from logits.

use super::{Buffer, Ladder, Parts, cast, indices, ladder, scaled, zeros};
use gradus_kernels::{
    Float,
    cross_entropy::{BACKWARD_RUNGS, Backward, BackwardInput, FORWARD_RUNGS, Forward, Input, Options, Output, naive},
};

pub(super) struct Data<E> {
    pub(super) rows: usize,
    pub(super) v: usize,
    pub(super) logits: Buffer<E>,
    pub(super) targets: Vec<u32>,
    pub(super) losses: Buffer<E>,
    pub(super) lse: Buffer<E>,
    pub(super) loss: E,
    pub(super) d_loss: [E; 1],
    pub(super) dlogits: Buffer<E>,
}

impl<E: Float> Data<E> {
    /// Inputs, and what the forward pass makes of them.
    fn new(rows: usize, v: usize) -> Data<E> {
        let (logits, targets) = (cast(&scaled(1, rows * v, 4.0)), indices(2, rows, v));
        let (losses, lse, dlogits) = (zeros(rows), zeros(rows), zeros(rows * v));
        let mut data = Data { rows, v, logits, targets, losses, lse, loss: E::zero(), d_loss: [E::one()], dlogits };
        let (input, output) = data.forward();
        data.loss = naive::forward(input, output);
        data
    }

    fn forward(&mut self) -> (Input<'_, E>, Output<'_, E>) {
        let Data { rows, v, logits, targets, losses, lse, .. } = self;
        let input = Input { rows: *rows, v: *v, options: Options::default(), logits, targets };
        (input, Output { losses, lse })
    }

    fn backward(&mut self) -> (BackwardInput<'_, E>, &mut [E]) {
        let Data { rows, v, logits, targets, lse, d_loss, dlogits, .. } = self;
        let options = Options::default();
        (BackwardInput { rows: *rows, v: *v, options, logits, targets, lse, d_loss }, dlogits)
    }
}

pub(super) fn forward(rows: usize, v: usize) -> Ladder<Forward, Data<f32>> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![vec![d.loss], d.losses.to_vec(), d.lse.to_vec()]
    }
    let expected = (parts(&Data::new(rows, v)), parts(&Data::new(rows, v)));
    let call = |run: Forward, isa, d: &mut Data<f32>| {
        let (input, output) = d.forward();
        d.loss = run(isa, input, output);
    };
    let spoil = |d: &mut Data<f32>| {
        d.loss = f32::NAN;
        d.losses.fill(f32::NAN);
        d.lse.fill(f32::NAN);
    };
    ladder(&FORWARD_RUNGS, Data::new(rows, v), call, spoil, parts, expected)
}

pub(super) fn backward(rows: usize, v: usize) -> Ladder<Backward, Data<f32>> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.dlogits.to_vec()]
    }
    fn reference<E: Float>(rows: usize, v: usize) -> Parts<E> {
        let mut d = Data::<E>::new(rows, v);
        let (input, dlogits) = d.backward();
        naive::backward(input, dlogits);
        parts(&d)
    }
    let call = |run: Backward, isa, d: &mut Data<f32>| {
        let (input, dlogits) = d.backward();
        run(isa, input, dlogits);
    };
    let (data, expected) = (Data::new(rows, v), (reference(rows, v), reference(rows, v)));
    ladder(&BACKWARD_RUNGS, data, call, |d| d.dlogits.fill(f32::NAN), parts, expected)
}
