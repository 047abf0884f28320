//! What products read and write: a batch of them, one of them, and the matrices in memory.

use super::{Shape, Strides};
use crate::Float;
use half::bf16;

/// The matrices of an operand: element (b, i, j) stands at `b·batch + i·row + j·col` of `data`.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a, E = f32> {
    /// The memory, from the first element on.
    pub data: &'a [E],
    /// The steps in it.
    pub strides: Strides,
}

impl<'a, E> Operand<'a, E> {
    /// The matrices in `data` with these steps.
    pub fn new(data: &'a [E], strides: Strides) -> Operand<'a, E> {
        Operand { data, strides }
    }

    /// Matrix `index` of the batch.
    pub(super) fn matrix(&self, index: usize) -> View<'a, E> {
        let Strides { batch, row, col } = self.strides;
        View { data: &self.data[index * batch..], row, col }
    }
}

/// A batch of products, the argument of a rung: C\[b\] = A\[b\]·B\[b\], or C\[b\] += A\[b\]·B\[b\] with `add`.
#[derive(Debug)]
pub struct Products<'a, E = f32, B = E> {
    /// The sizes.
    pub shape: Shape,
    /// A: batch matrices of m×k.
    pub a: Operand<'a, E>,
    /// B: batch matrices of k×n, maybe stored in another type.
    pub b: Operand<'a, B>,
    /// C: batch matrices of m×n, contiguous.
    pub c: &'a mut [E],
    /// Whether the products are added to C.
    pub add: bool,
}

/// How many elements a slice needs for `counts` and `strides`; `None` where that is no number.
pub(super) fn span(counts: [usize; 3], strides: Strides) -> Option<usize> {
    if counts.contains(&0) {
        return Some(0);
    }
    let steps = [strides.batch, strides.row, strides.col];
    counts.iter().zip(steps).try_fold(1_usize, |end, (&count, step)| end.checked_add((count - 1).checked_mul(step)?))
}

/// Panics unless operands of these lengths, read with these strides, have all elements of the shape, and C has exactly its own.
pub(crate) fn expect(shape: Shape, a: (usize, Strides), b: (usize, Strides), c: usize) {
    let Shape { batch, m, n, k } = shape;
    let check = |name, counts, (len, strides): (usize, Strides)| {
        let enough = span(counts, strides).is_some_and(|end| end <= len);
        assert!(enough, "matmul: {name}, {len} elements, {strides:?}: {shape:?}");
    };
    check("A", [batch, m, k], a);
    check("B", [batch, k, n], b);
    let outputs = if c == 0 && [batch, m, n].contains(&0) {
        Some(0)
    } else {
        batch.checked_mul(m).and_then(|rows| rows.checked_mul(n))
    };
    assert_eq!(Some(c), outputs, "matmul: elements of C, contiguous: {shape:?}");
}

impl<E: Float, B> Products<'_, E, B> {
    /// Checks the slices against the shape, sets C to zero unless it is added to where K = 0, and says whether there is
    /// anything left to do.
    pub(super) fn begin(&mut self) -> bool {
        let (a, b) = (&self.a, &self.b);
        expect(self.shape, (a.data.len(), a.strides), (b.data.len(), b.strides), self.c.len());
        let k = self.shape.k;
        if k == 0 && !self.add {
            self.c.fill(E::zero());
        }
        !self.c.is_empty() && k > 0
    }
}

impl<'a, B> Products<'a, f32, B> {
    /// Checks the slices as [`Self::begin`], and calls `one` for every product.
    pub(super) fn for_each(mut self, mut one: impl FnMut(Product<'_, View<'a, B>>)) {
        if self.begin() {
            let Products { shape, a, b, c, add } = self;
            for (index, c) in c.chunks_exact_mut(shape.m * shape.n).enumerate() {
                one(Product { shape: Shape { batch: 1, ..shape }, a: a.matrix(index), b: b.matrix(index), c, add });
            }
        }
    }

    /// A batch that shares B, its A one below the other, as one product with more rows.
    pub(super) fn folded(self) -> Self {
        let Shape { batch, m, .. } = self.shape;
        let below = m.checked_mul(self.a.strides.row) == Some(self.a.strides.batch);
        let shape = if self.b.strides.batch == 0 && below {
            Shape { batch: 1, m: batch * m, ..self.shape }
        } else {
            self.shape
        };
        Products { shape, ..self }
    }

    /// The product of a batch of one.
    pub(super) fn single(self) -> Product<'a, View<'a, B>> {
        assert_eq!(self.shape.batch, 1, "one product");
        let Products { shape, a, b, c, add } = self;
        Product { shape, a: a.matrix(0), b: b.matrix(0), c, add }
    }
}

/// One product, C = A·B, or C += A·B with `add`; none of its sizes is 0.
pub(super) struct Product<'a, B = View<'a>> {
    pub(super) shape: Shape,
    pub(super) a: View<'a>,
    pub(super) b: B,
    pub(super) c: &'a mut [f32],
    pub(super) add: bool,
}

impl<'a, B: Into<Source<'a>>> Product<'a, B> {
    /// The product with a B of any type.
    pub(super) fn of_any_type(self) -> Product<'a, Source<'a>> {
        let Product { shape, a, b, c, add } = self;
        Product { shape, a, b: b.into(), c, add }
    }
}

/// A matrix inside a slice, element (i, j) at `i·row + j·col`.
#[derive(Clone, Copy)]
pub(super) struct View<'a, E = f32> {
    pub(super) data: &'a [E],
    pub(super) row: usize,
    pub(super) col: usize,
}

impl<'a, E> View<'a, E> {
    /// The matrix from this element on.
    pub(super) fn from(self, row: usize, col: usize) -> View<'a, E> {
        View { data: &self.data[row * self.row + col * self.col..], ..self }
    }

    /// Rows and columns swapped.
    pub(super) fn transposed(self) -> View<'a, E> {
        View { row: self.col, col: self.row, ..self }
    }
}

/// A matrix that is packed, in either type.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    F32(View<'a>),
    Bf16(View<'a, bf16>),
}

impl<'a> From<View<'a>> for Source<'a> {
    fn from(view: View<'a>) -> Source<'a> {
        Source::F32(view)
    }
}

impl<'a> From<View<'a, bf16>> for Source<'a> {
    fn from(view: View<'a, bf16>) -> Source<'a> {
        Source::Bf16(view)
    }
}

impl<'a> Source<'a> {
    /// The matrix from this element on.
    pub(super) fn from(self, row: usize, col: usize) -> Source<'a> {
        match self {
            Source::F32(view) => Source::F32(view.from(row, col)),
            Source::Bf16(view) => Source::Bf16(view.from(row, col)),
        }
    }

    /// Rows and columns swapped.
    pub(super) fn transposed(self) -> Source<'a> {
        match self {
            Source::F32(view) => Source::F32(view.transposed()),
            Source::Bf16(view) => Source::Bf16(view.transposed()),
        }
    }

    /// Itself, where it is of that type.
    pub(super) fn as_f32(self) -> Option<View<'a>> {
        match self {
            Source::F32(view) => Some(view),
            Source::Bf16(_) => None,
        }
    }
}
