use super::*;

/// Compares the tape's gradient with (f(x + h) − f(x − h)) / 2h for each of the inputs.
fn check<const N: usize>(name: &str, at: [f64; N], f: impl for<'t> Fn([Value<'t>; N]) -> Value<'t>) {
    let tape = Tape::new();
    let inputs = at.map(|x| tape.value(x));
    let gradients = f(inputs).backward();
    for i in 0..N {
        let h = 1e-5 * at[i].abs().max(1.0);
        let moved = |step: f64| {
            let tape = Tape::new();
            let mut x = at;
            x[i] += step;
            f(x.map(|x| tape.value(x))).data()
        };
        let (got, want) = (gradients.of(inputs[i]), (moved(h) - moved(-h)) / (2.0 * h));
        assert!((got - want).abs() <= 1e-8 * want.abs().max(1.0), "{name} at {at:?}, input {i}: {got}, not {want}");
    }
}

#[test]
fn every_operation_agrees_with_central_differences() {
    for x in [-2.3, -0.4, 0.7, 3.1] {
        check("exp", [x], |[x]| x.exp());
        check("tanh", [x], |[x]| x.tanh());
        check("relu", [x], |[x]| x.relu());
        check("neg", [x], |[x]| -x);
        check("square", [x], |[x]| x.powf(2.0));
        check("reciprocal", [x], |[x]| x.powf(-1.0));
        check("constants on the right", [x], |[x]| (x + 2.0) * 3.0 - x / 4.0 - 5.0);
        check("constants on the left", [x], |[x]| 2.0 + 3.0 * x - (5.0 - 4.0 / x));
        for y in [-1.7, 0.3, 2.9] {
            check("add", [x, y], |[x, y]| x + y);
            check("sub", [x, y], |[x, y]| x - y);
            check("mul", [x, y], |[x, y]| x * y);
            check("div", [x, y], |[x, y]| x / y);
        }
    }
    for x in [0.2, 1.0, 4.5] {
        check("ln", [x], |[x]| x.ln());
        check("root", [x], |[x]| x.powf(0.5));
    }
}

#[test]
fn a_small_network_agrees_with_central_differences() {
    check("network", [0.5, -1.2, 0.8, 0.3, -0.7, 1.1], |[x, y, a, b, c, d]| {
        let h = (x * a + y * b).tanh();
        let k = (x * c + y * d + h + 3.0).relu();
        ((h.exp() + k + 2.0).ln() - h / (k + 1.5)).powf(3.0)
    });
}

#[test]
fn a_value_used_twice_gets_both_contributions() {
    let tape = Tape::new();
    let a = tape.value(3.0);
    let b = a + a;
    let c = b + b;
    let gradients = c.backward();
    assert_eq!([c, b, a].map(|v| gradients.of(v)), [1.0, 2.0, 4.0]);
}

#[test]
fn what_the_result_does_not_use_has_gradient_zero() {
    let tape = Tape::new();
    let a = tape.value(0.0);
    let _infinite_slope = a.ln() + a.powf(0.5); // recorded, unused: must not turn 0·∞ into NaN
    let c = a * 2.0;
    let later = tape.value(1.0);
    let gradients = c.backward();
    assert_eq!((gradients.of(a), gradients.of(later)), (2.0, 0.0));
    assert_eq!(a.backward().of(a), 1.0);
}

#[test]
fn corners_have_the_stated_slopes() {
    let tape = Tape::new();
    let zero = tape.value(0.0);
    assert_eq!(zero.relu().backward().of(zero), 0.0);
    assert_eq!(zero.powf(0.0).backward().of(zero), 0.0);
    assert_eq!(zero.powf(1.0).backward().of(zero), 1.0);
    assert_eq!((zero * zero).backward().of(zero), 0.0);
}

#[test]
fn a_long_chain_needs_no_stack() {
    let tape = Tape::new();
    let start = tape.value(0.0);
    let end = (0..1_000_000).fold(start, |x, _| x + 1.0);
    assert_eq!((end.data(), end.backward().of(start)), (1e6, 1.0));
}

#[test]
#[should_panic(expected = "different tapes")]
fn values_of_two_tapes_do_not_mix() {
    let (one, other) = (Tape::new(), Tape::new());
    let _ = one.value(1.0) + other.value(1.0);
}

#[test]
#[should_panic(expected = "another tape")]
fn gradients_are_asked_for_on_their_own_tape() {
    let (one, other) = (Tape::new(), Tape::new());
    let _ = one.value(1.0).backward().of(other.value(1.0));
}
