//! After its first steps a training run asks the system for no tensor memory, and nor does a text that is written after
//! its first tokens: storage comes from the pool and scratch from each thread's own stack of buffers.
//!
//! This is a test binary of its own, because it counts every allocation of the process; so it has one test only. What a
//! step does allocate is bookkeeping, whose size does not depend on the batch, the context or the width: the list of the
//! tape's nodes and that of their gradients (16 KiB each for this model), names of parameters, boxes of operations. The
//! smallest activation of this model has 32 KiB, its smallest weight matrix 64.

use gradus_gpt::Error;
use gradus_gpt::coverage::Coverage;
use gradus_gpt::dataset::Part;
use gradus_gpt::generate::Generator;
use gradus_gpt::model::Gpt;
use gradus_gpt::precision::Precision;
use gradus_gpt::sampler::{Sampler, Sampling};
use gradus_gpt::trainer::Trainer;
use gradus_nn::Init;
use gradus_tensor::pool_stats;
use gradus_tests::models::small_run;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What bookkeeping stays below, in bytes: one allocation, and all of them together.
#[derive(Clone, Copy)]
struct Limits {
    one: usize,
    all: usize,
}

/// Of a micro-batch.
const OF_STEP: Limits = Limits { one: 20 << 10, all: 128 << 10 };

/// Of a token, whose smallest tensor is a vector of the model's width, 128 at least.
const OF_TOKEN: Limits = Limits { one: 128 * size_of::<f32>(), all: 8 << 10 };

static LARGEST: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn count(bytes: usize) {
    TOTAL.fetch_add(bytes, Relaxed);
    LARGEST.fetch_max(bytes, Relaxed);
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
    largest: usize,
    total: usize,
}

fn allocated(work: impl FnOnce()) -> Allocated {
    for counter in [&LARGEST, &TOTAL] {
        counter.store(0, Relaxed);
    }
    work();
    Allocated { largest: LARGEST.load(Relaxed), total: TOTAL.load(Relaxed) }
}

/// Holds `work`, which does something `times` times and has met every size, to the promise; returns the bytes of
/// bookkeeping each time. More threads than one take turns at tasks as chance has it, and each needs its own scratch the
/// first time: they keep the promise once they have met every task, so there that is waited for.
fn hold(what: &str, limits: Limits, times: usize, mut work: impl FnMut()) -> usize {
    let (threads, mut problem) = (rayon::current_num_threads(), String::new());
    for attempt in 0..if threads == 1 { 1 } else { 20 } {
        let before = pool_stats();
        let found = allocated(&mut work);
        assert_eq!(pool_stats(), before, "{what}, {threads} threads: the pool grew");
        let each = found.total / times;
        println!("{what}, {threads} threads, attempt {attempt}: {found:?}, {each} bytes each time");
        if found.largest < limits.one && each < limits.all {
            return each;
        }
        problem = format!("allocations of up to {} bytes, {each} bytes each time", found.largest);
    }
    panic!("{what}, {threads} threads, after warm-up: {problem}");
}

/// Trains for 3 steps, and holds the next 5 to the promise; returns the bytes of bookkeeping of a micro-batch.
fn steps(precision: Precision, dropout: f32, grad_accum: usize, batch: usize) -> usize {
    let (mut run, data) = small_run();
    (run.model.dropout, run.train.batch, run.train.grad_accum) = (dropout, batch, grad_accum);
    run.train.precision = precision;
    let mut trainer = Trainer::new(&run, &data);
    let mut steps = |count: usize| (0..count).for_each(|_| _ = trainer.step().unwrap());
    let warm_up = allocated(|| steps(3));
    assert!(warm_up.largest >= OF_STEP.one, "the counter works: {warm_up:?} in the first steps");
    let what = format!("micro-batches of {batch}, {precision}, dropout {dropout}");
    hold(&what, OF_STEP, 5 * grad_accum, || steps(5))
}

/// Writes twice the context, so that it has been read again from its middle, and holds as many tokens more to the
/// promise; returns the bytes of bookkeeping of a token.
fn tokens(precision: Precision, width: usize) -> usize {
    let (mut run, _) = small_run();
    (run.model.width, run.model.context) = (width, 32);
    let model = Gpt::new(&run.model, &mut Init::new(1));
    if precision == Precision::Bf16 {
        model.store_in_bf16();
    }
    let sampling = Sampling { temperature: 1.0, top_k: Some(5), top_p: None };
    let mut generator = Generator::new(&model, Sampler::new(sampling, 1).unwrap(), &[0]);
    let mut write = || (0..64).for_each(|_| _ = generator.next_token().unwrap());
    write();
    hold(&format!("tokens of width {width}, {precision}"), OF_TOKEN, 64, write)
}

/// A last batch of fewer windows than the others takes no other memory than they do.
fn validations() {
    let (run, data) = small_run();
    let trainer = Trainer::new(&run, &data);
    let windows = |count: usize| {
        let coverage = Coverage::Tokens(count * run.model.context);
        let evaluation = trainer.evaluate(Part::Training, coverage, |_, _| Ok::<(), Error>(())).unwrap();
        assert_eq!(evaluation.tokens, count * run.model.context);
    };
    windows(2 * run.train.batch);
    let before = pool_stats();
    windows(2 * run.train.batch + 1);
    assert_eq!(pool_stats(), before, "the pool grew");
}

fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn neither_a_training_step_nor_a_token_allocates_tensor_memory_after_warm_up() {
    with_threads(1, validations);
    for precision in [Precision::F32, Precision::Bf16] {
        let bookkeeping = with_threads(1, || steps(precision, 0.0, 1, 4));
        let twice = with_threads(1, || steps(precision, 0.0, 1, 8));
        assert_eq!(twice, bookkeeping, "{precision}: a batch of twice the size needs no more bookkeeping");
        with_threads(1, || steps(precision, 0.2, 2, 4));
        with_threads(2, || steps(precision, 0.0, 1, 4));

        let bookkeeping = with_threads(1, || tokens(precision, 128));
        let twice = with_threads(1, || tokens(precision, 256));
        assert_eq!(twice, bookkeeping, "{precision}: a model of twice the width needs no more bookkeeping");
        with_threads(2, || tokens(precision, 256));
    }
}
