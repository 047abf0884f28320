//! Softmax and its logarithm.

use crate::device::{Device, device, sizes};
use gradus_kernels::cuda::{CudaRung, Gpu, Result, Slice, SliceMut};
use gradus_kernels::{oracle, softmax, softmax::cuda};

/// Rows and columns: one element, odd ones, more columns than a block has threads, more rows than fit into a block, and none.
const SIZES: [(usize, usize); 7] = [(1, 1), (6, 7), (9, 33), (3, 257), (300, 3), (0, 5), (4, 0)];
/// Columns at the limits of what a warp and a block keep in registers, and above both; for one schedule.
const LONG: [(usize, usize); 6] = [(6, 64), (2, 512), (2, 516), (2, 1025), (2, 4096), (2, 5000)];

/// Values with rows that are special: one of −∞ alone, one with large numbers, one with a NaN, one with ∞.
fn logits(rows: usize, c: usize) -> Vec<f32> {
    let mut x: Vec<f32> = oracle::values(1, rows * c).iter().map(|x| 8.0 * x).collect();
    for (row, value) in [(1, f32::NEG_INFINITY), (2, 1e4)] {
        if rows > row {
            x[row * c..][..c].fill(value);
        }
    }
    for (row, value) in [(4, f32::NAN), (5, f32::INFINITY)] {
        if rows > row && c > 0 {
            x[row * c + c / 2] = value;
        }
    }
    x
}

/// Calls `test` with rows, columns, how far the elements lie from the beginning of their memory, and the schedule.
fn for_each_size(device: &Device, mut test: impl FnMut(usize, usize, usize, &str)) {
    for (i, (rows, c)) in sizes(&SIZES, &[(3, 33), (2, 257)]).into_iter().enumerate() {
        device.in_every_schedule(|schedule| test(rows, c, i % 2, schedule));
    }
    for (rows, c) in sizes(&LONG, &[(2, 516), (1, 5000)]) {
        (0..2).for_each(|shift| test(rows, c, shift, "one schedule"));
    }
}

/// The result of `run` from the elements of `inputs`, which begin `shift` elements into their memory.
fn computed<const N: usize>(
    device: &Device,
    shift: usize,
    inputs: [&[f32]; N],
    run: impl FnOnce([Slice<'_, f32>; N], SliceMut<'_, f32>) -> Result<()>,
) -> Vec<f32> {
    let len = inputs[0].len();
    let uploaded = inputs.map(|x| device.upload(&[&vec![0.0; shift][..], x].concat()));
    let mut output = device.upload(&vec![7.0_f32; len + shift + 1]);
    let slices = uploaded.each_ref().map(|buffer| buffer.slice(shift..shift + len));
    run(slices, output.slice_mut(shift..shift + len)).unwrap_or_else(|error| panic!("{error}"));
    let all = output.to_host::<f32>().unwrap_or_else(|error| panic!("{error}"));
    assert!(all[..shift].iter().chain(&all[shift + len..]).all(|&x| x == 7.0), "nothing else is written");
    all[shift..shift + len].to_vec()
}

type Plain<E> = fn(usize, usize, &[E], &mut [E]);
type PlainBackward<E> = fn(usize, usize, &[E], &[E], &mut [E]);

fn check_forward(ladder: &[CudaRung<cuda::Forward>], best: cuda::Forward, plain: Plain<f32>, exact: Plain<f64>) {
    let Some(device) = device() else { return };
    for_each_size(&device, |rows, c, shift, schedule| {
        let x = logits(rows, c);
        let (mut plain_y, mut exact_y) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        plain(rows, c, &x, &mut plain_y);
        exact(rows, c, &oracle::widen(&x), &mut exact_y);
        for (name, run) in ladder.iter().map(|rung| (rung.name, rung.run)).chain([("best", best)]) {
            let got = computed(&device, shift, [&x], |[x], y| run(&device.gpu, rows, c, x, y));
            let checked = oracle::check(&got, &plain_y, &exact_y);
            checked.unwrap_or_else(|error| panic!("{name}, {rows} × {c} from {shift}, {schedule}: {error}"));
        }
    });
}

fn check_backward(
    ladder: &[CudaRung<cuda::Backward>],
    best: cuda::Backward,
    outputs: Plain<f32>,
    plain: PlainBackward<f32>,
    exact: PlainBackward<f64>,
) {
    let Some(device) = device() else { return };
    for_each_size(&device, |rows, c, shift, schedule| {
        let (mut y, dy) = (vec![0.0; rows * c], oracle::values(2, rows * c));
        outputs(rows, c, &logits(rows, c), &mut y);
        let (mut plain_dx, mut exact_dx) = (vec![0.0; y.len()], vec![0.0; y.len()]);
        plain(rows, c, &y, &dy, &mut plain_dx);
        exact(rows, c, &oracle::widen(&y), &oracle::widen(&dy), &mut exact_dx);
        for (name, run) in ladder.iter().map(|rung| (rung.name, rung.run)).chain([("best", best)]) {
            let got = computed(&device, shift, [&y, &dy], |[y, dy], dx| run(&device.gpu, rows, c, y, dy, dx));
            let checked = oracle::check(&got, &plain_dx, &exact_dx);
            checked.unwrap_or_else(|error| panic!("{name}, {rows} × {c} from {shift}, {schedule}: {error}"));
        }
    });
}

#[test]
fn every_rung_agrees_with_the_oracle() {
    use softmax::naive::forward;
    check_forward(&cuda::FORWARD_CUDA_RUNGS, cuda::forward, forward::<f32>, forward::<f64>);
}

#[test]
fn every_rung_of_the_logarithm_agrees_with_the_oracle() {
    use softmax::naive::log_forward;
    check_forward(&cuda::LOG_FORWARD_CUDA_RUNGS, cuda::log_forward, log_forward::<f32>, log_forward::<f64>);
}

#[test]
fn every_rung_of_the_gradient_agrees_with_the_oracle() {
    use softmax::naive::{backward, forward};
    check_backward(&cuda::BACKWARD_CUDA_RUNGS, cuda::backward, forward, backward::<f32>, backward::<f64>);
}

#[test]
fn every_rung_of_the_logarithms_gradient_agrees_with_the_oracle() {
    use softmax::naive::{log_backward, log_forward};
    let ladder = &cuda::LOG_BACKWARD_CUDA_RUNGS;
    check_backward(ladder, cuda::log_backward, log_forward, log_backward::<f32>, log_backward::<f64>);
}

/// The bits do not depend on the order in which threads run.
#[test]
fn every_order_of_the_threads_gives_the_same_bits() {
    let Some(device) = device() else { return };
    let (rows, c) = (3, 1030);
    let x = oracle::values(3, rows * c);
    for rung in &cuda::FORWARD_CUDA_RUNGS {
        let mut first: Option<Vec<f32>> = None;
        device.in_every_schedule(|schedule| {
            let got = computed(&device, 0, [&x], |[x], y| (rung.run)(&device.gpu, rows, c, x, y));
            assert_eq!(first.get_or_insert_with(|| got.clone()), &got, "{}, {schedule}", rung.name);
        });
    }
    let (y, dy) = (oracle::values(4, rows * c), oracle::values(5, rows * c));
    for rung in cuda::BACKWARD_CUDA_RUNGS.iter().chain(&cuda::LOG_BACKWARD_CUDA_RUNGS) {
        let mut first: Option<Vec<f32>> = None;
        device.in_every_schedule(|schedule| {
            let got = computed(&device, 0, [&y, &dy], |[y, dy], dx| (rung.run)(&device.gpu, rows, c, y, dy, dx));
            assert_eq!(first.get_or_insert_with(|| got.clone()), &got, "backward of {}, {schedule}", rung.name);
        });
    }
}

/// A function of the contract on slices of `len` elements, with rows and columns for one element more.
fn with_wrong_lengths(gpu: &Gpu, device: &Device, which: usize) {
    let (input, mut output) = (device.output::<f32>(6), device.output::<f32>(6));
    let (short, long) = (input.slice::<f32>(0..5), input.slice::<f32>(0..6));
    let result = match which {
        0 => cuda::forward(gpu, 2, 3, short, output.slice_mut(0..6)),
        1 => cuda::log_forward(gpu, 2, 3, long, output.slice_mut(0..5)),
        2 => cuda::backward(gpu, 2, 3, long, short, output.slice_mut(0..6)),
        _ => cuda::log_backward(gpu, 2, 3, long, long, output.slice_mut(0..5)),
    };
    drop(result);
}

#[test]
fn wrong_lengths_panic() {
    let Some(device) = device() else { return };
    for which in 0..4 {
        let run = std::panic::AssertUnwindSafe(|| with_wrong_lengths(&device.gpu, &device, which));
        assert!(std::panic::catch_unwind(run).is_err(), "function {which}");
    }
}
