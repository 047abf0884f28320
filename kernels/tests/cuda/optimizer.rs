//! The steps of optimisers, and the sum of squares.

use crate::device::{Device, device, sizes};
use gradus_kernels::{
    cuda::Buffer,
    optimizer::{AdamW, Sgd, cuda, naive},
    oracle::{check, values, widen},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const LENGTHS: [usize; 7] = [0, 1, 4, 7, 33, 258, 1031];
const ADAMW: AdamW =
    AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 1, grad_scale: 0.7 };
const SGD: Sgd = Sgd { lr: 1e-2, momentum: 0.9, weight_decay: 0.1, nesterov: false, grad_scale: 0.7 };

/// A buffer with `x` from element `offset` on, and others around it.
fn upload(device: &Device, x: &[f32], offset: usize) -> Buffer {
    device.upload(&[&vec![5.0; offset], x, &[5.0; 3]].concat())
}

/// What stands in its place; around it nothing may have changed.
fn download(buffer: &Buffer, offset: usize) -> Vec<f32> {
    let all = buffer.to_host::<f32>().unwrap();
    let end = all.len() - 3;
    assert!(all[..offset].iter().chain(&all[end..]).all(|&x| x == 5.0), "elements around the output changed");
    all[offset..end].to_vec()
}

#[test]
fn adamw_keeps_to_the_oracle_over_several_steps() {
    let Some(device) = device() else { return };
    for (len, offset) in LENGTHS.into_iter().flat_map(|len| [(len, 0), (len, 1)]) {
        let range = offset..offset + len;
        let start = values(1, len);
        let (mut plain, mut exact) = ([start.clone(), vec![0.0; len], vec![0.0; len]], [(); 3].map(|_| vec![0.0; len]));
        exact[0] = widen(&start);
        let mut all = cuda::ADAMW_CUDA_RUNGS.map(|rung| (rung, plain.each_ref().map(|x| upload(&device, x, offset))));
        for step in 1..=3 {
            let mut g = values(step + 1, len);
            g.iter_mut().step_by(5).for_each(|g| *g *= 1e-30); // squares of these are zero or denormal
            let options = AdamW { step, ..ADAMW };
            let [p, m, v] = &mut plain;
            naive::adamw(options, p, &g, m, v);
            let [p, m, v] = &mut exact;
            naive::adamw(options, p, &widen(&g), m, v);
            let g = upload(&device, &g, offset);
            for (rung, [p, m, v]) in &mut all {
                let [p, m, v] = [p, m, v].map(|x| x.slice_mut(range.clone()));
                (rung.run)(&device.gpu, options, p, g.slice(range.clone()), m, v).unwrap();
            }
            for (rung, state) in &all {
                for (i, got) in state.iter().enumerate() {
                    let checked = check(&download(got, offset), &plain[i], &exact[i]);
                    checked.unwrap_or_else(|e| panic!("{} {len} array {i} step {step}: {e}", rung.name));
                }
            }
        }
    }
}

#[test]
fn sgd_keeps_to_the_oracle_over_several_steps() {
    let Some(device) = device() else { return };
    let sizes = [(1.0, false), (1.0, true), (1e-40, false), (1e-40, true)]; // of the numbers, and Nesterov's rule or not
    for (len, (size, nesterov)) in LENGTHS.into_iter().flat_map(|len| sizes.map(|size| (len, size))) {
        let (options, range) = (Sgd { nesterov, ..SGD }, len % 2..len % 2 + len);
        let times = |x: Vec<f32>| x.into_iter().map(|x| size * x).collect::<Vec<_>>();
        let start = times(values(1, len));
        let (mut plain, mut exact) = ([start.clone(), vec![0.0; len]], [widen(&start), vec![0.0; len]]);
        let mut all =
            cuda::SGD_CUDA_RUNGS.map(|rung| (rung, plain.each_ref().map(|x| upload(&device, x, range.start))));
        for step in 1..=3 {
            let g = times(values(step + 1, len));
            let [p, u] = &mut plain;
            naive::sgd(options, p, &g, u);
            let [p, u] = &mut exact;
            naive::sgd(options, p, &widen(&g), u);
            let g = upload(&device, &g, range.start);
            for (rung, state) in &mut all {
                let [p, u] = state.each_mut().map(|x| x.slice_mut(range.clone()));
                (rung.run)(&device.gpu, options, p, g.slice(range.clone()), u).unwrap();
                for (i, got) in state.iter().enumerate() {
                    let checked = check(&download(got, range.start), &plain[i], &exact[i]);
                    checked.unwrap_or_else(|e| panic!("{} {len} array {i} step {step}: {e}", rung.name));
                }
            }
        }
    }
}

#[test]
fn the_sum_of_squares_is_that_of_the_specification() {
    let Some(device) = device() else { return };
    // Up to and past the elements of one block, and of several.
    let lengths: Vec<usize> = LENGTHS.into_iter().chain([2048, 2049, 20_011]).collect();
    for len in sizes(&lengths, &[258, 2049]) {
        let mut g = values(1, len);
        if len > 7 {
            (g[3], g[6]) = (3e30, 1e-42);
        }
        let exact = naive::sum_of_squares(&g);
        let input = device.upload(&g);
        for rung in &cuda::NORM_CUDA_RUNGS {
            let mut bits = None;
            device.in_every_schedule(|schedule| {
                let mut sum = device.upload(&[7.0_f64]);
                (rung.run)(&device.gpu, input.slice(0..len), sum.slice_mut(0..1)).unwrap();
                let got = sum.to_host::<f64>().unwrap()[0];
                assert!((got - exact).abs() <= 1e-13 * exact, "{} {len} {schedule}: {got:e}, {exact:e}", rung.name);
                assert_eq!(*bits.get_or_insert(got.to_bits()), got.to_bits(), "{} {len} {schedule}", rung.name);
            });
        }
    }
    // More blocks than the last one has threads.
    let g = values(2, sizes(&[600_000], &[3000])[0]);
    let (exact, input, mut sum) = (naive::sum_of_squares(&g), device.upload(&g), device.output::<f64>(1));
    cuda::sum_of_squares_to(&device.gpu, input.slice(0..g.len()), sum.slice_mut(0..1)).unwrap();
    let got = sum.to_host::<f64>().unwrap()[0];
    assert!((got - exact).abs() <= 1e-12 * exact, "{got:e}, {exact:e}");

    for (special, is) in [(f32::NAN, f64::is_nan as fn(f64) -> bool), (f32::NEG_INFINITY, |x| x == f64::INFINITY)] {
        let g = device.upload(&[1.0, special, 2.0]);
        cuda::sum_of_squares_to(&device.gpu, g.slice(0..3), sum.slice_mut(0..1)).unwrap();
        assert!(is(sum.to_host::<f64>().unwrap()[0]), "{special}");
    }
}

#[test]
fn small_squares_are_not_lost_beside_large_ones() {
    let Some(device) = device() else { return };
    let mut g = vec![1e-3_f32; 5000];
    g[0] = 1e4;
    let (input, mut sum) = (device.upload(&g), device.output::<f64>(1));
    cuda::sum_of_squares_to(&device.gpu, input.slice(0..g.len()), sum.slice_mut(0..1)).unwrap();
    let (got, small) = (sum.to_host::<f64>().unwrap()[0], f64::from(1e-3_f32));
    assert!((got - 1e8 - 4999.0 * small * small).abs() < 1e-6, "{got}");
}

#[test]
fn best_functions_step_and_refuse_what_does_not_fit() {
    let Some(device) = device() else { return };
    let gpu = &device.gpu;
    let new = || device.upload(&[1.0_f32; 3]);
    let (mut p, g, mut m, mut v) = (new(), new(), new(), new());
    cuda::sgd(gpu, SGD, p.slice_mut(0..3), g.slice(0..3), m.slice_mut(0..3)).unwrap();
    cuda::adamw(gpu, ADAMW, p.slice_mut(0..3), g.slice(0..3), m.slice_mut(0..3), v.slice_mut(0..3)).unwrap();
    let (mut plain_p, mut plain_m, mut plain_v) = ([1.0_f32; 3], [1.0; 3], [1.0; 3]);
    naive::sgd(SGD, &mut plain_p, &[1.0; 3], &mut plain_m);
    naive::adamw(ADAMW, &mut plain_p, &[1.0; 3], &mut plain_m, &mut plain_v);
    let got = p.to_host::<f32>().unwrap();
    assert!(got.iter().zip(plain_p).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}, {plain_p:?}");

    let mut refused = |what: &str, run: &mut dyn FnMut(&mut [&mut Buffer; 3])| {
        assert!(catch_unwind(AssertUnwindSafe(|| run(&mut [&mut p, &mut m, &mut v]))).is_err(), "{what}");
    };
    refused("sgd", &mut |[p, m, _]| {
        cuda::sgd(gpu, SGD, p.slice_mut(0..3), g.slice(0..2), m.slice_mut(0..3)).unwrap();
    });
    for (options, len) in [(ADAMW, 2), (AdamW { step: 0, ..ADAMW }, 3), (AdamW { beta1: 1.0, ..ADAMW }, 3)] {
        refused("adamw", &mut |[p, m, v]| {
            let (m, v) = (m.slice_mut(0..3), v.slice_mut(0..len));
            cuda::adamw(gpu, options, p.slice_mut(0..3), g.slice(0..3), m, v).unwrap();
        });
    }
    let mut sums = device.output::<f64>(2);
    let two = || cuda::sum_of_squares_to(gpu, g.slice(0..3), sums.slice_mut(0..2));
    assert!(catch_unwind(AssertUnwindSafe(two)).is_err());
}
