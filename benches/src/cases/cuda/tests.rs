//! Every benchmark on CUDA runs on the emulator at small sizes, and is checked there. With `GRADUS_CUDA_TESTS=device` on the first card.

use super::*;
use crate::workload;
use gradus_kernels::Rung;
use std::collections::HashSet;

pub(crate) fn gpu() -> Option<Gpu> {
    let on_card = std::env::var("GRADUS_CUDA_TESTS").is_ok_and(|value| value == "device");
    if !on_card {
        gradus_emulator::load()?;
    }
    Some(Gpu::open(0).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn every_rung_of_every_workload_passes_its_own_check_and_has_a_time() {
    let Some(gpu) = gpu() else { return };
    let mut seen = Vec::new();
    for workload in workload::all() {
        let problem = small(&workload.problem);
        if seen.contains(&problem) || !has(&problem) {
            continue;
        }
        let mut case = case(&gpu, &problem).unwrap();
        for rung in 0..case.rungs().len() {
            if case.rungs()[rung].peer {
                continue;
            }
            assert_eq!(case.missing(rung), None, "the emulator has what every rung needs");
            case.check(rung).unwrap_or_else(|problem| panic!("{}: {problem}", workload.id()));
        }
        let seconds = case.time(0, 1).unwrap();
        assert!(seconds.is_finite() && seconds > 0.0, "{}: {seconds} s", workload.id());
        seen.push(problem);
    }
    assert!(seen.len() > 40, "{} different problems", seen.len());
}

#[test]
fn the_rungs_are_those_of_the_lists() {
    let Some(gpu) = gpu() else { return };
    let names = |problem| -> Vec<&str> {
        let rungs = rungs(&gpu, &problem).unwrap();
        rungs
            .iter()
            .filter(|(entry, _)| !entry.peer)
            .map(|(entry, _)| entry.name)
            .filter(|name| *name != BEST)
            .collect()
    };
    let lists: HashSet<Vec<&str>> = workload::all()
        .iter()
        .filter(|w| w.problem.tokens().is_none())
        .map(|workload| names(workload.problem))
        .collect();
    let of = |rungs: Vec<&'static str>| assert!(lists.contains(&rungs), "{rungs:?}");
    of(gradus_kernels::cuda::matmul::CUDA_RUNGS.iter().map(|rung| rung.name).collect());
    of(gradus_kernels::cuda::attention::bf16::FORWARD_CUDA_RUNGS.iter().map(|rung| rung.name).collect());
    of(gradus_kernels::cuda::softmax::BACKWARD_CUDA_RUNGS.iter().map(|rung| rung.name).collect());
    of(gradus_kernels::cuda::elementwise::COPY_CUDA_RUNGS.iter().map(|rung| rung.name).collect());
}

#[test]
fn a_wrong_rung_is_found() {
    let Some(gpu) = gpu() else { return };
    static HOST: [Rung<fn()>; 1] = [Rung { name: "host", idea: "none", run: || (), simd: false }];
    static WRONG: [CudaRung<f32>; 2] = [
        CudaRung { name: "right", idea: "none", run: 1.0, needs: gradus_kernels::cuda::Capability::SM_75 },
        CudaRung { name: "halves", idea: "none", run: 0.5, needs: gradus_kernels::cuda::Capability::SM_75 },
    ];
    let expected = (vec![vec![3.0_f32; 4]], vec![vec![3.0; 4]]);
    let host = super::super::ladder(
        &HOST,
        vec![0.0_f32; 4],
        |_, _, _| (),
        |x| x.fill(f32::NAN),
        |x| vec![x.clone()],
        expected,
    );
    let call: Call<f32, Vec<f32>, 1> =
        |factor, gpu, _, [x]| gradus_kernels::cuda::probe::write(gpu, 3.0 * factor, resident::f32s_mut(x));
    let mut case = on_cuda(&gpu, host, &WRONG, None, |x| [Array::F32(x)], call).unwrap();
    assert_eq!(case.check(0), Ok(()));
    assert!(case.check(1).unwrap_err().starts_with("halves at cuda:0 is wrong: output 0: element 0"));
}

#[test]
fn the_emulator_is_not_measured() {
    let Some(gpu) = gpu() else { return };
    let problem = open(0).unwrap_err();
    assert_eq!(gpu.properties().is_emulated(), problem.contains("is the emulator"), "{problem}");
}
