//! What a setting may be, one value at a time. Rules that join several settings stand with the type that has them.

use crate::error::{self, Error};
use std::fmt::Display;

/// Above this, memory is not even tried: a slip of the finger should end in a message, not in a swapping machine.
pub const MOST_MEMORY: u128 = 64 << 30;

/// Every value is valid by itself; where it is used it may be checked together with others.
pub(super) fn any<T>(_: &T) -> Result<(), String> {
    Ok(())
}

/// From `least` to `most`.
pub(super) fn within<T: PartialOrd + Display + Copy>(least: T, most: T) -> impl Fn(&T) -> Result<(), String> {
    move |value| match value {
        value if *value < least => Err(format!("must be at least {least}")),
        value if *value > most => Err(format!("must be at most {most}")),
        _ => Ok(()),
    }
}

/// A probability below 1.
pub(super) fn probability(value: &f32) -> Result<(), String> {
    if (0.0..1.0).contains(value) { Ok(()) } else { Err("must be at least 0 and below 1".into()) }
}

/// That `bytes` are not more than any machine is trusted with.
pub(super) fn fits(bytes: u128, parameters: u128) -> error::Result<()> {
    if bytes <= MOST_MEMORY {
        return Ok(());
    }
    let problem = format!(
        "{parameters} parameters at these sizes need it, and the limit is {} GiB; \
         choose smaller --layers, --width, --context or --batch",
        MOST_MEMORY >> 30
    );
    Err(Error::setting("memory", format!("of about {} GiB", bytes >> 30), problem))
}
