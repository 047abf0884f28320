//! Every rung on CUDA against the oracle, on the emulator, in several orders of its threads. Where there is a card, the same tests run
//! on it with `GRADUS_CUDA_TESTS=device`.

mod attention;
mod cast;
mod cross_entropy;
mod device;
mod dropout;
mod elementwise;
mod embedding;
mod fragments;
mod kv_cache;
mod matmul;
mod norm;
mod optimizer;
mod probe;
mod races;
mod reduce;
mod rope;
mod seeded_bugs;
mod softmax;
