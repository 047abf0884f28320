use super::{Number, cast, fill};
use crate::oracle::values;
use half::bf16;

/// Lengths around the borders of vectors and of tasks.
const LENGTHS: [usize; 7] = [0, 1, 15, 17, 1000, 65_537, 300_007];

fn each<X: Number, Y: Number + PartialEq + std::fmt::Debug>(x: &[X], expected: impl Fn(X) -> Y) {
    let mut y = vec![Y::from_f64(7.0); x.len()];
    cast(x, &mut y);
    for (i, (&x, &y)) in x.iter().zip(&y).enumerate() {
        assert_eq!(y, expected(x), "element {i}");
    }
}

#[test]
fn every_element_is_the_nearest_of_the_other_type() {
    for len in LENGTHS {
        let x = values(3, len);
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x) * 1.000_000_1).collect();
        let ids: Vec<u32> = (0..len as u32).collect();
        each(&x, f64::from);
        each(&wide, |x| x as f32);
        each(&x, bf16::from_f32);
        each(&wide, |x| bf16::from_f32(x as f32));
        each(&ids, |x| x as f32);
        each(&wide, |x| if x < 0.0 { 0_u32 } else { x.trunc() as u32 });
        let stored: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
        each(&stored, bf16::to_f32);
        each(&stored, bf16::to_f64);
    }
}

#[test]
fn the_ends_of_the_range() {
    each(&[f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0], bf16::from_f32);
    each(&[f64::MAX, -f64::MAX], |x| if x > 0.0 { f32::INFINITY } else { f32::NEG_INFINITY });
    let mut y = [bf16::ONE];
    cast(&[f32::NAN], &mut y);
    assert!(y[0].is_nan());
    cast(&[1e-40_f32], &mut y); // a denormal number
    assert_eq!(y, [bf16::ZERO]);
    let mut y = [1_u32; 2];
    cast(&[-3.0_f64, 1e20], &mut y);
    assert_eq!(y, [0, u32::MAX]);
}

#[test]
fn a_value_for_all_elements() {
    for len in LENGTHS {
        let mut y = vec![bf16::ZERO; len];
        fill(2.5, &mut y);
        assert!(y.iter().all(|y| y.to_f32() == 2.5));
    }
    let mut y = [0_u32];
    fill(3.9, &mut y);
    assert_eq!(y, [3]);
}

#[test]
#[should_panic(expected = "lengths of x and y")]
fn lengths_that_differ_are_refused() {
    cast(&[1.0_f32], &mut [0.0_f64; 2]);
}
