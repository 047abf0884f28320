//! Numbers on the command line. Only what is no number at all is refused here; which numbers are valid is decided by the
//! types that compute with them.

/// A whole number, as a count of steps or a seed.
///
/// # Errors
/// What would be one.
pub fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("give a whole number from 0 to {}", u64::MAX))
}

/// A whole number, as a size in memory.
///
/// # Errors
/// What would be one.
pub fn size(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("give a whole number from 0 to {}", usize::MAX))
}

/// A finite number.
///
/// # Errors
/// What would be one.
pub fn real(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| "give a finite number such as 0.001".into())
}

/// A finite number that is kept in `f32`.
///
/// # Errors
/// What would be one.
pub fn real32(text: &str) -> Result<f32, String> {
    real(text).map(|x| x as f32)
}
