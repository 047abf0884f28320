//! The same bits on any number of threads, at sizes that are cut into tasks.

use super::{super::*, inputs};
use crate::oracle::values;
use crate::trials::{ODD_LENGTHS, assert_same_on_any_number_of_threads, runs};

const LEN: usize = 300_107;

/// What `work` writes over `len` elements, for each rung at each instruction set.
fn check<F: Copy + Send + Sync>(
    what: &str,
    rungs: &'static [Rung<F>],
    len: usize,
    work: impl Fn(F, Isa, &mut [f32]) + Sync,
) {
    for (name, isa, run) in runs(rungs) {
        assert_same_on_any_number_of_threads(&format!("{what}, {name} {isa}"), || {
            let mut y = vec![0.5; len];
            work(run, isa, &mut y);
            [y]
        });
    }
}

#[test]
fn unary_operations() {
    for len in [16_411, 32_771, 98_317] {
        unary_operations_of(len);
    }
}

fn unary_operations_of(len: usize) {
    let (x, dy) = (inputs(Unary::Sqrt, len), values(2, len)); // in the domain of all of them
    for op in Unary::ALL {
        let saved = if op.saves() == Saves::Nothing { &[][..] } else { &x };
        check(&format!("{op:?}"), &UNARY_RUNGS, len, |run, isa, y| run(isa, op, &x, y));
        check(&format!("{op:?}, backward"), &UNARY_BACKWARD_RUNGS, len, |run, isa, dx| run(isa, op, saved, &dy, dx));
        for isa in Isa::available() {
            assert_same_on_any_number_of_threads(&format!("{op:?} {isa}, backward in place"), || {
                let mut d = dy.clone();
                unary::in_place(isa, op, saved, &mut d);
                [d]
            });
        }
    }
}

#[test]
fn sums_and_multiples_in_place() {
    for len in ODD_LENGTHS {
        let x = values(1, len);
        assert_same_on_any_number_of_threads(&format!("axpy and scale, {len}"), || {
            let [mut sum, mut multiple] = [(); 2].map(|()| values(2, len));
            axpy(0.3, &x, &mut sum);
            scale_in_place(0.3, &mut multiple);
            [sum, multiple]
        });
    }
}

#[test]
fn broadcast_operands_and_copies() {
    let (shape, x) = ([301, 997], values(1, LEN));
    let ([across, down, row], len) = ([[1, 301], [1, 0], [0, 1]], 301 * 997);
    for op in Binary::ALL {
        let a: Vec<f32> = if op == Binary::Pow { x.iter().map(|x| x.abs() + 0.1).collect() } else { x.clone() };
        check(&format!("{op:?}"), &BINARY_RUNGS, len, |run, isa, y| run(isa, op, &shape, &a, &across, &x, &row, y));
    }
    check("select", &SELECT_RUNGS, len, |run, isa, y| run(isa, &shape, &x, &down, &x, &across, &x, &row, y));
    check("copy", &COPY_RUNGS, len, |run, isa, y| run(isa, &shape, &x, &across, y, &[997, 1]));
}
