//! Whose gradients they are: values of two tapes do not mix, and a tape is played back once.

use gradus_autograd::ops::dropout::Dropout;
use gradus_autograd::{DType, Tape, Tensor, Var, checkpoint};
use gradus_tensor::ops::reduce::Reduce;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn leaf(tape: &Tape, value: f64) -> Var {
    tape.leaf(Tensor::from_slice(&[value], &[1]))
}

/// The text of the panic.
#[track_caller]
fn panics<T>(work: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| _ = work())).expect_err("this has to be refused");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap()
}

#[test]
fn gradients_belong_to_one_tape() {
    let (one, other) = (Tape::new(), Tape::new());
    let (x, y) = (leaf(&one, 3.0), leaf(&other, 5.0));
    let constant = Var::constant(Tensor::from_slice(&[1.0], &[1]));
    let unused = leaf(&one, 1.0);
    let gradients = one.backward(&x.square());
    assert_eq!(gradients.get(&x).unwrap().item(), 6.0);
    assert!(gradients.get(&constant).is_none() && gradients.get(&unused).is_none());
    assert!(panics(|| gradients.get(&y).cloned()).contains("another tape"));
    drop(one); // a tape that comes after it, perhaps in its memory, is another one
    let next = leaf(&Tape::new(), 7.0);
    assert!(panics(|| gradients.get(&next).cloned()).contains("another tape"));
}

/// Every operation of several values.
#[test]
fn values_of_two_tapes_do_not_mix() {
    let (one, other) = (Tape::new(), Tape::new());
    let matrix = |tape: &Tape| tape.leaf(Tensor::full(1.0_f64, &[2, 2]));
    let vector = |tape: &Tape| tape.leaf(Tensor::full(1.0_f64, &[2]));
    let heads = |tape: &Tape| tape.leaf(Tensor::full(1.0_f64, &[1, 1, 2, 2]));
    let (a, b) = (matrix(&one), matrix(&other));
    let condition = Tensor::full(1.0_f64, &[2, 2]);
    let (v, w) = (vector(&one), vector(&other));
    let (q, k) = (heads(&one), heads(&other));
    let texts = [
        panics(|| &a + &b),
        panics(|| a.pow(&b)),
        panics(|| a.matmul(&b)),
        panics(|| a.linear(&b, None)),
        panics(|| a.linear(&a, Some(&w))),
        panics(|| a.where_(&condition, &b)),
        panics(|| Var::concat(&[&a, &b], 0)),
        panics(|| b.layer_norm(Some(&v), None, 1e-5)),
        panics(|| b.layer_norm(Some(&w), Some(&v), 1e-5)),
        panics(|| b.rms_norm(Some(&v), 1e-5)),
        panics(|| q.attention(&k, &q, &Default::default())),
        panics(|| q.attention(&q, &k, &Default::default())),
    ];
    assert!(texts.iter().all(|text| text.contains("different tapes: detach() one")), "{texts:#?}");
    assert_eq!((&a + &b.detach()).value().to_vec::<f64>(), [2.0; 4]);
}

#[test]
fn a_tape_is_played_back_once() {
    const AGAIN: &str = "backward: this tape has been played back already: record the forward pass on a new one";
    let tape = Tape::new();
    let x = leaf(&tape, 3.0);
    let y = x.square();
    tape.backward(&y);
    assert_eq!(panics(|| tape.backward(&y)), AGAIN);
    assert_eq!(panics(|| tape.backward(&x)), AGAIN);
    assert_eq!(panics(|| tape.backward_from(&y, Tensor::from_slice(&[1.0], &[1]))), AGAIN);
    assert!(panics(|| x.square()).contains("record on a new one"));

    let scalars = gradus_autograd::scalar::Tape::new();
    let x = scalars.value(3.0);
    let y = x * x;
    assert_eq!([y.backward().of(x), y.backward().of(x)], [6.0, 6.0], "scalars may be asked again");
}

#[test]
fn what_cannot_be_played_back_is_refused_before_the_tape_is_used_up() {
    let (tape, other) = (Tape::new(), Tape::new());
    let (x, foreign) = (leaf(&tape, 3.0), leaf(&other, 1.0));
    let y = x.square();
    let one = |dtype| Tensor::scalar(dtype, 1.0).reshape(&[1]);
    assert!(panics(|| tape.backward(&foreign)).contains("not tracked by this tape"));
    assert!(panics(|| tape.backward(&y.detach())).contains("not tracked by this tape"));
    assert!(panics(|| tape.backward_from(&y, Tensor::full(1.0_f64, &[2]))).contains("shape of its value"));
    assert!(panics(|| tape.backward_from(&y, one(DType::F32))).contains("type of its value"));
    assert_eq!(tape.backward_from(&y, one(DType::F64)).get(&x).unwrap().item(), 6.0);
}

#[test]
fn a_checkpointed_block_brings_in_no_tracked_value() {
    let tape = Tape::new();
    let (x, y) = (leaf(&tape, 3.0), leaf(&tape, 2.0));
    let text = panics(|| checkpoint(&tape, &x, move |_, x| x * &y));
    assert!(text.contains("pass it in as x"), "{text}");
}

#[test]
fn an_axis_is_named_once() {
    let tape = Tape::new();
    let x = tape.leaf(Tensor::full(1.0_f64, &[2, 3]));
    let variance = Reduce::Variance { correction: 0 };
    for (name, op) in [
        ("sum", Reduce::Sum),
        ("mean", Reduce::Mean),
        ("max", Reduce::Max),
        ("min", Reduce::Min),
        ("variance", variance),
    ] {
        let expected = format!("{name}: an axis is named twice: [2, 3] (axes [1, 1]: name each once)");
        for keep in [false, true] {
            assert_eq!(panics(|| x.reduce(op, &[1, 1], keep)), expected);
            assert_eq!(panics(|| x.value().reduce(op, &[1, 1], keep)), expected);
        }
        assert!(x.value().try_reduce(op, &[0, 1, 0], false).is_err());
    }
    assert!(panics(|| x.mean(&[1, 1], false)).starts_with("mean: "));
    assert!(panics(|| x.permute(&[1, 1])).starts_with("permute: not a permutation: [2, 3]"));
    assert!(panics(|| x.transpose(0, 2)).starts_with("transpose: no such axis: [2, 3]"));
    assert!(panics(|| x.split(2, &[1])).starts_with("split: no such axis: [2, 3]"));
    assert!(panics(|| x.split(1, &[usize::MAX, 4])).starts_with("split: the sizes do not add up: [2, 3]"));
    assert!(panics(|| x.softmax(2)).starts_with("softmax: no such axis: [2, 3]"));
    assert!(panics(|| Var::concat(&[&x], 2)).starts_with("concat: no such axis: [2, 3]"));
    let dropout = Some(Dropout { p: f32::NAN, seed: 1, stream: 1 });
    assert!(panics(|| x.dropout(dropout)).starts_with("dropout: p = NaN"));
    let third = tape.backward(&x.mean(&[1], false).sum(&[0], false));
    assert_eq!(third.get(&x).unwrap().to_vec::<f64>(), [1.0 / 3.0; 6]);
}
