//! The tile registers themselves, by inline assembly: the compiler has no stable names for the instructions yet.

use super::{SIDE, Tiles};
use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv, CpuidResult};
use std::marker::PhantomData;
use std::sync::LazyLock;

/// The feature of a process's state that holds the tiles: bit 18 of XCR0, after that of their configuration.
const TILE_DATA: u32 = 18;
/// `arch_prctl`: requests a feature that the system does not enable by default.
const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;

/// Whether the processor has tiles for bf16, the system keeps their state, and this process was given them.
pub(super) fn is_permitted() -> bool {
    static PERMITTED: LazyLock<bool> = LazyLock::new(|| has_instructions() && is_saved() && request());
    *PERMITTED
}

/// A leaf of the processor's description.
#[allow(unused_unsafe)] // newer compilers know that the instruction is safe
fn cpuid(leaf: u32) -> CpuidResult {
    // SAFETY: every x86-64 processor has the instruction, and it only writes to registers.
    unsafe { __cpuid_count(leaf, 0) }
}

fn has_instructions() -> bool {
    const TILES_AND_BF16: u32 = 1 << 24 | 1 << 22;
    cpuid(0).eax >= 7 && cpuid(7).edx & TILES_AND_BF16 == TILES_AND_BF16
}

fn is_saved() -> bool {
    #[target_feature(enable = "xsave")]
    fn enabled() -> u64 {
        // SAFETY: the system has switched XSAVE on, as the caller has seen; register 0 is there with it.
        unsafe { _xgetbv(0) }
    }
    const CONFIGURATION_AND_DATA: u64 = 0b11 << (TILE_DATA - 1);
    const OSXSAVE: u32 = 1 << 27;
    // SAFETY: the processor has XSAVE where the system uses it.
    cpuid(1).ecx & OSXSAVE != 0 && unsafe { enabled() } & CONFIGURATION_AND_DATA == CONFIGURATION_AND_DATA
}

fn request() -> bool {
    // SAFETY: changes nothing but the permission, for all threads of the process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

/// What the registers hold: palette 1 is eight tiles; each has a number of bytes in a row, and of rows.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

static WHOLE: Configuration = {
    let (mut bytes, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        bytes[tile] = 4 * SIDE as u16;
        rows[tile] = SIDE as u8;
        tile += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], bytes, rows }
};

/// The thread's tiles, eight of 16 rows by 64 bytes.
pub(crate) struct Amx {
    of_this_thread: PhantomData<*mut ()>,
}

impl Amx {
    /// The tiles, all zero; `None` where there are none.
    pub(crate) fn configured() -> Option<Amx> {
        is_permitted().then(|| {
            // SAFETY: there are tiles, and the configuration is one of them.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const WHOLE, options(nostack, preserves_flags, readonly)) };
            Amx { of_this_thread: PhantomData }
        })
    }
}

impl Drop for Amx {
    fn drop(&mut self) {
        // SAFETY: there are tiles.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

impl Tiles for Amx {
    #[inline(always)]
    fn zero<const T: u8>(&mut self) {
        // SAFETY: `self` proves that the tiles are configured.
        unsafe { asm!("tilezero tmm{t}", t = const T, options(nomem, nostack, preserves_flags)) };
    }
    #[inline(always)]
    unsafe fn load<const T: u8>(&mut self, at: *const u32, step: usize) {
        // SAFETY: `self` proves that the tiles are configured; the caller vouches for the rows.
        unsafe {
            asm!("tileloadd tmm{t}, [{at} + {step}]", t = const T, at = in(reg) at, step = in(reg) 4 * step,
                options(nostack, preserves_flags, readonly));
        }
    }
    #[inline(always)]
    fn dot<const C: u8, const A: u8, const B: u8>(&mut self) {
        // SAFETY: `self` proves that the tiles are configured, and all alike.
        unsafe {
            asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                options(nomem, nostack, preserves_flags));
        }
    }
    #[inline(always)]
    unsafe fn store<const T: u8>(&mut self, at: *mut f32, step: usize) {
        // SAFETY: `self` proves that the tiles are configured; the caller vouches for the rows.
        unsafe {
            asm!("tilestored [{at} + {step}], tmm{t}", t = const T, at = in(reg) at, step = in(reg) 4 * step,
                options(nostack, preserves_flags));
        }
    }
}
