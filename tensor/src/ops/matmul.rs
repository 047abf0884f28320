//! The matrix product, plain and batched, of views in any layout, at either [`Precision`], and with weights that are
//! stored in bf16.

use super::{not_a_float, run, same_device, same_dtype};
use crate::error::panicking;
use crate::layout::{Dims, broadcast_shapes};
use crate::{DType, Error, Precision, Result, Tensor};
use gradus_kernels::matmul::{Shape, Strides};

impl Tensor {
    /// C = A·B over the last two axes, [.., M, K] × [.., K, N] → [.., M, N]; the axes before them are broadcast.
    ///
    /// Transposed operands are views and cost nothing: `a.matmul(&b.transpose(0, 1))` is the layout NT.
    ///
    /// B may be stored in bf16 where A is `f32`: A is then rounded as well, and C is `f32`.
    ///
    /// # Errors
    /// Where an operand has fewer than two axes, the inner sizes differ, or the batch axes do not broadcast.
    pub fn try_matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.try_matmul_at(other, Precision::F32)
    }

    /// [`Tensor::try_matmul`] with operands rounded to `precision`, where they are `f32`.
    ///
    /// # Errors
    /// As [`Tensor::try_matmul`].
    pub fn try_matmul_at(&self, other: &Tensor, precision: Precision) -> Result<Tensor> {
        let (a, b) = (self, other);
        check_types("matmul", a, b)?;
        let error = |problem: &str| Error::new("matmul", problem).shape(a.shape()).shape(b.shape());
        if a.rank() < 2 || b.rank() < 2 {
            return Err(error("both need at least two axes").hint("reshape a vector to one row or one column"));
        }
        let (a_batch, [m, k]) = split(a.shape());
        let (b_batch, [k_b, n]) = split(b.shape());
        if k != k_b {
            return Err(error("inner sizes differ").axis(a.rank() - 1).hint(format!("{k} ≠ {k_b}")));
        }
        let batch = broadcast_shapes("matmul", a_batch, b_batch)?;
        let mut shape = batch;
        shape.try_extend(&[m, n]).map_err(|_| error("too many axes"))?;
        let mut c = a.new_empty(&shape)?;

        // One weight for all of the batch: the batch is more rows of A.
        let rows: usize = batch.iter().product::<usize>() * m;
        if b_batch.iter().all(|&size| size == 1)
            && let Ok(flat) = a.broadcast_to(&[&batch[..], &[m, k]].concat()).try_reshape(&[rows, k])
        {
            let flat_b = b.reshape(&[k, n]);
            product(
                (&flat).into(),
                (&flat_b).into(),
                Shape { batch: 1, m: rows, n, k },
                c.data_mut_from(0),
                precision,
            )?;
            return Ok(c);
        }
        let a = a.broadcast_to(&[&batch[..], &[m, k]].concat());
        let b = b.broadcast_to(&[&batch[..], &[k, n]].concat());
        let shape = |batch: usize| Shape { batch, m, n, k };
        // The kernel walks one batch axis; where the others do not merge with it, each of their elements is a call.
        let (outer, inner) = batch.split_at(batch.len().saturating_sub(1));
        let total: usize = batch.iter().product();
        if let (Ok(a), Ok(b)) = (a.try_reshape(&[total, m, k]), b.try_reshape(&[total, k, n])) {
            product((&a).into(), (&b).into(), shape(total), c.data_mut_from(0), precision)?;
            return Ok(c);
        }
        let inner: usize = inner.iter().product();
        for i in 0..outer.iter().product() {
            let (mut a, mut b) = (a.clone(), b.clone());
            for (axis, &index) in indices(outer, i).iter().enumerate() {
                a = a.slice(axis, index..index + 1);
                b = b.slice(axis, index..index + 1);
            }
            let (a, b) = (a.reshape(&[inner, m, k]), b.reshape(&[inner, k, n]));
            product((&a).into(), (&b).into(), shape(inner), c.data_mut_from(i * inner * m * n), precision)?;
        }
        Ok(c)
    }
}

panicking! { Tensor {
    matmul = try_matmul(other: &Tensor) -> Tensor;
    matmul_at = try_matmul_at(other: &Tensor, precision: Precision) -> Tensor;
} }

/// y = x·Wᵀ: x [.., K], `weight` [N, K] → [.., N]. All rows of x are one matrix product. `weight` may be stored in bf16.
///
/// It is what decoding does most, on one row, so it makes no views on the way.
///
/// # Errors
/// Where x has no axis, the weight not two, or the inner sizes differ.
pub fn linear(x: &Tensor, weight: &Tensor, precision: Precision) -> Result<Tensor> {
    check_types("linear", x, weight)?;
    let error = |problem: &str| Error::new("linear", problem).shape(x.shape()).shape(weight.shape());
    let ([leading @ .., k], [n, k_weight]) = (x.shape(), weight.shape()) else {
        return Err(error("x needs the axes [.., K], the weight [N, K]"));
    };
    if k != k_weight {
        return Err(error("inner sizes differ").axis(x.rank() - 1).hint(format!("{k} ≠ {k_weight}")));
    }
    let mut shape: Dims = leading.iter().copied().collect();
    shape.push(*n);
    let x = x.contiguous();
    let mut y = x.new_empty(&shape)?;
    let shape = Shape { batch: 1, m: leading.iter().product(), n: *n, k: *k };
    let [row, col] = [weight.layout().strides()[0], weight.layout().strides()[1]];
    let a = Operand { tensor: &x, strides: Strides { batch: 0, row: *k, col: 1 } };
    let transposed = Operand { tensor: weight, strides: Strides { batch: 0, row: col, col: row } };
    product(a, transposed, shape, y.data_mut_from(0), precision)?;
    Ok(y)
}

fn check_types(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    match (a.dtype(), b.dtype()) {
        (DType::F32, DType::Bf16) => same_device(op, a, b),
        (DType::Bf16, _) => Err(not_a_float(op, DType::Bf16).hint("only its right operand may be bf16")),
        _ => same_dtype(op, a, b),
    }
}

/// A tensor, and the steps in it from matrix to matrix, row to row and column to column.
#[derive(Clone, Copy)]
struct Operand<'a> {
    tensor: &'a Tensor,
    strides: Strides,
}

/// Of two axes or three.
impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(tensor: &'a Tensor) -> Operand<'a> {
        let s = tensor.layout().strides();
        let (row, col) = (s[s.len() - 2], s[s.len() - 1]);
        Operand { tensor, strides: Strides { batch: if s.len() == 3 { s[0] } else { 0 }, row, col } }
    }
}

/// An output and where in it to begin.
struct Output<'a> {
    tensor: &'a mut Tensor,
    from: usize,
}

impl Tensor {
    fn data_mut_from(&mut self, from: usize) -> Output<'_> {
        Output { tensor: self, from }
    }
}

fn product(a: Operand<'_>, b: Operand<'_>, shape: Shape, c: Output<'_>, precision: Precision) -> Result<()> {
    let (Operand { tensor: a, strides: a_strides }, Operand { tensor: b, strides: b_strides }) = (a, b);
    let Output { tensor: c, from } = c;
    let elements = from..from + shape.batch * shape.m * shape.n;
    match (b.dtype(), precision) {
        (DType::Bf16, _) => {
            run!(f32 a, matmul::bf16::forward_stored(shape, a.data(), a_strides, b.data(), b_strides, c.data_mut_at(elements.clone()), false));
        }
        (DType::F32, Precision::Bf16) => {
            run!(f32 a, matmul::bf16::forward(shape, a.data(), a_strides, b.data(), b_strides, c.data_mut_at(elements.clone()), false));
        }
        _ => run!(
            "matmul",
            a,
            matmul::forward(shape, a.data(), a_strides, b.data(), b_strides, c.data_mut_at(elements.clone()), false)
        ),
    }
    Ok(())
}

fn split(shape: &[usize]) -> (&[usize], [usize; 2]) {
    let (batch, matrix) = shape.split_at(shape.len() - 2);
    (batch, [matrix[0], matrix[1]])
}

/// The index along each axis of element `i` of a shape, row-major.
fn indices(shape: &[usize], mut i: usize) -> Dims {
    let mut indices: Dims = shape.iter().copied().collect();
    for axis in (0..shape.len()).rev() {
        indices[axis] = i % shape[axis];
        i /= shape[axis];
    }
    indices
}
