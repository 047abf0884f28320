//! Layer norm and RMS norm, with their parameters.

#[cfg(feature = "peers")]
use super::peers::{WithPeers, candle};
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

    /// The arguments of layer norm; those of its sum with `added` are `added`, h and these.
    fn layer_norm_forward(&mut self) -> (layer_norm::Input<'_, E>, &[E], &mut [E], layer_norm::Output<'_, E>) {
        let Data { rows, c, x, gamma, beta, added, h, out, mean, rstd, .. } = self;
        let input = layer_norm::Input { rows: *rows, c: *c, eps: EPS, x, gamma: Some(gamma), beta: Some(beta) };
        (input, added, h, layer_norm::Output { y: out, mean, rstd })
    }

    fn layer_norm_backward(&mut self) -> (layer_norm::BackwardInput<'_, E>, layer_norm::Gradients<'_, E>) {
        let Data { rows, c, x, gamma, mean, rstd, dy, out, dgamma, dbeta, .. } = self;
        let input = layer_norm::BackwardInput { rows: *rows, c: *c, x, gamma: Some(gamma), mean, rstd, dy };
        (input, layer_norm::Gradients { dx: out, add: false, dgamma: Some(dgamma), dbeta: Some(dbeta) })
    }

    fn rms_norm_forward(&mut self) -> (rms_norm::Input<'_, E>, rms_norm::Output<'_, E>) {
        let Data { rows, c, x, gamma, out, rstd, .. } = self;
        let input = rms_norm::Input { rows: *rows, c: *c, eps: EPS, x, gamma: Some(gamma) };
        (input, rms_norm::Output { y: out, rrms: rstd })
    }

    fn rms_norm_backward(&mut self) -> (rms_norm::BackwardInput<'_, E>, rms_norm::Gradients<'_, E>) {
        let Data { rows, c, x, gamma, rstd, dy, out, dgamma, .. } = self;
        let input = rms_norm::BackwardInput { rows: *rows, c: *c, x, gamma: Some(gamma), rrms: rstd, dy };
        (input, rms_norm::Gradients { dx: out, add: false, dgamma: Some(dgamma) })
    }

    fn layer_norm(mut self) -> Data<E> {
        let (input, _, _, output) = self.layer_norm_forward();
        layer_norm::naive::forward(input, output);
        self
    }

    fn rms_norm(mut self) -> Data<E> {
        let (input, output) = self.rms_norm_forward();
        rms_norm::naive::forward(input, output);
        self
    }
}

pub(super) fn layer_norm_forward(rows: usize, c: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.out.to_vec(), d.mean.to_vec(), d.rstd.to_vec()]
    }
    let expected = (parts(&Data::new(rows, c).layer_norm()), parts(&Data::new(rows, c).layer_norm()));
    let call = |run: layer_norm::Forward, isa, d: &mut Data<f32>| {
        let (input, _, _, output) = d.layer_norm_forward();
        run(isa, input, output);
    };
    let ladder = ladder(&layer_norm::FORWARD_RUNGS, Data::new(rows, c), call, Data::spoil, parts, expected);
    #[cfg(feature = "peers")]
    let ladder = {
        let Data { ref x, ref gamma, ref beta, .. } = ladder.data;
        let peers = candle::layer_norm(x, [rows, c], [gamma, beta], EPS);
        WithPeers::new(ladder, peers, |d, y| d.out.copy_from_slice(y))
    };
    Box::new(ladder)
}

pub(super) fn layer_norm_backward(rows: usize, c: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.out.to_vec(), d.dgamma.to_vec(), d.dbeta.to_vec()]
    }
    fn reference<E: Float>(rows: usize, c: usize) -> Parts<E> {
        let mut d = Data::<E>::new(rows, c).layer_norm();
        let (input, gradients) = d.layer_norm_backward();
        layer_norm::naive::backward(input, gradients);
        parts(&d)
    }
    let call = |run: layer_norm::Backward, isa, d: &mut Data<f32>| {
        let (input, gradients) = d.layer_norm_backward();
        run(isa, input, gradients);
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
        let (input, added, h, output) = d.layer_norm_forward();
        layer_norm::residual::naive(input, added, h, output);
        parts(&d)
    }
    let call = |run: layer_norm::AddForward, isa, d: &mut Data<f32>| {
        let (input, added, h, output) = d.layer_norm_forward();
        run(isa, input, added, h, output);
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
        let (input, output) = d.rms_norm_forward();
        run(isa, input, output);
    };
    let ladder = ladder(&rms_norm::FORWARD_RUNGS, Data::new(rows, c), call, Data::spoil, parts, expected);
    #[cfg(feature = "peers")]
    let ladder = {
        let Data { ref x, ref gamma, .. } = ladder.data;
        let peers = candle::rms_norm(x, [rows, c], gamma, EPS);
        WithPeers::new(ladder, peers, |d, y| d.out.copy_from_slice(y))
    };
    Box::new(ladder)
}

pub(super) fn rms_norm_backward(rows: usize, c: usize) -> Box<dyn Case> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.out.to_vec(), d.dgamma.to_vec()]
    }
    fn reference<E: Float>(rows: usize, c: usize) -> Parts<E> {
        let mut d = Data::<E>::new(rows, c).rms_norm();
        let (input, gradients) = d.rms_norm_backward();
        rms_norm::naive::backward(input, gradients);
        parts(&d)
    }
    let call = |run: rms_norm::Backward, isa, d: &mut Data<f32>| {
        let (input, gradients) = d.rms_norm_backward();
        run(isa, input, gradients);
    };
    let (data, expected) = (Data::new(rows, c).rms_norm(), (reference(rows, c), reference(rows, c)));
    Box::new(ladder(&rms_norm::BACKWARD_RUNGS, data, call, Data::spoil, parts, expected))
}
