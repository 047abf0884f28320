//! Layer norm and RMS norm.

use crate::device::{Device, device, sizes};
use gradus_kernels::cuda::{Buffer, Slice, SliceMut};
use gradus_kernels::norm::{BackwardInput, BackwardInputOf, Gradients, GradientsOf, Input, InputOf, Output, OutputOf};
use gradus_kernels::norm::{cuda, naive};
use gradus_kernels::oracle::{check, values, widen};

/// Rows and columns: one element, odd ones, rows longer than a block, more rows than a block has warps, and none.
const SIZES: [(usize, usize); 7] = [(1, 1), (5, 7), (33, 33), (3, 130), (2, 257), (0, 7), (4, 0)];
/// At the limits of what a warp and a block keep in registers, and more rows than one block sums for the parameters.
const LONG: [(usize, usize); 5] = [(9, 512), (3, 516), (2, 4096), (2, 4099), (200, 37)];

/// A call with or without the mean (layer norm or RMS norm) and the parameters.
#[derive(Clone, Copy, Debug)]
struct Case {
    rows: usize,
    c: usize,
    eps: f32,
    layer: bool,
    parameters: bool,
    /// How far from the beginning of their memory the elements lie.
    shift: usize,
}

struct Uploaded(Buffer, usize);

impl Uploaded {
    fn new(device: &Device, shift: usize, x: &[f32]) -> Uploaded {
        Uploaded(device.upload(&[&vec![7.0; shift][..], x, &[7.0]].concat()), shift)
    }
    fn get(&self, len: usize) -> Slice<'_, f32> {
        self.0.slice(self.1..self.1 + len)
    }
    fn get_mut(&mut self, len: usize) -> SliceMut<'_, f32> {
        self.0.slice_mut(self.1..self.1 + len)
    }
    /// The elements, once nothing beside them has been written.
    fn host(&self, len: usize) -> Vec<f32> {
        let all = self.0.to_host::<f32>().unwrap_or_else(|error| panic!("{error}"));
        assert!(all[..self.1].iter().chain(&all[self.1 + len..]).all(|&x| x == 7.0), "nothing else is written");
        all[self.1..self.1 + len].to_vec()
    }
}

impl Case {
    fn gamma(&self) -> Vec<f32> {
        values(2, self.c)
    }
    fn beta(&self) -> Vec<f32> {
        values(3, self.c)
    }

    /// y, rstd and the mean as the specification has them.
    fn expected<E: gradus_kernels::Float>(&self, x: &[E], gamma: &[E], beta: &[E]) -> [Vec<E>; 3] {
        let Case { rows, c, eps, layer, parameters, .. } = *self;
        let [mut y, mut rstd, mut mean] = [rows * c, rows, rows].map(|len| vec![E::zero(); len]);
        let (gamma, beta) = (parameters.then_some(gamma), (parameters && layer).then_some(beta));
        let output = Output { y: &mut y, mean: layer.then_some(&mut mean[..]), rstd: &mut rstd };
        naive::forward(Input { rows, c, eps, x, gamma, beta }, output);
        [y, rstd, mean]
    }

    fn forward(&self, device: &Device, run: cuda::Forward, x: &[f32]) -> [Vec<f32>; 3] {
        let Case { rows, c, eps, layer, parameters, shift } = *self;
        let [x, gamma, beta] = [x, &self.gamma(), &self.beta()].map(|x| Uploaded::new(device, shift, x));
        let lens = [rows * c, rows, rows];
        let [mut y, mut rstd, mut mean] = lens.map(|len| Uploaded::new(device, shift, &vec![0.0; len]));
        let (with_gamma, with_beta) = (parameters.then(|| gamma.get(c)), (parameters && layer).then(|| beta.get(c)));
        let input = InputOf { rows, c, eps, x: x.get(rows * c), gamma: with_gamma, beta: with_beta };
        let output =
            OutputOf { y: y.get_mut(rows * c), mean: layer.then(|| mean.get_mut(rows)), rstd: rstd.get_mut(rows) };
        run(&device.gpu, input, output).unwrap_or_else(|error| panic!("{error}"));
        [y.host(rows * c), rstd.host(rows), mean.host(rows)]
    }

    /// dx, dγ and dβ as the specification has them.
    fn expected_backward<E: gradus_kernels::Float>(&self, [x, gamma, mean, rstd, dy]: [&[E]; 5]) -> [Vec<E>; 3] {
        let Case { rows, c, layer, parameters, .. } = *self;
        let [mut dx, mut dgamma, mut dbeta] = [rows * c, c, c].map(|len| vec![E::zero(); len]);
        let (gamma, mean) = (parameters.then_some(gamma), layer.then_some(mean));
        let dbeta_of = layer.then_some(&mut dbeta[..]);
        let gradients = Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dgamma), dbeta: dbeta_of };
        naive::backward(BackwardInput { rows, c, x, gamma, mean, rstd, dy }, gradients);
        [dx, dgamma, dbeta]
    }

    /// The same on the device, with dx added to `before`, if there is one; `wanted` says for γ and β whether their gradients are.
    fn backward(
        &self,
        device: &Device,
        run: cuda::Backward,
        inputs: [&[f32]; 5],
        before: Option<f32>,
        wanted: [bool; 2],
    ) -> [Vec<f32>; 3] {
        let Case { rows, c, layer, parameters, shift, .. } = *self;
        let [x, gamma, mean, rstd, dy] = inputs.map(|x| Uploaded::new(device, shift, x));
        let (mut dx, mut dgamma, mut dbeta) = (
            Uploaded::new(device, shift, &vec![before.unwrap_or(f32::NAN); rows * c]),
            Uploaded::new(device, shift, &vec![0.0; c]),
            Uploaded::new(device, shift, &vec![0.0; c]),
        );
        let input = BackwardInputOf {
            rows,
            c,
            x: x.get(rows * c),
            gamma: parameters.then(|| gamma.get(c)),
            mean: layer.then(|| mean.get(rows)),
            rstd: rstd.get(rows),
            dy: dy.get(rows * c),
        };
        let gradients = GradientsOf {
            dx: dx.get_mut(rows * c),
            add: before.is_some(),
            dgamma: wanted[0].then(|| dgamma.get_mut(c)),
            dbeta: (wanted[1] && layer).then(|| dbeta.get_mut(c)),
        };
        run(&device.gpu, input, gradients).unwrap_or_else(|error| panic!("{error}"));
        [dx.host(rows * c), dgamma.host(c), dbeta.host(c)]
    }
}

fn check_each(what: &str, got: &[Vec<f32>; 3], plain: &[Vec<f32>; 3], exact: &[Vec<f64>; 3]) {
    for (i, ((got, plain), exact)) in got.iter().zip(plain).zip(exact).enumerate() {
        check(got, plain, exact).unwrap_or_else(|e| panic!("{what}, output {i}: {e}"));
    }
}

fn check_forward(device: &Device, case: Case, x: &[f32], schedule: &str) {
    let (gamma, beta) = (case.gamma(), case.beta());
    let plain = case.expected(x, &gamma, &beta);
    let exact = case.expected(&widen(x), &widen(&gamma), &widen(&beta));
    for rung in &cuda::FORWARD_CUDA_RUNGS {
        let got = case.forward(device, rung.run, x);
        check_each(&format!("{}, {case:?}, {schedule}", rung.name), &got, &plain, &exact);
    }
    check_each("best", &case.forward(device, cuda::forward, x), &plain, &exact);
}

fn check_backward(device: &Device, case: Case, x: &[f32], schedule: &str) {
    let (gamma, beta, dy) = (case.gamma(), case.beta(), values(4, x.len()));
    let [_, rstd, mean] = case.expected(x, &gamma, &beta);
    let inputs = [x, &gamma, &mean, &rstd, &dy];
    let mut plain = case.expected_backward(inputs);
    let mut exact = case.expected_backward(inputs.map(widen).each_ref().map(|x| &x[..]));
    // In short rows the two terms of dx nearly cancel: what may be wrong is a rounding of the terms.
    let term = rstd.iter().copied().filter(|r| r.is_finite()).fold(0.0, f32::max);
    plain[0].push(term);
    exact[0].push(f64::from(term));
    let ladder = cuda::BACKWARD_CUDA_RUNGS.iter().map(|rung| (rung.name, rung.run));
    for (name, run) in ladder.chain([("best", cuda::backward as cuda::Backward)]) {
        let what = format!("{name}, {case:?}, {schedule}");
        let mut got = case.backward(device, run, inputs, None, [true; 2]);
        let added = case.backward(device, run, inputs, Some(2.0), [false, true]);
        assert_eq!(added[2], got[2], "{what}: dβ alone");
        for (sum, dx) in added[0].iter().zip(&got[0]) {
            assert!((sum - (2.0 + dx)).abs() <= 1e-6 * sum.abs().max(1.0) || dx.is_nan(), "{what}: {sum} is 2 + {dx}");
        }
        got[0].push(term);
        check_each(&what, &got, &plain, &exact);
    }
}

fn for_each_case(mut test: impl FnMut(&Device, Case, &str)) {
    let Some(device) = device() else { return };
    for layer in [true, false] {
        for (i, (rows, c)) in sizes(&SIZES, &[(40, 37), (2, 257)]).into_iter().enumerate() {
            let case = Case { rows, c, eps: 1e-5, layer, parameters: i % 2 == 0, shift: i % 3 };
            device.in_every_schedule(|schedule| test(&device, case, schedule));
        }
        for (i, (rows, c)) in sizes(&LONG, &[(2, 516), (2, 4099)]).into_iter().enumerate() {
            for shift in [0, 1] {
                test(&device, Case { rows, c, eps: 1e-5, layer, parameters: i % 2 == shift, shift }, "one schedule");
            }
        }
    }
}

#[test]
fn every_rung_agrees_with_the_oracle() {
    for_each_case(|device, case, schedule| check_forward(device, case, &values(1, case.rows * case.c), schedule));
}

#[test]
fn every_rung_of_the_gradient_agrees_with_the_oracle() {
    for_each_case(|device, case, schedule| check_backward(device, case, &values(1, case.rows * case.c), schedule));
}

/// Rows whose squares leave the range of `f32`, and rows far from zero.
#[test]
fn rows_of_every_size_are_normalised() {
    let Some(device) = device() else { return };
    for layer in [true, false] {
        for (eps, size) in [(1e-5, 1e-40), (1e-5, 1e19), (1e-5, 1e37), (0.0, 1e-30), (0.0, 1e-19), (0.0, 1e37)] {
            let case = Case { rows: 3, c: 67, eps, layer, parameters: false, shift: 0 };
            let x: Vec<f32> = values(1, 3 * 67).iter().map(|x| x * size).collect();
            check_forward(&device, case, &x, "one schedule");
            check_backward(&device, case, &x, "one schedule");
        }
        let case = Case { rows: 3, c: 67, eps: 1e-5, layer, parameters: true, shift: 0 };
        let x: Vec<f32> = values(1, 3 * 67).iter().map(|x| 1000.0 + x).collect();
        check_forward(&device, case, &x, "one schedule");
    }
}

/// NaN and ∞ stay in their rows, and stand where the specification has them.
#[test]
fn special_values_change_no_other_row() {
    let Some(device) = device() else { return };
    for layer in [true, false] {
        let case = Case { rows: 9, c: 67, eps: 1e-5, layer, parameters: true, shift: 0 };
        let mut x = values(5, 9 * 67);
        (x[67 + 3], x[4 * 67 + 60]) = (f32::NAN, f32::INFINITY);
        check_forward(&device, case, &x, "one schedule");
    }
}

/// A NaN or ∞ in x or dy stays in its row of the gradient, and stands where the specification has it.
#[test]
fn special_values_change_no_gradient_of_another_row() {
    let Some(device) = device() else { return };
    for layer in [true, false] {
        let case = Case { rows: 9, c: 67, eps: 1e-5, layer, parameters: true, shift: 0 };
        let (mut x, mut dy, gamma) = (values(5, 9 * 67), values(6, 9 * 67), case.gamma());
        (x[67 + 3], x[2 * 67 + 4], dy[5 * 67 + 66]) = (f32::NAN, f32::NAN, f32::INFINITY);
        let (mean, rstd) = (values(7, 9), [0.5; 9]);
        let inputs = [&x[..], &gamma, &mean, &rstd, &dy];
        let plain = case.expected_backward(inputs);
        let exact = case.expected_backward(inputs.map(widen).each_ref().map(|x| &x[..]));
        for rung in &cuda::BACKWARD_CUDA_RUNGS {
            let got = case.backward(&device, rung.run, inputs, None, [true; 2]);
            check_each(rung.name, &got, &plain, &exact);
            let rows: Vec<bool> = got[0].chunks(67).map(|row| row.iter().all(|x| x.is_finite())).collect();
            assert_eq!(rows, [true, false, false, true, true, false, true, true, true], "{}", rung.name);
        }
    }
}

/// The bits of the gradients do not depend on the order in which threads run.
#[test]
fn every_order_of_the_threads_gives_the_same_gradients() {
    let Some(device) = device() else { return };
    let case = Case { rows: 70, c: 131, eps: 1e-5, layer: true, parameters: true, shift: 0 };
    let [x, dy] = [1, 2].map(|seed| values(seed, 70 * 131));
    let (gamma, mean, rstd) = (case.gamma(), values(3, 70), vec![0.5; 70]);
    for rung in &cuda::BACKWARD_CUDA_RUNGS[1..] {
        let mut first: Option<[Vec<f32>; 3]> = None;
        device.in_every_schedule(|schedule| {
            let got = case.backward(&device, rung.run, [&x, &gamma, &mean, &rstd, &dy], None, [true; 2]);
            assert_eq!(first.get_or_insert_with(|| got.clone()), &got, "{}, {schedule}", rung.name);
        });
    }
}

#[test]
fn wrong_lengths_of_gradients_panic() {
    let Some(device) = device() else { return };
    let lens = [6, 3, 2, 2, 6, 6, 3, 3]; // x, gamma, mean, rstd, dy; dx, dgamma, dbeta
    for wrong in 0..=lens.len() {
        let buffers = lens.map(|len| device.upload(&vec![0.5_f32; len]));
        let len = |i: usize| lens[i] - usize::from(i == wrong);
        let run = std::panic::AssertUnwindSafe(|| {
            let [x, gamma, mean, rstd, dy, mut dx, mut dgamma, mut dbeta] = buffers;
            let input = BackwardInputOf {
                rows: 2,
                c: 3,
                x: x.slice(0..len(0)),
                gamma: Some(gamma.slice(0..len(1))),
                mean: Some(mean.slice(0..len(2))),
                rstd: rstd.slice(0..len(3)),
                dy: dy.slice(0..len(4)),
            };
            let gradients = GradientsOf {
                dx: dx.slice_mut(0..len(5)),
                add: false,
                dgamma: Some(dgamma.slice_mut(0..len(6))),
                dbeta: Some(dbeta.slice_mut(0..len(7))),
            };
            cuda::backward(&device.gpu, input, gradients).unwrap_or_else(|error| panic!("{error}"));
        });
        assert_eq!(std::panic::catch_unwind(run).is_err(), wrong < lens.len(), "length {wrong}");
    }
}

#[test]
fn wrong_lengths_panic() {
    let Some(device) = device() else { return };
    for which in 0..3 {
        let run = std::panic::AssertUnwindSafe(|| {
            let (x, mut y, mut rstd) = (device.output::<f32>(6), device.output::<f32>(6), device.output::<f32>(2));
            let beta = (which == 2).then(|| x.slice(0..3)); // RMS norm has none
            let input =
                InputOf { rows: 2, c: 3, eps: 0.0, x: x.slice(0..if which == 0 { 5 } else { 6 }), gamma: None, beta };
            let rstd = rstd.slice_mut(0..if which == 1 { 1 } else { 2 });
            cuda::forward(&device.gpu, input, OutputOf { y: y.slice_mut(0..6), mean: None, rstd })
        });
        assert!(std::panic::catch_unwind(run).is_err(), "case {which}");
    }
}
