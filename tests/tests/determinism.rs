//! The same seed gives the same bits, whatever the number of threads, at every instruction set.
//!
//! Between instruction sets bits may differ: they add up in another order.

use gradus_gpt::trainer::Trainer;
use gradus_tests::isa;
use gradus_tests::models::{bits, small_run};

const STEPS: usize = 30;

/// The bits of the weights after training with `threads` threads, at odd sizes whose products and norms are cut into tasks.
fn train(threads: usize, seed: u64) -> Vec<u32> {
    let (mut run, data) = small_run();
    (run.model.layers, run.model.heads, run.model.width, run.model.context) = (2, 3, 57, 61);
    (run.model.dropout, run.model.bias) = (0.1, true);
    (run.train.batch, run.train.grad_accum, run.train.warmup) = (7, 2, 5);
    run.train.seed = seed;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut trainer = Trainer::new(&run, &data);
        let losses: Vec<f32> = (0..STEPS).map(|_| trainer.step().unwrap().loss).collect();
        assert!(losses[STEPS - 1] < 0.9 * losses[0], "it learns: {losses:?}");
        bits(trainer.model())
    })
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let one = train(1, 7);
    for threads in [2, 3, 5] {
        let other = train(threads, 7);
        let differ = one.iter().zip(&other).filter(|(a, b)| a != b).count();
        assert!(one == other, "{differ} of {} weights differ on {threads} threads", one.len());
    }
}

#[test]
fn another_seed_gives_other_bits() {
    assert!(train(2, 7) != train(2, 8));
}

#[test]
fn at_every_instruction_set() {
    isa::at_every_other(&["the_same_bits_on_any_number_of_threads"]);
}
