//! Attention: every rung of every ladder against the definition in `f64`.

mod bf16;
mod case;
mod decoding;
mod entry;
mod limits;
mod rungs;
