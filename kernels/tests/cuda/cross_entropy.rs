//! Cross-entropy: the mean loss and the gradient of the logits.

use crate::device::{Device, device, sizes};
use gradus_kernels::{
    cross_entropy::{self, BackwardInputOf, InputOf, Options, OutputOf, cuda, naive},
    oracle,
};

/// Rows and classes: one element, odd ones, more classes than a warp or a block has threads, and none.
const SIZES: [(usize, usize); 6] = [(1, 1), (3, 7), (9, 33), (5, 257), (2, 1027), (0, 5)];
/// More rows than a block has threads, and rows that begin at multiples of 16 bytes, of a warp and of a block; for one schedule.
const LONG: [(usize, usize); 4] = [(300, 3), (33, 36), (3, 1024), (2, 2052)];

const OPTIONS: [Options; 3] = [
    Options { ignore_index: None, label_smoothing: 0.0 },
    Options { ignore_index: Some(1), label_smoothing: 0.1 },
    Options { ignore_index: Some(u32::MAX), label_smoothing: 1.0 },
];

/// Logits with −∞ here and there, and one row around 10⁴, and targets of which some are ignored.
fn problem(rows: usize, v: usize, options: Options) -> (Vec<f32>, Vec<u32>) {
    let mut x: Vec<f32> = oracle::values(1, rows * v).iter().map(|x| 8.0 * x).collect();
    if options.label_smoothing == 0.0 {
        for row in (0..rows).filter(|row| row % 3 == 1 && v > 2) {
            x[row * v..][..v - 1].fill(f32::NEG_INFINITY);
        }
    }
    if rows > 2 {
        x[2 * v..3 * v].iter_mut().for_each(|x| *x += 1e4);
    }
    let target = |row: usize| if row % 4 == 3 { options.ignore_index } else { None };
    let last = |row: usize| if row % 3 == 1 { v - 1 } else { row * 7 % v };
    let targets = (0..rows).map(|row| target(row).unwrap_or(last(row) as u32)).collect();
    (x, targets)
}

/// The mean, the losses and the log-sum-exps.
fn run_forward(
    device: &Device,
    run: cuda::MeanLoss,
    (rows, v, options): (usize, usize, Options),
    logits: &[f32],
    targets: &[u32],
) -> [Vec<f32>; 3] {
    let (x, t) = (device.upload(logits), device.upload(targets));
    let [mut losses, mut lse] = [(); 2].map(|()| device.output::<f32>(rows));
    let mut mean = device.output::<f32>(1);
    let input = InputOf { rows, v, options, logits: x.slice(0..logits.len()), targets: t.slice(0..targets.len()) };
    let output = OutputOf { losses: losses.slice_mut(0..rows), lse: lse.slice_mut(0..rows) };
    run(&device.gpu, input, output, mean.slice_mut(0..1)).unwrap_or_else(|error| panic!("{error}"));
    [mean, losses, lse].map(|buffer| buffer.to_host::<f32>().unwrap_or_else(|error| panic!("{error}")))
}

fn run_backward(
    device: &Device,
    run: cuda::Backward,
    (rows, v, options): (usize, usize, Options),
    (logits, targets, lse): (&[f32], &[u32], &[f32]),
) -> Vec<f32> {
    let (x, t, lse, d_loss) =
        (device.upload(logits), device.upload(targets), device.upload(lse), device.upload(&[0.75_f32]));
    let mut dx = device.output::<f32>(logits.len());
    let (logits, targets) = (x.slice(0..logits.len()), t.slice(0..targets.len()));
    let input =
        BackwardInputOf { rows, v, options, logits, targets, lse: lse.slice(0..rows), d_loss: d_loss.slice(0..1) };
    run(&device.gpu, input, dx.slice_mut(0..logits.len())).unwrap_or_else(|error| panic!("{error}"));
    dx.to_host().unwrap_or_else(|error| panic!("{error}"))
}

/// The specification: the mean, the losses, the log-sum-exps, the gradients.
fn specified<E: gradus_kernels::Float>(
    (rows, v, options): (usize, usize, Options),
    logits: &[E],
    targets: &[u32],
    d: E,
) -> [Vec<E>; 4] {
    let [mut losses, mut lse] = [(); 2].map(|()| vec![E::zero(); rows]);
    let input = cross_entropy::Input { rows, v, options, logits, targets };
    let mean = naive::forward(input, cross_entropy::Output { losses: &mut losses, lse: &mut lse });
    let mut dx = vec![E::zero(); logits.len()];
    naive::backward(
        cross_entropy::BackwardInput { rows, v, options, logits, targets, lse: &lse, d_loss: &[d] },
        &mut dx,
    );
    [vec![mean], losses, lse, dx]
}

#[test]
fn every_rung_agrees_with_the_oracle() {
    let Some(device) = device() else { return };
    let all: Vec<_> = SIZES.into_iter().map(|size| (size, true)).chain(LONG.map(|size| (size, false))).collect();
    let cases = sizes(&all, &[((9, 33), false), ((2, 1027), false), ((1100, 2), false)]);
    let forward = cuda::MEAN_LOSS_CUDA_RUNGS.iter().map(|rung| (rung.name, rung.run));
    let forward: Vec<_> = forward.chain([("best", cuda::mean_loss as cuda::MeanLoss)]).collect();
    let backward = cuda::BACKWARD_CUDA_RUNGS.iter().map(|rung| (rung.name, rung.run));
    let backward: Vec<_> = backward.chain([("best", cuda::backward as cuda::Backward)]).collect();
    for (((rows, v), every), options) in cases.into_iter().flat_map(|case| OPTIONS.map(|options| (case, options))) {
        let (problem_size, (x, targets)) = ((rows, v, options), problem(rows, v, options));
        let plain = specified(problem_size, &x, &targets, 0.75);
        let exact = specified(problem_size, &oracle::widen(&x), &targets, 0.75);
        let lse: Vec<f32> = exact[2].iter().map(|&x| x as f32).collect();
        let test = |schedule: &str| {
            for &(name, run) in &forward {
                let got = run_forward(&device, run, problem_size, &x, &targets);
                for (i, what) in ["mean", "losses", "lse"].into_iter().enumerate() {
                    let checked = oracle::check(&got[i], &plain[i], &exact[i]);
                    checked.unwrap_or_else(|error| {
                        panic!("{what} of {name}, {rows} × {v}, {options:?}, {schedule}: {error}")
                    });
                }
            }
            for &(name, run) in &backward {
                let got = run_backward(&device, run, problem_size, (&x, &targets, &lse));
                let checked = oracle::check(&got, &plain[3], &exact[3]);
                checked.unwrap_or_else(|error| {
                    panic!("backward of {name}, {rows} × {v}, {options:?}, {schedule}: {error}")
                });
            }
        };
        if every { device.in_every_schedule(test) } else { test("one schedule") }
    }
}

/// The mean of more rows than one block adds, and their gradients, which are divided by how many count.
#[test]
fn rows_of_several_parts_are_added() {
    let Some(device) = device() else { return };
    let (rows, v, options) = (2100, 2, OPTIONS[1]);
    let (x, targets) = problem(rows, v, options);
    let [plain, exact] = [specified((rows, v, options), &x, &targets, 0.75), {
        let exact = specified((rows, v, options), &oracle::widen(&x), &targets, 0.75);
        exact.map(|numbers| numbers.iter().map(|&x| x as f32).collect())
    }];
    let got = run_forward(&device, cuda::mean_loss, (rows, v, options), &x, &targets);
    let widened = exact.each_ref().map(|numbers| oracle::widen(numbers));
    for (got, (plain, exact)) in got.iter().zip(plain.iter().zip(&widened)) {
        oracle::check(got, plain, exact).unwrap_or_else(|error| panic!("{error}"));
    }
    let got = run_backward(&device, cuda::backward, (rows, v, options), (&x, &targets, &exact[2]));
    oracle::check(&got, &plain[3], &widened[3]).unwrap_or_else(|error| panic!("{error}"));
}

/// With smoothing the loss of a row is ∞ where one of its logits is −∞, wherever that stands.
#[test]
fn an_impossible_class_has_an_infinite_share_of_the_loss() {
    let Some(device) = device() else { return };
    let (v, options) = (1030, Options { ignore_index: None, label_smoothing: 0.5 });
    for at in [0, 1, 700, 1029] {
        let mut x = oracle::values(7, v);
        x[at] = f32::NEG_INFINITY;
        for rung in &cuda::MEAN_LOSS_CUDA_RUNGS {
            let [_, losses, lse] = run_forward(&device, rung.run, (1, v, options), &x, &[5]);
            assert!(losses[0] == f32::INFINITY && lse[0].is_finite(), "{} at {at}: {losses:?}, {lse:?}", rung.name);
        }
    }
}

#[test]
fn rows_that_have_no_loss_are_nan_and_nothing_else_is() {
    let Some(device) = device() else { return };
    let (rows, v, options) = (5, 40, Options::default());
    let mut x = oracle::values(3, rows * v);
    x[..v].fill(f32::NEG_INFINITY);
    x[v + 33] = f32::INFINITY;
    x[2 * v + 39] = f32::NAN;
    for rung in &cuda::MEAN_LOSS_CUDA_RUNGS {
        let [mean, losses, lse] = run_forward(&device, rung.run, (rows, v, options), &x, &[1, 2, 3, 40, 5]);
        let nan = |x: &[f32]| x.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
        assert_eq!(nan(&mean), [true], "{}", rung.name);
        assert_eq!(nan(&losses), [true, true, true, true, false], "{}: a target that is no class", rung.name);
        assert_eq!(nan(&lse), [true, true, true, false, false], "{}", rung.name);
        let ignoring = Options { ignore_index: Some(40), label_smoothing: 0.5 };
        let [mean, losses, _] = run_forward(&device, rung.run, (rows, v, ignoring), &x, &[40; 5]);
        assert!(mean[0].is_nan() && losses == [0.0; 5], "{}: no row counts", rung.name);
        let [mean, _, _] = run_forward(&device, rung.run, (2, 0, ignoring), &[], &[40; 2]);
        assert!(mean[0].is_nan(), "{}: no classes", rung.name);
    }
    for rung in &cuda::BACKWARD_CUDA_RUNGS {
        let targets = [1, u32::MAX, 3, 40, 5];
        let dx = run_backward(&device, rung.run, (rows, v, options), (&[0.0; 200], &targets, &[0.0; 5]));
        let nan: Vec<bool> = dx.chunks(v).map(|row| row.iter().all(|x| x.is_nan())).collect();
        assert_eq!(nan, [false, true, false, true, false], "{}", rung.name);
    }
}

#[test]
#[should_panic(expected = "losses or log-sum-exp has 4 elements")]
fn wrong_lengths_are_refused() {
    let Some(device) = device() else { panic!("losses or log-sum-exp has 4 elements") };
    let (x, t, mut losses) = (device.upload(&[0.0_f32; 9]), device.upload(&[0_u32; 3]), device.output::<f32>(4));
    let (mut lse, mut mean) = (device.output::<f32>(3), device.output::<f32>(1));
    let input = InputOf { rows: 3, v: 3, options: Options::default(), logits: x.slice(0..9), targets: t.slice(0..3) };
    let output = OutputOf { losses: losses.slice_mut(0..4), lse: lse.slice_mut(0..3) };
    drop(cuda::mean_loss(&device.gpu, input, output, mean.slice_mut(0..1)));
}
