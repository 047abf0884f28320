//! The probes of the benchmarks do the work that is counted, and events measure a time.

use crate::device::device;
use gradus_kernels::cuda::probe::{self, CHAINS, THREADS};
use gradus_kernels::oracle;

const N: usize = 2 * THREADS;

#[test]
fn arithmetic_is_done_as_often_as_it_is_counted() {
    let Some(device) = device() else { return };
    device.in_every_schedule(|schedule| {
        let mut y = device.output::<f32>(N);
        probe::fma(&device.gpu, 5, 1.0, 2.0, y.slice_mut(0..N)).unwrap();
        let expected = (0..CHAINS).map(|chain| chain as f32 + 10.0).sum();
        assert_eq!(y.to_host::<f32>().unwrap(), [expected; N], "{schedule}");
        probe::mma(&device.gpu, 3, 0.5, 2.0, y.slice_mut(0..N)).unwrap();
        assert_eq!(y.to_host::<f32>().unwrap(), [512.0 * 3.0; N], "{schedule}");
    });
}

#[test]
fn all_of_the_memory_is_gone_through() {
    let Some(device) = device() else { return };
    // Fewer elements than threads, and so many that threads go round once and a bit.
    for elements in [0, 4, 40, 4 * 3 * N + 8, 4 * 9 * probe::threads(&device.gpu) / 2 + 12] {
        let values: Vec<f32> = oracle::values(1, elements).iter().map(|x| (x * 8.0).round()).collect();
        let (x, mut y, mut sums) = (device.upload(&values), device.output::<f32>(elements), device.output::<f32>(N));
        probe::read(&device.gpu, x.slice(0..elements), sums.slice_mut(0..N)).unwrap();
        assert_eq!(sums.to_host::<f32>().unwrap().iter().sum::<f32>(), values.iter().sum(), "whole numbers: exact");
        probe::copy(&device.gpu, x.slice(0..elements), y.slice_mut(0..elements)).unwrap();
        assert_eq!(y.to_host::<f32>().unwrap(), values);
        probe::write(&device.gpu, 3.0, y.slice_mut(0..elements)).unwrap();
        assert_eq!(y.to_host::<f32>().unwrap(), vec![3.0; elements]);
    }
}

#[test]
fn events_are_in_the_order_in_which_they_were_made() {
    let Some(device) = device() else { return };
    let first = device.gpu.event().unwrap();
    let mut y = device.output::<f32>(N);
    probe::fma(&device.gpu, 1000, 1.0, 2.0, y.slice_mut(0..N)).unwrap();
    let second = device.gpu.event().unwrap();
    let seconds = second.seconds_since(&first).unwrap();
    assert!(seconds > 0.0 && seconds < 60.0, "{seconds} s");
    assert!(first.seconds_since(&second).unwrap() < 0.0);
}
