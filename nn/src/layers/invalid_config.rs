//! The error of a layer whose settings do not fit each other.

use std::fmt;

/// What is wrong with the settings of a layer, in one line that names both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig(String);

/// Fails with this text unless `holds`.
pub(super) fn require(holds: bool, problem: impl FnOnce() -> String) -> Result<(), InvalidConfig> {
    if holds { Ok(()) } else { Err(InvalidConfig(problem())) }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidConfig {}

/// Fails unless `p` is a probability that dropout can use.
pub(super) fn check_dropout(p: f32) -> Result<(), InvalidConfig> {
    require((0.0..1.0).contains(&p), || format!("a dropout of {p} is not in [0, 1)"))
}

/// Fails unless `eps` can stand in the denominator of a norm.
pub(super) fn check_eps(eps: f32) -> Result<(), InvalidConfig> {
    require(eps.is_finite() && eps >= 0.0, || format!("the eps {eps} of a norm is not 0 or more"))
}

/// Fails unless first values can be drawn with these standard deviations.
pub(super) fn check_deviations(deviations: &[f64]) -> Result<(), InvalidConfig> {
    deviations.iter().try_for_each(|&deviation| {
        require(deviation.is_finite() && deviation >= 0.0, || {
            format!("the standard deviation {deviation} of first weights is not 0 or more")
        })
    })
}
