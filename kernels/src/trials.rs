//! What the tests of all kernels try them with: every rung at every instruction set, on several numbers of threads.

use crate::{Bf16Isa, Isa, Rung};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::LazyLock;

/// Every rung at every instruction set that it has.
pub(crate) fn runs<F: Copy>(rungs: &'static [Rung<F>]) -> impl Iterator<Item = (&'static str, Isa, F)> {
    let levels = |simd: bool| Isa::available().filter(move |&isa| simd || isa == Isa::Portable);
    rungs.iter().flat_map(move |rung| levels(rung.simd).map(|isa| (rung.name, isa, rung.run)))
}

/// The same for rungs that know the levels of bf16.
pub(crate) fn bf16_runs<F: Copy>(rungs: &'static [Rung<F>]) -> impl Iterator<Item = (&'static str, Bf16Isa, F)> {
    let levels = |simd: bool| Bf16Isa::available().filter(move |&isa| simd || isa == Bf16Isa::Portable);
    rungs.iter().flat_map(move |rung| levels(rung.simd).map(|isa| (rung.name, isa, rung.run)))
}

/// The numbers of threads that work is tried on: powers of two and others, and more than most machines of the tests have
/// cores.
const THREADS: [usize; 4] = [1, 2, 3, 5];

/// Primes on both sides of where work is cut into one more task (2¹⁴ elementary operations and their multiples), so that no
/// two cuts fall alike: neither in whole tasks, nor in whole vectors.
pub(crate) const ODD_LENGTHS: [usize; 8] = [16_381, 16_411, 32_749, 32_771, 49_157, 65_537, 98_317, 131_101];

/// The same as rows of a length that is odd too, (rows, columns): many short rows, and few long ones.
pub(crate) const ODD_MATRICES: [(usize, usize); 5] = [(251, 67), (1009, 33), (3001, 67), (67, 1031), (3, 32_771)];

/// What `work` returns on each of [`THREADS`].
pub(crate) fn on_threads<R: Send>(work: impl Fn() -> R + Sync) -> [R; 4] {
    static POOLS: LazyLock<[ThreadPool; 4]> = LazyLock::new(|| {
        THREADS.map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start"))
    });
    POOLS.each_ref().map(|pool| pool.install(&work))
}

/// Panics unless all that `work` returns has the same bits on each of [`THREADS`].
///
/// Rungs that run on one thread cannot fail; tests go through all of them all the same, so that none is forgotten.
#[track_caller]
pub(crate) fn assert_same_on_any_number_of_threads<const N: usize>(
    what: &str,
    work: impl Fn() -> [Vec<f32>; N] + Sync,
) {
    let same = |x: &[f32], y: &[f32]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits());
    let [one, others @ ..] = on_threads(work);
    for (other, threads) in others.iter().zip(&THREADS[1..]) {
        let differs = (0..N).find(|&i| !same(&one[i], &other[i]));
        assert_eq!(differs, None, "{what}: the output of this number has other bits on {threads} threads");
    }
}

#[test]
#[should_panic(expected = "a sum: the output of this number has other bits on 2 threads")]
fn what_depends_on_the_threads_is_seen() {
    assert_same_on_any_number_of_threads("a sum", || [vec![0.0], vec![rayon::current_num_threads() as f32]]);
}
