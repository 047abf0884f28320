//! One table of corners, 0, ±∞, NaN and far out, through the scalar tape and the tensor tape, in `f64` and in `f32`, alone and
//! in a vector. The kernels run through the same table in their own tests, every rung of them.

use gradus_autograd::{DType, Tape, Tensor, Var, scalar};
use gradus_kernels::corners::{BINARY, POINTS, UNARY, check};
use gradus_kernels::elementwise::{Binary, Unary};
use gradus_tests::isa;

/// Lengths of one element, and of whole vectors of every level with a rest.
const LENGTHS: [usize; 2] = [1, 37];

/// The units of rounding that are allowed, and what one is in a type.
fn units(dtype: DType) -> (f64, f64) {
    if dtype == DType::F64 { (4.0, f64::EPSILON) } else { (20.0, f64::from(f32::EPSILON)) }
}

#[track_caller]
fn assert_all(what: &str, dtype: DType, got: &Tensor, expected: f64) {
    let expected = if dtype == DType::F32 { f64::from(expected as f32) } else { expected };
    let (units, epsilon) = units(dtype);
    for got in got.to_f64_vec() {
        check(got, expected, units, epsilon).unwrap_or_else(|e| panic!("{what} in {dtype}: {e}"));
    }
}

fn filled(dtype: DType, value: f64, len: usize) -> Tensor {
    Tensor::scalar(dtype, value).broadcast_to(&[len]).contiguous()
}

fn types_and_lengths() -> impl Iterator<Item = (DType, usize)> {
    [DType::F64, DType::F32].into_iter().flat_map(|dtype| LENGTHS.map(|len| (dtype, len)))
}

#[test]
fn unary_functions_of_tensors() {
    for (op, values, slopes) in UNARY {
        for ((x, value), slope) in POINTS.into_iter().zip(values).zip(slopes) {
            for (dtype, len) in types_and_lengths() {
                let what = format!("{op:?}({x:e})");
                let tape = Tape::new();
                let leaf = tape.leaf(filled(dtype, x, len));
                let y = leaf.unary(op);
                assert_all(&what, dtype, y.value(), value);
                let gradients = tape.backward_from(&y, filled(dtype, 1.0, len));
                assert_all(&format!("derivative of {what}"), dtype, gradients.get(&leaf).unwrap(), slope);
            }
        }
    }
}

#[test]
fn binary_functions_of_tensors() {
    for (op, a, b, value, slopes) in BINARY {
        for (dtype, len) in types_and_lengths() {
            let what = format!("{op:?}({a:e}, {b:e})");
            let tape = Tape::new();
            let leaves = [a, b].map(|x| tape.leaf(filled(dtype, x, len)));
            let y = leaves[0].binary(op, &leaves[1]);
            assert_all(&what, dtype, y.value(), value);
            let gradients = tape.backward_from(&y, filled(dtype, 1.0, len));
            for (i, (leaf, slope)) in leaves.iter().zip(slopes).enumerate() {
                let name = format!("derivative {i} of {what}");
                assert_all(&name, dtype, gradients.get(leaf).unwrap(), slope);
            }
            // The same where the other operand is a constant, and one number for all.
            for (i, slope) in slopes.into_iter().enumerate() {
                let tape = Tape::new();
                let leaf = tape.leaf(filled(dtype, [a, b][i], len));
                let other = Var::constant(Tensor::scalar(dtype, [b, a][i]));
                let y = if i == 0 { leaf.binary(op, &other) } else { other.binary(op, &leaf) };
                let gradients = tape.backward_from(&y, filled(dtype, 1.0, len));
                let name = format!("derivative {i} of {what}, the other constant");
                assert_all(&name, dtype, gradients.get(&leaf).unwrap(), slope);
            }
        }
    }
}

/// The value, and the derivative by each input, where the scalar engine has the function.
fn of_scalars(tape: &scalar::Tape, op: Binary, a: f64, b: f64) -> Option<(f64, [Option<f64>; 2])> {
    let [x, y] = [a, b].map(|x| tape.value(x));
    let result = match op {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        Binary::Pow => x.powf(b),
        Binary::Max | Binary::Min | Binary::Gt | Binary::Ge | Binary::Eq => return None,
    };
    let gradients = result.backward();
    let of_y = (op != Binary::Pow).then(|| gradients.of(y));
    Some((result.data(), [Some(gradients.of(x)), of_y]))
}

#[test]
fn scalars() {
    let same = |what: &str, got: f64, expected: f64| {
        check(got, expected, 4.0, f64::EPSILON).unwrap_or_else(|e| panic!("{what}: {e}"));
    };
    let mut functions = 0;
    for (op, values, slopes) in UNARY {
        for ((x, value), slope) in POINTS.into_iter().zip(values).zip(slopes) {
            let tape = scalar::Tape::new();
            let leaf = tape.value(x);
            let y = match op {
                Unary::Neg => -leaf,
                Unary::Exp => leaf.exp(),
                Unary::Ln => leaf.ln(),
                Unary::Tanh => leaf.tanh(),
                Unary::Relu => leaf.relu(),
                Unary::Square => leaf.powf(2.0),
                _ => continue,
            };
            functions += 1;
            same(&format!("{op:?}({x:e})"), y.data(), value);
            same(&format!("derivative of {op:?}({x:e})"), y.backward().of(leaf), slope);
        }
    }
    assert_eq!(functions, 6 * POINTS.len());
    for (op, a, b, value, slopes) in BINARY {
        let tape = scalar::Tape::new();
        let Some((got, derivatives)) = of_scalars(&tape, op, a, b) else { continue };
        same(&format!("{op:?}({a:e}, {b:e})"), got, value);
        for (i, (derivative, slope)) in derivatives.into_iter().zip(slopes).enumerate() {
            let name = format!("derivative {i} of {op:?}({a:e}, {b:e})");
            derivative.into_iter().for_each(|derivative| same(&name, derivative, slope));
        }
    }
}

/// A gradient of 0 that meets an infinite derivative is NaN on both tapes; what the result does not use has none on either.
#[test]
fn both_tapes_multiply_nothing_with_infinity_alike() {
    let scalars = scalar::Tape::new();
    let x = scalars.value(0.0);
    let _unused = x.ln();
    let y = x.ln().relu() + x;
    let tape = Tape::new();
    let leaf = tape.leaf(Tensor::from_slice(&[0.0_f64], &[1]));
    let _unused = leaf.ln();
    let z = &leaf.ln().relu() + &leaf;
    assert_eq!((y.data(), z.value().item()), (0.0, 0.0));
    assert!(y.backward().of(x).is_nan());
    assert!(tape.backward(&z).get(&leaf).unwrap().item().is_nan());
}

#[test]
fn at_every_instruction_set() {
    isa::at_every_other(&["unary_functions_of_tensors", "binary_functions_of_tensors"]);
}
