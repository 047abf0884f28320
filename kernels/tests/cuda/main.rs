//! Every rung on CUDA against the oracle, on the emulator, in several orders of its threads. Where there is a card, the same tests run
//! on it with `GRADUS_CUDA_TESTS=device`.

mod attention;
mod device;
mod softmax;
