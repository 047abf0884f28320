//! Embedding: rows of a table, and the gradients of the table.

use crate::device::device;
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

#[test]
fn ids_that_are_no_rows_touch_nothing() {
    let Some(device) = device() else { return };
    let (table, ids) = (device.upload(&[1.0_f32, 2.0, 3.0, 4.0]), device.upload(&[1_u32, 2, u32::MAX]));
    let dy = device.upload(&[1.0_f32; 6]);
    let (mut y, mut dtable) = (device.output::<f32>(6), device.output::<f32>(4));
    cuda::forward(&device.gpu, 2, 2, table.slice(0..4), ids.slice(0..3), y.slice_mut(0..6)).unwrap();
    cuda::backward(&device.gpu, 2, 2, ids.slice(0..3), dy.slice(0..6), dtable.slice_mut(0..4)).unwrap();
    let y = y.to_host::<f32>().unwrap();
    assert!(y[..2] == [3.0, 4.0] && y[2..].iter().all(|x| x.is_nan()), "{y:?}");
    assert_eq!(dtable.to_host::<f32>().unwrap(), [0.0, 0.0, 1.0, 1.0]);
}

#[test]
#[should_panic(expected = "y or dy has 5 elements")]
fn wrong_lengths_are_refused() {
    let Some(device) = device() else { panic!("y or dy has 5 elements") };
    let (table, ids, mut y) = (device.upload(&[0.0_f32; 4]), device.upload(&[0_u32; 3]), device.output::<f32>(5));
    drop(cuda::forward(&device.gpu, 2, 2, table.slice(0..4), ids.slice(0..3), y.slice_mut(0..5)));
}
