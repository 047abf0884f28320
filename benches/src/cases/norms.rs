//! Layer norm and RMS norm, with their parameters.

use super::{Buffer, Case, Parts, aligned, cast, ladder, scaled, values, zeros};
use gradus_kernels::{Float, layer_norm, rms_norm};

const EPS: f32 = 1e-5;

/// Inputs and outputs of the norms, in both directions; what one does not need stays empty.
struct Data<E> {
    rows: usize,
    c: usize,
    x: Buffer<E>,
    gamma: Buffer<E>,
    beta: Buffer<E>,
    mean: Buffer<E>,
    rstd: Buffer<E>,
    dy: Buffer<E>,
    /// What is added to x, and the sum.
    added: Buffer<E>,
    h: Buffer<E>,
    /// Forward y, backward dx.
    out: Buffer<E>,
    dgamma: Buffer<E>,
    dbeta: Buffer<E>,
}

impl<E: Float> Data<E> {
    fn new(rows: usize, c: usize) -> Data<E> {
        let shifted = aligned(scaled(1, rows * c, 2.0).iter().map(|x| x + 0.5));
        Data {
            rows,
            c,
            x: cast(&shifted),
            gamma: cast(&scaled(2, c, 1.5)),
            beta: cast(&values(3, c)),
            mean: zeros(rows),
            rstd: zeros(rows),
            dy: cast(&values(4, rows * c)),
            out: zeros(rows * c),
            dgamma: zeros(c),
            dbeta: zeros(c),
            added: zeros(0),
            h: zeros(0),
        }
    }

    fn with_sum(self) -> Data<E> {
        let len = self.rows * self.c;
        Data { added: cast(&values(5, len)), h: zeros(len), ..self }
    }

    fn spoil(&mut self) {
        let nan = E::of(f64::NAN);
        [&mut self.h, &mut self.out, &mut self.dgamma, &mut self.dbeta].into_iter().for_each(|x| x.fill(nan));
    }

    fn layer_norm(mut self) -> Data<E> {
        let Data { rows, c, .. } = self;
        let (y, mean, rstd) = (&mut self.out, &mut self.mean, &mut self.rstd);
        layer_norm::naive::forward(rows, c, EPS, &self.x, Some(&self.gamma), Some(&self.beta), y, mean, rstd);
        self
    }

    fn rms_norm(mut self) -> Data<E> {
        let Data { rows, c, .. } = self;
        rms_norm::naive::forward(rows, c, EPS, &self.x, Some(&self.gamma), &mut self.out, &mut self.rstd);
        self
    }
}

pub(super) fn layer_norm_forward(rows: usize, c: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.out.to_vec(), d.mean.to_vec(), d.rstd.to_vec()]
    }
    let expected = (parts(&Data::new(rows, c).layer_norm()), parts(&Data::new(rows, c).layer_norm()));
    let call = |run: layer_norm::Forward, isa, d: &mut Data<f32>| {
        let (gamma, beta) = (Some(&d.gamma[..]), Some(&d.beta[..]));
        run(isa, d.rows, d.c, EPS, &d.x, gamma, beta, &mut d.out, &mut d.mean, &mut d.rstd);
    };
    Box::new(ladder(&layer_norm::FORWARD_RUNGS, Data::new(rows, c), call, Data::spoil, parts, expected))
}

pub(super) fn layer_norm_backward(rows: usize, c: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.out.to_vec(), d.dgamma.to_vec(), d.dbeta.to_vec()]
    }
    fn reference<E: Float>(rows: usize, c: usize) -> Parts<E> {
        let mut d = Data::<E>::new(rows, c).layer_norm();
        let (dgamma, dbeta) = (Some(&mut d.dgamma[..]), Some(&mut d.dbeta[..]));
        let (x, gamma, mean, rstd) = (&d.x, Some(&d.gamma[..]), &d.mean, &d.rstd);
        layer_norm::naive::backward(rows, c, x, gamma, mean, rstd, &d.dy, &mut d.out, false, dgamma, dbeta);
        parts(&d)
    }
    let call = |run: layer_norm::Backward, isa, d: &mut Data<f32>| {
        let (dgamma, dbeta) = (Some(&mut d.dgamma[..]), Some(&mut d.dbeta[..]));
        let gamma = Some(&d.gamma[..]);
        run(isa, d.rows, d.c, &d.x, gamma, &d.mean, &d.rstd, &d.dy, &mut d.out, false, dgamma, dbeta);
    };
    let (data, expected) = (Data::new(rows, c).layer_norm(), (reference(rows, c), reference(rows, c)));
    Box::new(ladder(&layer_norm::BACKWARD_RUNGS, data, call, Data::spoil, parts, expected))
}

pub(super) fn add_layer_norm(rows: usize, c: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.h.to_vec(), d.out.to_vec(), d.mean.to_vec(), d.rstd.to_vec()]
    }
    fn reference<E: Float>(rows: usize, c: usize) -> Parts<E> {
        let mut d = Data::<E>::new(rows, c).with_sum();
        let (gamma, beta, h, y) = (Some(&d.gamma[..]), Some(&d.beta[..]), &mut d.h, &mut d.out);
        layer_norm::residual::naive(rows, c, EPS, &d.x, &d.added, gamma, beta, h, y, &mut d.mean, &mut d.rstd);
        parts(&d)
    }
    let call = |run: layer_norm::AddForward, isa, d: &mut Data<f32>| {
        let (gamma, beta, h, y) = (Some(&d.gamma[..]), Some(&d.beta[..]), &mut d.h, &mut d.out);
        run(isa, d.rows, d.c, EPS, &d.x, &d.added, gamma, beta, h, y, &mut d.mean, &mut d.rstd);
    };
    let (data, expected) = (Data::new(rows, c).with_sum(), (reference(rows, c), reference(rows, c)));
    Box::new(ladder(&layer_norm::ADD_FORWARD_RUNGS, data, call, Data::spoil, parts, expected))
}

pub(super) fn rms_norm_forward(rows: usize, c: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.out.to_vec(), d.rstd.to_vec()]
    }
    let expected = (parts(&Data::new(rows, c).rms_norm()), parts(&Data::new(rows, c).rms_norm()));
    let call = |run: rms_norm::Forward, isa, d: &mut Data<f32>| {
        run(isa, d.rows, d.c, EPS, &d.x, Some(&d.gamma), &mut d.out, &mut d.rstd);
    };
    Box::new(ladder(&rms_norm::FORWARD_RUNGS, Data::new(rows, c), call, Data::spoil, parts, expected))
}

pub(super) fn rms_norm_backward(rows: usize, c: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.out.to_vec(), d.dgamma.to_vec()]
    }
    fn reference<E: Float>(rows: usize, c: usize) -> Parts<E> {
        let mut d = Data::<E>::new(rows, c).rms_norm();
        let (dx, dgamma) = (&mut d.out, Some(&mut d.dgamma[..]));
        rms_norm::naive::backward(rows, c, &d.x, Some(&d.gamma), &d.rstd, &d.dy, dx, false, dgamma);
        parts(&d)
    }
    let call = |run: rms_norm::Backward, isa, d: &mut Data<f32>| {
        let (dx, dgamma) = (&mut d.out, Some(&mut d.dgamma[..]));
        run(isa, d.rows, d.c, &d.x, Some(&d.gamma), &d.rstd, &d.dy, dx, false, dgamma);
    };
    let (data, expected) = (Data::new(rows, c).rms_norm(), (reference(rows, c), reference(rows, c)));
    Box::new(ladder(&rms_norm::BACKWARD_RUNGS, data, call, Data::spoil, parts, expected))
}
