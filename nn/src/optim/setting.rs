//! Checks of the settings of an optimiser, in the number type that its kernels compute in.

use std::fmt;

/// A setting that an optimiser cannot compute with.
#[derive(Clone, Debug, PartialEq)]
pub struct InvalidSetting {
    /// The name of the field.
    pub name: &'static str,
    /// Its value as the optimiser would use it.
    pub value: f64,
    /// What the value has to be.
    pub rule: &'static str,
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, and {}", self.name, self.value, self.rule)
    }
}

impl std::error::Error for InvalidSetting {}

/// That `value` is a finite number of at least 0.
pub(super) fn not_negative(name: &'static str, value: f32) -> Result<(), InvalidSetting> {
    check(name, value, "must be a finite number of at least 0", value >= 0.0 && value.is_finite())
}

/// Refuses the field `name` with this `rule` unless it `holds`.
pub(super) fn check(name: &'static str, value: f32, rule: &'static str, holds: bool) -> Result<(), InvalidSetting> {
    if holds { Ok(()) } else { Err(InvalidSetting { name, value: f64::from(value), rule }) }
}
