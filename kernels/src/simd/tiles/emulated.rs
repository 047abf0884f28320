//! Tiles in memory, step by step as the manual has them: so that the kernels that are made of tiles are tested on every
//! machine.

use super::{SIDE, Tiles};
use half::bf16;
use std::array::from_fn;

/// Eight tiles as arrays.
pub(crate) struct Emulated([[[u32; SIDE]; SIDE]; 8]);

impl Emulated {
    /// The tiles, all zero.
    pub(crate) fn configured() -> Option<Emulated> {
        Some(Emulated([[[0; SIDE]; SIDE]; 8]))
    }
}

fn without_denormals(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

impl Tiles for Emulated {
    fn zero<const T: u8>(&mut self) {
        self.0[usize::from(T)] = [[0; SIDE]; SIDE];
    }

    unsafe fn load<const T: u8>(&mut self, at: *const u32, step: usize) {
        // SAFETY: the caller vouches for the rows.
        self.0[usize::from(T)] = from_fn(|i| from_fn(|j| unsafe { at.add(i * step + j).read_unaligned() }));
    }

    fn dot<const C: u8, const A: u8, const B: u8>(&mut self) {
        let [a, b] = [A, B].map(|tile| self.0[usize::from(tile)]);
        for (c, a) in self.0[usize::from(C)].iter_mut().zip(&a) {
            for (j, c) in c.iter_mut().enumerate() {
                let [even, odd] = [0, 16].map(|half| {
                    let number = |pair: u32| without_denormals(bf16::from_bits((pair >> half) as u16).to_f32());
                    (0..SIDE).fold(0.0, |sum: f32, q| without_denormals(number(a[q]).mul_add(number(b[q][j]), sum)))
                });
                let old = without_denormals(f32::from_bits(*c));
                *c = without_denormals(old + without_denormals(even + odd)).to_bits();
            }
        }
    }

    unsafe fn store<const T: u8>(&mut self, at: *mut f32, step: usize) {
        for (i, row) in self.0[usize::from(T)].iter().enumerate() {
            for (j, &x) in row.iter().enumerate() {
                // SAFETY: the caller vouches for the rows.
                unsafe { at.add(i * step + j).write_unaligned(f32::from_bits(x)) };
            }
        }
    }
}
