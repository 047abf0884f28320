//! Races in shared and global memory: the kernels under the thread sanitizer. To it every thread of a block is a thread, and what one
//! does comes before what another does only where a barrier or an exchange within a warp says so. It needs no unlucky order of the
//! threads, and sees the lanes of a warp too. What it does not see are races between blocks, which run one after the other.
//!
//! This program is started once more for it, on another library and after the sanitizer's own, with tests of a few tiny sizes.

use gradus_emulator::{Bug, Sanitizer, build, build_operation};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Tests that launch every kernel with a barrier or an exchange in it, on more than one tile each.
const TESTS: &[&str] = &[
    "attention::bf16::everything_in_every_schedule",
    "attention::bf16::odd_shapes",
    "attention::decoding::a_cache_in_bf16_gives_the_bits_of_the_same_numbers_in_f32",
    "attention::decoding::several_parts_in_every_schedule",
    "attention::rungs::everything_in_every_schedule",
    "attention::rungs::odd_shapes",
    "cross_entropy::every_rung_agrees_with_the_oracle",
    "cross_entropy::rows_that_have_no_loss_are_nan_and_nothing_else_is",
    "elementwise::copies_move_every_element_and_no_other",
    "embedding::long_lists_and_large_tables_have_the_gradients_of_the_specification",
    "fragments::ldmatrix_has_the_fragments_of_the_manual",
    "matmul::bf16::every_rung_in_every_schedule",
    "matmul::bf16::few_rows_and_few_columns",
    "matmul::bf16::many_blocks_take_large_tiles",
    "matmul::every_rung_in_every_schedule",
    "matmul::few_rows_and_few_columns",
    "matmul::sizes_around_the_tiles",
    "norm::every_rung_agrees_with_the_oracle",
    "norm::every_rung_of_the_gradient_agrees_with_the_oracle",
    "optimizer::the_sum_of_squares_is_that_of_the_specification",
    "reduce::argmax_takes_the_first_of_the_largest",
    "reduce::every_rung_agrees_with_the_oracle",
    "softmax::every_rung_agrees_with_the_oracle",
    "softmax::every_rung_of_the_gradient_agrees_with_the_oracle",
    "softmax::every_rung_of_the_logarithm_agrees_with_the_oracle",
    "softmax::every_rung_of_the_logarithms_gradient_agrees_with_the_oracle",
];

/// Barriers that are missing, each the whole bug: the operation, a test that launches the kernel, and what is wrong.
const MISSING: &[(&str, &str, Bug<'_>)] = &[
    (
        "optimizer",
        "optimizer::the_sum_of_squares_is_that_of_the_specification",
        // Written, then read by others.
        Bug { file: "optimizer/cuda/norm.cu", right: "    __syncthreads();\n", wrong: "" },
    ),
    (
        "elementwise",
        "elementwise::copies_move_every_element_and_no_other",
        Bug { file: "elementwise/cuda/tiles.cu", right: "    __syncthreads();\n", wrong: "" },
    ),
    (
        "matmul",
        "matmul::every_rung_in_every_schedule",
        // Read, then written by others.
        Bug {
            file: "matmul/cuda/shared_tile.cu",
            right: "        __syncthreads(); // the tiles are overwritten\n",
            wrong: "",
        },
    ),
    (
        "norm",
        "norm::every_rung_of_the_gradient_agrees_with_the_oracle",
        Bug { file: "norm/cuda/partial.cu", right: "    __syncthreads();\n", wrong: "" },
    ),
    (
        "attention",
        "attention::rungs::everything_in_every_schedule",
        Bug {
            file: "attention/cuda/tiled.cu",
            right: "        __syncthreads(); // the keys are read by all, and the values may take their place\n",
            wrong: "",
        },
    ),
    (
        "attention",
        "attention::rungs::everything_in_every_schedule",
        // Between the lanes of a warp.
        Bug {
            file: "attention/cuda/register_backward.cu",
            right: "            __syncwarp();\n            store_weights(weights, dp);\n",
            wrong: "            store_weights(weights, dp);\n",
        },
    ),
    (
        "attention",
        "attention::bf16::everything_in_every_schedule",
        // A copy that may be on its way when the barrier is passed.
        Bug { file: "attention/cuda/staged.sm_80.cu", right: "copy_async_wait<1>();", wrong: "copy_async_wait<2>();" },
    ),
];

/// Runs tests of this program on a library, after that of the sanitizer.
fn run(tests: &[&str], library: &Path, sanitizer: &Path, launches: Option<&Path>) -> Output {
    let program = std::env::current_exe().expect("this program");
    // The sanitizer wants its addresses where it knows them.
    let fixed = Command::new("setarch").args(["-R", "true"]).output().is_ok_and(|output| output.status.success());
    let mut command = Command::new(if fixed { "setarch".as_ref() } else { program.as_path() });
    if fixed {
        command.arg("-R").arg(&program);
    }
    command.arg("--exact").args(tests).arg("--test-threads=1");
    command.env("LD_PRELOAD", sanitizer).env("GRADUS_EMULATOR_LIBRARY", library);
    command.env("GRADUS_EMULATOR_SANITIZER", "thread").env("RUST_BACKTRACE", "0");
    // The first race ends the program. What the standard library of Rust does with its memory is not for it to judge.
    command.env("TSAN_OPTIONS", "halt_on_error=1:ignore_noninstrumented_modules=1:exitcode=66");
    match launches {
        Some(path) => command.env("GRADUS_EMULATOR_LAUNCHES", path),
        None => command.env_remove("GRADUS_EMULATOR_LAUNCHES"),
    };
    command.output().expect("it runs")
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// The library of the sanitizer; `None` where there is none, or where this program is under one or on a card.
fn sanitizer() -> Option<PathBuf> {
    let other = std::env::var_os("GRADUS_CUDA_TESTS").is_some() || Sanitizer::from_environment() != Sanitizer::None;
    if other { None } else { Sanitizer::Thread.library() }
}

/// The kernels whose PTX has a barrier or an exchange between lanes.
fn with_barriers() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ptx");
    let files = fs::read_dir(&folder).expect("the folder of the PTX").flatten().map(|entry| entry.path());
    let mut found = BTreeSet::new();
    for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "ptx")) {
        let ptx = fs::read_to_string(&file).expect("a text");
        for entry in ptx.split(".entry ").skip(1) {
            let body = entry.split("\n}").next().expect("a first part");
            if ["bar.", "barrier.", "shfl."].iter().any(|word| body.contains(word)) {
                found.insert(entry.split('(').next().expect("a name").to_string());
            }
        }
    }
    found
}

#[test]
fn no_two_threads_of_a_block_race() {
    let Some(sanitizer) = sanitizer() else { return };
    let Some(library) = build(Sanitizer::Thread) else { return };
    // In two processes, each of which runs one thread at a time.
    let half = |which: usize| -> String {
        let tests: Vec<&str> = TESTS.iter().skip(which).step_by(2).copied().collect();
        let launches = library.with_file_name(format!("launches-{}-{which}.jsonl", std::process::id()));
        fs::remove_file(&launches).ok();
        let output = run(&tests, &library, &sanitizer, Some(&launches));
        assert!(output.status.success(), "{}", text(&output));
        let passed = format!("{} passed; 0 failed", tests.len());
        assert!(text(&output).contains(&passed), "{passed}? {}", text(&output));
        let launched = fs::read_to_string(&launches).expect("the launches are noted");
        fs::remove_file(&launches).ok();
        launched
    };
    let launched = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        half(0) + &other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let expected = with_barriers();
    assert!(expected.len() > 100, "{} kernels have barriers", expected.len());
    let never: Vec<&String> =
        expected.iter().filter(|name| !launched.contains(&format!("\"kernel\": \"{name}\""))).collect();
    assert!(never.is_empty(), "no test of TESTS launches {never:?}");
}

#[test]
fn a_barrier_that_is_missing_is_reported() {
    let Some(sanitizer) = sanitizer() else { return };
    for &(operation, test, bug) in MISSING {
        let Some(library) = build_operation(operation, Some(bug), Sanitizer::Thread) else { return };
        let output = run(&[test], &library, &sanitizer, None);
        let (text, file) = (text(&output), Path::new(bug.file).file_name().expect("a file").to_string_lossy());
        assert_eq!(output.status.code(), Some(66), "{bug:?} is not reported: {text}");
        let race = text.split("WARNING: ThreadSanitizer: data race").nth(1);
        assert!(
            race.is_some_and(|report| report.contains(&*file)),
            "the report is of something else than {bug:?}: {text}"
        );
    }
}
