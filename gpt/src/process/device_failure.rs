//! A device that fails while it computes. Operations on tensors say so with a panic, because a formula such as `a + b` has no place for
//! an error; here that becomes an error again, so that the run can be saved and the user gets one line.

use crate::error::{Error, Result};
use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

/// What the text of a device's error begins with: `gradus_tensor` names it so.
const MARK: &str = "cuda: ";

/// Runs `work`, and returns the failure of a device as [`Error::Device`]. Any other panic goes on.
///
/// # Errors
/// Those of `work`, and [`Error::Device`].
pub fn caught<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    silence_failures();
    // What a failure leaves half done is dropped by those who began it: a tape with its gradients.
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => match failure(&*payload) {
            Some(problem) => Err(Error::Device { problem: problem.into(), saved: None }),
            None => panic::resume_unwind(payload),
        },
    }
}

/// The text of a device's failure; `None` for any other panic.
fn failure(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    text?.strip_prefix(MARK)
}

/// Failures of a device are reported once, as errors, and not where they happen.
fn silence_failures() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if failure(info.payload()).is_none() {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_of_a_device_become_errors() {
        let failed: Result<()> = caught(|| panic!("{MARK}out of memory"));
        assert!(matches!(failed, Err(Error::Device { problem, .. }) if problem == "out of memory"));
        assert!(panic::catch_unwind(|| caught(|| -> Result<()> { panic!("a bug") })).is_err());
        assert_eq!(caught(|| Ok(3)).unwrap(), 3);
    }
}
