//! Points in a device's stream whose distance in time the device measures: what kernels take, without the time in which the host
//! starts them and waits.

use super::{Gpu, Result, driver::check};
use cudarc::driver::{result::event, sys};

/// A point in the stream of a device, after all that was started before it.
#[derive(Debug)]
pub struct Event {
    gpu: Gpu,
    handle: sys::CUevent,
}

// SAFETY: the handle of an event may be used from any thread.
unsafe impl Send for Event {}

impl Gpu {
    /// The point in the stream after all that was started so far.
    ///
    /// # Errors
    /// Where the device has failed.
    pub fn event(&self) -> Result<Event> {
        self.bind()?;
        let handle = check("cuEventCreate", event::create(sys::CUevent_flags::CU_EVENT_DEFAULT))?;
        let event = Event { gpu: self.clone(), handle };
        // SAFETY: the event was created just now, and the stream is open as long as the process runs.
        check("cuEventRecord", unsafe { event::record(event.handle, self.stream()) })?;
        Ok(event)
    }
}

impl Event {
    /// The seconds from an earlier event to this one, once the device has come here. Its clock ticks about every half microsecond
    /// (CUDA Driver API, `cuEventElapsedTime`).
    ///
    /// # Errors
    /// Where a kernel that was started before failed.
    ///
    /// # Panics
    /// Where the events are of two devices.
    pub fn seconds_since(&self, earlier: &Event) -> Result<f64> {
        assert_eq!(self.gpu, earlier.gpu, "events of two devices");
        self.gpu.bind()?;
        // SAFETY: both events were recorded in the one stream of the device and are not destroyed yet.
        let milliseconds = check("cuEventSynchronize", unsafe { event::synchronize(self.handle) })
            .and_then(|()| check("cuEventElapsedTime", unsafe { event::elapsed(earlier.handle, self.handle) }))?;
        Ok(f64::from(milliseconds) / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: the event was created by `Gpu::event` and is destroyed once. On a device that has failed nothing is left to do.
            let _ = unsafe { event::destroy(self.handle) };
        }
    }
}
