//! Every operation of the registry against central differences, and the tape's own promises.

use gradus_autograd::gradcheck::{Case, Op, gradcheck};
use gradus_autograd::ops::cross_entropy::Options;
use gradus_autograd::ops::registry;
use gradus_autograd::{Parameter, Tape, Tensor, Var, checkpoint};

#[test]
fn every_operation_passes_its_gradcheck() {
    let failures: Vec<String> = registry().filter_map(|op| op.check().err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Operations are `Op`s in the source; those of the elementwise table come from a match that the compiler holds complete.
#[test]
fn every_operation_of_this_crate_is_in_the_registry() {
    let registered: Vec<&str> = registry().map(|op| op.name).collect();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = [source.clone(), source.join("ops")].into_iter().flat_map(|folder| folder.read_dir().unwrap());
    let mut found = 0;
    for path in files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for definition in text.split("&Op {").skip(1) {
            let Some(name) = definition.trim_start().strip_prefix("name: \"") else { continue };
            let name = name.split('"').next().unwrap();
            assert!(registered.contains(&name), "{name} of {} is not in ops::registry()", path.display());
            found += 1;
        }
    }
    assert!(found > 20, "the source defines {found} operations by name: has the form of a definition changed?");
}

#[test]
fn a_case_without_its_operation_does_not_count() {
    let op = Op { name: "softmax", formula: "", cases: || vec![Case::new("eˣ", &[&[3]], |x| x[0].exp())] };
    assert_eq!(op.check().unwrap_err(), "softmax: eˣ: the case does not record it");
    let op = Op { name: "softmax", formula: "", cases: Vec::new };
    assert_eq!(op.check().unwrap_err(), "softmax has no case for its gradient check");
}

#[test]
fn names_are_given_once() {
    let mut names: Vec<&str> = registry().map(|op| op.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_wrong_gradient_is_found() {
    // x² whose gradient goes through one factor only.
    let wrong = Case::new("x · detached x", &[&[3]], |x| &x[0] * &x[0].detach());
    assert!(gradcheck(&wrong).unwrap_err().contains("input 0, element 0"));
}

/// The gradients of the scalar engine and of this one for the same little network, number by number.
#[test]
fn the_scalar_engine_gives_the_same_gradients() {
    let (x, w, b) = ([0.5, -1.5, 2.0], [[0.3, -0.2, 0.7], [1.1, 0.4, -0.6]], [0.1, -0.3]);
    let tape = gradus_autograd::scalar::Tape::new();
    let xs = x.map(|x| tape.value(x));
    let ws = w.map(|row| row.map(|w| tape.value(w)));
    let bs = b.map(|b| tape.value(b));
    let hidden = [0, 1].map(|i| (ws[i][0] * xs[0] + ws[i][1] * xs[1] + ws[i][2] * xs[2] + bs[i]).tanh());
    let loss = (hidden[0] * hidden[1]).exp() / (hidden[0] + 3.0).ln();
    let scalar = loss.backward();

    let tape = Tape::new();
    let xt = tape.leaf(Tensor::from_slice(&x, &[1, 3]));
    let wt = tape.leaf(Tensor::from_slice(&w.concat(), &[2, 3]));
    let bt = tape.leaf(Tensor::from_slice(&b, &[2]));
    let h = xt.linear(&wt, Some(&bt)).tanh();
    let parts = h.reshape(&[2]).split(0, &[1, 1]);
    let result = &(&parts[0] * &parts[1]).exp() / &(&parts[0] + 3.0).ln();
    assert!((result.value().item() - loss.data()).abs() < 1e-14);
    let gradients = tape.backward(&result);
    let same = |var: &Var, values: &[gradus_autograd::scalar::Value<'_>]| {
        for (a, value) in gradients.get(var).unwrap().to_vec::<f64>().iter().zip(values) {
            assert!((a - scalar.of(*value)).abs() < 1e-13, "{a} {}", scalar.of(*value));
        }
    };
    same(&xt, &xs);
    same(&wt, &ws.concat());
    same(&bt, &bs);
}

#[test]
fn a_value_that_is_used_twice_gets_both_contributions() {
    let tape = Tape::new();
    let a = tape.leaf(Tensor::from_slice(&[3.0_f64], &[1]));
    let b = &a + &a;
    let c = &b + &b;
    assert_eq!(tape.backward(&c).get(&a).unwrap().item(), 4.0);
}

/// Both branches of a sum get one gradient in one memory; what the first makes of it in place, the second must not see.
#[test]
fn a_gradient_that_is_shared_is_not_overwritten() {
    let x = [0.5_f32, -1.0, 2.0, 0.25];
    let tape = Tape::new();
    let leaf = tape.leaf(Tensor::from_slice(&x, &[1, 4]));
    let branches = &leaf.square() + &(&leaf.exp() + &(&leaf + &leaf.rms_norm(None, 1e-5)));
    let got = tape.backward(&branches.sum(&[0, 1], false)).get(&leaf).unwrap().to_vec::<f32>();
    let tape = Tape::new();
    let leaf = tape.leaf(Tensor::from_slice(&x.map(f64::from), &[1, 4]));
    let branches = &leaf.square() + &(&leaf.exp() + &(&leaf + &leaf.rms_norm(None, 1e-5)));
    let expected = tape.backward(&branches.sum(&[0, 1], false)).get(&leaf).unwrap().to_vec::<f64>();
    for (got, expected) in got.iter().zip(&expected) {
        assert!((f64::from(*got) - expected).abs() < 1e-6 * expected.abs().max(1.0), "{got} {expected}");
    }
}

#[test]
fn nothing_flows_through_detach_and_untracked_inputs_cost_nothing() {
    let tape = Tape::new();
    let a = tape.leaf(Tensor::from_slice(&[2.0_f64], &[1]));
    let constant = Var::constant(Tensor::from_slice(&[5.0_f64], &[1]));
    let y = &(&a * &constant) + &(&a.detach() * &constant);
    assert_eq!(tape.len(), 3, "leaf, mul, add:\n{tape}");
    assert_eq!(tape.backward(&y).get(&a).unwrap().item(), 5.0);
}

#[test]
fn inference_records_nothing() {
    let tape = Tape::inference();
    let p = Parameter::new(Tensor::full(1.0_f32, &[2, 2]));
    let y = tape.parameter(&p).matmul(&tape.parameter(&p)).softmax(1);
    assert!(!y.is_tracked() && tape.is_empty());
}

#[test]
fn parameters_gather_gradients_over_backward_passes() {
    let p = Parameter::new(Tensor::from_slice(&[1.0_f64, 2.0], &[2]));
    for _ in 0..3 {
        let tape = Tape::new();
        let x = tape.parameter(&p);
        tape.backward(&(&x * &x).sum(&[0], false));
    }
    assert_eq!(p.take_grad().unwrap().to_vec::<f64>(), [6.0, 12.0]);
    assert!(p.grad().is_none());
}

/// Sixteen samples at once, or four micro-batches of four with a quarter of the loss each.
#[test]
fn micro_batches_add_up_to_the_batch() {
    let values = gradus_autograd::gradcheck::values;
    let w = Parameter::new(Tensor::from_slice(&values(1, 15), &[5, 3]));
    let x = Tensor::from_slice(&values(2, 48), &[16, 3]);
    let targets = Tensor::from_slice(&(0..16).map(|i| i % 5).collect::<Vec<u32>>(), &[16]);
    let gradient = |size: usize| {
        for start in (0..16).step_by(size) {
            let tape = Tape::new();
            let logits = Var::constant(x.slice(0, start..start + size)).linear(&tape.parameter(&w), None);
            let loss = logits.cross_entropy(&targets.slice(0, start..start + size), Options::default());
            tape.backward_from(&loss, Tensor::scalar(gradus_autograd::DType::F64, size as f64 / 16.0));
        }
        w.take_grad().unwrap().to_vec::<f64>()
    };
    for (a, b) in gradient(16).iter().zip(gradient(4)) {
        assert!((a - b).abs() < 1e-15);
    }
}

#[test]
fn a_checkpointed_block_gives_the_same_bits_and_saves_less() {
    let w = Parameter::new(Tensor::from_slice(&[0.5_f32, -0.25, 0.125, 1.0], &[2, 2]));
    let run = |recompute: bool| {
        let tape = Tape::training(7, 3);
        let x = tape.leaf(Tensor::from_slice(&[0.3_f32, -1.0, 2.0, 0.7, 0.1, 0.9], &[3, 2]));
        let w = w.clone();
        let block = move |tape: &Tape, x: &Var| {
            let h = x.linear(&tape.parameter(&w), None).gelu().dropout(tape.dropout(0.3));
            &h.layer_norm(None, None, 1e-5) + x
        };
        let y = if recompute { checkpoint(&tape, &x, block) } else { block(&tape, &x) };
        let y = y.dropout(tape.dropout(0.5)); // a mask after the block: the count of masks must be the same
        let saved = tape.saved_bytes();
        let dx = tape.backward(&y.sum(&[0, 1], false)).get(&x).unwrap().to_vec::<f32>();
        (y.value().to_vec::<f32>(), dx, saved)
    };
    let (y, dx, saved) = run(false);
    let dw = w.take_grad().unwrap().to_vec::<f32>();
    let (y2, dx2, saved2) = run(true);
    assert_eq!((y, dx, dw), (y2, dx2, w.take_grad().unwrap().to_vec::<f32>()));
    assert!(saved2 < saved, "{saved2} bytes with, {saved} without");
}

#[test]
fn the_tape_shows_what_it_holds() {
    let tape = Tape::new();
    let x = tape.leaf(Tensor::zeros(&[2, 3]));
    let _y = x.softmax(1).sum(&[0, 1], false);
    let table = tape.to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[2].contains("softmax") && lines[2].contains("[2, 3]") && lines[2].contains("y [2, 3]"), "{table}");
    assert!(lines[3].contains("sum") && lines[3].ends_with("nothing"), "{table}");
    assert!(lines[4].ends_with("24 bytes held for the backward pass"), "{table}");
    let dot = tape.to_dot();
    assert!(dot.starts_with("digraph tape {") && dot.contains("n0 -> n1;") && dot.contains("n1 -> n2;"), "{dot}");
}

#[test]
#[should_panic(expected = "this tape has been played back")]
fn a_tape_is_played_back_once() {
    let tape = Tape::new();
    let x = tape.leaf(Tensor::from_slice(&[1.0_f64], &[]));
    tape.backward(&x.exp());
    x.exp();
}

#[test]
#[should_panic(expected = "Gt has no derivative")]
fn a_tracked_operation_without_a_derivative_is_refused_when_it_is_recorded() {
    let tape = Tape::new();
    let x = tape.leaf(Tensor::from_slice(&[1.0_f64], &[]));
    x.binary(gradus_tensor::ops::elementwise::Binary::Gt, &x);
}
