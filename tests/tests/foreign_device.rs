//! A second device runs everything: its memory may be touched by its own kernels alone, so an operation that reads elements
//! on the host, or mixes devices, fails here.

use gradus_autograd::ops::registry;
use gradus_autograd::{DType, Device, Precision, Tape, Tensor};
use gradus_gpt::config::ModelConfig;
use gradus_gpt::model::{Gpt, Reader};
use gradus_gpt::recompute::Recompute;
use gradus_nn::Module;
use gradus_nn::optim::{AdamW, AdamWConfig, Sgd, SgdConfig, clip_factor, global_norm};
use gradus_nn::training::Trainable;
use gradus_tensor::ops::optimizer;
use gradus_tests::models::{bits, ids, lively};
use std::panic::catch_unwind;

const CONFIG: ModelConfig =
    ModelConfig { layers: 2, heads: 3, width: 33, context: 17, vocab_size: 29, dropout: 0.2, bias: true };

fn on_foreign(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape).to_device(&Device::Foreign)
}

#[test]
fn every_operation_passes_its_gradcheck() {
    let problems: Vec<String> = registry().filter_map(|op| op.check_on(&Device::Foreign).err()).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Five steps of AdamW with dropout and clipping; the losses and the last weights.
fn train(device: &Device, precision: Precision, recompute: Recompute) -> (Vec<u64>, Vec<u32>) {
    let mut model: Gpt = lively(&CONFIG, DType::F32, 0.2);
    (model.precision, model.recompute) = (precision, recompute);
    model.to_device(device);
    let mut optimizer = AdamW::new(&model, AdamWConfig::default());
    let mut losses = Vec::new();
    for step in 0..5 {
        let batch = |seed: u64| Tensor::from_slice(&ids(seed, 5 * 17, 29), &[5, 17]);
        let tape = model.training_tape(11, step);
        let loss = model.loss(&tape, &batch(2 * step), &batch(2 * step + 1));
        tape.backward(&loss);
        losses.push(loss.value().item().to_bits());
        optimizer.step(1e-2, clip_factor(global_norm(&model), 1.0) as f32);
    }
    let state = optimizer.state();
    assert!(state.iter().all(|(_, moment)| moment.device() == device), "moments are beside the weights");
    (losses, bits(&model))
}

#[test]
fn a_gpt_trains_to_the_same_bits_as_on_the_cpu() {
    for (precision, recompute) in [
        (Precision::F32, Recompute::None),
        (Precision::F32, Recompute::Cheap),
        (Precision::F32, Recompute::Blocks),
        (Precision::Bf16, Recompute::None),
    ] {
        let foreign = train(&Device::Foreign, precision, recompute);
        assert!(foreign == train(&Device::Cpu, precision, recompute), "{precision}, recompute {recompute:?}");
    }
}

#[test]
fn sgd_steps_there_too() {
    let weights = |device: &Device| {
        let model: Gpt = lively(&CONFIG, DType::F32, 0.2);
        model.to_device(device);
        let mut sgd = Sgd::new(&model, SgdConfig { momentum: 0.9, nesterov: true, ..SgdConfig::default() });
        let tape = Tape::new();
        let batch = Tensor::from_slice(&ids(1, 17, 29), &[1, 17]);
        tape.backward(&model.loss(&tape, &batch, &batch));
        sgd.step(0.1, 1.0);
        bits(&model)
    };
    assert!(weights(&Device::Foreign) == weights(&Device::Cpu));
}

#[test]
fn decoding_with_a_cache_gives_the_same_logits() {
    let read = |device: &Device, stored: bool| {
        let model: Gpt = lively(&CONFIG, DType::F32, 0.2);
        model.to_device(device);
        if stored {
            model.store_in_bf16();
        }
        let mut reader = Reader::new(&model);
        let logits = ids(3, 20, 29).chunks(2).map(|ids| reader.read(ids)).collect::<Vec<_>>();
        let maps = model.attention_maps(&Tensor::from_slice(&ids(3, 9, 29), &[1, 9]));
        (logits, maps.iter().map(Tensor::to_vec::<f32>).collect::<Vec<_>>())
    };
    for stored in [false, true] {
        assert!(read(&Device::Foreign, stored) == read(&Device::Cpu, stored), "stored in bf16: {stored}");
    }
}

#[test]
fn casts_views_and_parts() {
    let values: Vec<f32> = (0..24).map(|i| i as f32 / 8.0).collect();
    let (cpu, foreign) = (Tensor::from_slice(&values, &[2, 3, 4]), on_foreign(&values, &[2, 3, 4]));
    for dtype in [DType::F64, DType::Bf16, DType::U32, DType::F32] {
        let (a, b) = (cpu.to_dtype(dtype), foreign.to_dtype(dtype));
        assert_eq!((b.device(), a.to_f64_vec()), (&Device::Foreign, b.to_f64_vec()), "{dtype}");
        let part = |t: &Tensor| t.permute(&[2, 0, 1]).slice(0, 1..3).slice(2, 2..3);
        assert_eq!(part(&a).to_f64_vec(), part(&b).to_device(&Device::Cpu).to_f64_vec(), "{dtype}");
        let written = |t: &Tensor| {
            let mut whole = t.new_full(1.0, &[4, 3]);
            whole.write_slice(1, 1, &part(t).reshape(&[2, 2]).transpose(0, 1).broadcast_to(&[2, 2]).contiguous());
            whole
        };
        let fits = |t: &Tensor| {
            let mut whole = t.new_zeros(&[2, 3]);
            whole.write_slice(1, 1, &part(t).reshape(&[2, 2]).transpose(0, 1));
            whole.to_f64_vec()
        };
        assert_eq!(fits(&a), fits(&b), "{dtype}");
        assert!(catch_unwind(|| written(&a)).is_err(), "a part that does not fit");
    }
    assert_eq!(cpu.argmax(1).to_vec::<u32>(), foreign.argmax(1).to_vec::<u32>());
    assert_eq!(format!("{foreign:?}"), format!("{cpu:?}").replace("] [", "] on foreign ["));
}

#[test]
fn indices_from_the_host_are_known_to_be_in_range_and_others_are_looked_at() {
    let table = on_foreign(&[1.0, 2.0, 3.0], &[3, 1]);
    let from_host = Tensor::from_slice(&[2_u32, 0], &[2]).to_device(&Device::Foreign);
    assert_eq!(gradus_tensor::ops::embedding::forward(&table, &from_host).unwrap().to_vec::<f32>(), [3.0, 1.0]);
    let made_there = on_foreign(&[0.0, 9.0, 1.0], &[3]).argmax(0).reshape(&[1]);
    assert_eq!(gradus_tensor::ops::embedding::forward(&table, &made_there).unwrap().to_vec::<f32>(), [2.0]);
    let wide = Tensor::from_slice(&[7_u32, 1], &[2]).to_device(&Device::Foreign);
    assert!(gradus_tensor::ops::embedding::forward(&table, &wide).unwrap_err().to_string().contains("(7 of 3)"));
    // A view that leaves the wrong index out is in range.
    assert!(gradus_tensor::ops::embedding::forward(&table, &wide.slice(0, 1..2)).is_ok());
}

#[test]
fn an_error_names_both_devices() {
    let (here, there) = (Tensor::zeros(&[2, 2]), on_foreign(&[0.0; 4], &[2, 2]));
    let errors = [
        here.try_matmul(&there).unwrap_err(),
        here.try_binary(gradus_tensor::ops::elementwise::Binary::Add, &there).unwrap_err(),
        here.to_dtype(DType::F32).try_matmul(&there.to_dtype(DType::Bf16)).unwrap_err(),
        gradus_tensor::ops::embedding::forward(&here, &Tensor::from_slice(&[0_u32], &[1]).to_device(&Device::Foreign))
            .unwrap_err(),
        gradus_tensor::ops::shape::concat(&[&here, &there], 0).unwrap_err(),
    ];
    for error in errors {
        assert!(
            error.to_string().contains("devices differ") && error.to_string().contains("(cpu and foreign)"),
            "{error}"
        );
    }
}

#[test]
fn the_host_reads_by_a_copy_alone() {
    let there = on_foreign(&[1.0, 2.0], &[2]);
    let message = |f: &(dyn Fn() + std::panic::RefUnwindSafe)| {
        let payload = catch_unwind(f).unwrap_err();
        *payload.downcast::<String>().unwrap()
    };
    let shared = there.clone();
    let slice = message(&move || _ = shared.as_host_slice::<f32>());
    assert_eq!(slice, "as_host_slice: the tensor is on foreign: to_device copies it to the cpu");
    let shared = there.clone();
    let change = message(&move || _ = shared.clone().make_host_mut::<f32>());
    assert_eq!(change, "make_host_mut: the tensor is on foreign: to_device copies it to the cpu");
    assert_eq!((there.to_vec::<f32>(), there.slice(0, 1..2).item()), (vec![1.0, 2.0], 2.0));
}

/// The rule holds of kernels as well: this is what catches a forgotten check of devices.
#[test]
fn a_kernel_of_one_device_gets_no_memory_of_another() {
    let (mut p, g) = (Tensor::zeros(&[2]), on_foreign(&[1.0, 1.0], &[2]));
    let (mut m, mut v) = (Tensor::zeros(&[2]), Tensor::zeros(&[2]));
    let options =
        optimizer::AdamW { lr: 0.1, beta1: 0.9, beta2: 0.9, eps: 1e-8, weight_decay: 0.0, step: 1, grad_scale: 1.0 };
    assert!(optimizer::adamw(options, &mut p, &g, &mut m, &mut v).unwrap_err().to_string().contains("devices differ"));
}
