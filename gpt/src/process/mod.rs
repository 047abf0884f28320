//! The process around the work: its output and progress, its signals, its threads, its memory.

pub mod device_failure;
pub mod interrupt;
pub mod memory;
pub mod output;
pub mod progress;
pub mod shell;
pub mod threads;
