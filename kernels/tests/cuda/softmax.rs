//! Softmax and its logarithm.

use crate::device::device;
use gradus_kernels::{oracle, softmax, softmax::cuda};

/// Rows and columns: one element, odd ones, more columns than a block has threads, more rows than fit into a block, and none.
const SIZES: [(usize, usize); 8] = [(1, 1), (3, 7), (33, 33), (5, 257), (300, 3), (2, 1025), (0, 5), (4, 0)];

/// Values with rows that are special: one of −∞ alone, one with a NaN, one with large numbers.
fn logits(rows: usize, c: usize) -> Vec<f32> {
    let mut x: Vec<f32> = oracle::values(1, rows * c).iter().map(|x| 8.0 * x).collect();
    for (row, value) in [(1, f32::NEG_INFINITY), (2, 1e4)] {
        if rows > row {
            x[row * c..][..c].fill(value);
        }
    }
    if rows > 4 {
        x[4 * c + c / 2] = f32::NAN;
    }
    x
}

#[test]
fn every_rung_agrees_with_the_oracle() {
    let Some(device) = device() else { return };
    for (rows, c) in SIZES {
        let x = logits(rows, c);
        let (mut plain, mut exact) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        softmax::naive::forward(rows, c, &x, &mut plain);
        softmax::naive::forward(rows, c, &oracle::widen(&x), &mut exact);
        for rung in &cuda::FORWARD_CUDA_RUNGS {
            device.in_every_schedule(|schedule| {
                let (input, mut y) = (device.upload(&x), device.output::<f32>(x.len()));
                let run = (rung.run)(&device.gpu, rows, c, input.slice(0..x.len()), y.slice_mut(0..x.len()));
                run.unwrap_or_else(|error| panic!("{}, {rows} × {c}, {schedule}: {error}", rung.name));
                let got = y.to_host::<f32>().unwrap_or_else(|error| panic!("{error}"));
                let checked = oracle::check(&got, &plain, &exact);
                checked.unwrap_or_else(|error| panic!("{}, {rows} × {c}, {schedule}: {error}", rung.name));
            });
        }
    }
}
