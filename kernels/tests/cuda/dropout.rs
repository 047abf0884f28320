//! Dropout: the same bits as on the CPU.

use crate::device::device;
use gradus_kernels::{
    dropout::{Dropout, cuda, naive},
    oracle::values,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn every_rung_gives_the_bits_of_the_specification() {
    let Some(device) = device() else { return };
    // From an odd element of a buffer on too, where no two elements can be loaded together.
    for (len, offset) in
        [0, 1, 2, 7, 15, 16, 17, 33, 63, 64, 65, 130, 1031, 5000].into_iter().flat_map(|n| [(n, 0), (n, 1)])
    {
        let mut x = values(1, len);
        if len > 20 {
            x[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, -0.0, 1e-42]);
        }
        let input = device.upload(&x);
        for p in [0.0, 0.2, 0.999] {
            let dropout = Dropout { p, seed: 0x1234_5678_9abc, stream: 3 << 32 | 5 };
            let mut expected = vec![7.0; len];
            naive::apply(dropout, &x, &mut expected);
            for rung in &cuda::CUDA_RUNGS {
                let mut y = device.upload(&vec![7.0_f32; len + offset + 1]);
                let to = y.slice_mut(offset..offset + len);
                (rung.run)(&device.gpu, dropout, 0, input.slice(0..len), to).unwrap();
                let got = y.to_host::<f32>().unwrap();
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                let what = format!("{}, {len} elements, p = {p}", rung.name);
                assert!(got[offset..].iter().zip(&expected).all(same), "{what}");
                assert!(got[..offset].iter().chain(&got[offset + len..]).all(|&y| y == 7.0), "{what}: others changed");
            }
        }
    }
}

/// Around 2³², and around 2³⁵, where the counter crosses 2³².
#[test]
fn masks_go_on_beyond_32_bits() {
    let Some(device) = device() else { return };
    let dropout = Dropout { p: 0.3, seed: 0x1234_5678_9abc_def0, stream: 7 << 33 };
    let ones = device.upload(&[1.0_f32; 200]);
    for first in [0, 0xffc0, 0xffff_ffc0, 1 << 32, (1 << 35) - 64, 1 << 35, 1 << 40] {
        for rung in &cuda::CUDA_RUNGS {
            let mut y = device.output::<f32>(200);
            (rung.run)(&device.gpu, dropout, first, ones.slice(0..200), y.slice_mut(0..200)).unwrap();
            for (i, y) in y.to_host::<f32>().unwrap().into_iter().enumerate() {
                let expected = if naive::keeps(dropout, first + i as u64) { dropout.scale() } else { 0.0 };
                assert_eq!(y, expected, "{}, element {i} from {first:#x}", rung.name);
            }
        }
    }
}

#[test]
fn wrong_lengths_and_probabilities_are_refused() {
    let Some(device) = device() else { return };
    let (x, mut y) = (device.upload(&[1.0_f32; 70]), device.output::<f32>(70));
    cuda::apply(&device.gpu, Dropout { p: 0.0, seed: 1, stream: 1 }, x.slice(0..70), y.slice_mut(0..70)).unwrap();
    assert_eq!(y.to_host::<f32>().unwrap(), [1.0; 70]);
    for (p, n, m) in [(0.5, 70, 69), (0.5, 69, 70), (1.0, 70, 70), (-0.1, 70, 70), (f32::NAN, 70, 70)] {
        let dropout = Dropout { p, seed: 1, stream: 1 };
        let run = || cuda::apply(&device.gpu, dropout, x.slice(0..n), y.slice_mut(0..m));
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "{p}, {n}, {m}");
    }
}
