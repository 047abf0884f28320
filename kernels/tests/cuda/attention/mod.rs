//! Attention: every rung of every ladder against the definition in `f64`.

mod case;
mod entry;
mod rungs;
