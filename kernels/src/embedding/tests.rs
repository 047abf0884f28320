use super::*;
use crate::oracle::{check, values, widen};
use crate::trials::{assert_same_on_any_number_of_threads, runs};

fn ids(n: usize, v: usize) -> Vec<u32> {
    values(9, n).iter().map(|x| ((x.abs() * x.abs() * v as f32) as u32).min(v as u32 - 1)).collect()
}

fn check_all(v: usize, c: usize, ids: &[u32], factor: f32) {
    let times = |x: Vec<f32>| x.into_iter().map(|x| factor * x).collect::<Vec<_>>();
    let (table, dy) = (times(values(1, v * c)), times(values(2, ids.len() * c)));
    let mut expected = vec![7.0; ids.len() * c];
    naive::forward(v, c, &table, ids, &mut expected);
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        let mut y = vec![7.0; expected.len()];
        run(isa, v, c, &table, ids, &mut y);
        assert!(y == expected, "{name} {isa} {v}×{c}, {} ids", ids.len());
    }
    let (mut plain, mut exact) = (vec![7.0; v * c], vec![7.0; v * c]);
    naive::backward(v, c, ids, &dy, &mut plain);
    naive::backward(v, c, ids, &widen(&dy), &mut exact);
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let mut dtable = vec![7.0; v * c];
        run(isa, v, c, ids, &dy, &mut dtable);
        check(&dtable, &plain, &exact).unwrap_or_else(|e| panic!("{name} {isa} {v}×{c}, {} ids: {e}", ids.len()));
    }
}

#[test]
fn every_rung_keeps_to_the_oracle() {
    for (v, c) in [(1, 1), (3, 7), (65, 33), (7, 65), (5, 130), (4, 0)] {
        for n in [0, 1, 5, 50] {
            check_all(v, c, &ids(n, v), 1.0);
        }
    }
    check_all(0, 5, &[], 1.0);
    for factor in [1.0, 1e-40] {
        check_all(65, 67, &ids(3001, 65), factor); // many ids to a row
        check_all(5003, 33, &ids(100, 5003), factor); // many rows to an id
        check_all(17, 1031, &ids(301, 17), factor); // many ids to a row, and long rows, which several tasks add
    }
}

#[test]
fn repeated_ids_accumulate_and_the_rest_is_zero() {
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let mut dtable = [7.0; 6];
        run(isa, 3, 2, &[2, 0, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut dtable);
        assert_eq!(dtable, [3.0, 4.0, 0.0, 0.0, 6.0, 8.0], "{name} {isa}");
    }
}

#[test]
fn a_table_past_the_caches_is_cleared_wherever_it_begins() {
    let (v, c) = (8111, 521); // more than 16 MiB, tasks that begin anywhere in a cache line
    let ids = ids(50, v);
    let dy = values(8, ids.len() * c);
    let mut expected = vec![7.0; v * c];
    naive::backward(v, c, &ids, &dy, &mut expected);
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        for offset in [0, 3] {
            let mut dtable = vec![7.0; offset + v * c + 1];
            run(isa, v, c, &ids, &dy, &mut dtable[offset..offset + v * c]);
            assert!(dtable[offset..offset + v * c] == expected, "{name} {isa}, from element {offset}");
            assert!(dtable[offset + v * c] == 7.0, "{name} {isa}: beyond the table");
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    let (v, c, ids, h) = (4, 3, [1, 3, 1, 0, 1], 1e-5);
    let (table, dy) = (widen(&values(3, v * c)), widen(&values(4, ids.len() * c)));
    let loss = |table: &[f64]| -> f64 {
        let mut y = vec![0.0; ids.len() * c];
        naive::forward(v, c, table, &ids, &mut y);
        y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
    };
    let mut dtable = vec![7.0; v * c];
    naive::backward(v, c, &ids, &dy, &mut dtable);
    for i in 0..table.len() {
        let (mut up, mut down) = (table.clone(), table.clone());
        up[i] += h;
        down[i] -= h;
        approx::assert_abs_diff_eq!(dtable[i], (loss(&up) - loss(&down)) / (2.0 * h), epsilon = 1e-9);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    // A table for each task, where owners of rows are below; and too many rows for that.
    for (v, c, n) in [(65, 67, 5003), (67, 33, 1499), (13, 129, 257), (5003, 33, 997)] {
        let ids = ids(n, v);
        let (table, dy) = (values(7, v * c), values(8, n * c));
        for (name, isa, run) in runs(&FORWARD_RUNGS) {
            assert_same_on_any_number_of_threads(&format!("{name} {isa} {v}×{c}"), || {
                let mut y = vec![7.0; n * c];
                run(isa, v, c, &table, &ids, &mut y);
                [y]
            });
        }
        for (name, isa, run) in runs(&BACKWARD_RUNGS) {
            assert_same_on_any_number_of_threads(&format!("{name} {isa} {v}×{c}, backward"), || {
                let mut dtable = vec![7.0; v * c];
                run(isa, v, c, &ids, &dy, &mut dtable);
                [dtable]
            });
        }
    }
}

#[test]
fn wrong_lengths_and_ids_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    let z = |len: usize| vec![0.0; len];
    let cases: [(usize, &[u32], usize, bool); 6] = [
        (6, &[0, 2], 4, false),
        (5, &[0, 2], 4, true),
        (6, &[0, 3], 4, true),
        (6, &[0, u32::MAX], 4, true),
        (6, &[0], 4, true),
        (6, &[0, 2], 3, true),
    ];
    for (table, ids, y, wrong) in cases {
        for (name, isa, run) in runs(&FORWARD_RUNGS) {
            assert_eq!(refused(&|| run(isa, 3, 2, &z(table), ids, &mut z(y))), wrong, "{name} {isa} {ids:?}");
        }
        for (name, isa, run) in runs(&BACKWARD_RUNGS) {
            assert_eq!(refused(&|| run(isa, 3, 2, ids, &z(y), &mut z(table))), wrong, "{name} {isa} {ids:?}");
        }
    }
}
