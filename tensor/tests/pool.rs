//! The pool of tensor memory. One test, alone in its binary: the pool is one for the whole process.

use gradus_tensor::{Tensor, pool_stats, trim_pool};

#[test]
fn memory_comes_back_and_is_used_again() {
    trim_pool();
    let start = pool_stats();
    let made = |before: usize| pool_stats().allocations - before;

    // Memory goes back when the last holder lets go, and not before.
    let a = Tensor::full(1.0_f32, &[100, 10]);
    assert_eq!(pool_stats().in_use - start.in_use, 4032, "4000 bytes in whole cache lines of 64");
    let view = a.slice(0, 3..4);
    drop(a);
    assert_eq!((pool_stats().in_use - start.in_use, pool_stats().free), (4032, 0), "a view holds it");
    assert_eq!(view.to_vec::<f32>(), [1.0; 10]);
    drop(view);
    assert_eq!((pool_stats().in_use, pool_stats().free), (start.in_use, 4032));

    // The next tensor of that many cache lines takes it, whatever its shape and type.
    let before = pool_stats().allocations;
    let b = Tensor::full(2.0_f64, &[504]);
    assert_eq!((made(before), pool_stats().free), (0, 0));
    assert_eq!(b.to_vec::<f64>(), [2.0; 504]);
    let c = Tensor::full(3_u32, &[1008]);
    assert_eq!(made(before), 1, "two at once need two");
    drop((b, c));

    // Every result is written in full, whatever stood in the memory before.
    let x = Tensor::full(5.0_f32, &[1000]);
    let sum = &(&x + &x) + 1.0;
    assert_eq!(sum.to_vec::<f32>(), [11.0; 1000]);
    drop((x, sum));

    // A loop of the same work allocates nothing after its first round.
    let work = || {
        let a = Tensor::full(0.5_f32, &[37, 41]);
        a.matmul(&a.transpose(0, 1)).softmax(1).sum(&[0, 1], false).item()
    };
    let first = work();
    let before = pool_stats().allocations;
    for _ in 0..10 {
        assert_eq!(work(), first);
    }
    assert_eq!(made(before), 0);

    // Nothing is in use now; what is free can be given back to the system. An empty tensor takes no memory at all.
    let end = pool_stats();
    assert_eq!(end.in_use, start.in_use);
    assert!(end.peak_in_use >= 3 * 4032 && end.free > 0);
    trim_pool();
    assert_eq!(pool_stats().free, 0);
    let _empty = Tensor::full(1.0_f32, &[0, 7]);
    assert_eq!(pool_stats().allocations, end.allocations);
}
