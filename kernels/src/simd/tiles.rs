//! Tiles: registers of 16 rows by 64 bytes, and one instruction that multiplies two of them.
//!
//! AMX has eight tile registers. `tdpbf16ps` takes one as 16×32 numbers of A, in rows, one as 32×16 of B, whose steps
//! stand in pairs side by side ([`bf16`](super::bf16)), and adds their product to a third, 16×16 sums in `f32`: 16384
//! FLOPs in 16 cycles, where `vdpbf16ps` needs 256 instructions. A load moves 16 cache lines.
//! Intel, *Intel 64 and IA-32 Architectures Software Developer's Manual*, volume 1, chapter 18, and volume 2, `TDPBF16PS`.
//!
//! # What is computed
//! For every element of C two sums in `f32`, one of the even and one of the odd steps, each a chain of fused
//! multiply-adds; both are added to each other, and then to C. Denormal operands and results are zero.
//!
//! # The proof
//! `Amx::configured` returns a value only where the processor has tiles and the operating system permits them (Linux does so on
//! request), and configures the registers of the thread; dropping the value releases them. A thread has one at a time:
//! until it is dropped, no other code that uses tiles may be called, and no task of rayon be waited for.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(test)]
mod emulated;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use amx::Amx;
#[cfg(test)]
pub(crate) use emulated::Emulated;

use super::bf16::{pair, round};

/// Rows of a tile, and its words (or sums) in a row.
pub(crate) const SIDE: usize = 16;
/// Words of a tile.
pub(crate) const WORDS: usize = SIDE * SIDE;

/// Eight registers of 16 rows of 16 words, each a pair of bf16 numbers or a sum in `f32`.
pub(crate) trait Tiles {
    /// Tile T becomes zero.
    fn zero<const T: u8>(&mut self);

    /// Tile T becomes the 16 rows at `at`, `step` words apart.
    ///
    /// # Safety
    /// 16 words may be read at `at + i·step` for every i below 16.
    unsafe fn load<const T: u8>(&mut self, at: *const u32, step: usize);

    /// C(i, j) += Σ A(i, q)·B(q, j) over both numbers of 16 pairs; three different tiles.
    fn dot<const C: u8, const A: u8, const B: u8>(&mut self);

    /// Writes the 16 rows of tile T to `at`, `step` elements apart.
    ///
    /// # Safety
    /// 16 elements may be written at `at + i·step` for every i below 16.
    unsafe fn store<const T: u8>(&mut self, at: *mut f32, step: usize);
}

/// Whether this process may use tiles; the system is asked once.
pub(crate) fn are_available() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return amx::is_permitted();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Measures the peak of the registers, without loads: `links` products of a tile of x by a tile of y in each of four chains,
/// 65536 FLOPs a link. Returns a sum of one chain, 32·`links`·x·y where that is exact; `None` where there are no tiles.
///
/// ```
/// use gradus_kernels::{Bf16Isa, simd::tiles};
/// let expected = Bf16Isa::Amx.is_available().then_some(32.0 * 5.0 * 2.0 * 0.5);
/// assert_eq!(tiles::chains(5, 2.0, 0.5), expected);
/// ```
pub fn chains(links: usize, x: f32, y: f32) -> Option<f32> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return Amx::configured().map(|mut tiles| chains_of(&mut tiles, links, x, y));
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        let _ = (links, x, y);
        None
    }
}

fn chains_of<T: Tiles>(tiles: &mut T, links: usize, x: f32, y: f32) -> f32 {
    let [x, y] = [x, y].map(|number| [pair(round(number), round(number)); WORDS]);
    let mut sums = [0.0; WORDS];
    // SAFETY: 16 rows of 16 words and elements.
    unsafe {
        tiles.load::<4>(x.as_ptr(), SIDE);
        tiles.load::<5>(x.as_ptr(), SIDE);
        tiles.load::<6>(y.as_ptr(), SIDE);
        tiles.load::<7>(y.as_ptr(), SIDE);
        for _ in 0..links {
            tiles.dot::<0, 4, 6>();
            tiles.dot::<1, 4, 7>();
            tiles.dot::<2, 5, 6>();
            tiles.dot::<3, 5, 7>();
        }
        tiles.store::<3>(sums.as_mut_ptr(), SIDE);
    }
    sums[0]
}

#[cfg(test)]
mod tests;
