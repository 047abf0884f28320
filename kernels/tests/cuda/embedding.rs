//! Embedding: rows of a table, and the gradients of the table.

use crate::device::{Device, device, sizes};
use gradus_kernels::{embedding, embedding::cuda, oracle};
use half::bf16;

/// Rows of the table, columns, ids: one of each, odd numbers, more than a block has threads, no ids, no columns.
const SIZES: [(usize, usize, usize); 6] = [(1, 1, 1), (7, 3, 33), (33, 33, 7), (3, 257, 40), (5, 4, 0), (3, 0, 2)];

fn ids(v: usize, n: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * i + i / 3) % v) as u32).collect()
}

#[test]
fn every_rung_agrees_with_the_specification() {
    let Some(device) = device() else { return };
    for (v, c, n) in SIZES {
        let (table, ids, dy) = (oracle::values(1, v * c), ids(v, n), oracle::values(2, n * c));
        let stored: Vec<bf16> = table.iter().map(|&x| bf16::from_f32(x)).collect();
        let [mut y, mut y_stored] = [(); 2].map(|()| vec![0.0; n * c]);
        embedding::naive::forward(v, c, &table, &ids, &mut y);
        embedding::forward_stored(v, c, &stored, &ids, &mut y_stored);
        let (mut plain, mut exact) = (vec![0.0; v * c], vec![0.0; v * c]);
        embedding::naive::backward(v, c, &ids, &dy, &mut plain);
        embedding::naive::backward(v, c, &ids, &oracle::widen(&dy), &mut exact);
        device.in_every_schedule(|schedule| {
            let (table, stored) = (device.upload(&table), device.upload(&stored));
            let (places, gradients) = (device.upload(&ids), device.upload(&dy));
            let (places, gradients) = (places.slice(0..n), gradients.slice(0..n * c));
            for rung in &cuda::FORWARD_CUDA_RUNGS {
                let mut got = device.output::<f32>(n * c);
                let run = (rung.run)(&device.gpu, v, c, table.slice(0..v * c), places, got.slice_mut(0..n * c));
                run.unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(got.to_host::<f32>().unwrap(), y, "{}, {v} × {c}, {n}, {schedule}", rung.name);
            }
            for rung in &cuda::FORWARD_STORED_CUDA_RUNGS {
                let mut got = device.output::<f32>(n * c);
                let run = (rung.run)(&device.gpu, v, c, stored.slice(0..v * c), places, got.slice_mut(0..n * c));
                run.unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(got.to_host::<f32>().unwrap(), y_stored, "{}, {v} × {c}, {n}, {schedule}", rung.name);
            }
            for rung in &cuda::BACKWARD_CUDA_RUNGS {
                let mut got = device.output::<f32>(v * c);
                let run = (rung.run)(&device.gpu, v, c, places, gradients, got.slice_mut(0..v * c));
                run.unwrap_or_else(|error| panic!("{error}"));
                let checked = oracle::check(&got.to_host::<f32>().unwrap(), &plain, &exact);
                checked.unwrap_or_else(|error| panic!("{}, {v} × {c}, {n}, {schedule}: {error}", rung.name));
            }
        });
    }
}

/// Rows of the table, columns, ids, and of how many ids one is another than the row in the middle. There are several chunks of positions, and ids of one,
/// two and three digits; lists longer than a piece, that begin and end within one, and one that all ids are in.
const LONG: [(usize, usize, usize, usize); 5] =
    [(65, 33, 1100, 1), (300, 3, 2500, 10), (256, 1, 1024, 3), (70_000, 1, 90, 1), (3, 2, 1025, usize::MAX)];

/// The gradient by a rung, on memory whose numbers were others before.
fn gradient(device: &Device, run: cuda::Backward, (v, c): (usize, usize), ids: &[u32], dy: &[f32]) -> Vec<f32> {
    let (places, gradients) = (device.upload(ids), device.upload(dy));
    let mut got = device.upload(&vec![7.0_f32; v * c]);
    let (places, gradients) = (places.slice(0..ids.len()), gradients.slice(0..dy.len()));
    run(&device.gpu, v, c, places, gradients, got.slice_mut(0..v * c)).unwrap_or_else(|error| panic!("{error}"));
    got.to_host().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn long_lists_and_large_tables_have_the_gradients_of_the_specification() {
    let Some(device) = device() else { return };
    for (v, c, n, one_of) in sizes(&LONG, &[LONG[0], LONG[4]]) {
        let other = |i: usize| (i * 7919 + i * i) % v;
        let ids: Vec<u32> = (0..n).map(|i| if i % one_of == 1 % one_of { other(i) } else { v / 2 } as u32).collect();
        let dy = oracle::values(3, n * c);
        let (mut plain, mut exact) = (vec![0.0; v * c], vec![0.0; v * c]);
        embedding::naive::backward(v, c, &ids, &dy, &mut plain);
        embedding::naive::backward(v, c, &ids, &oracle::widen(&dy), &mut exact);
        let ladder = cuda::BACKWARD_CUDA_RUNGS.iter().map(|rung| (rung.name, rung.run));
        for (name, run) in ladder.chain([("best", cuda::backward as cuda::Backward)]) {
            let got = gradient(&device, run, (v, c), &ids, &dy);
            let checked = oracle::check(&got, &plain, &exact);
            checked.unwrap_or_else(|error| panic!("{name}, {v} × {c}, {n}: {error}"));
        }
    }
}

/// Neither the order of the threads nor what the memory held before changes a bit.
#[test]
fn every_order_of_the_threads_gives_the_same_bits() {
    let Some(device) = device() else { return };
    let (v, c, n) = (300, 5, 1300);
    let ids: Vec<u32> = (0..n).map(|i| if i % 3 == 0 { 7 } else { (i * i) as u32 % 301 }).collect();
    let dy = oracle::values(4, n * c);
    for rung in &cuda::BACKWARD_CUDA_RUNGS[1..] {
        let mut first: Option<Vec<f32>> = None;
        device.in_every_schedule(|schedule| {
            let got = gradient(&device, rung.run, (v, c), &ids, &dy);
            assert_eq!(first.get_or_insert_with(|| got.clone()), &got, "{}, {schedule}", rung.name);
        });
    }
}

#[test]
fn ids_that_are_no_rows_touch_nothing() {
    let Some(device) = device() else { return };
    let (table, ids) = (device.upload(&[1.0_f32, 2.0, 3.0, 4.0]), device.upload(&[1_u32, 2, u32::MAX]));
    let mut y = device.output::<f32>(6);
    cuda::forward(&device.gpu, 2, 2, table.slice(0..4), ids.slice(0..3), y.slice_mut(0..6)).unwrap();
    let y = y.to_host::<f32>().unwrap();
    assert!(y[..2] == [3.0, 4.0] && y[2..].iter().all(|x| x.is_nan()), "{y:?}");
    for rung in &cuda::BACKWARD_CUDA_RUNGS {
        let got = gradient(&device, rung.run, (2, 2), &[1, 2, u32::MAX], &[1.0; 6]);
        assert_eq!(got, [0.0, 0.0, 1.0, 1.0], "{}", rung.name);
        // Whole pieces of ids that are no rows.
        let got = gradient(&device, rung.run, (2, 1), &[2; 100], &[1.0; 100]);
        assert_eq!(got, [0.0, 0.0], "{}", rung.name);
    }
}

#[test]
#[should_panic(expected = "y or dy has 5 elements")]
fn wrong_lengths_are_refused() {
    let Some(device) = device() else { panic!("y or dy has 5 elements") };
    let (table, ids, mut y) = (device.upload(&[0.0_f32; 4]), device.upload(&[0_u32; 3]), device.output::<f32>(5));
    drop(cuda::forward(&device.gpu, 2, 2, table.slice(0..4), ids.slice(0..3), y.slice_mut(0..5)));
}
