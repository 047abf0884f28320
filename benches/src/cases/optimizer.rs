//! A step of AdamW, and the sum of squares that clipping needs.

use super::{Buffer, Case, Parts, aligned, cast, ends, ladder, scaled, values};
use gradus_kernels::{
    Float,
    optimizer::{ADAMW_RUNGS, AdamW, NORM_RUNGS, adamw::Step, naive},
};

const OPTIONS: AdamW =
    AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 10, grad_scale: 0.5 };

struct Data {
    /// p, m and v before the first step.
    first: [Buffer; 3],
    state: [Buffer; 3],
    g: Buffer,
}

pub(super) fn adamw(n: usize) -> Box<dyn Case> {
    let squares = aligned(scaled(3, n, 0.1).iter().map(|x| x * x));
    let first = [values(1, n), scaled(2, n, 0.1), squares];
    let data = Data { state: first.clone(), first, g: values(4, n) };
    fn reference<E: Float>(d: &Data) -> Parts<E> {
        let [mut p, mut m, mut v] = [0, 1, 2].map(|i| cast::<E>(&ends(&d.first[i], 1)));
        naive::adamw(OPTIONS, &mut p, &cast::<E>(&ends(&d.g, 1)), &mut m, &mut v);
        [p, m, v].map(|x| x.to_vec()).into()
    }
    let expected = (reference(&data), reference(&data));
    let call = |run: Step, isa, d: &mut Data| {
        let [p, m, v] = &mut d.state;
        run(isa, OPTIONS, p, &d.g, m, v);
    };
    let outputs = |d: &Data| d.state.iter().map(|x| ends(x, 1)).collect();
    Box::new(ladder(&ADAMW_RUNGS, data, call, |d| d.state.clone_from(&d.first), outputs, expected))
}

pub(super) fn sum_of_squares(n: usize) -> Box<dyn Case> {
    let g = values(1, n);
    let sum = naive::sum_of_squares(&g);
    let expected = (vec![vec![sum as f32]], vec![vec![sum]]);
    Box::new(ladder(
        &NORM_RUNGS,
        (g, f64::NAN),
        |run, isa, (g, sum)| *sum = run(isa, g),
        |(_, sum)| *sum = f64::NAN,
        |(_, sum)| vec![vec![*sum as f32]],
        expected,
    ))
}
