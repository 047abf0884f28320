//! Softmax and log-softmax of rows.

#[cfg(feature = "peers")]
use super::peers::{WithPeers, candle};
use super::{Buffer, Case, Ladder, Parts, cast, ends, ladder, scaled, values, zeros};
use gradus_kernels::{
    Float, Rung,
    softmax::{self, BACKWARD_RUNGS, Backward, FORWARD_RUNGS, Forward, LOG_BACKWARD_RUNGS, LOG_FORWARD_RUNGS, naive},
};

pub(super) struct Data {
    pub(super) rows: usize,
    pub(super) c: usize,
    /// Forward x, backward y.
    pub(super) x: Buffer,
    pub(super) dy: Buffer,
    pub(super) out: Buffer,
}

impl Data {
    /// A function of rows, on the rows that are compared.
    fn reference<E: Float>(&self, f: impl Fn(usize, usize, &[E], &[E], &mut [E])) -> Parts<E> {
        let (x, dy) = (cast::<E>(&ends(&self.x, self.c)), cast::<E>(&ends(&self.dy, self.c)));
        let mut out = vec![E::zero(); x.len()];
        f(x.len() / self.c, self.c, &x, &dy, &mut out);
        vec![out]
    }
}

fn outputs(d: &Data) -> Parts<f32> {
    vec![ends(&d.out, d.c)]
}

fn spoil(d: &mut Data) {
    d.out.fill(f32::NAN);
}

fn data(rows: usize, c: usize, x: Buffer, dy: Buffer) -> Data {
    Data { rows, c, x, dy, out: zeros(rows * c) }
}

fn forward_case(
    rungs: &'static [Rung<Forward>],
    (rows, c): (usize, usize),
    plain: fn(usize, usize, &[f32], &mut [f32]),
    exact: fn(usize, usize, &[f64], &mut [f64]),
) -> Ladder<Forward, Data> {
    let data = data(rows, c, scaled(1, rows * c, 8.0), zeros(0));
    let plain = data.reference(|rows, c, x, _, y| plain(rows, c, x, y));
    let exact = data.reference(|rows, c, x, _, y| exact(rows, c, x, y));
    let call = |run: Forward, isa, d: &mut Data| run(isa, d.rows, d.c, &d.x, &mut d.out);
    ladder(rungs, data, call, spoil, outputs, (plain, exact))
}

fn backward_case(
    rungs: &'static [Rung<Backward>],
    (rows, c): (usize, usize),
    forward: fn(usize, usize, &[f32], &mut [f32]),
    plain: fn(usize, usize, &[f32], &[f32], &mut [f32]),
    exact: fn(usize, usize, &[f64], &[f64], &mut [f64]),
) -> Ladder<Backward, Data> {
    let mut y = zeros(rows * c);
    forward(rows, c, &scaled(1, rows * c, 8.0), &mut y);
    let data = data(rows, c, y, values(2, rows * c));
    let expected = (data.reference(plain), data.reference(exact));
    let call = |run: Backward, isa, d: &mut Data| run(isa, d.rows, d.c, &d.x, &d.dy, &mut d.out);
    ladder(rungs, data, call, spoil, outputs, expected)
}

pub(super) fn forward_ladder(rows: usize, c: usize) -> Ladder<Forward, Data> {
    forward_case(&FORWARD_RUNGS, (rows, c), naive::forward, naive::forward)
}

pub(super) fn forward(rows: usize, c: usize) -> Box<dyn Case> {
    let ladder = forward_ladder(rows, c);
    #[cfg(feature = "peers")]
    let ladder = {
        let peers = candle::softmax(&ladder.data.x, [rows, c]);
        WithPeers::new(ladder, peers, |d, y| d.out.copy_from_slice(y))
    };
    Box::new(ladder)
}

pub(super) fn backward(rows: usize, c: usize) -> Ladder<Backward, Data> {
    backward_case(&BACKWARD_RUNGS, (rows, c), softmax::forward, naive::backward, naive::backward)
}

pub(super) fn log_forward(rows: usize, c: usize) -> Ladder<Forward, Data> {
    forward_case(&LOG_FORWARD_RUNGS, (rows, c), naive::log_forward, naive::log_forward)
}

pub(super) fn log_backward(rows: usize, c: usize) -> Ladder<Backward, Data> {
    backward_case(&LOG_BACKWARD_RUNGS, (rows, c), softmax::log_forward, naive::log_backward, naive::log_backward)
}
