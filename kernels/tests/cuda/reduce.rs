//! Reductions over any axes.

use crate::device::device;
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
const AXES: [Axes; 9] = [
    (&[], &[], &[], &[]),
    (&[7], &[33], &[33], &[1]),
    (&[33], &[1], &[7], &[33]),
    (&[3, 5], &[20, 1], &[4], &[5]),
    (&[4], &[5], &[3, 5], &[20, 1]),
    (&[5, 2], &[1, 0], &[6], &[5]),
    (&[0, 3], &[3, 1], &[2], &[1]),
    (&[3], &[1], &[0], &[1]),
    (&[300], &[3], &[3], &[1]),
];

#[test]
fn every_rung_agrees_with_the_oracle() {
    let Some(device) = device() else { return };
    for (kept, p, reduced, q) in AXES {
        let mut x = oracle::values(5, 1000);
        x[40] = f32::NAN;
        (x[70], x[77]) = (f32::INFINITY, f32::NEG_INFINITY);
        let results = kept.iter().product();
        for op in OPERATIONS {
            let (mut plain, mut exact) = (vec![0.0; results], vec![0.0; results]);
            naive::reduce(op, kept, p, reduced, q, &x, &mut plain);
            naive::reduce(op, kept, p, reduced, q, &oracle::widen(&x), &mut exact);
            for rung in &cuda::REDUCE_CUDA_RUNGS {
                device.in_every_schedule(|schedule| {
                    let (input, mut y) = (device.upload(&x), device.output::<f32>(results));
                    let (input, output) = (input.slice(0..1000), y.slice_mut(0..results));
                    let run = (rung.run)(&device.gpu, op, kept, p, reduced, q, input, output);
                    run.unwrap_or_else(|error| panic!("{error}"));
                    let checked = oracle::check(&y.to_host::<f32>().unwrap(), &plain, &exact);
                    checked.unwrap_or_else(|error| {
                        panic!("{op:?} by {}, {kept:?} {p:?} {reduced:?} {q:?}, {schedule}: {error}", rung.name)
                    });
                });
            }
        }
    }
}

#[test]
fn argmax_takes_the_first_of_the_largest() {
    let Some(device) = device() else { return };
    for (kept, p, reduced, q) in AXES.into_iter().filter(|axes| !axes.2.contains(&0)) {
        let mut x: Vec<f32> = oracle::values(6, 1000).iter().map(|x| (4.0 * x).round()).collect();
        (x[40], x[41], x[44], x[70]) = (f32::NAN, f32::INFINITY, f32::NAN, f32::INFINITY);
        x[3..9].fill(f32::NEG_INFINITY);
        let results = kept.iter().product();
        let mut expected = vec![0; results];
        naive::argmax(kept, p, reduced, q, &x, &mut expected);
        for rung in &cuda::ARGMAX_CUDA_RUNGS {
            device.in_every_schedule(|schedule| {
                let (input, mut y) = (device.upload(&x), device.output::<u32>(results));
                let (input, output) = (input.slice(0..1000), y.slice_mut(0..results));
                (rung.run)(&device.gpu, kept, p, reduced, q, input, output).unwrap_or_else(|error| panic!("{error}"));
                let got = y.to_host::<u32>().unwrap();
                assert_eq!(got, expected, "{}, {kept:?} {p:?} {reduced:?} {q:?}, {schedule}", rung.name);
            });
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
