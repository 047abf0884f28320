//! The same seed gives the same bits, whatever the number of threads, at every instruction set.
//!
//! Between instruction sets bits may differ: they add up in another order.

use gradus_gpt::trainer::Trainer;
use gradus_tests::isa;
use gradus_tests::models::{bits, small_run};

const STEPS: usize = 50;

/// The bits of the weights after training with `threads` threads, at sizes whose products and norms are cut into tasks.
fn train(threads: usize, seed: u64) -> Vec<u32> {
    let (mut run, data) = small_run();
    (run.model.layers, run.model.width, run.model.dropout) = (2, 64, 0.1);
    (run.train.batch, run.train.grad_accum, run.train.warmup) = (8, 2, 5);
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
fn the_same_bits_on_1_2_and_4_threads() {
    let one = train(1, 7);
    for threads in [2, 4] {
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
    isa::at_every_other(&["the_same_bits_on_1_2_and_4_threads"]);
}
