//! Loops that are bound by one unit of the machine alone: multiply-adds, dot products, reading, copying, combining.

use gradus_kernels::{
    bf16_fn,
    simd::{
        Simd,
        bf16::{pair, round},
    },
    simd_fn,
};

/// Chains of multiply-adds side by side. One takes 4 cycles a link and a core starts up to two links a cycle, so it takes
/// 8 chains to keep it busy; 12 leave some slack, and fit the 16 registers of AVX2.
pub(super) const CHAINS: usize = 12;

/// FLOPs of a link of all chains of [`tiles::chains`](gradus_kernels::simd::tiles::chains): four products of 16×32 by 32×16.
pub(super) const TILE_FLOPS: usize = 4 * 2 * 16 * 32 * 16;

simd_fn! {
    /// How many `f32` a vector holds.
    pub(super) fn lanes<S>(_s: S) -> usize {
        S::N
    }
}

simd_fn! {
    /// Twelve chains of `rounds` multiply-adds.
    pub(super) fn chains<S>(s: S, rounds: usize, a: f32, b: f32) -> f32 {
        let (a, b) = (s.splat(a), s.splat(b));
        let mut sums = [s.zero(); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, a, b);
            }
        }
        let mut total = 0.0;
        for sum in sums {
            total += s.reduce_sum(sum);
        }
        total
    }
}

bf16_fn! {
    /// Twelve chains of `rounds` dot products of pairs (a, b)·(a, b).
    pub(super) fn bf16_chains<B>(b: B, rounds: usize, even: f32, odd: f32) -> f32 {
        let s = b.simd();
        let pairs = s.splat_u32(pair(round(even), round(odd)));
        let mut sums = [s.zero(); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = b.dot(pairs, pairs, *sum);
            }
        }
        let mut total = 0.0;
        for sum in sums {
            total += s.reduce_sum(sum);
        }
        total
    }
}

simd_fn! {
    /// The sum of x, read from four places at once: the prefetchers then fetch four streams instead of one.
    pub(super) fn read<S>(s: S, x: &[f32]) -> f32 {
        let quarter = x.len() / 4 / (2 * S::N) * (2 * S::N);
        let (front, back) = x.split_at(2 * quarter);
        let ((a, b), (c, d)) = (front.split_at(quarter), back[..2 * quarter].split_at(quarter));
        let mut sums = [s.zero(); 8];
        for (((a, b), c), d) in a
            .chunks_exact(2 * S::N)
            .zip(b.chunks_exact(2 * S::N))
            .zip(c.chunks_exact(2 * S::N))
            .zip(d.chunks_exact(2 * S::N))
        {
            let parts = [a, b, c, d];
            for i in 0..4 {
                sums[2 * i] = s.add(sums[2 * i], s.load(parts[i]));
                sums[2 * i + 1] = s.add(sums[2 * i + 1], s.load(&parts[i][S::N..]));
            }
        }
        let mut total = 0.0;
        for sum in sums {
            total += s.reduce_sum(sum);
        }
        total
    }
}

simd_fn! {
    /// y = x; with streaming stores where `past` is set.
    pub(super) fn copy<S>(s: S, past: bool, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks_exact(4 * S::N).zip(y.chunks_exact_mut(4 * S::N)) {
            for i in 0..4 {
                let (at, v) = (i * S::N, s.load(&x[i * S::N..]));
                if past { s.stream(&mut y[at..], v) } else { s.store(&mut y[at..], v) }
            }
        }
        if past {
            s.fence();
        }
    }
}

simd_fn! {
    /// y = a + k·b; with streaming stores where `past` is set.
    pub(super) fn triad<S>(s: S, past: bool, k: f32, a: &[f32], b: &[f32], y: &mut [f32]) {
        let k = s.splat(k);
        for ((a, b), y) in a.chunks_exact(4 * S::N).zip(b.chunks_exact(4 * S::N)).zip(y.chunks_exact_mut(4 * S::N)) {
            for i in 0..4 {
                let at = i * S::N;
                let v = s.mul_add(k, s.load(&b[at..]), s.load(&a[at..]));
                if past { s.stream(&mut y[at..], v) } else { s.store(&mut y[at..], v) }
            }
        }
        if past {
            s.fence();
        }
    }
}

simd_fn! {
    /// y ← k·y, at four places at once.
    pub(super) fn scale<S>(s: S, k: f32, y: &mut [f32]) {
        let k = s.splat(k);
        let quarter = y.len() / 4 / (2 * S::N) * (2 * S::N);
        let (front, back) = y.split_at_mut(2 * quarter);
        let ((a, b), (c, d)) = (front.split_at_mut(quarter), back[..2 * quarter].split_at_mut(quarter));
        for (((a, b), c), d) in a
            .chunks_exact_mut(2 * S::N)
            .zip(b.chunks_exact_mut(2 * S::N))
            .zip(c.chunks_exact_mut(2 * S::N))
            .zip(d.chunks_exact_mut(2 * S::N))
        {
            for part in [a, b, c, d] {
                s.store(part, s.mul(k, s.load(part)));
                let next = &mut part[S::N..];
                s.store(next, s.mul(k, s.load(next)));
            }
        }
    }
}

simd_fn! {
    /// y ← y + k·x
    pub(super) fn update<S>(s: S, k: f32, x: &[f32], y: &mut [f32]) {
        let k = s.splat(k);
        for (x, y) in x.chunks_exact(4 * S::N).zip(y.chunks_exact_mut(4 * S::N)) {
            for i in 0..4 {
                let at = i * S::N;
                let old = s.load(&y[at..]);
                s.store(&mut y[at..], s.mul_add(k, s.load(&x[at..]), old));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_kernels::{Bf16Isa, Isa};

    #[test]
    fn the_probes_do_the_work_that_is_counted() {
        let x: Vec<f32> = (0..4096).map(|i| (i % 7) as f32).collect();
        for isa in Bf16Isa::available() {
            let lanes = lanes(isa.isa());
            assert_eq!(bf16_chains(isa, 5, 1.0, 2.0), 25.0 * (CHAINS * lanes) as f32, "{isa}");
        }
        for isa in Isa::available() {
            assert_eq!(read(isa, &x), x.iter().sum::<f32>(), "{isa}");
            assert_eq!(chains(isa, 5, 1.0, 2.0), 10.0 * (CHAINS * lanes(isa)) as f32, "{isa}");
            let (mut y, mut z) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            for past in [false, true] {
                y.fill(0.0);
                copy(isa, past, &x, &mut y);
                assert_eq!(x, y, "{isa}");
                z.fill(0.0);
                triad(isa, past, 0.5, &x, &y, &mut z);
                assert!(z.iter().zip(&x).all(|(&z, &x)| z == 1.5 * x), "{isa}");
            }
            update(isa, 2.0, &x, &mut y);
            assert!(y.iter().zip(&x).all(|(&y, &x)| y == 3.0 * x), "{isa}");
            scale(isa, 0.5, &mut y);
            assert!(y.iter().zip(&x).all(|(&y, &x)| y == 1.5 * x), "{isa}");
        }
    }
}
