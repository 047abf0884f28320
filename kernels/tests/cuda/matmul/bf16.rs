//! Operands rounded to bf16, B in `f32` or stored in bf16.

use super::{
    AROUND, Broadcast, Case, Gaps, LAYOUTS, OneRow, Plain, Transposed, Wide, WideTransposed, refuses_wrong_lengths,
};
use crate::device::{Device, device, sizes};
use gradus_kernels::{
    cuda::{CudaRung, Gpu, Result},
    matmul::{
        bf16::naive::rounded,
        cuda::{
            Products,
            bf16::{self as cuda, BF16_CUDA_RUNGS, STORED_CUDA_RUNGS},
        },
    },
    simd::bf16::round,
};
use half::bf16;

/// The rungs that the device has the instructions for.
fn on<'a, F>(device: &'a Device, rungs: &'a [CudaRung<F>]) -> impl Iterator<Item = &'a CudaRung<F>> {
    rungs.iter().filter(|rung| rung.needs <= device.gpu.properties().capability)
}

impl Case {
    /// Every rung, with B in either type, against the oracle: the product of rounded operands.
    fn check_bf16(&self, device: &Device, schedule: &str) {
        self.check_bf16_from("naive", device, schedule);
    }

    /// The rungs from this one on.
    fn check_bf16_from(&self, first: &str, device: &Device, schedule: &str) {
        let first = BF16_CUDA_RUNGS.iter().position(|rung| rung.name == first).unwrap();
        let ([a, b, c], strides) = self.data();
        let expected = self.expected(&rounded(&a), &rounded(&b), &c, strides);
        for rung in on(device, &BF16_CUDA_RUNGS[first..]) {
            let got = self.run(device, rung.run, &a, &b, &c, strides, AROUND);
            self.compare(&format!("{}, {schedule}", rung.name), &got, &expected);
        }
        let halves: Vec<bf16> = b.iter().map(|&x| round(x)).collect();
        for rung in on(device, &STORED_CUDA_RUNGS[first..]) {
            let got = self.run(device, rung.run, &a, &halves, &c, strides, bf16::NAN);
            self.compare(&format!("stored, {}, {schedule}", rung.name), &got, &expected);
        }
    }
}

#[test]
fn every_rung_in_every_schedule() {
    let Some(device) = device() else { return };
    device.in_every_schedule(|schedule| {
        let all = [
            ([17, 70, 100], (Plain, Plain)),
            ([1, 1, 1], (Plain, Plain)),
            ([9, 11, 40], (Plain, Transposed)),
            ([33, 17, 35], (Transposed, Plain)),
        ];
        for (shape, layouts) in sizes(&all, &all[..1]) {
            Case::new(1, shape, layouts).check_bf16(&device, schedule);
        }
    });
}

#[test]
fn sizes_around_the_tiles() {
    let Some(device) = device() else { return };
    let all = [[65, 129, 33], [130, 66, 70], [64, 128, 96], [128, 34, 136]];
    for (index, shape) in sizes(&all, &all[..1]).into_iter().enumerate() {
        for layouts in LAYOUTS.into_iter().chain([(Gaps, Gaps), (Wide, WideTransposed)]) {
            let case = Case { add: index % 2 == 1, ..Case::new(1, shape, layouts) };
            Case { offset: 8, ..case }.check_bf16(&device, "one schedule");
        }
        // B of bf16 is read where it lies only with whole chunks, at a multiple of 16 bytes.
        let case = Case { eighths: false, offset: [8, 4, 1, 16][index], ..Case::new(1, shape, (Plain, Transposed)) };
        case.check_bf16(&device, "one schedule");
    }
}

#[test]
fn few_rows_and_few_columns() {
    let Some(device) = device() else { return };
    let all = [[1, 70, 300], [8, 65, 131], [70, 1, 129], [66, 5, 260], [3, 33, 64]];
    for shape in sizes(&all, &all[..4]) {
        for layouts in sizes(&LAYOUTS, &LAYOUTS[..2]) {
            let case = Case { offset: 8, ..Case::new(1, shape, layouts) };
            case.check_bf16_from("few_rows", &device, "one schedule");
            if shape[0] < 9 {
                Case { eighths: false, add: !case.add, offset: 1, ..case }.check_bf16_from(
                    "few_rows",
                    &device,
                    "one schedule",
                );
            }
        }
    }
}

#[test]
fn batches_and_broadcasts() {
    let Some(device) = device() else { return };
    for a in [Plain, Transposed, Gaps, Broadcast, OneRow] {
        for b in [Plain, Transposed, Broadcast, OneRow] {
            Case { offset: 8, ..Case::new(2, [10, 9, 16], (a, b)) }.check_bf16(&device, "one schedule");
        }
    }
    Case { offset: 8, ..Case::new(3, [9, 16, 8], (Broadcast, Transposed)) }.check_bf16(&device, "one schedule");
    Case::new(20, [3, 9, 5], (Plain, Broadcast)).check_bf16(&device, "one schedule");
}

#[test]
fn long_sums_are_cut() {
    let Some(device) = device() else { return };
    let all = [((Plain, Transposed), true), ((Transposed, Plain), false)];
    for (layouts, add) in sizes(&all, &all[..1]) {
        let case = Case { add, offset: 8, ..Case::new(1, [66, 40, 1060], layouts) };
        case.check_bf16_from("two_stages", &device, "one schedule");
        Case { eighths: false, ..case }.check_bf16_from("two_stages", &device, "one schedule");
    }
}

#[test]
fn many_blocks_take_large_tiles() {
    let Some(device) = device() else { return };
    // Four tiles of 128×128, as many as the emulator has multiprocessors.
    let case = Case { offset: 8, ..Case::new(1, [160, 200, 70], (Plain, Transposed)) };
    device.in_every_schedule(|schedule| case.check_bf16_from("two_stages", &device, schedule));
}

#[test]
fn no_steps_give_zeros_and_no_outputs_do_nothing() {
    let Some(device) = device() else { return };
    for sizes in [[3, 70, 0], [70, 70, 0], [0, 5, 3], [5, 0, 3]] {
        for add in [false, true] {
            Case { add, ..Case::new(2, sizes, (Plain, Plain)) }.check_bf16(&device, "one schedule");
        }
    }
}

#[test]
fn special_values_are_not_lost() {
    let Some(device) = device() else { return };
    for (m, n) in [(9, 50), (8, 50), (40, 7)] {
        let case = Case { add: false, ..Case::new(1, [m, n, 3], (Plain, Plain)) };
        let ([mut a, mut b, c], strides) = case.data();
        a.fill(0.0);
        b.fill(1.0);
        (a[0], a[4], a[8], a[9]) = (f32::NAN, f32::INFINITY, f32::MAX, 1e-40);
        (a[12], a[13]) = (f32::INFINITY, f32::NEG_INFINITY);
        let halves: Vec<bf16> = b.iter().map(|&x| round(x)).collect();
        let of_f32 =
            on(&device, &BF16_CUDA_RUNGS).map(|r| (r.name, case.run(&device, r.run, &a, &b, &c, strides, AROUND)));
        let of_bf16 = on(&device, &STORED_CUDA_RUNGS)
            .map(|r| (r.name, case.run(&device, r.run, &a, &halves, &c, strides, bf16::NAN)));
        for (name, c) in of_f32.chain(of_bf16) {
            let row = |i: usize| &c[n * i..n * (i + 1)];
            assert!(row(0).iter().all(|x| x.is_nan()), "{name}");
            assert!(row(1).iter().all(|&x| x == f32::INFINITY), "{name}");
            assert!(row(2).iter().all(|&x| x == f32::INFINITY), "{name}: rounded up to infinity");
            assert!(row(3).iter().all(|&x| x == 0.0), "{name}: denormal operands are zero");
            assert!(row(4).iter().all(|x| x.is_nan()), "{name}: ∞ − ∞");
            assert!(c[5 * n..].iter().all(|&x| x == 0.0), "{name}");
        }
    }
}

#[test]
fn the_functions_of_the_contract() {
    let Some(device) = device() else { return };
    for sizes in [[1, 33, 40], [40, 50, 60], [60, 2, 70]] {
        let case = Case::new(1, sizes, (Plain, Transposed));
        let ([a, b, c], strides) = case.data();
        let expected = case.expected(&rounded(&a), &rounded(&b), &c, strides);
        let run = |gpu: &Gpu, p: Products<'_>| -> Result<()> {
            cuda::forward(gpu, p.shape, p.a, p.a_strides, p.b, p.b_strides, p.c, p.add)
        };
        case.compare("forward", &case.run(&device, run, &a, &b, &c, strides, AROUND), &expected);
        let halves: Vec<bf16> = b.iter().map(|&x| round(x)).collect();
        let run = |gpu: &Gpu, p: Products<'_, bf16>| -> Result<()> {
            cuda::forward_stored(gpu, p.shape, p.a, p.a_strides, p.b, p.b_strides, p.c, p.add)
        };
        case.compare("stored", &case.run(&device, run, &a, &halves, &c, strides, bf16::NAN), &expected);
    }
}

#[test]
fn wrong_lengths_are_refused() {
    if device().is_none() {
        return;
    }
    // Lengths are checked before anything is loaded, on every card.
    BF16_CUDA_RUNGS.iter().for_each(|rung| refuses_wrong_lengths(rung.name, rung.run));
    STORED_CUDA_RUNGS.iter().for_each(|rung| refuses_wrong_lengths(rung.name, rung.run));
}
