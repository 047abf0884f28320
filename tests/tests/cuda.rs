//! CUDA from end to end, on the emulator: every operation forward and backward against the CPU, decoding, and a training whose losses
//! agree with the CPU's and are the same to the bit from run to run. With `GRADUS_CUDA_TESTS=device` the same on the first card.

use gradus_autograd::ops::registry;
use gradus_autograd::{DType, Device, Precision, Tape, Tensor};
use gradus_emulator::Emulator;
use gradus_gpt::config::ModelConfig;
use gradus_gpt::model::{Gpt, Reader};
use gradus_gpt::recompute::Recompute;
use gradus_kernels::cuda::Gpu;
use gradus_nn::Module;
use gradus_nn::optim::{AdamW, AdamWConfig, Sgd, SgdConfig, clip_factor, global_norm};
use gradus_nn::training::Trainable;
use gradus_tests::models::{bits, ids, lively};
use std::sync::{Mutex, MutexGuard, PoisonError};

const CONFIG: ModelConfig =
    ModelConfig { layers: 2, heads: 3, width: 33, context: 17, vocab_size: 29, dropout: 0.2, bias: true };

/// The device, and the emulator where it is one, for one test at a time: calls of the driver are counted for the process. The guard
/// has to be bound to a name: `..` would drop it at once.
fn device() -> Option<(Device, Option<&'static Emulator>, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let on_card = std::env::var("GRADUS_CUDA_TESTS").is_ok_and(|value| value == "device");
    let emulator = if on_card { None } else { Some(gradus_emulator::load()?) };
    let gpu = Gpu::open(0).unwrap_or_else(|error| panic!("{error}"));
    Some((Device::Cuda(gpu), emulator, alone))
}

#[test]
fn every_operation_agrees_with_the_cpu() {
    let Some((device, _emulator, _alone)) = device() else { return };
    let problems: Vec<String> = registry().filter_map(|op| op.agrees_on(&device).err()).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The losses of five steps of AdamW with dropout and clipping, and the last weights.
fn train(device: &Device, precision: Precision, recompute: Recompute) -> (Vec<f64>, Vec<u32>) {
    let mut model: Gpt = lively(&CONFIG, DType::F32, 0.2);
    (model.precision, model.recompute) = (precision, recompute);
    model.to_device(device);
    let mut optimizer = AdamW::new(&model, AdamWConfig::default());
    let mut losses = Vec::new();
    for step in 0..5 {
        let batch = |seed: u64| Tensor::from_slice(&ids(seed, 2 * 17, 29), &[2, 17]);
        let tape = model.training_tape(11, step);
        let loss = Gpt::loss(&model, &tape, &batch(2 * step), &batch(2 * step + 1));
        tape.backward(&loss);
        losses.push(loss.value().item());
        optimizer.step(1e-2, clip_factor(global_norm(&model), 1.0) as f32);
    }
    (losses, bits(&model))
}

#[test]
fn a_gpt_trains_as_on_the_cpu_and_always_to_the_same_bits() {
    let Some((device, _emulator, _alone)) = device() else { return };
    for (precision, recompute, tolerance) in [
        (Precision::F32, Recompute::None, 1e-5),
        (Precision::F32, Recompute::Cheap, 1e-5),
        (Precision::F32, Recompute::Blocks, 1e-5),
        (Precision::Bf16, Recompute::None, 2e-2), // a value at the middle between two of bf16 may be rounded either way
    ] {
        let (losses, weights) = train(&device, precision, recompute);
        let (expected, _) = train(&Device::Cpu, precision, recompute);
        for (step, (loss, expected)) in losses.iter().zip(&expected).enumerate() {
            let close = (loss - expected).abs() <= tolerance * expected;
            assert!(close, "step {step}, {precision}, recompute {recompute:?}: {loss}, on the CPU {expected}");
        }
        assert!(train(&device, precision, recompute) == (losses, weights), "the same bits, {precision}");
    }
}

#[test]
fn sgd_steps_there_too() {
    let Some((device, _emulator, _alone)) = device() else { return };
    let weights = |device: &Device| {
        let model: Gpt = lively(&CONFIG, DType::F32, 0.2);
        model.to_device(device);
        let mut sgd = Sgd::new(&model, SgdConfig { momentum: 0.9, nesterov: true, ..SgdConfig::default() });
        let tape = Tape::new();
        let batch = Tensor::from_slice(&ids(1, 17, 29), &[1, 17]);
        tape.backward(&Gpt::loss(&model, &tape, &batch, &batch));
        sgd.step(0.1, 1.0);
        let values = |(_, parameter): (String, gradus_nn::Parameter)| parameter.value().to_vec::<f32>();
        model.named_parameters().into_iter().flat_map(values).collect::<Vec<f32>>()
    };
    for (got, expected) in weights(&device).iter().zip(weights(&Device::Cpu)) {
        assert!((got - expected).abs() <= 1e-6 + 1e-5 * expected.abs(), "{got}, on the CPU {expected}");
    }
}

#[test]
fn decoding_with_a_cache_gives_the_logits_of_the_cpu() {
    let Some((device, _emulator, _alone)) = device() else { return };
    let read = |device: &Device, stored: bool| {
        let model: Gpt = lively(&CONFIG, DType::F32, 0.2);
        model.to_device(device);
        if stored {
            model.store_in_bf16();
        }
        let mut reader = Reader::new(&model);
        ids(3, 20, 29).chunks(2).flat_map(|ids| reader.read(ids).to_vec()).collect::<Vec<f32>>()
    };
    for (stored, tolerance) in [(false, 1e-5), (true, 2e-2)] {
        for (got, expected) in read(&device, stored).iter().zip(read(&Device::Cpu, stored)) {
            let close = (got - expected).abs() <= tolerance * (1.0 + expected.abs());
            assert!(close, "{got}, on the CPU {expected}, stored in bf16: {stored}");
        }
    }
}

#[test]
fn a_step_waits_for_nothing_but_its_loss_and_its_norm() {
    let Some((device, Some(emulator), _alone)) = device() else { return };
    let model: Gpt = lively(&CONFIG, DType::F32, 0.2);
    model.to_device(&device);
    let mut optimizer = AdamW::new(&model, AdamWConfig::default());
    for step in 0..3 {
        let batch = Tensor::from_slice(&ids(step, 2 * 17, 29), &[2, 17]);
        let before = emulator.calls("cuStreamSynchronize");
        let tape = model.training_tape(11, step);
        let loss = Gpt::loss(&model, &tape, &batch, &batch);
        tape.backward(&loss);
        assert_eq!(emulator.calls("cuStreamSynchronize"), before, "forward and backward wait for nothing");
        loss.value().item();
        let norm = global_norm(&model);
        optimizer.step(1e-2, clip_factor(norm, 1.0) as f32);
        assert_eq!(emulator.calls("cuStreamSynchronize") - before, 2, "a step waits for two numbers");
    }
}

#[test]
fn casts_views_and_parts() {
    let Some((device, _emulator, _alone)) = device() else { return };
    let values: Vec<f32> = (0..24).map(|i| i as f32 / 8.0).collect();
    let cpu = Tensor::from_slice(&values, &[2, 3, 4]);
    let cuda = cpu.to_device(&device);
    for dtype in [DType::F64, DType::Bf16, DType::U32, DType::F32] {
        let (a, b) = (cpu.to_dtype(dtype), cuda.to_dtype(dtype));
        assert_eq!((b.device(), a.to_f64_vec()), (&device, b.to_f64_vec()), "{dtype}");
        let part = |t: &Tensor| t.permute(&[2, 0, 1]).slice(0, 1..3).slice(2, 2..3);
        assert_eq!(part(&a).to_f64_vec(), part(&b).to_f64_vec(), "{dtype}");
    }
    assert_eq!(cpu.argmax(1).to_vec::<u32>(), cuda.argmax(1).to_vec::<u32>());
    assert_eq!(format!("{cuda:?}"), format!("{cpu:?}").replace("] [", "] on cuda:0 ["));
}

#[test]
fn what_a_device_cannot_do_is_an_error_that_names_it() {
    let Some((device, _emulator, _alone)) = device() else { return };
    let cpu = Tensor::from_slice(&[1.0_f64, 2.0], &[2]);
    let error = cpu.to_device(&device).try_softmax(0).unwrap_err().to_string();
    assert_eq!(error, "softmax: cuda:0 computes in f32 alone (the cpu has f64)");
    let (a, b) = (Tensor::zeros(&[2]), Tensor::zeros(&[2]).to_device(&device));
    let error = a.clone().try_accumulate(&b).unwrap_err().to_string();
    assert!(error.contains("cpu and cuda:0"), "{error}");
}
