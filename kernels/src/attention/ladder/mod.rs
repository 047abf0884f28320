//! The ladder of attention: each rung is the one before it with one idea more.
//!
//! In reading order; a `_backward` file is the backward pass of the rung beside it:
//!
//! 1. [`naive`]: the definition, with the scores of a head as a matrix. In `f64` it is the oracle.
//! 2. `causal`: hidden keys are skipped.
//! 3. `blocked`: a block of keys serves several queries while it is in the cache.
//! 4. `online`: the softmax is updated from block to block, so no row of scores is kept (forward only).
//! 5. `simd`, `simd_backward`: vectors; scores, probabilities and outputs are products of packed blocks.
//! 6. `query_tiles`: register tiles of eight queries, forward and backward.
//! 7. `register_softmax`, `register_softmax_backward`: scores stay in registers until they are probabilities.
//! 8. `short_sequence`, `short_sequence_backward`: all queries and keys of a short head at once.
//! 9. `threads`: tasks for all cores, the same bits on any number of them. It picks the fastest of the rungs above.

mod blocked;
pub(super) mod causal;
pub mod naive;
mod online;
mod query_tiles;
pub(super) mod register_softmax;
pub(super) mod register_softmax_backward;
pub(super) mod short_sequence;
pub(super) mod short_sequence_backward;
pub(super) mod simd;
mod simd_backward;
pub(super) mod threads;

use super::{Backward, Forward};
use crate::Rung;

/// The forward ladder.
pub const FORWARD_RUNGS: &[Rung<Forward>] = &[
    Rung {
        name: "naive",
        idea: "the definition: S of a head as a matrix in memory, P of it a row at a time",
        run: |_, inputs, o, lse| naive::forward_view(inputs, o, lse),
        simd: false,
    },
    Rung {
        name: "causal",
        idea: "only the keys that are seen: the others are not added with weight 0",
        run: causal::forward,
        simd: false,
    },
    Rung { name: "blocked", idea: "a block of keys serves several queries", run: blocked::forward, simd: false },
    Rung { name: "online", idea: "a running maximum and sum: no row of scores", run: online::forward, simd: false },
    Rung { name: "simd", idea: "vectors: scores over keys, outputs over D", run: simd::forward, simd: true },
    Rung {
        name: "query_tiles",
        idea: "register tiles: eight queries share each load of a key and a value",
        run: query_tiles::forward,
        simd: true,
    },
    Rung {
        name: "register_softmax",
        idea: "scores stay in registers for the softmax; one visit where a head has few keys",
        run: register_softmax::forward,
        simd: true,
    },
    Rung {
        name: "short_sequence",
        idea: "a head of few queries and keys at once, phase by phase, queries in the lanes",
        run: short_sequence::forward,
        simd: true,
    },
    Rung { name: "threads", idea: "a task for each chunk of the queries of a head", run: threads::forward, simd: true },
];

/// The backward ladder.
pub const BACKWARD_RUNGS: &[Rung<Backward>] = &[
    Rung {
        name: "naive",
        idea: "the definition: P made again from S and the log-sum-exp, dP and dS a row at a time",
        run: |_, inputs, saved, gradients| naive::backward_view(inputs, saved, gradients),
        simd: false,
    },
    Rung { name: "causal", idea: "only the pairs that are seen, a row at a time", run: causal::backward, simd: false },
    Rung {
        name: "blocked",
        idea: "a block of keys and its gradients stay in the cache",
        run: blocked::backward,
        simd: false,
    },
    Rung { name: "simd", idea: "five products of blocks, in vectors", run: simd_backward::backward, simd: true },
    Rung {
        name: "query_tiles",
        idea: "register tiles: eight queries, or keys, share each load",
        run: query_tiles::backward,
        simd: true,
    },
    Rung {
        name: "register_softmax",
        idea: "P and dS are made in registers; finer tiles on the diagonal",
        run: register_softmax_backward::backward,
        simd: true,
    },
    Rung {
        name: "short_sequence",
        idea: "queries in the lanes; every row of the gradients in one go",
        run: short_sequence_backward::backward,
        simd: true,
    },
    Rung {
        name: "threads",
        idea: "one owner for every row of dK and dV; dQ added in a fixed order",
        run: threads::backward,
        simd: true,
    },
];
