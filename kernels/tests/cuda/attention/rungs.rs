//! The ladders of `f32`.

use super::case::{Case, DROPOUT, square};
use crate::device::{Device, device};
use gradus_kernels::attention::{Shape, cuda};

fn check(device: &Device, what: &str, case: &Case) {
    case.check(device, what, &cuda::FORWARD_CUDA_RUNGS, &cuda::BACKWARD_CUDA_RUNGS);
}

#[test]
fn everything_in_every_schedule() {
    let Some(device) = device() else { return };
    let case = Case::new(Shape { b: 1, h: 2, h_kv: 1, tq: 40, tk: 70, d: 5 });
    let case = Case { dropout: Some(DROPOUT), window: Some(50), ..case }.masked(false);
    device.in_every_schedule(|schedule| check(&device, schedule, &case));
}

#[test]
fn every_option() {
    let Some(device) = device() else { return };
    for (n, (what, case)) in Case::variety().into_iter().enumerate() {
        let scale = if n % 2 == 0 { case.scale } else { -case.scale };
        check(&device, what, &Case { scale, ..case });
    }
}

#[test]
fn odd_shapes() {
    let Some(device) = device() else { return };
    for (t, d) in [(2, 1), (7, 33), (33, 20), (65, 8), (17, 65), (40, 128), (9, 150), (70, 48)] {
        check(&device, "causal", &Case::new(square(1, 1, t, d)));
    }
}

#[test]
fn several_tiles() {
    let Some(device) = device() else { return };
    // The queries that see a block of keys are one more than fill whole tiles.
    check(&device, "window of two", &Case { window: Some(2), ..Case::new(square(1, 1, 70, 12)) });
    for (tq, tk) in [(33, 130), (130, 33), (65, 64)] {
        let case = || Case::new(Shape { b: 1, h: 2, h_kv: 1, tq, tk, d: 12 });
        check(&device, "full", &Case { causal: false, ..case() });
        check(&device, "window and dropout", &Case { window: Some(20), dropout: Some(DROPOUT), ..case() });
        check(&device, "mask and dropout", &Case { causal: false, dropout: Some(DROPOUT), ..case() }.masked(true));
    }
}

#[test]
fn empty_operands() {
    let Some(device) = device() else { return };
    for (b, h, tq, tk, d) in [(0, 2, 3, 3, 4), (1, 0, 3, 3, 4), (1, 2, 0, 3, 4), (1, 2, 3, 0, 4), (1, 2, 3, 3, 0)] {
        let shape = Shape { b, h, h_kv: h.max(1), tq, tk, d };
        check(&device, "empty", &Case { dropout: Some(DROPOUT), causal: false, ..Case::new(shape) }.masked(true));
    }
}
