//! Rows of a table, and the scatter of their gradients.

use super::{Buffer, Ladder, Parts, cast, indices, ladder, values, zeros};
use gradus_kernels::{
    Float,
    embedding::{BACKWARD_RUNGS, Backward, FORWARD_RUNGS, Forward, naive},
};

pub(super) struct Data<E> {
    pub(super) v: usize,
    pub(super) c: usize,
    pub(super) ids: Vec<u32>,
    /// Forward the table, backward dy.
    pub(super) input: Buffer<E>,
    pub(super) output: Buffer<E>,
}

impl<E: Float> Data<E> {
    fn new(ids: usize, v: usize, c: usize, input: usize, output: usize) -> Data<E> {
        let input = cast(&values(1, input * c));
        Data { v, c, ids: indices(2, ids, v), input, output: zeros(output * c) }
    }
}

fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
    vec![d.output.to_vec()]
}

fn spoil(d: &mut Data<f32>) {
    d.output.fill(f32::NAN);
}

pub(super) fn forward(ids: usize, v: usize, c: usize) -> Ladder<Forward, Data<f32>> {
    fn reference<E: Float>(mut d: Data<E>) -> Parts<E> {
        naive::forward(d.v, d.c, &d.input, &d.ids, &mut d.output);
        parts(&d)
    }
    let expected = (reference(Data::new(ids, v, c, v, ids)), reference(Data::new(ids, v, c, v, ids)));
    let call = |run: Forward, isa, d: &mut Data<f32>| run(isa, d.v, d.c, &d.input, &d.ids, &mut d.output);
    ladder(&FORWARD_RUNGS, Data::new(ids, v, c, v, ids), call, spoil, parts, expected)
}

pub(super) fn backward(ids: usize, v: usize, c: usize) -> Ladder<Backward, Data<f32>> {
    fn reference<E: Float>(mut d: Data<E>) -> Parts<E> {
        naive::backward(d.v, d.c, &d.ids, &d.input, &mut d.output);
        parts(&d)
    }
    let expected = (reference(Data::new(ids, v, c, ids, v)), reference(Data::new(ids, v, c, ids, v)));
    let call = |run: Backward, isa, d: &mut Data<f32>| run(isa, d.v, d.c, &d.ids, &d.input, &mut d.output);
    ladder(&BACKWARD_RUNGS, Data::new(ids, v, c, ids, v), call, spoil, parts, expected)
}
