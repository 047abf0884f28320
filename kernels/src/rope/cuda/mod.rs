//! Rotary positions on CUDA: the ladder, and the function of the contract by its best rung.

use super::{InputOf, Pairing, Shape};
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};

static NAIVE: Module = module!("rope", "naive");
static PAIRS: Module = module!("rope", "pairs");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &PAIRS];

/// The threads of a block.
const THREADS: u32 = 256;

/// `(gpu, input, y)`
pub type Rotate = fn(&Gpu, InputOf<Slice<'_, f32>>, SliceMut<'_, f32>) -> Result<()>;

/// The rungs of rotary positions.
pub static CUDA_RUNGS: [CudaRung<Rotate>; 2] = [
    CudaRung {
        name: "naive",
        idea: "an element of the result a thread",
        run: |gpu, input, y| run(gpu, (&NAIVE, "rope_naive_rotate"), |shape| shape.d, input, y),
        needs: Capability::SM_75,
    },
    CudaRung {
        name: "pairs",
        idea: "a pair of channels a thread, so that elements, cosines and sines are loaded once",
        run: |gpu, input, y| run(gpu, (&PAIRS, "rope_pairs_rotate"), |shape| shape.d - shape.pairs, input, y),
        needs: Capability::SM_75,
    },
];

/// `of_head`: the threads that each head has.
fn run(
    gpu: &Gpu,
    (module, name): (&'static Module, &'static str),
    of_head: fn(&Shape) -> usize,
    input: InputOf<Slice<'_, f32>>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    input.check(y.len());
    let InputOf { shape, pairing, inverse, x, cos, sin } = input;
    if y.is_empty() {
        return Ok(());
    }
    let threads = y.len() / shape.d * of_head(&shape);
    let n = narrow("the number of elements", threads)?;
    // `struct Shape` of the kernels.
    let mut numbers = [0, 0, 0, 0, 0, u32::from(pairing == Pairing::HalfSplit), u32::from(inverse)];
    for (to, size) in numbers.iter_mut().zip([shape.t, shape.h, shape.rotated, shape.d, shape.pairs]) {
        *to = narrow("a size of rope", size)?;
    }
    // SAFETY: `check` has compared x, y and the tables with the shape; threads past the last one return, and each of the others keeps to
    // the channels of its head and the row of its position in the tables.
    unsafe { gpu.launch(module, name, Size::threads(threads, THREADS)?, (numbers, n, x, cos, sin, y)) }
}

/// y = x turned by the angles of its positions; see [`super::rotate`].
///
/// # Errors
/// Where the launch fails, or there are over 2³² elements.
///
/// # Panics
/// Where a length does not fit the shape, the pairs do not fit a head, or more heads turn than there are.
pub fn rotate(gpu: &Gpu, input: InputOf<Slice<'_, f32>>, y: SliceMut<'_, f32>) -> Result<()> {
    (CUDA_RUNGS[1].run)(gpu, input, y)
}
