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

/// What `work` returns on 1, on 2 and on 4 threads, more than most machines of the tests have cores.
pub(crate) fn on_threads<R: Send>(work: impl Fn() -> R + Sync) -> [R; 3] {
    static POOLS: LazyLock<[ThreadPool; 3]> = LazyLock::new(|| {
        [1, 2, 4].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start"))
    });
    POOLS.each_ref().map(|pool| pool.install(&work))
}

/// Panics unless all that `work` returns has the same bits on 1, 2 and 4 threads.
///
/// Rungs that run on one thread cannot fail; tests go through all of them all the same, so that none is forgotten.
#[track_caller]
pub(crate) fn assert_same_on_any_number_of_threads<const N: usize>(
    what: &str,
    work: impl Fn() -> [Vec<f32>; N] + Sync,
) {
    let same = |x: &[f32], y: &[f32]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits());
    let [one, others @ ..] = on_threads(work);
    for (other, threads) in others.iter().zip([2, 4]) {
        let differs = (0..N).find(|&i| !same(&one[i], &other[i]));
        assert_eq!(differs, None, "{what}: the output of this number has other bits on {threads} threads");
    }
}

#[test]
#[should_panic(expected = "a sum: the output of this number has other bits on 2 threads")]
fn what_depends_on_the_threads_is_seen() {
    assert_same_on_any_number_of_threads("a sum", || [vec![0.0], vec![rayon::current_num_threads() as f32]]);
}
