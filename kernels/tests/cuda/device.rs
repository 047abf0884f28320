//! The device that the tests run on.

use gradus_emulator::{Emulator, Sanitizer, Schedule};
use gradus_kernels::cuda::{Buffer, Gpu};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A device, for one test at a time: the order of the threads is a setting of the process.
pub struct Device {
    pub gpu: Gpu,
    emulator: Option<&'static Emulator>,
    _alone: MutexGuard<'static, ()>,
}

/// The emulator, or with `GRADUS_CUDA_TESTS=device` the first card; `None` where the emulator cannot be built.
pub fn device() -> Option<Device> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let on_card = std::env::var("GRADUS_CUDA_TESTS").is_ok_and(|value| value == "device");
    let emulator = if on_card { None } else { Some(gradus_emulator::load()?) };
    let gpu = Gpu::open(0).unwrap_or_else(|error| panic!("{error}"));
    Some(Device { gpu, emulator, _alone: alone })
}

/// The sizes of a test: all of them, or under a sanitizer, which takes several times as long, a few that reach every kernel.
pub fn sizes<T: Copy>(all: &[T], few: &[T]) -> Vec<T> {
    if Sanitizer::from_environment() == Sanitizer::None { all } else { few }.to_vec()
}

impl Device {
    /// Runs `test` in every order of the threads; on a card, once. Under a sanitizer once, too: which memory a thread touches, and what
    /// barriers lie between, does not depend on the order as long as the results do not.
    pub fn in_every_schedule(&self, mut test: impl FnMut(&str)) {
        let Some(emulator) = self.emulator else { return test("on the card") };
        if Sanitizer::from_environment() != Sanitizer::None {
            return test("one schedule");
        }
        for schedule in Schedule::ALL {
            emulator.schedule(schedule);
            test(&format!("{schedule:?}"));
        }
        emulator.schedule(Schedule::Forward);
    }

    pub fn upload<E: bytemuck::Pod>(&self, elements: &[E]) -> Buffer {
        Buffer::from_host(&self.gpu, elements).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Memory for results, whose elements are not written yet.
    pub fn output<E>(&self, elements: usize) -> Buffer {
        Buffer::new(&self.gpu, elements * size_of::<E>()).unwrap_or_else(|error| panic!("{error}"))
    }
}
