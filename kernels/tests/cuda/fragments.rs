//! Which lane holds which element of a matrix that tensor cores multiply: the table of the PTX manual, written out here from its text, against
//! `mma` and `ldmatrix` as the emulator has them, and on a card against the card. The kernels and the emulator share their formulas,
//! so that products alone would not show a wrong one on the emulator.

use crate::device::device;
use cudarc::driver::{
    result::{self, module},
    sys,
};
use half::bf16;
use std::ffi::{CString, c_void};

const PTX: &str = include_str!("../../ptx/tests_fragments.sm_80.ptx");
const LANES: usize = 32;

/// The tables of "Matrix fragments for mma.m16n8k16 with floating point type", in its own numbering: a0 to a7, two to a
/// register; b0 to b3, two to a register; c0 to c3.
fn a_position(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = if i < 2 || (4..6).contains(&i) { group } else { group + 8 };
    let column = if i < 4 { thread * 2 + (i & 1) } else { thread * 2 + (i & 1) + 8 };
    (row, column)
}

fn b_position(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = if i < 2 { thread * 2 + (i & 1) } else { thread * 2 + (i & 1) + 8 };
    (row, group)
}

fn c_position(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = if i < 2 { group } else { group + 8 };
    (row, thread * 2 + (i & 1))
}

/// Some rows of the figures of the manual, literally: (lane, number, row, column).
const FIGURE_OF_A: [(usize, usize, usize, usize); 8] = [
    (0, 0, 0, 0),
    (3, 1, 0, 7),
    (0, 4, 0, 8),
    (3, 5, 0, 15),
    (0, 2, 8, 0),
    (0, 6, 8, 8),
    (31, 1, 7, 7),
    (31, 7, 15, 15),
];
const FIGURE_OF_B: [(usize, usize, usize, usize); 6] =
    [(0, 0, 0, 0), (0, 1, 1, 0), (3, 1, 7, 0), (0, 2, 8, 0), (31, 3, 15, 7), (28, 0, 0, 7)];
const FIGURE_OF_C: [(usize, usize, usize, usize); 5] =
    [(0, 0, 0, 0), (0, 1, 0, 1), (3, 1, 0, 7), (0, 2, 8, 0), (31, 3, 15, 7)];

#[test]
fn the_tables_are_those_of_the_figures() {
    FIGURE_OF_A.iter().for_each(|&(lane, i, row, column)| assert_eq!(a_position(lane, i), (row, column)));
    FIGURE_OF_B.iter().for_each(|&(lane, i, row, column)| assert_eq!(b_position(lane, i), (row, column)));
    FIGURE_OF_C.iter().for_each(|&(lane, i, row, column)| assert_eq!(c_position(lane, i), (row, column)));
}

/// Launches a test kernel for one warp with arrays to read and one to write, which comes back.
fn launch<R: Copy + Default, W: Copy + Default>(
    name: &str,
    inputs: &[&[R]],
    outputs: usize,
    number: Option<u32>,
) -> Vec<W> {
    let (text, name) = (CString::new(PTX).unwrap(), CString::new(name).unwrap());
    let mut output = vec![W::default(); outputs];
    // SAFETY: a device is open and its context current on this thread; the kernels read and write 32 lanes of the arrays, as many as
    // the callers give, and take these arguments. Everything is waited for before the memory is freed.
    unsafe {
        let function = module::get_function(module::load_data(text.as_ptr().cast()).unwrap(), name).unwrap();
        let stream: sys::CUstream = std::ptr::null_mut();
        let mut memories: Vec<sys::CUdeviceptr> =
            inputs.iter().map(|input| result::malloc_sync(size_of_val(*input)).unwrap()).collect();
        for (memory, input) in memories.iter().zip(inputs) {
            result::memcpy_htod_async(*memory, input, stream).unwrap();
        }
        memories.push(result::malloc_sync(size_of_val(&output[..])).unwrap());
        let mut arguments: Vec<*mut c_void> = memories.iter_mut().map(|memory| (&raw mut *memory).cast()).collect();
        let mut number = number;
        if let Some(number) = &mut number {
            arguments.push((&raw mut *number).cast());
        }
        result::launch_kernel(function, (1, 1, 1), (LANES as u32, 1, 1), 0, stream, &mut arguments).unwrap();
        result::memcpy_dtoh_async(&mut output, *memories.last().unwrap(), stream).unwrap();
        result::stream::synchronize(stream).unwrap();
        memories.into_iter().for_each(|memory| result::free_sync(memory).unwrap());
    }
    output
}

/// Registers of two numbers each, element `i` of `lane` being `of(lane, i)`; the one of the lower index is in the lower half.
fn registers(per_lane: usize, of: impl Fn(usize, usize) -> f32) -> Vec<u32> {
    let bits = |lane, i| u32::from(bf16::from_f32(of(lane, i)).to_bits());
    (0..LANES * per_lane)
        .map(|index| {
            let (lane, register) = (index / per_lane, index % per_lane);
            bits(lane, 2 * register) | bits(lane, 2 * register + 1) << 16
        })
        .collect()
}

/// A has a single 1, at each of its 256 places in turn, and all elements of B are different: one row of C is the row of B.
#[test]
fn mma_has_the_fragments_of_the_manual() {
    let Some(device) = device() else { return };
    drop(device.upload(&[0_u32])); // makes the context current
    let value = |k: usize, j: usize| (8 * k + j + 1) as f32;
    let b = registers(2, |lane, i| {
        let (k, j) = b_position(lane, i);
        value(k, j)
    });
    for row in 0..16 {
        for k in 0..16 {
            let a = registers(4, |lane, i| if a_position(lane, i) == (row, k) { 1.0 } else { 0.0 });
            let c: Vec<f32> = launch("test_fragments_mma", &[&a, &b], 4 * LANES, None);
            for (index, &got) in c.iter().enumerate() {
                let (r, j) = c_position(index / 4, index % 4);
                let expected = if r == row { value(k, j) } else { 0.0 };
                assert_eq!(got, expected, "A[{row}][{k}] = 1: C[{r}][{j}], lane {}", index / 4);
            }
        }
    }
}

/// "Each row of 8 elements is held by 4 consecutive threads": row r of a matrix by lanes 4r to 4r + 3, two elements each.
#[test]
fn ldmatrix_has_the_fragments_of_the_manual() {
    let Some(device) = device() else { return };
    drop(device.upload(&[0_u32]));
    let matrices: Vec<u16> = (0..256).map(|i| i + 1000).collect();
    for transposed in [0, 1] {
        let r: Vec<u32> = launch("test_fragments_matrices", &[&matrices], 4 * LANES, Some(transposed));
        for matrix in 0..4 {
            for row in 0..8 {
                for column in 0..8 {
                    let element = matrices[64 * matrix + 8 * row + column];
                    let (line, place) = if transposed == 1 { (column, row) } else { (row, column) };
                    let pair = r[(4 * line + place / 2) * 4 + matrix];
                    let got = if place % 2 == 0 { pair as u16 } else { (pair >> 16) as u16 };
                    assert_eq!(got, element, "matrix {matrix}, row {row}, column {column}, transposed {transposed}");
                }
            }
        }
    }
}
