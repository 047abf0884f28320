//! Dropout on CUDA: the ladder, and the function of the contract by its best rung. The masks are those of the CPU, to the bit.

use super::{Dropout, expect};
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module};
use crate::philox::GROUP;

static NAIVE: Module = module!("dropout", "naive");
static GROUPED: Module = module!("dropout", "group");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &GROUPED];

/// The threads of a block.
const THREADS: u32 = 256;

/// `(gpu, dropout, first, x, y)`; `first` is the number that the first element has in the mask, a multiple of [`GROUP`].
pub type Apply = fn(&Gpu, Dropout, u64, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;

/// The rungs of dropout.
pub static CUDA_RUNGS: [CudaRung<Apply>; 2] = [
    CudaRung {
        name: "naive",
        idea: "an element a thread, with a block of Philox for each",
        run: |gpu, dropout, first, x, y| {
            let threads = x.len();
            run(gpu, (&NAIVE, "dropout_naive_apply", threads), dropout, first, x, y)
        },
        needs: Capability::SM_75,
    },
    CudaRung {
        name: "group",
        idea: "a block of Philox a thread, which serves eight elements",
        run: |gpu, dropout, first, x, y| {
            let counters = x.len().div_ceil(GROUP) * (GROUP / 8);
            run(gpu, (&GROUPED, "dropout_group_apply", counters), dropout, first, x, y)
        },
        needs: Capability::SM_75,
    },
];

fn run(
    gpu: &Gpu,
    (module, name, threads): (&'static Module, &'static str, usize),
    dropout: Dropout,
    first: u64,
    x: Slice<'_, f32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    expect(dropout, x.len(), y.len());
    assert!(first.is_multiple_of(GROUP as u64), "a mask from {first} on, which is no multiple of {GROUP}");
    let Dropout { seed, stream, .. } = dropout;
    let arguments = (seed, stream, dropout.threshold(), dropout.scale(), first, x.len() as u64, x, y);
    // SAFETY: x and y have as many elements as the kernel is told, and nothing is read or written past them.
    unsafe { gpu.launch(module, name, Size::threads(threads, THREADS)?, arguments) }
}

/// y = x·keep / (1 − p); see [`super::apply`].
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Unless `x` and `y` are of one length and 0 ≤ p < 1.
pub fn apply(gpu: &Gpu, dropout: Dropout, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    (CUDA_RUNGS[1].run)(gpu, dropout, 0, x, y)
}
