//! Products by NVIDIA's cuBLAS, as a reference for the benchmarks (feature `cublas`). Nothing of the library uses it.

use super::{Error, Gpu, Result, Slice, SliceMut};
use crate::matmul::{Shape, Strides, operands::expect};
use cudarc::cublas::{
    result::{self, CublasError},
    sys::{self, cublasOperation_t as Operation},
};
use half::bf16;
use std::ffi::{c_int, c_void};

/// cuBLAS on the stream of a device.
#[derive(Debug)]
pub struct Cublas {
    gpu: Gpu,
    handle: sys::cublasHandle_t,
}

// SAFETY: a handle may be used from any thread, by one at a time (cuBLAS, "Thread Safety"); it is not `Sync`.
unsafe impl Send for Cublas {}

fn failed(call: &'static str) -> impl Fn(CublasError) -> Error {
    move |error| Error::Driver { call, cause: format!("{:?}", error.0) }
}

/// How cuBLAS reads an operand: its operation, and the elements from one of its columns to the next.
fn operand(strides: Strides, (rows, columns): (usize, usize)) -> Result<(Operation, c_int)> {
    // What lies by rows is, for a library that counts by columns, the transposed matrix, and that is what it is asked for.
    let (operation, leading) = match strides {
        Strides { row, col: 1, .. } if row >= columns => (Operation::CUBLAS_OP_N, row),
        Strides { row: 1, col, .. } if col >= rows => (Operation::CUBLAS_OP_T, col),
        _ => panic!("an operand of strides {strides:?} lies neither by rows nor by columns"),
    };
    Ok((operation, count("a leading dimension", leading)?))
}

fn count(what: &'static str, size: usize) -> Result<c_int> {
    c_int::try_from(size).map_err(|_| Error::TooLarge { what, size })
}

/// A product in the order of columns: Cᵀ = Bᵀ·Aᵀ.
struct Call {
    operations: [Operation; 2],
    sizes: [c_int; 3],
    leading: [c_int; 3],
}

impl Call {
    fn new(shape: Shape, (a, a_strides): (usize, Strides), (b, b_strides): (usize, Strides), c: usize) -> Result<Call> {
        assert_eq!(shape.batch, 1, "one product");
        expect(shape, (a, a_strides), (b, b_strides), c);
        let Shape { m, n, k, .. } = shape;
        let (of_a, lda) = operand(a_strides, (m, k))?;
        let (of_b, ldb) = operand(b_strides, (k, n))?;
        let [m, n, k] = [count("m", m)?, count("n", n)?, count("k", k)?];
        Ok(Call { operations: [of_b, of_a], sizes: [n, m, k], leading: [ldb, lda, n] })
    }
}

impl Cublas {
    /// The library, ready to work on a device.
    ///
    /// # Errors
    /// Where it is not found or does not start.
    pub fn open(gpu: &Gpu) -> Result<Cublas> {
        // SAFETY: this loads the library and asks nothing of it. The crate `cudarc` panics where it is missing.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::NoCublas);
        }
        gpu.bind()?;
        let handle = result::create_handle().map_err(failed("cublasCreate"))?;
        let cublas = Cublas { gpu: gpu.clone(), handle };
        // SAFETY: the handle was made just now, and the stream is open as long as the process runs.
        unsafe { result::set_stream(handle, gpu.stream().cast()) }.map_err(failed("cublasSetStream"))?;
        Ok(cublas)
    }

    /// C = A·B in `f32`, one product; without TF32, as cuBLAS does where it is not asked for it.
    ///
    /// # Errors
    /// Where a size is over 2³¹ or cuBLAS refuses.
    ///
    /// # Panics
    /// As [`crate::matmul::forward`]; where an operand lies neither by rows nor by columns.
    pub fn sgemm(
        &mut self,
        shape: Shape,
        (a, a_strides): (Slice<'_, f32>, Strides),
        (b, b_strides): (Slice<'_, f32>, Strides),
        c: SliceMut<'_, f32>,
    ) -> Result<()> {
        let Call { operations: [of_b, of_a], sizes: [n, m, k], leading: [ldb, lda, ldc] } =
            Call::new(shape, (a.len(), a_strides), (b.len(), b_strides), c.len())?;
        self.begin([a.gpu(), b.gpu(), c.gpu()])?;
        let (one, zero) = (1.0_f32, 0.0_f32);
        let [a, b, c] = [a.address(), b.address(), c.address()];
        // SAFETY: `expect` has shown that the sizes and strides stay in the slices; the factors live until the call returns.
        unsafe {
            result::sgemm(
                self.handle,
                of_b,
                of_a,
                n,
                m,
                k,
                &raw const one,
                b as *const f32,
                ldb,
                a as *const f32,
                lda,
                &raw const zero,
                c as *mut f32,
                ldc,
            )
        }
        .map_err(failed("cublasSgemm"))
    }

    /// C = A·B with operands that are stored in bf16, added in `f32`.
    ///
    /// # Errors
    /// As [`Cublas::sgemm`].
    ///
    /// # Panics
    /// As [`Cublas::sgemm`].
    pub fn gemm_bf16(
        &mut self,
        shape: Shape,
        (a, a_strides): (Slice<'_, bf16>, Strides),
        (b, b_strides): (Slice<'_, bf16>, Strides),
        c: SliceMut<'_, f32>,
    ) -> Result<()> {
        let Call { operations: [of_b, of_a], sizes: [n, m, k], leading: [ldb, lda, ldc] } =
            Call::new(shape, (a.len(), a_strides), (b.len(), b_strides), c.len())?;
        self.begin([a.gpu(), b.gpu(), c.gpu()])?;
        let (one, zero) = (1.0_f32, 0.0_f32);
        let [a, b, c] = [a.address(), b.address(), c.address()];
        let (half, single) = (sys::cudaDataType::CUDA_R_16BF, sys::cudaDataType::CUDA_R_32F);
        // SAFETY: as in `sgemm`; the types of the operands are those of the slices.
        unsafe {
            result::gemm_ex(
                self.handle,
                of_b,
                of_a,
                n,
                m,
                k,
                (&raw const one).cast::<c_void>(),
                b as *const c_void,
                half,
                ldb,
                a as *const c_void,
                half,
                lda,
                (&raw const zero).cast::<c_void>(),
                c as *mut c_void,
                single,
                ldc,
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(failed("cublasGemmEx"))
    }

    fn begin(&self, devices: [&Gpu; 3]) -> Result<()> {
        assert!(devices.iter().all(|gpu| **gpu == self.gpu), "slices of another device");
        self.gpu.bind()
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: the handle comes from `open` and is destroyed once. On a device that has failed nothing is left to do.
            let _ = unsafe { result::destroy_handle(self.handle) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product as the reference BLAS defines it: op(A)·op(B), elements by columns.
    fn by_columns(call: &Call, left: &[f32], right: &[f32], c: &mut [f32]) {
        let [rows, columns, steps] = call.sizes.map(|size| size as usize);
        let [lda, ldb, ldc] = call.leading.map(|size| size as usize);
        let at = |operation: Operation, leading: usize, i: usize, j: usize| match operation {
            Operation::CUBLAS_OP_N => i + j * leading,
            _ => j + i * leading,
        };
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            let term = |p| left[at(call.operations[0], lda, i, p)] * right[at(call.operations[1], ldb, p, j)];
            c[i + j * ldc] = (0..steps).map(term).sum();
        }
    }

    #[test]
    fn every_layout_is_asked_for_as_the_library_counts() {
        let (m, k, n) = (3, 5, 4);
        let shape = Shape { batch: 1, m, n, k };
        let (a, b) = (crate::oracle::values(1, m * k), crate::oracle::values(2, k * n));
        let strides = |row, col| Strides { batch: 0, row, col };
        for a_strides in [strides(k, 1), strides(1, m)] {
            for b_strides in [strides(n, 1), strides(1, k)] {
                let call = Call::new(shape, (m * k, a_strides), (k * n, b_strides), m * n).unwrap();
                let [mut got, mut expected] = [vec![0.0; m * n], vec![0.0; m * n]];
                by_columns(&call, &b, &a, &mut got);
                crate::matmul::naive::forward(shape, &a, a_strides, &b, b_strides, &mut expected, false);
                let close = got.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-5);
                assert!(close, "{a_strides:?} {b_strides:?}: {got:?} {expected:?}");
            }
        }
    }

    #[test]
    #[should_panic = "lies neither by rows nor by columns"]
    fn a_broadcast_operand_is_refused() {
        let _ = operand(Strides { batch: 0, row: 0, col: 0 }, (2, 2));
    }
}
