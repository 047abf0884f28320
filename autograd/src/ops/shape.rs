//! Views, and tensors put together. A view's gradient is the view undone; nothing is saved but shapes.

use crate::gradcheck::{Case, Op};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
use gradus_tensor::layout::Dims;
use std::ops::Range;

fn dims(sizes: &[usize]) -> Dims {
    sizes.iter().copied().collect()
}

impl Var {
    /// The same elements under another shape; a view where the strides allow it, else a copy.
    ///
    /// # Panics
    /// Where the number of elements differs.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Var {
        let x = self.value();
        let y = x.try_reshape(shape).unwrap_or_else(|_| x.contiguous().reshape(shape));
        record(&[self], y, |_| View::Reshape { shape: dims(x.shape()) })
    }

    /// The axes in another order.
    ///
    /// # Panics
    /// Where `axes` is no permutation.
    #[track_caller]
    pub fn permute(&self, axes: &[usize]) -> Var {
        record(&[self], self.value().permute(axes), |_| {
            let mut inverse = dims(axes);
            axes.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
            View::Permute { inverse }
        })
    }

    /// Two axes exchanged.
    ///
    /// # Panics
    /// Where there is no such axis.
    #[track_caller]
    pub fn transpose(&self, a: usize, b: usize) -> Var {
        record(&[self], self.value().transpose(a, b), |y| {
            let mut inverse: Dims = (0..y.rank()).collect();
            inverse.swap(a, b);
            View::Permute { inverse }
        })
    }

    /// The elements `range` along `axis`.
    ///
    /// # Panics
    /// Where there is no such axis, or the range leaves it.
    #[track_caller]
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Var {
        let x = self.value();
        record(&[self], x.slice(axis, range.clone()), |_| View::Slice { axis, range, shape: dims(x.shape()) })
    }

    /// The parts of `sizes` elements along `axis`.
    ///
    /// # Panics
    /// Where there is no such axis, or the sizes do not add up to it.
    #[track_caller]
    pub fn split(&self, axis: usize, sizes: &[usize]) -> Vec<Var> {
        let mut start = 0;
        let part = |value: Tensor| {
            let range = start..start + value.shape()[axis];
            start = range.end;
            record(&[self], value, |_| View::Slice { axis, range, shape: dims(self.shape()) })
        };
        self.value().split(axis, sizes).into_iter().map(part).collect()
    }

    /// Axes of size 1 repeated, and axes added in front.
    ///
    /// # Panics
    /// Where an axis has another size.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Var {
        let x = self.value();
        record(&[self], x.broadcast_to(shape), |_| View::Broadcast { shape: dims(x.shape()) })
    }

    /// The values one after another along `axis`.
    ///
    /// # Panics
    /// Where the other axes differ.
    #[track_caller]
    pub fn concat(parts: &[&Var], axis: usize) -> Var {
        let values: Vec<&Tensor> = parts.iter().map(|part| part.value()).collect();
        let y = crate::ok(gradus_tensor::ops::shape::concat(&values, axis));
        record(parts, y, |_| Concat { axis, sizes: values.iter().map(|value| value.shape()[axis]).collect() })
    }
}

enum View {
    Reshape { shape: Dims },
    Permute { inverse: Dims },
    Slice { axis: usize, range: Range<usize>, shape: Dims },
    Broadcast { shape: Dims },
}

impl Backward for View {
    fn op(&self) -> &'static Op {
        match self {
            View::Reshape { .. } => RESHAPE,
            View::Permute { .. } => PERMUTE,
            View::Slice { .. } => SLICE,
            View::Broadcast { .. } => BROADCAST_TO,
        }
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let dx = match *self {
            View::Reshape { shape } => dy.try_reshape(&shape).unwrap_or_else(|_| dy.contiguous().reshape(&shape)),
            View::Permute { inverse } => dy.permute(&inverse),
            View::Broadcast { shape } => dy.sum_to(&shape),
            View::Slice { axis, range, shape } => {
                let zeros = |size: usize| {
                    let mut shape = shape;
                    shape[axis] = size;
                    dy.new_zeros(&shape)
                };
                let (before, after) = (zeros(range.start), zeros(shape[axis] - range.end));
                crate::ok(gradus_tensor::ops::shape::concat(&[&before, &dy, &after], axis))
            }
        };
        vec![Some(dx)]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        Vec::new()
    }
}

struct Concat {
    axis: usize,
    sizes: Vec<usize>,
}

impl Backward for Concat {
    fn op(&self) -> &'static Op {
        CONCAT
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        dy.split(self.axis, &self.sizes).into_iter().map(Some).collect()
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        Vec::new()
    }
}

const RESHAPE: &Op = &Op {
    name: "reshape",
    formula: "y = x under another shape",
    cases: || {
        vec![
            Case::new("a view", &[&[3, 4]], |x| x[0].reshape(&[2, 6])),
            Case::new("a copy", &[&[3, 4]], |x| x[0].transpose(0, 1).reshape(&[6, 2]).exp()),
            Case::new("empty", &[&[0, 4]], |x| x[0].reshape(&[2, 0])),
        ]
    },
};

const PERMUTE: &Op = &Op {
    name: "permute",
    formula: "y = x with the axes in another order",
    cases: || vec![Case::new("three axes", &[&[2, 3, 5]], |x| x[0].permute(&[2, 0, 1]).exp())],
};

const SLICE: &Op = &Op {
    name: "slice",
    formula: "y = x[.., a..b, ..]",
    cases: || {
        vec![
            Case::new("the middle", &[&[3, 7]], |x| x[0].slice(1, 2..5).exp()),
            Case::new("nothing", &[&[3, 7]], |x| x[0].slice(0, 1..1)),
            Case::new("split and used again", &[&[5, 2]], |x| {
                let parts = x[0].split(0, &[2, 3]);
                &parts[0].sum(&[0], false) * &parts[1].sum(&[0], false)
            }),
        ]
    },
};

const BROADCAST_TO: &Op = &Op {
    name: "broadcast_to",
    formula: "y = x repeated",
    cases: || {
        vec![
            Case::new("new and repeated axes", &[&[3, 1]], |x| x[0].broadcast_to(&[2, 3, 4]).exp()),
            Case::new("repeated no times", &[&[3, 1]], |x| x[0].broadcast_to(&[2, 3, 0]).exp()),
            Case::new("empty", &[&[0, 1]], |x| x[0].broadcast_to(&[2, 0, 4]).exp()),
        ]
    },
};

const CONCAT: &Op = &Op {
    name: "concat",
    formula: "y = a, b, … one after another",
    cases: || {
        vec![
            Case::new("the last axis", &[&[3, 2], &[3, 5]], |x| Var::concat(&[&x[0], &x[1]], 1).exp()),
            Case::new("views, one empty", &[&[2, 3], &[0, 2]], |x| {
                Var::concat(&[&x[0].transpose(0, 1), &x[1]], 0).exp()
            }),
        ]
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[RESHAPE, PERMUTE, SLICE, BROADCAST_TO, CONCAT];
