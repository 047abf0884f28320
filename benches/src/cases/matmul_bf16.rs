//! The matrix product of operands rounded to bf16, and of one row with a weight stored in bf16.
//!
//! The oracle is the product of the rounded operands, so that the rule of the other products holds unchanged.

use super::{
    Buffer, Ladder, aligned, bf16_isa, ladder,
    matmul::{Data, data, outputs, reference},
    zeros,
};
use crate::workload::{Layout, Precision};
use gradus_kernels::{
    matmul::{
        Operand, Products,
        bf16::{RUNGS, Run, stored},
    },
    simd::bf16::round,
};
use half::bf16;

fn rounded(x: f32) -> f32 {
    round(x).to_f32()
}

pub(super) fn case(layout: Layout, m: usize, k: usize, n: usize) -> Ladder<Run, Data> {
    let data = data(layout, m, k, n);
    let expected = (vec![reference(&data, rounded)], vec![reference(&data, rounded)]);
    let call = |run: Run, isa, d: &mut Data| {
        run(bf16_isa(isa), d.products());
    };
    let mut ladder = ladder(RUNGS, data, call, |d| d.c.fill(f32::NAN), outputs, expected);
    ladder.precision = Precision::Bf16;
    ladder
}

/// One row of activations; the weight is N×K.
pub(super) fn decode(k: usize, n: usize) -> Ladder<stored::Run, (Data, Buffer<bf16>)> {
    let mut data = data(Layout::NT, 1, k, n);
    let expected = (vec![reference(&data, rounded)], vec![reference(&data, rounded)]);
    let weight = aligned(data.b.iter().copied().map(round));
    data.b = zeros(0);
    let call = |run: stored::Run, isa, (d, weight): &mut (Data, Buffer<bf16>)| {
        let (a, b) = (Operand::new(&d.a, d.a_strides), Operand::new(weight, d.b_strides));
        run(bf16_isa(isa), Products { shape: d.shape, a, b, c: &mut d.c, add: false });
    };
    let spoil = |(d, _): &mut (Data, Buffer<bf16>)| d.c.fill(f32::NAN);
    let mut ladder = ladder(stored::RUNGS, (data, weight), call, spoil, |(d, _)| outputs(d), expected);
    ladder.precision = Precision::Bf16;
    ladder
}
