//! Whether the tests would notice: each of these bugs is one line of a kernel, with which a test has to fail.
//!
//! The emulator is built with the kernels of one operation and the bug in them, and this program is started once more, on that library,
//! with the one test that should fail. Without a bug the same test passes, on a library that was built in the same way.

use gradus_emulator::{Bug, Sanitizer, build_operation};
use std::{
    path::Path,
    process::{Command, Output},
};

/// An operation, one of its tests, and bugs that it has to notice.
type Case<'a> = (&'a str, &'a str, &'a [Bug<'a>]);

const CASES: &[Case<'_>] = &[
    (
        "softmax",
        "softmax::every_rung_agrees_with_the_oracle",
        &[
            // A missing barrier: before a sum across a block is read, and before its memory is written again.
            Bug {
                file: "cuda/gradus.cuh",
                right: "scratch[warp_index()] = value;\n    __syncthreads();\n    return warp_sum",
                wrong: "scratch[warp_index()] = value;\n    return warp_sum",
            },
            Bug {
                file: "cuda/gradus.cuh",
                right: "value = warp_sum(value);\n    __syncthreads(); // the last use of the scratch is over\n",
                wrong: "value = warp_sum(value);\n",
            },
            // A bound that is off by one: a row too many, which ends the process at the page behind the buffer.
            Bug {
                file: "softmax/cuda/naive.cu",
                right: "if (row >= rows) return;\n    x += u64(row) * c;\n    y += u64(row) * c;\n    float largest",
                wrong: "if (row > rows) return;\n    x += u64(row) * c;\n    y += u64(row) * c;\n    float largest",
            },
            // The largest number is lost where a row of −∞ alone begins.
            Bug {
                file: "softmax/cuda/block.cu",
                right: "float shift = largest == -INF ? 0.0f : largest,",
                wrong: "float shift = largest,",
            },
        ],
    ),
    (
        "elementwise",
        "elementwise::every_unary_rung_meets_the_oracle",
        &[
            // A tail that is dropped: what is no whole four elements is not written.
            Bug {
                file: "cuda/quad.cuh",
                right: "if (k < count) at[k] = quad.of[k];",
                wrong: "if (count == 4) at[k] = quad.of[k];",
            },
            Bug {
                file: "elementwise/cuda/naive.cu",
                right: "if (i < n) y[i] = unary_of",
                wrong: "if (i <= n) y[i] = unary_of",
            },
            // Two functions that have changed their places.
            Bug {
                file: "elementwise/cuda/functions.cuh",
                right: "FUNCTION(Exp, expf(x), ",
                wrong: "FUNCTION(Exp, logf(x), ",
            },
        ],
    ),
    (
        "elementwise",
        "elementwise::select_takes_where_the_condition_is_not_zero",
        // Swapped arguments.
        &[
            Bug {
                file: "elementwise/cuda/naive.cu",
                right: "== 0.0f ? b[at[2]] : a[at[1]]",
                wrong: "== 0.0f ? a[at[1]] : b[at[2]]",
            },
            Bug {
                file: "elementwise/cuda/vector.cu",
                right: "== 0.0f ? right.of[k] : left.of[k]",
                wrong: "== 0.0f ? left.of[k] : right.of[k]",
            },
        ],
    ),
    (
        "elementwise",
        "elementwise::copies_move_every_element_and_no_other",
        &[
            Bug { file: "elementwise/cuda/tiles.cu", right: "    __syncthreads();\n", wrong: "" },
            Bug { file: "elementwise/cuda/rows.cu", right: "if (left >= PART && (", wrong: "if ((" },
            // The tail of a matrix whose sides are no multiples of a tile.
            Bug {
                file: "elementwise/cuda/tiles.cu",
                right: "(plane.rows + TILE - 1) / TILE",
                wrong: "plane.rows / TILE",
            },
            Bug { file: "elementwise/cuda/tiles.cu", right: "tile[lane][i];", wrong: "tile[i][lane];" },
        ],
    ),
    (
        "matmul",
        "matmul::every_rung_in_every_schedule",
        &[
            Bug {
                file: "matmul/cuda/shared_tile.cu",
                right: "        __syncthreads(); // the tiles are overwritten\n",
                wrong: "",
            },
            Bug {
                file: "matmul/cuda/double_buffer.cu",
                right: "        __syncthreads();\n    }\n    put_eight",
                wrong: "    }\n    put_eight",
            },
        ],
    ),
    (
        "matmul",
        "matmul::bf16::every_rung_in_every_schedule",
        &[
            // A wait that lets the copies of this tile be on their way as well.
            Bug {
                file: "matmul/cuda/matmul_mma.cuh",
                right: "copy_async_wait<STAGES - 2>();",
                wrong: "copy_async_wait<STAGES - 1>();",
            },
            // A wrong fragment: the upper eight steps in the place of the lower eight rows.
            Bug {
                file: "matmul/cuda/matmul_mma.cuh",
                right: "u32 line = row + 16 * m + group + r % 2 * 8;",
                wrong: "u32 line = row + 16 * m + group + r / 2 * 8;",
            },
        ],
    ),
    (
        "attention",
        "attention::rungs::everything_in_every_schedule",
        &[Bug {
            file: "attention/cuda/tiled.cu",
            right: "        __syncthreads(); // the keys are read by all, and the values may take their place\n",
            wrong: "",
        }],
    ),
    (
        "optimizer",
        "optimizer::the_sum_of_squares_is_that_of_the_specification",
        &[Bug { file: "optimizer/cuda/norm.cu", right: "    __syncthreads();\n", wrong: "" }],
    ),
    (
        "rope",
        "rope::every_rung_keeps_to_the_oracle",
        // The position of another head, and a rotation the wrong way round.
        &[
            Bug { file: "rope/cuda/naive.cu", right: "row / shape.h % shape.t", wrong: "row % shape.t" },
            Bug { file: "rope/cuda/pairs.cu", right: "b * cosine + a * sine", wrong: "b * cosine - a * sine" },
        ],
    ),
    (
        "dropout",
        "dropout::every_rung_gives_the_bits_of_the_specification",
        // The wrong word of a block of Philox, and a load of two elements where there is one.
        &[
            Bug {
                file: "dropout/cuda/group.cu",
                right: "apply_pair(words.y, threshold, scale, i + 16",
                wrong: "apply_pair(words.z, threshold, scale, i + 16",
            },
            Bug { file: "dropout/cuda/group.cu", right: "i + 1 < n && (", wrong: "(" },
        ],
    ),
    (
        "softmax",
        "softmax::every_rung_agrees_with_the_oracle",
        &[
            // A sum that is not rescaled when the maximum grows.
            Bug { file: "cuda/online.cuh", right: "of.sum = of.sum * e + 1.0f;", wrong: "of.sum += 1.0f;" },
            // What is past the end of a row in registers is summed.
            Bug { file: "softmax/cuda/vector.cu", right: "if (k < count<TEAM>(q, n)) sum += e;", wrong: "sum += e;" },
            // The last part of a row goes on into the next one.
            Bug { file: "cuda/team.cuh", right: "u32(end < c ? end : c)", wrong: "u32(end)" },
        ],
    ),
    (
        "cross_entropy",
        "cross_entropy::every_rung_agrees_with_the_oracle",
        &[
            // With smoothing, more logits than there are at the end of a row.
            Bug { file: "cross_entropy/cuda/row_loss.cuh", right: "seen.count += count;", wrong: "seen.count += 4;" },
            // The gradient of an ignored row.
            Bug {
                file: "cross_entropy/cuda/cross_entropy.cuh",
                right: "return row.is_ignored ? 0.0f : row.factor",
                wrong: "return row.factor",
            },
        ],
    ),
    (
        "cross_entropy",
        "cross_entropy::rows_of_several_parts_are_added",
        &[Bug {
            file: "cross_entropy/cuda/mean.cu",
            right: "end = begin + of_part < rows ? begin + of_part : rows;",
            wrong: "end = rows;",
        }],
    ),
    (
        "embedding",
        "embedding::long_lists_and_large_tables_have_the_gradients_of_the_specification",
        &[
            // A piece at the border of two lists is taken as one of the first.
            Bug {
                file: "embedding/cuda/sorted.cu",
                right: "first = begin / of_piece + (begin % of_piece != 0)",
                wrong: "first = begin / of_piece",
            },
            // The digits of the chunks before are not counted.
            Bug { file: "embedding/cuda/sort.cu", right: "        at += count;\n", wrong: "" },
        ],
    ),
    (
        "embedding",
        "embedding::every_order_of_the_threads_gives_the_same_bits",
        &[Bug {
            file: "embedding/cuda/sort.cu",
            right: "warps[warp_index()] = up_to_here;\n    __syncthreads();\n",
            wrong: "warps[warp_index()] = up_to_here;\n",
        }],
    ),
    (
        "reduce",
        "reduce::every_rung_agrees_with_the_oracle",
        &[
            Bug { file: "reduce/cuda/columns.cu", right: "= all;\n    __syncthreads();\n", wrong: "= all;\n" },
            // The last chunk goes on into the next result.
            Bug {
                file: "reduce/cuda/reduce.cuh",
                right: "return n - begin < of_chunk ? n : begin + of_chunk;",
                wrong: "return begin + of_chunk;",
            },
        ],
    ),
    (
        "reduce",
        "reduce::argmax_takes_the_first_of_the_largest",
        &[
            // Of equal elements the one that the lanes happen to join first.
            Bug { file: "reduce/cuda/reduce.cuh", right: "is_equal ? b.at < a.at :", wrong: "is_equal ? false :" },
        ],
    ),
    (
        "norm",
        "norm::every_rung_of_the_gradient_agrees_with_the_oracle",
        &[
            Bug { file: "norm/cuda/partial.cu", right: "    __syncthreads();\n", wrong: "" },
            // Rows of other chunks are summed as well.
            Bug { file: "norm/cuda/partial.cu", right: "row < end && i < c", wrong: "row < rows && i < c" },
            // What was in dx is added without having been asked for.
            Bug { file: "norm/cuda/vector.cu", right: "add ? count<TEAM>(q, n) : 0", wrong: "count<TEAM>(q, n)" },
        ],
    ),
    (
        "norm",
        "norm::every_rung_agrees_with_the_oracle",
        // How far the means of parts lie from that of their row.
        &[Bug { file: "norm/cuda/split.cu", right: "n * (square + distance * distance)", wrong: "n * square" }],
    ),
    (
        "norm",
        "norm::rows_of_every_size_are_normalised",
        &[
            Bug {
                file: "norm/cuda/norm.cuh",
                right: "if (in_range(square)) return",
                wrong: "if (square > 0.0f) return",
            },
            Bug { file: "norm/cuda/norm.cuh", right: "eps / unit / unit", wrong: "eps" },
        ],
    ),
];

/// Runs a test of this program on another library.
fn run(test: &str, library: &Path) -> Output {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", test, "--test-threads=1"]).env("GRADUS_EMULATOR_LIBRARY", library);
    command.env_remove("GRADUS_EMULATOR_LAUNCHES").env("RUST_BACKTRACE", "0").output().expect("it runs")
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

#[test]
fn every_bug_makes_a_test_fail() {
    if std::env::var_os("GRADUS_CUDA_TESTS").is_some() {
        return; // bugs are for the emulator
    }
    for &(operation, test, bugs) in CASES {
        let Some(library) = build_operation(operation, None, Sanitizer::None) else { return };
        let output = run(test, &library);
        assert!(output.status.success(), "{test} without a bug: {}", text(&output));
        assert!(text(&output).contains("test result: ok. 1 passed"), "{test} is no test: {}", text(&output));
        for &bug in bugs {
            let library =
                build_operation(operation, Some(bug), Sanitizer::None).expect("a compiler that was there before");
            let output = run(test, &library);
            assert!(!output.status.success(), "{test} does not notice {bug:?}");
            assert!(!text(&output).contains("not a kernel of the emulator"), "{test}, {bug:?}: {}", text(&output));
        }
    }
}
