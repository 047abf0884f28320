//! Single operations and optimiser steps as PyTorch computes them in `f64`.
//!
//! In `f64` they are held against PyTorch's numbers, in `f32` against our own in `f64` on the same rounded inputs: what
//! rounding the inputs does (a logit of 1000 loses 3e-5) is no error of the operation. On CUDA, where all is `f32`, the same.
//!
//! Settings such as eps are of type `f32`, and 1e-5 is no `f32`. So that `f64` can be tight all the same, an operation is
//! run where its settings are exact, and its result is carried over by an identity: layer norm of x with eps is layer norm
//! of c·x with c²·eps, attention with the scale s is attention of s·q with the scale 1, and cross-entropy is linear in the
//! label smoothing.

use gradus_autograd::ops::{attention, cross_entropy};
use gradus_autograd::{DType, Device, Tape, Tensor, Var};
use gradus_tensor::ops::optimizer::{AdamW, Sgd, adamw, sgd};
use gradus_tests::compare::assert_close;
use gradus_tests::device::cuda;
use gradus_tests::fixture::Fixture;
use gradus_tests::isa;
use std::collections::BTreeSet;

type Function = Box<dyn Fn(&Fixture, &[Var]) -> Var>;

/// An operation of the fixture: the tracked inputs by name, and the function of them.
struct Operation {
    name: &'static str,
    inputs: &'static [&'static str],
    function: Function,
    f32_tolerance: f64,
}

const F64: f64 = 1e-12;
const F32: f64 = 2e-6;

fn op(
    name: &'static str,
    inputs: &'static [&'static str],
    f32_tolerance: f64,
    function: impl Fn(&Fixture, &[Var]) -> Var + 'static,
) -> Operation {
    Operation { name, inputs, function: Box::new(function), f32_tolerance }
}

/// Every case of attention in the fixture.
const ATTENTIONS: [&str; 9] = [
    "attention",
    "attention_causal",
    "attention_mask",
    "attention_window",
    "attention_window_full",
    "attention_grouped",
    "attention_few_queries",
    "attention_one_query",
    "attention_many_queries",
];

/// The options of a case on a device, with a scale of 1: the queries are to be multiplied with the case's own.
fn attention_options(fixture: &Fixture, name: &str, device: &Device) -> attention::Options {
    let mask = format!("{name}/mask");
    attention::Options {
        scale: Some(1.0),
        causal: fixture.constant(&format!("{name}/causal")),
        window: match fixture.constant::<String>(&format!("{name}/window")).as_str() {
            "none" => None,
            size => Some(size.parse().expect("a number of keys")),
        },
        mask: fixture.has(&mask).then(|| fixture.tensor(&mask).to_device(device)),
        ..attention::Options::default()
    }
}

fn attend(name: &'static str) -> Operation {
    // Where one score stands out, P∘(dP − D) is a small difference of large numbers.
    op(name, &["q", "k", "v"], 1e-5, move |fixture, x| {
        let q = &x[0] * fixture.constant::<f64>(&format!("{name}/scale"));
        q.attention(&x[1], &x[2], &attention_options(fixture, name, x[0].value().device()))
    })
}

fn entropy(name: &'static str) -> Operation {
    // One row is near 500, where neighbouring f32 are 3e-5 apart, and so is its log-sum-exp from the truth.
    op(name, &["logits"], 5e-5, move |fixture, x| {
        let targets = fixture.tensor(&format!("{name}/targets")).to_device(x[0].value().device());
        let ignore: i32 = fixture.constant(&format!("{name}/ignore_index"));
        let smoothing: f64 = fixture.constant(&format!("{name}/label_smoothing"));
        let loss = |label_smoothing: f32| {
            x[0].cross_entropy(&targets, cross_entropy::Options { ignore_index: Some(ignore as u32), label_smoothing })
        };
        if smoothing == 0.0 {
            return loss(0.0);
        }
        &(&loss(0.0) * (1.0 - 2.0 * smoothing)) + &(&loss(0.5) * (2.0 * smoothing))
    })
}

/// The factor by which x may grow with an eps that `f32` has exactly, and that eps.
fn exact_eps(fixture: &Fixture, name: &str) -> (f64, f32) {
    let (eps, exact): (f64, f32) = (fixture.constant(&format!("{name}/eps")), 2.0_f32.powi(-16));
    ((f64::from(exact) / eps).sqrt(), exact)
}

fn operations() -> Vec<Operation> {
    // One row varies by a thousandth around 10: in f32 the mean's rounding is a ten-thousandth of that.
    let flat_row = 1e-3;
    let others = vec![
        op("gelu_tanh", &["x"], F32, |_, x| x[0].gelu_tanh()),
        op("gelu_erf", &["x"], F32, |_, x| x[0].gelu()),
        op("silu", &["x"], F32, |_, x| x[0].silu()),
        op("softmax_axis1", &["x"], F32, |_, x| x[0].softmax(1)),
        op("softmax_last", &["x"], F32, |_, x| x[0].softmax(2)),
        op("log_softmax_axis1", &["x"], F32, |_, x| x[0].log_softmax(1)),
        op("log_softmax_last", &["x"], F32, |_, x| x[0].log_softmax(2)),
        entropy("cross_entropy"),
        entropy("cross_entropy_ignore"),
        entropy("cross_entropy_smooth"),
        entropy("cross_entropy_ignore_smooth"),
        op("layer_norm", &["x", "weight", "bias"], flat_row, |fixture, x| {
            let (c, eps) = exact_eps(fixture, "layer_norm");
            (&x[0] * c).layer_norm(Some(&x[1]), Some(&x[2]), eps)
        }),
        op("layer_norm_no_bias", &["x", "weight"], flat_row, |fixture, x| {
            let (c, eps) = exact_eps(fixture, "layer_norm_no_bias");
            (&x[0] * c).layer_norm(Some(&x[1]), None, eps)
        }),
        op("rms_norm", &["x", "weight"], F32, |fixture, x| {
            let (c, eps) = exact_eps(fixture, "rms_norm");
            (&x[0] * c).rms_norm(Some(&x[1]), eps)
        }),
        op("embedding", &["weight"], F32, |fixture, x| {
            x[0].embedding(&fixture.tensor("embedding/ids").to_device(x[0].value().device()))
        }),
        op("matmul_broadcast", &["a", "b"], F32, |_, x| x[0].matmul(&x[1])),
        op("variance", &["x"], F32, |_, x| x[0].variance(&[0, 2], 0, false)),
        op("variance_unbiased", &["x"], F32, |_, x| x[0].variance(&[2], 1, false)),
    ];
    ATTENTIONS.into_iter().map(attend).chain(others).collect()
}

/// The output and the gradients, after inputs of `f64` have been rounded to `f32` where asked for.
fn run(
    fixture: &Fixture,
    operation: &Operation,
    device: &Device,
    dtype: DType,
    rounded: bool,
) -> Vec<(String, Vec<f64>)> {
    let input = |name: &str| {
        let exact = fixture.tensor(&format!("{}/{name}", operation.name));
        let exact = if rounded { exact.to_dtype(DType::F32) } else { exact };
        exact.to_dtype(dtype).to_device(device)
    };
    let tape = Tape::new();
    let leaves: Vec<Var> = operation.inputs.iter().map(|name| tape.leaf(input(name))).collect();
    let y = (operation.function)(fixture, &leaves);
    let gradients = tape.backward_from(&y, input("dy"));
    let gradient = |(name, leaf): (&&str, &Var)| (format!("d{name}"), gradients.get(leaf).unwrap().to_f64_vec());
    std::iter::once(("y".to_string(), y.value().to_f64_vec()))
        .chain(operation.inputs.iter().zip(&leaves).map(gradient))
        .collect()
}

#[test]
fn operations_in_f64_are_pytorchs() {
    let fixture = Fixture::open("ops.safetensors");
    for operation in operations() {
        for (name, got) in run(&fixture, &operation, &Device::Cpu, DType::F64, false) {
            let name = format!("{}/{name}", operation.name);
            assert_close(&name, &got, &fixture.numbers(&name), F64);
        }
    }
}

fn operations_are_those_in_f64(device: &Device) {
    let fixture = Fixture::open("ops.safetensors");
    for operation in operations() {
        let exact = run(&fixture, &operation, &Device::Cpu, DType::F64, true);
        for ((name, got), (_, expected)) in run(&fixture, &operation, device, DType::F32, true).into_iter().zip(exact) {
            assert_close(&format!("{}/{name}", operation.name), &got, &expected, operation.f32_tolerance);
        }
    }
}

#[test]
fn operations_in_f32_are_those_in_f64() {
    operations_are_those_in_f64(&Device::Cpu);
}

#[test]
fn operations_on_cuda_are_those_in_f64() {
    if let Some(device) = cuda() {
        operations_are_those_in_f64(&device);
    }
}

/// The eps and the smoothing of everyday use, without the detours: to what `f32` settings allow.
#[test]
fn everyday_settings_do_what_the_exact_ones_do() {
    let fixture = Fixture::open("ops.safetensors");
    let f64_var = |name: &str| Var::constant(fixture.tensor(name));
    let numbers = |var: Var| var.value().to_f64_vec();
    let [x, weight, bias] = ["x", "weight", "bias"].map(|name| f64_var(&format!("layer_norm/{name}")));
    let normed = numbers(x.layer_norm(Some(&weight), Some(&bias), 1e-5));
    assert_close("layer_norm", &normed, &fixture.numbers("layer_norm/y"), 1e-7);
    let [q, k, v] = ["q", "k", "v"].map(|name| f64_var(&format!("attention_causal/{name}")));
    let options = attention::Options { causal: true, ..attention::Options::default() };
    assert_close("attention", &numbers(q.attention(&k, &v, &options)), &fixture.numbers("attention_causal/y"), 1e-7);
    let options = cross_entropy::Options { ignore_index: None, label_smoothing: 0.1 };
    let loss =
        f64_var("cross_entropy_smooth/logits").cross_entropy(&fixture.tensor("cross_entropy_smooth/targets"), options);
    assert_close("cross_entropy", &numbers(loss), &fixture.numbers("cross_entropy_smooth/y"), 1e-7);
}

/// The types in which a device computes, each with the tolerance of its numbers.
fn types(device: &Device, [f64, f32]: [f64; 2]) -> Vec<(DType, f64)> {
    let all = [(DType::F32, f32), (DType::F64, f64)];
    all[..if *device == Device::Cpu { 2 } else { 1 }].to_vec()
}

/// The statistic that the backward pass lives on.
fn log_sum_exp_on(device: &Device) {
    let fixture = Fixture::open("ops.safetensors");
    for name in ATTENTIONS {
        for (dtype, tolerance) in types(device, [F64, F32]) {
            let scale: f64 = fixture.constant(&format!("{name}/scale"));
            let [q, k, v] = ["q", "k", "v"].map(|part| fixture.tensor(&format!("{name}/{part}")));
            let [q, k, v] = [&q * scale, k, v].map(|t| t.to_dtype(dtype).to_device(device));
            let options = attention_options(&fixture, name, device);
            let got = gradus_tensor::ops::attention::forward(&q, &k, &v, &options).unwrap().log_sum_exp.to_f64_vec();
            if name == "attention_many_queries" {
                // Eight queries and five keys: the first three of each head see none.
                let unseen = |(i, sum): (usize, &f64)| (i % 8 < 3) == (*sum == f64::NEG_INFINITY);
                assert!(got.iter().enumerate().all(unseen), "{got:?}");
                continue;
            }
            assert_close(name, &got, &fixture.numbers(&format!("{name}/log_sum_exp")), tolerance);
        }
    }
}

#[test]
fn log_sum_exp_of_attention() {
    log_sum_exp_on(&Device::Cpu);
}

/// Row `i` of the tensor `name`, in a type.
fn row(fixture: &Fixture, name: &str, i: usize, dtype: DType) -> Tensor {
    fixture.of_type(name, dtype).slice(0, i..i + 1).reshape(&[3, 7])
}

fn expect_row(fixture: &Fixture, name: &str, i: usize, got: &Tensor, tolerance: f64) {
    let expected = row(fixture, name, i, DType::F64).to_f64_vec();
    assert_close(&format!("{name}, row {i}"), &got.to_f64_vec(), &expected, tolerance);
}

/// In `f64` too, 1 − β₁ is only as exact as a β₁ of type `f32`: 0.1 to 2.4e-7, and 1 − β₂ = 0.01 to 1e-6.
fn adamw_on(device: &Device) {
    let fixture = Fixture::open("ops.safetensors");
    for (dtype, tolerance) in types(device, [3e-8, 5e-7]) {
        let mut p = row(&fixture, "adamw/parameters", 0, dtype).to_device(device);
        let [mut m, mut v] = [(); 2].map(|()| Tensor::zeros_of(dtype, &[3, 7]).to_device(device));
        for i in 0..5 {
            let options = AdamW {
                lr: fixture.constant("adamw/lr"),
                beta1: fixture.constant("adamw/beta1"),
                beta2: fixture.constant("adamw/beta2"),
                eps: fixture.constant("adamw/eps"),
                weight_decay: fixture.constant("adamw/weight_decay"),
                step: i as u64 + 1,
                grad_scale: 1.0,
            };
            let gradients = row(&fixture, "adamw/gradients", i, dtype).to_device(device);
            adamw(options, &mut p, &gradients, &mut m, &mut v).unwrap();
            expect_row(&fixture, "adamw/parameters", i + 1, &p, tolerance);
            expect_row(&fixture, "adamw/m", i, &m, 1e-6);
            expect_row(&fixture, "adamw/v", i, &v, 2e-6);
        }
    }
}

#[test]
fn steps_of_adamw() {
    adamw_on(&Device::Cpu);
}

fn sgd_with_momentum_on(device: &Device) {
    let fixture = Fixture::open("ops.safetensors");
    for (dtype, tolerance) in types(device, [1e-7, 5e-7]) {
        let mut p = row(&fixture, "sgd_momentum/parameters", 0, dtype).to_device(device);
        let mut velocity = Tensor::zeros_of(dtype, &[3, 7]).to_device(device);
        for i in 0..5 {
            let options = Sgd {
                lr: fixture.constant("sgd_momentum/lr"),
                momentum: fixture.constant("sgd_momentum/momentum"),
                weight_decay: 0.0,
                nesterov: false,
                grad_scale: 1.0,
            };
            let gradients = row(&fixture, "sgd_momentum/gradients", i, dtype).to_device(device);
            sgd(options, &mut p, &gradients, &mut velocity).unwrap();
            expect_row(&fixture, "sgd_momentum/parameters", i + 1, &p, tolerance);
            expect_row(&fixture, "sgd_momentum/velocity", i, &velocity, tolerance);
        }
    }
}

#[test]
fn steps_of_sgd_with_momentum() {
    sgd_with_momentum_on(&Device::Cpu);
}

#[test]
fn attention_and_optimisers_on_cuda() {
    let Some(device) = cuda() else { return };
    log_sum_exp_on(&device);
    adamw_on(&device);
    sgd_with_momentum_on(&device);
}

#[test]
fn nothing_in_the_fixture_is_left_out() {
    let fixture = Fixture::open("ops.safetensors");
    let there: BTreeSet<String> =
        fixture.names("").iter().map(|name| name.split('/').next().unwrap().to_string()).collect();
    let mut tested: BTreeSet<String> = operations().iter().map(|operation| operation.name.to_string()).collect();
    tested.extend(["adamw", "sgd_momentum"].map(String::from));
    assert_eq!(there, tested);
}

#[test]
fn at_every_instruction_set() {
    isa::at_every_other(&[
        "operations_in_f32_are_those_in_f64",
        "log_sum_exp_of_attention",
        "steps_of_adamw",
        "steps_of_sgd_with_momentum",
    ]);
}
