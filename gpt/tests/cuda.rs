//! `--device cuda` through the binary, with the emulator as its driver: training, going on elsewhere, sampling, and what is said where
//! there is no device, or too small a one.

#![cfg(feature = "cuda")]

mod common;

use common::{Done, Place, contains, gradus, metrics, refused, succeeds};
use std::path::PathBuf;
use std::process::Command;

/// A tiny run whose device is the emulator's.
fn emulated(mut command: Command, driver: &PathBuf) -> Command {
    command.args(["--device", "cuda"]).env("GRADUS_CUDA_DRIVER", driver);
    command
}

fn driver() -> Option<PathBuf> {
    gradus_emulator::build(gradus_emulator::Sanitizer::None)
}

const SHORT: &str = "--steps 6 --batch 2 --grad-accum 1 --eval-every 3 --eval-batches 1 --final-eval 64 --log-every 1";

#[test]
fn a_run_goes_on_on_any_device() {
    let Some(driver) = driver() else { return };
    let place = Place::new();
    let (_, said) = succeeds(emulated(place.train("cuda", SHORT), &driver));
    contains(&said, &["on cuda:0: emulator", "MiB on cuda:0: ", "for activations"]);
    succeeds(place.train("cpu", SHORT));
    let losses = |out: &str| {
        let numbers = |line: &serde_json::Value| line["train_loss"].as_f64().unwrap();
        metrics(&place.path(out)).iter().map(numbers).collect::<Vec<f64>>()
    };
    for (cuda, cpu) in losses("cuda").iter().zip(losses("cpu")) {
        assert!((cuda - cpu).abs() < 1e-4, "{cuda} on the emulator, {cpu} on the CPU");
    }

    succeeds(emulated(place.train("moved", &format!("{SHORT} --stop-at 3")), &driver));
    let (out, _) = succeeds(place.resume("moved", ""));
    assert_eq!(Done::read(&out).step, 6);
    for (moved, cpu) in losses("moved").iter().zip(losses("cpu")) {
        assert!((moved - cpu).abs() < 1e-4, "{moved} after a move, {cpu} on the CPU");
    }
    succeeds(place.train("back", &format!("{SHORT} --stop-at 3")));
    succeeds(emulated(place.resume("back", ""), &driver));
}

#[test]
fn a_model_is_used_there() {
    let Some(driver) = driver() else { return };
    let place = Place::new();
    succeeds(place.train("run", SHORT));
    let sample = || place.with_model("run", "sample", &["--greedy", "--tokens", "20"]);
    let (there, _) = succeeds(emulated(sample(), &driver));
    let (here, _) = succeeds(sample());
    assert_eq!(there, here, "greedy text");
    let eval = || {
        let mut command = place.with_model("run", "eval", &["--tokens", "64"]);
        command.arg("--data").arg(place.text());
        command
    };
    let loss = |text: &str| text.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap();
    let [(there, _), (here, _)] = [succeeds(emulated(eval(), &driver)), succeeds(eval())];
    assert!((loss(&there) - loss(&here)).abs() < 2e-4, "{there}{here}");
    succeeds(emulated(place.with_model("run", "inspect", &[]), &driver));
}

#[test]
fn devices_are_listed() {
    let Some(driver) = driver() else { return };
    let listed = |variables: &[(&str, &str)]| {
        let mut command = gradus("devices");
        succeeds({
            command.env("GRADUS_CUDA_DRIVER", &driver).envs(variables.iter().copied());
            command
        })
        .0
    };
    let text = listed(&[]);
    contains(
        &text,
        &[
            "cpu     ",
            "cuda:0  emulator, compute capability 8.0, 4 multiprocessors, 4096 MiB: f32, and bf16 on tensor cores",
        ],
    );
    contains(&listed(&[("GRADUS_EMULATOR_CAPABILITY", "75")]), &["7.5", "f32, and bf16 without tensor cores"]);
    contains(&listed(&[("GRADUS_EMULATOR_CAPABILITY", "61")]), &["6.1", "too old for the kernels, which need 7.5"]);
    contains(&listed(&[("GRADUS_EMULATOR_DEVICES", "0")]), &["the driver is there, but no device"]);
    let (text, _) = succeeds({
        let mut command = gradus("devices");
        command.env("GRADUS_CUDA_DRIVER", "/nowhere/libcuda.so");
        command
    });
    contains(&text, &["cpu ", "there is no CUDA driver on this machine"]);
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let Some(driver) = driver() else { return };
    let place = Place::new();
    let refusal = |device: &str, variables: &[(&str, &str)]| {
        let mut command = place.train("run", SHORT);
        command.args(["--device", device]).env("GRADUS_CUDA_DRIVER", &driver).envs(variables.iter().copied());
        let text = refused(command, if device == "gpu" { 2 } else { 1 });
        assert!(!place.path("run").exists(), "nothing is written: {text}");
        text
    };
    contains(&refusal("cuda:3", &[]), &["there is no CUDA device 3: they are numbered from 0 to 0"]);
    contains(&refusal("cuda", &[("GRADUS_EMULATOR_DEVICES", "0")]), &["this machine has none"]);
    contains(&refusal("cuda", &[("GRADUS_EMULATOR_DRIVER", "11080")]), &["too old: it serves CUDA 11.8", "need 12.0"]);
    contains(&refusal("cuda", &[("GRADUS_EMULATOR_CAPABILITY", "70")]), &["has compute capability 7.0", "need 7.5"]);
    contains(
        &refusal("cuda", &[("GRADUS_CUDA_DRIVER", "/nowhere/libcuda.so")]),
        &["no CUDA driver", "leave out --device"],
    );
    contains(&refusal("gpu", &[]), &["must be cpu, cuda, or cuda:N", "gradus devices"]);
}

#[test]
fn a_device_with_too_little_memory_leaves_the_last_step_saved() {
    let Some(driver) = driver() else { return };
    let place = Place::new();
    let mut command = emulated(place.train("run", SHORT), &driver);
    command.env("GRADUS_EMULATOR_MEMORY", "90000");
    let text = refused(command, 1);
    contains(&text, &["out of memory", "MiB asked for", "--recompute blocks", "the checkpoint of step 0 is kept"]);
    let (out, _) = succeeds(emulated(place.resume("run", ""), &driver));
    assert_eq!(Done::read(&out).step, 6);
}
