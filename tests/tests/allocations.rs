//! After its first steps a training run asks the system for no tensor memory: storage comes from the pool and scratch
//! from each thread's own stack of buffers.
//!
//! This is a test binary of its own, because it counts every allocation of the process; so it has one test only. What a
//! step does allocate is bookkeeping, whose size does not depend on the batch, the context or the width: the list of the
//! tape's nodes and that of their gradients (16 KiB each for this model), names of parameters, boxes of operations. The
//! smallest activation of this model has 32 KiB, its smallest weight matrix 64.

use gradus_gpt::trainer::Trainer;
use gradus_tensor::pool_stats;
use gradus_tests::models::small_run;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The least number of bytes that counts as tensor memory.
const LARGE: usize = 20 << 10;

/// The most bytes of bookkeeping that the steps may allocate for each micro-batch.
const BOOKKEEPING: usize = 128 << 10;

static LARGE_COUNT: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn count(bytes: usize) {
    TOTAL.fetch_add(bytes, Relaxed);
    LARGEST.fetch_max(bytes, Relaxed);
    if bytes >= LARGE {
        LARGE_COUNT.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Debug)]
struct Allocated {
    large: usize,
    largest: usize,
    total: usize,
}

fn allocated(work: impl FnOnce()) -> Allocated {
    for counter in [&LARGE_COUNT, &LARGEST, &TOTAL] {
        counter.store(0, Relaxed);
    }
    work();
    Allocated { large: LARGE_COUNT.load(Relaxed), largest: LARGEST.load(Relaxed), total: TOTAL.load(Relaxed) }
}

/// Trains with one thread for 3 steps, and holds the next 5 to the promise; returns the bytes of bookkeeping of a
/// micro-batch. More threads take turns at tasks as chance has it, and each needs its own scratch the first time: they
/// keep the promise once they have met every task, so there the 5 steps are waited for.
fn check(threads: usize, dropout: f32, grad_accum: usize, batch: usize) -> usize {
    let (mut run, data) = small_run();
    (run.model.dropout, run.train.batch, run.train.grad_accum) = (dropout, batch, grad_accum);
    let mut trainer = Trainer::new(&run, &data);
    let mut steps = |count: usize| (0..count).for_each(|_| _ = trainer.step().unwrap());
    let warm_up = allocated(|| steps(3));
    assert!(warm_up.large > 0, "the counter works: {warm_up:?} in the first steps");

    let mut problem = String::new();
    for attempt in 0..if threads == 1 { 1 } else { 20 } {
        let before = pool_stats();
        let found = allocated(|| steps(5));
        assert_eq!(pool_stats(), before, "{threads} threads: the pool grew");
        let per_batch = found.total / (5 * grad_accum);
        println!("{threads} threads, dropout {dropout}, attempt {attempt}: {found:?}, {per_batch} bytes a micro-batch");
        if found.large == 0 && per_batch < BOOKKEEPING {
            return per_batch;
        }
        let Allocated { large, largest, .. } = found;
        problem =
            format!("{large} allocations of tensor memory, of up to {largest} bytes, and {per_batch} bytes in all");
    }
    panic!("{threads} threads, dropout {dropout}, a micro-batch after warm-up: {problem}");
}

#[test]
fn a_training_step_allocates_no_tensor_memory_after_warm_up() {
    let with = |threads: usize, dropout: f32, grad_accum: usize, batch: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| check(threads, dropout, grad_accum, batch))
    };
    let bookkeeping = with(1, 0.0, 1, 4);
    assert_eq!(with(1, 0.0, 1, 8), bookkeeping, "a batch of twice the size needs no more bookkeeping");
    with(1, 0.2, 2, 4);
    with(2, 0.0, 1, 4);
}
