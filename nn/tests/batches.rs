//! Batches are functions of (seed, index, row), and every example comes once in each epoch.

use gradus_nn::data::{DIGIT_SIDE, LabelledRows, Pairs, drawn_digits, shuffled};
use gradus_nn::training::{Batches, Examples};

#[test]
fn every_epoch_has_each_example_once_in_an_order_of_its_own() {
    for count in [1, 2, 3, 5, 16, 17, 64, 1000] {
        let epoch = |seed: u64, epoch: u64| -> Vec<usize> {
            (0..count as u64).map(|place| shuffled(seed, epoch * count as u64 + place, count)).collect()
        };
        for number in [0, 1, u64::MAX / 1000 - 1] {
            let mut sorted = epoch(3, number);
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..count), "{count} examples, epoch {number}");
        }
        if count > 10 {
            assert!(epoch(3, 0) != epoch(3, 1) && epoch(3, 0) != epoch(4, 0), "{count} examples");
            assert_eq!(epoch(3, 0), epoch(3, 0));
        }
    }
}

#[test]
fn examples_are_spread_over_the_whole_epoch() {
    // Of the first half of the places, about half the examples are from the first half: 500 ± 16 by chance.
    let low = (0..1000).filter(|&place| shuffled(9, place, 2000) < 1000).count();
    assert!((420..580).contains(&low), "{low}");
}

#[test]
fn rows_keep_their_labels() {
    let rows = LabelledRows::new((0..14).map(|i| i as f32).collect(), (0..7).collect(), 7).unwrap();
    let Ok(batch) = rows.batch(1, 1, 4); // rows 4 to 7 of the sequence: the last 3 of one epoch, the first of the next
    assert_eq!((batch.inputs.shape(), batch.labels.shape()), (&[4, 2][..], &[4][..]));
    let (inputs, labels) = (batch.inputs.to_vec::<f32>(), batch.labels.to_vec::<u32>());
    for (row, label) in inputs.chunks(2).zip(&labels) {
        assert_eq!(row, [2.0 * *label as f32, 2.0 * *label as f32 + 1.0]);
    }
    let Ok(first) = rows.batch(1, 0, 4);
    let mut epoch: Vec<u32> = first.labels.to_vec::<u32>().into_iter().chain(labels[..3].iter().copied()).collect();
    epoch.sort_unstable();
    assert_eq!(epoch, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn pairs_are_filled_up_to_the_longest() {
    let pairs = Pairs::new(vec![(vec![1, 2, 3], vec![4]), (vec![5], vec![6, 7])], 0).unwrap();
    let Ok(batch) = pairs.batch(0, 0, 2);
    assert_eq!((batch.sources.shape(), batch.targets.shape()), (&[2, 3][..], &[2, 2][..]));
    let (sources, targets) = (batch.sources.to_vec::<u32>(), batch.targets.to_vec::<u32>());
    let long_first = sources[0] == 1;
    let expected = if long_first { [1, 2, 3, 5, 0, 0] } else { [5, 0, 0, 1, 2, 3] };
    assert_eq!(sources, expected);
    assert_eq!(targets, if long_first { [4, 0, 6, 7] } else { [6, 7, 4, 0] });
}

#[test]
fn what_cannot_be_trained_on_is_refused_with_what_is_wrong() {
    let rows = |inputs, labels, classes| LabelledRows::new(vec![0.0; inputs], labels, classes).unwrap_err();
    assert_eq!(rows(5, vec![0, 1], 2), "5 numbers are not rows of one length for 2 labels");
    assert_eq!(rows(4, vec![0, 2], 2), "the label of row 1 is 2, and there are 2 classes");
    assert!(rows(0, vec![], 2).starts_with("0 numbers"));
    let pairs = |pairs| Pairs::new(pairs, 9).unwrap_err();
    assert_eq!(pairs(vec![]), "there are no pairs");
    let text = "pair 1 has an empty sequence, or one with the padding 9 in it";
    assert_eq!(pairs(vec![(vec![1], vec![1]), (vec![], vec![1])]), text);
    assert_eq!(pairs(vec![(vec![1], vec![1]), (vec![1], vec![9])]), text);
}

#[test]
fn a_table_becomes_rows() {
    let rows = LabelledRows::from_csv("0, 8,1\n\n16,4,0\n", 2, 0.25).unwrap();
    assert_eq!((rows.inputs(), rows.labels(), rows.width()), (&[0.0, 2.0, 4.0, 1.0][..], &[1, 0][..], 2));
}

#[test]
fn a_wrong_table_is_refused_with_the_line_and_both_sides() {
    for (text, problem) in [
        ("1,2,0\n\n1,2,3,0", "line 3 has 4 columns, and line 1 has 3"),
        ("1,2,0\n1,0", "line 2 has 2 columns, and line 1 has 3"),
        ("1,2,0\n1,2,10", "line 2 has the class \"10\", and the classes are 0 to 9"),
        ("1,2,-1", "line 1 has the class \"-1\", and the classes are 0 to 9"),
        ("1,x,0", "line 1, column 2 is \"x\", and not a finite number"),
        ("1,NaN,0", "line 1, column 2 is \"NaN\", and not a finite number"),
        ("", "0 numbers are not rows of one length for 0 labels"),
    ] {
        assert_eq!(LabelledRows::from_csv(text, 10, 1.0).unwrap_err(), problem);
    }
}

#[test]
fn a_split_has_every_row_once_and_in_order_reads_all_of_them() {
    let rows = LabelledRows::new((0..20).map(|i| i as f32).collect(), (0..10).collect(), 10).unwrap();
    let (a, b) = rows.split(3, 4).unwrap();
    assert_eq!((a.len(), b.len()), (4, 6));
    let mut labels = [a.labels(), b.labels()].concat();
    assert!(labels[..4] != [0, 1, 2, 3], "the rows are mixed");
    labels.sort_unstable();
    assert_eq!(labels, (0..10).collect::<Vec<u32>>());
    for part in [&a, &b] {
        for (row, label) in part.inputs().chunks(2).zip(part.labels()) {
            assert_eq!(row[0], 2.0 * *label as f32);
        }
    }
    let Ok(end) = b.in_order(4, 4);
    assert_eq!(end.labels.to_vec::<u32>(), b.labels()[4..]);
    for count in [0, 10] {
        assert_eq!(rows.split(3, count).unwrap_err(), format!("10 rows cannot be cut into {count} and others"));
    }
}

#[test]
fn drawn_digits_are_drawings_of_all_ten_and_depend_on_the_seed() {
    let rows = drawn_digits(1, 2000);
    assert_eq!(rows.width(), DIGIT_SIDE * DIGIT_SIDE);
    assert!(rows.labels().iter().enumerate().all(|(i, label)| *label as usize == i % 10));
    assert!(rows.inputs().iter().all(|ink| (0.0..=1.0).contains(ink)));
    // An 8 has 17 dots and a 1 has 10: on the average more ink, though every drawing differs.
    let ink = |digit: u32| {
        let of = |(row, label): (&[f32], &u32)| (*label == digit).then(|| row.iter().sum::<f32>());
        rows.inputs().chunks(rows.width()).zip(rows.labels()).filter_map(of).sum::<f32>() / 200.0
    };
    assert!(ink(8) > ink(1) + 3.0, "{} {}", ink(8), ink(1));
    assert!(rows.inputs()[..64] != rows.inputs()[640..704] && rows != drawn_digits(2, 2000));
    assert_eq!(rows, drawn_digits(1, 2000));
}
