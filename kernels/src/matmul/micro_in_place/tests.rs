use super::*;
use crate::{matmul::packed_kernel::pack::panel_columns, oracle};

/// In eighths, of which every sum is exact: with prefetches or without, whatever the steps of A and the distance of rows of B.
#[test]
fn prefetching_changes_nothing() {
    let eighths = |seed, len| -> Vec<f32> {
        oracle::values(seed, len).into_iter().map(|x: f32| (x * 8.0).round() / 8.0).collect()
    };
    for isa in Isa::available() {
        let width = panel_columns(isa);
        for (rows, k, columns) in
            [(1, 1, width), (3, 2, width), (8, 33, width), (21, 40, 2 * width), (16, 7, 3 * width)]
        {
            let (a, b) = (eighths(1, 3 * rows * k), eighths(2, k * columns));
            for (row, col) in [(k, 1), (k + 5, 1), (1, rows), (2 * k, 2)] {
                for (panel, step) in [(width, columns), (k * width, width)] {
                    let at_b = |p: usize, j: usize| b[j / width * panel + p * step + j % width];
                    let sum = |i: usize, j: usize| (0..k).map(|p| a[i * row + p * col] * at_b(p, j)).sum();
                    let expected: Vec<f32> = (0..rows * columns).map(|at| sum(at / columns, at % columns)).collect();
                    for hardware_prefetches in [false, true] {
                        let mut c = vec![f32::NAN; rows * columns];
                        let panels = Panels { data: &b, panel, step };
                        let block = Block::whole(&mut c, columns);
                        multiply(isa, k, View { data: &a, row, col }, panels, block, false, hardware_prefetches);
                        assert_eq!(
                            c, expected,
                            "{isa:?} {rows}×{k}×{columns}, A {row} {col}, B {panel} {step}, {hardware_prefetches}"
                        );
                    }
                }
            }
        }
    }
}
