//! Reductions over any axes.

use crate::device::{device, sizes};
use gradus_kernels::{
    oracle,
    reduce::{Reduce, cuda, naive},
};

const OPERATIONS: [Reduce; 6] = [
    Reduce::Sum,
    Reduce::Mean,
    Reduce::Max,
    Reduce::Min,
    Reduce::Variance { correction: 0 },
    Reduce::Variance { correction: 1 },
];

/// Kept shape and strides, reduced shape and strides.
type Axes = (&'static [usize], &'static [usize], &'static [usize], &'static [usize]);

/// One element; rows; columns; axes between each other; a stride of 0; no results; no elements of a result; all axes.
const AXES: [Axes; 10] = [
    (&[], &[], &[], &[]),
    (&[7], &[33], &[33], &[1]),
    (&[33], &[1], &[7], &[33]),
    (&[3, 5], &[20, 1], &[4], &[5]),
    (&[4], &[5], &[3, 5], &[20, 1]),
    (&[5, 2], &[1, 0], &[6], &[5]),
    (&[0, 3], &[3, 1], &[2], &[1]),
    (&[3], &[1], &[0], &[1]),
    (&[300], &[3], &[3], &[1]),
    (&[2, 40], &[480, 1], &[12], &[40]),
];

/// Few long rows, and columns, that are cut into chunks, the last of which is shorter; of rows of several axes, too. For one schedule.
const LONG: [Axes; 5] = [
    (&[], &[], &[6001], &[1]),
    (&[3], &[2051], &[2051], &[1]),
    (&[15], &[1], &[401], &[15]),
    (&[2], &[31], &[100, 31], &[62, 1]),
    (&[9], &[1], &[13, 50], &[9, 117]),
];

/// How many elements x has.
const LEN: usize = 6400;

/// The axes, and whether they are tried in every schedule.
fn cases() -> impl Iterator<Item = (Axes, bool)> {
    let all: Vec<_> = AXES.into_iter().map(|axes| (axes, true)).chain(LONG.map(|axes| (axes, false))).collect();
    sizes(&all, &LONG.map(|axes| (axes, false))[1..4]).into_iter()
}

#[test]
fn every_rung_agrees_with_the_oracle() {
    let Some(device) = device() else { return };
    for ((kept, p, reduced, q), every) in cases() {
        let mut x = oracle::values(5, LEN);
        if every {
            (x[40], x[70], x[77]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        }
        let results = kept.iter().product();
        for op in OPERATIONS {
            let (mut plain, mut exact) = (vec![0.0; results], vec![0.0; results]);
            naive::reduce(op, kept, p, reduced, q, &x, &mut plain);
            naive::reduce(op, kept, p, reduced, q, &oracle::widen(&x), &mut exact);
            let ladder = cuda::REDUCE_CUDA_RUNGS.iter().map(|rung| (rung.name, rung.run));
            for (name, run) in ladder.chain([("best", cuda::reduce as cuda::ReduceFn)]) {
                let test = |schedule: &str| {
                    let (input, mut y) = (device.upload(&x), device.output::<f32>(results));
                    let (input, output) = (input.slice(0..LEN), y.slice_mut(0..results));
                    let run = run(&device.gpu, op, kept, p, reduced, q, input, output);
                    run.unwrap_or_else(|error| panic!("{error}"));
                    let checked = oracle::check(&y.to_host::<f32>().unwrap(), &plain, &exact);
                    checked.unwrap_or_else(|error| {
                        panic!("{op:?} by {name}, {kept:?} {p:?} {reduced:?} {q:?}, {schedule}: {error}")
                    });
                };
                if every { device.in_every_schedule(test) } else { test("one schedule") }
            }
        }
    }
}

#[test]
fn argmax_takes_the_first_of_the_largest() {
    let Some(device) = device() else { return };
    for ((kept, p, reduced, q), every) in cases().filter(|(axes, _)| !axes.2.contains(&0)) {
        let mut x: Vec<f32> = oracle::values(6, LEN).iter().map(|x| (4.0 * x).round()).collect();
        if every {
            (x[40], x[41], x[44], x[70]) = (f32::NAN, f32::INFINITY, f32::NAN, f32::INFINITY);
            x[3..9].fill(f32::NEG_INFINITY);
        }
        let results = kept.iter().product();
        let mut expected = vec![0; results];
        naive::argmax(kept, p, reduced, q, &x, &mut expected);
        let ladder = cuda::ARGMAX_CUDA_RUNGS.iter().map(|rung| (rung.name, rung.run));
        for (name, run) in ladder.chain([("best", cuda::argmax as cuda::ArgmaxFn)]) {
            let test = |schedule: &str| {
                let (input, mut y) = (device.upload(&x), device.output::<u32>(results));
                let (input, output) = (input.slice(0..LEN), y.slice_mut(0..results));
                run(&device.gpu, kept, p, reduced, q, input, output).unwrap_or_else(|error| panic!("{error}"));
                let got = y.to_host::<u32>().unwrap();
                assert_eq!(got, expected, "{name}, {kept:?} {p:?} {reduced:?} {q:?}, {schedule}");
            };
            if every { device.in_every_schedule(test) } else { test("one schedule") }
        }
    }
}

/// Rows of −∞ alone, and of NaN alone: the first.
#[test]
fn argmax_of_equal_elements_is_the_first() {
    let Some(device) = device() else { return };
    for value in [f32::NEG_INFINITY, f32::NAN, 0.5] {
        let x = device.upload(&[value; 2100]);
        for rung in &cuda::ARGMAX_CUDA_RUNGS {
            let mut y = device.upload(&[7_u32; 1]);
            let run = (rung.run)(&device.gpu, &[], &[], &[2100], &[1], x.slice(0..2100), y.slice_mut(0..1));
            run.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(y.to_host::<u32>().unwrap(), [0], "{} of {value}", rung.name);
        }
    }
}

#[test]
#[should_panic(expected = "too few")]
fn a_short_input_is_refused() {
    let Some(device) = device() else { panic!("too few") };
    let (x, mut y) = (device.upload(&[0.0_f32; 11]), device.output::<f32>(3));
    drop(cuda::reduce(&device.gpu, Reduce::Sum, &[3], &[4], &[4], &[1], x.slice(0..11), y.slice_mut(0..3)));
}

#[test]
#[should_panic(expected = "argmax of no elements")]
fn argmax_of_nothing_is_refused() {
    let Some(device) = device() else { panic!("argmax of no elements") };
    let (x, mut y) = (device.upload(&[0.0_f32; 3]), device.output::<u32>(3));
    drop(cuda::argmax(&device.gpu, &[3], &[1], &[0], &[1], x.slice(0..3), y.slice_mut(0..3)));
}
