//! Kernels that are bound by one unit of a device alone: multiply-adds, tensor cores, memory. What they reach is the limit that the
//! benchmarks hold the others against. On the processor the probes stand in the benchmarks; here launching is unsafe.

pub mod cuda;
