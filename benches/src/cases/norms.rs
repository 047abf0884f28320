//! Layer norm and RMS norm, with their parameters.

#[cfg(feature = "peers")]
use super::peers::{WithPeers, candle};
use super::{Buffer, Case, Ladder, Parts, aligned, cast, ladder, scaled, values, zeros};
use gradus_kernels::{Float, norm};

pub(super) const EPS: f32 = 1e-5;

/// Inputs and outputs of a norm, in both directions.
pub(super) struct Data<E> {
    pub(super) rows: usize,
    pub(super) c: usize,
    /// Layer norm has means and β; those of RMS norm stay as they are.
    pub(super) centered: bool,
    pub(super) x: Buffer<E>,
    pub(super) gamma: Buffer<E>,
    pub(super) beta: Buffer<E>,
    pub(super) mean: Buffer<E>,
    pub(super) rstd: Buffer<E>,
    pub(super) dy: Buffer<E>,
    /// Forward y, backward dx.
    pub(super) out: Buffer<E>,
    pub(super) dgamma: Buffer<E>,
    pub(super) dbeta: Buffer<E>,
}

impl<E: Float> Data<E> {
    fn new(centered: bool, rows: usize, c: usize) -> Data<E> {
        let x = aligned(scaled(1, rows * c, 2.0).iter().map(|x| x + 0.5));
        Data {
            rows,
            c,
            centered,
            x: cast(&x),
            gamma: cast(&scaled(2, c, 1.5)),
            beta: cast(&values(3, c)),
            mean: zeros(rows),
            rstd: zeros(rows),
            dy: cast(&values(4, rows * c)),
            out: zeros(rows * c),
            dgamma: zeros(c),
            dbeta: zeros(c),
        }
    }

    /// The same after the forward pass, whose statistics the backward pass reads.
    fn normed(centered: bool, rows: usize, c: usize) -> Data<E> {
        let mut data = Data::new(centered, rows, c);
        let (input, output) = data.forward();
        norm::naive::forward(input, output);
        data
    }

    fn spoil(&mut self) {
        let nan = E::of(f64::NAN);
        [&mut self.out, &mut self.dgamma, &mut self.dbeta].into_iter().for_each(|x| x.fill(nan));
    }

    fn forward(&mut self) -> (norm::Input<'_, E>, norm::Output<'_, E>) {
        let Data { rows, c, centered, x, gamma, beta, out, mean, rstd, .. } = self;
        let (beta, mean) = (centered.then_some(&beta[..]), centered.then_some(&mut mean[..]));
        let input = norm::Input { rows: *rows, c: *c, eps: EPS, x, gamma: Some(gamma), beta };
        (input, norm::Output { y: out, mean, rstd })
    }

    fn backward(&mut self) -> (norm::BackwardInput<'_, E>, norm::Gradients<'_, E>) {
        let Data { rows, c, centered, x, gamma, mean, rstd, dy, out, dgamma, dbeta, .. } = self;
        let (mean, dbeta) = (centered.then_some(&mean[..]), centered.then_some(&mut dbeta[..]));
        let input = norm::BackwardInput { rows: *rows, c: *c, x, gamma: Some(gamma), mean, rstd, dy };
        (input, norm::Gradients { dx: out, add: false, dgamma: Some(dgamma), dbeta })
    }
}

/// Layer norm if it is `centered`, or RMS norm.
pub(super) fn forward_ladder(centered: bool, rows: usize, c: usize) -> Ladder<norm::Forward, Data<f32>> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        vec![d.out.to_vec(), d.mean.to_vec(), d.rstd.to_vec()]
    }
    let expected = (parts(&Data::normed(centered, rows, c)), parts(&Data::normed(centered, rows, c)));
    let call = |run: norm::Forward, isa, d: &mut Data<f32>| {
        let (input, output) = d.forward();
        run(isa, input, output);
    };
    let data = Data::new(centered, rows, c);
    ladder(&norm::FORWARD_RUNGS, data, call, Data::spoil, parts, expected)
}

/// The same with other people's kernels, where they are compiled in.
pub(super) fn forward(centered: bool, rows: usize, c: usize) -> Box<dyn Case> {
    let ladder = forward_ladder(centered, rows, c);
    #[cfg(feature = "peers")]
    let ladder = {
        let Data { ref x, ref gamma, ref beta, .. } = ladder.data;
        let peers = if centered {
            candle::layer_norm(x, [rows, c], [gamma, beta], EPS)
        } else {
            candle::rms_norm(x, [rows, c], gamma, EPS)
        };
        WithPeers::new(ladder, peers, |d, y| d.out.copy_from_slice(y))
    };
    Box::new(ladder)
}

/// The gradients of layer norm if it is `centered`, or of RMS norm.
pub(super) fn backward(centered: bool, rows: usize, c: usize) -> Ladder<norm::Backward, Data<f32>> {
    fn parts<E: Float>(d: &Data<E>) -> Parts<E> {
        let dbeta = d.centered.then(|| d.dbeta.to_vec());
        [d.out.to_vec(), d.dgamma.to_vec()].into_iter().chain(dbeta).collect()
    }
    fn reference<E: Float>(centered: bool, rows: usize, c: usize) -> Parts<E> {
        let mut d = Data::<E>::normed(centered, rows, c);
        let (input, gradients) = d.backward();
        norm::naive::backward(input, gradients);
        parts(&d)
    }
    let call = |run: norm::Backward, isa, d: &mut Data<f32>| {
        let (input, gradients) = d.backward();
        run(isa, input, gradients);
    };
    let expected = (reference(centered, rows, c), reference(centered, rows, c));
    let data = Data::normed(centered, rows, c);
    ladder(&norm::BACKWARD_RUNGS, data, call, Data::spoil, parts, expected)
}
