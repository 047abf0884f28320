//! Element by element. A derivative is computed from the input, from the output, or from nothing, and only that is saved.

use crate::gradcheck::{Case, Op, beside};
use crate::kept::Kept;
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
use gradus_tensor::layout::Dims;
use gradus_tensor::ops::elementwise::{Binary, Domain, Saves, Unary, unary_backward};

impl Var {
    /// op(x) for each element.
    ///
    /// # Panics
    /// For indices.
    #[track_caller]
    pub fn unary(&self, op: Unary) -> Var {
        let x = self.value();
        let y = record(&[self], x.unary(op), |y| {
            let saved = match op.saves() {
                Saves::Nothing => None,
                Saves::Input => Some(x.clone()),
                Saves::Output => Some(y.clone()),
            };
            UnaryBackward { op, saved }
        });
        match op.saves() {
            Saves::Input => y.with_recipe(|| {
                let x = x.clone();
                move || x.unary(op)
            }),
            Saves::Nothing | Saves::Output => y,
        }
    }

    /// op(a, b) for each element, under NumPy's broadcasting.
    ///
    /// # Panics
    /// Where the shapes do not broadcast, or for a comparison of tracked values (its derivative is 0 everywhere).
    #[track_caller]
    pub fn binary(&self, op: Binary, other: &Var) -> Var {
        let (a, b) = (self.value(), other.value());
        let output = record(&[self, other], a.binary(op, b), |y| {
            let keep = |wanted: bool, x: &Var| wanted.then(|| x.keep());
            use Binary::*;
            assert!(!matches!(op, Gt | Ge | Eq), "{op:?} has no derivative: compare detached values");
            BinaryBackward {
                op,
                shapes: [a, b].map(|t| t.shape().iter().copied().collect()),
                a: keep(matches!(op, Pow | Max | Min) || (op == Mul && other.is_tracked()), self),
                b: keep(matches!(op, Div | Pow | Max | Min) || (op == Mul && self.is_tracked()), other),
                y: matches!(op, Div | Pow).then(|| y.clone()),
            }
        });
        // A gate such as that of SwiGLU: both factors are kept for their gradients, and their product need not be.
        if op != Binary::Mul || !self.is_tracked() || !other.is_tracked() {
            return output;
        }
        output.with_recipe(|| {
            let (a, b) = (self.keep(), other.keep());
            move || &a.get() * &b.get()
        })
    }

    /// The larger of each pair, NaN where either is; equal elements share the gradient, and beside a NaN both get all of it.
    #[track_caller]
    pub fn maximum(&self, other: &Var) -> Var {
        self.binary(Binary::Max, other)
    }

    /// The smaller of each pair; in all else as [`Var::maximum`].
    #[track_caller]
    pub fn minimum(&self, other: &Var) -> Var {
        self.binary(Binary::Min, other)
    }

    /// aᵇ. The derivative by a is 0 where b is 0, at any a; that by b is 0 where a is 0 and b is not negative.
    #[track_caller]
    pub fn pow(&self, exponent: &Var) -> Var {
        self.binary(Binary::Pow, exponent)
    }

    /// `self` where `condition` is not zero, `other` elsewhere; all are broadcast.
    #[track_caller]
    pub fn where_(&self, condition: &Tensor, other: &Var) -> Var {
        record(&[self, other], condition.select(self.value(), other.value()), |_| Where {
            condition: condition.clone(),
            shapes: [self, other].map(|v| v.shape().iter().copied().collect()),
        })
    }
}

macro_rules! define_unary {
    ($(
        $(#[$doc:meta])*
        $Op:ident {
            method: $method:ident, formula: $formula:literal, derivative: $derivative:literal, $($_rest:tt)*
        }
        scalar $_scalar:tt
        vector $_vector:tt
    )*) => {
        /// The functions of one number.
        impl Var {$(
            #[doc = concat!("y = ", $formula, "; dy/dx = ", $derivative, ".\n\n")]
            $(#[$doc])*
            #[track_caller]
            pub fn $method(&self) -> Var {
                self.unary(Unary::$Op)
            }
        )*}

        const fn unary_op(op: Unary) -> &'static Op {
            match op {
                $(Unary::$Op => const {
                    &Op {
                        name: Unary::$Op.name(),
                        formula: concat!("y = ", $formula),
                        cases: || unary_cases(Unary::$Op),
                    }
                },)*
            }
        }

        /// The operations of this file, for the registry.
        pub const OPS: &[&Op] = &[
            $(unary_op(Unary::$Op),)*
            binary_op(Binary::Add),
            binary_op(Binary::Sub),
            binary_op(Binary::Mul),
            binary_op(Binary::Div),
            binary_op(Binary::Pow),
            binary_op(Binary::Max),
            binary_op(Binary::Min),
            WHERE,
        ];
    };
}
gradus_kernels::unary_functions!(define_unary);

macro_rules! operators {
    ($($trait:ident :: $method:ident = $op:ident),*) => {$(
        impl std::ops::$trait<&Var> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: &Var) -> Var {
                self.binary(Binary::$op, other)
            }
        }
        impl std::ops::$trait<f64> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: f64) -> Var {
                self.binary(Binary::$op, &Var::constant(self.value().new_full(other, &[])))
            }
        }
    )*};
}
operators!(Add::add = Add, Sub::sub = Sub, Mul::mul = Mul, Div::div = Div);

impl std::ops::Neg for &Var {
    type Output = Var;
    fn neg(self) -> Var {
        self.unary(Unary::Neg)
    }
}

struct UnaryBackward {
    op: Unary,
    saved: Option<Tensor>,
}

impl Backward for UnaryBackward {
    fn op(&self) -> &'static Op {
        unary_op(self.op)
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        vec![Some(crate::ok(unary_backward(self.op, self.saved.as_ref(), dy)))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        let name = if matches!(self.op.saves(), Saves::Output) { "y" } else { "x" };
        self.saved.iter().map(|tensor| (name, tensor)).collect()
    }
}

struct BinaryBackward {
    op: Binary,
    shapes: [Dims; 2],
    a: Option<Kept>,
    b: Option<Kept>,
    y: Option<Tensor>,
}

impl BinaryBackward {
    /// The gradients in the broadcast shape; they are summed down to the shapes of the inputs afterwards.
    fn gradients(&self, dy: &Tensor, needed: &[bool]) -> [Option<Tensor>; 2] {
        let saved = |kept: &Option<Kept>| kept.as_ref().expect("saved in the forward pass").get();
        let output = || self.y.clone().expect("saved in the forward pass");
        let [need_a, need_b] = [needed[0], needed[1]];
        match self.op {
            Binary::Add => [need_a.then(|| dy.clone()), need_b.then(|| dy.clone())],
            Binary::Sub => [need_a.then(|| dy.clone()), need_b.then(|| -dy)],
            Binary::Mul => [need_a.then(|| dy * &saved(&self.b)), need_b.then(|| dy * &saved(&self.a))],
            Binary::Div => {
                let b = saved(&self.b);
                // y / b first: dy / b may be infinite where y is 0.
                [need_a.then(|| dy / &b), need_b.then(|| -&(dy * &(&output() / &b)))]
            }
            Binary::Pow => {
                let (a, b, y) = (saved(&self.a), saved(&self.b), output());
                let zero = a.new_zeros(&[]);
                // a⁰ is 1 whatever a is, also where b·aᵇ⁻¹ is 0·∞.
                let da = need_a.then(|| {
                    let slope = &b * &a.binary(Binary::Pow, &(&b - 1.0));
                    b.binary(Binary::Eq, &zero).select(&zero, &(dy * &slope))
                });
                // 0ᵇ does not depend on b ≥ 0, where y·ln 0 is 0·−∞.
                let db = need_b.then(|| {
                    let constant = &a.binary(Binary::Eq, &zero) * &b.binary(Binary::Ge, &zero);
                    dy * &constant.select(&zero, &(&y * &a.unary(Unary::Ln)))
                });
                [da, db]
            }
            Binary::Max | Binary::Min => {
                let (a, b, zero) = (saved(&self.a), saved(&self.b), dy.new_zeros(&[]));
                // 0 where the other is taken, ½ where both are equal, else 1: for both where one is NaN.
                let share = |own: &Tensor, other: &Tensor| {
                    let (high, low) = if self.op == Binary::Max { (other, own) } else { (own, other) };
                    let lost = &high.binary(Binary::Gt, low) + &high.binary(Binary::Ge, low);
                    let share = &(&lost * -0.5) + 1.0;
                    share.select(&(dy * &share), &zero)
                };
                [need_a.then(|| share(&a, &b)), need_b.then(|| share(&b, &a))]
            }
            Binary::Gt | Binary::Ge | Binary::Eq => unreachable!("refused when it was recorded"),
        }
    }
}

impl Backward for BinaryBackward {
    fn op(&self) -> &'static Op {
        binary_op(self.op)
    }

    fn backward(self: Box<Self>, dy: Tensor, needed: &[bool]) -> Vec<Option<Tensor>> {
        let gradients = self.gradients(&dy, needed);
        gradients.into_iter().zip(&self.shapes).map(|(g, shape)| Some(g?.sum_to(shape))).collect()
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        let [a, b] = [&self.a, &self.b].map(|kept| kept.as_ref().and_then(Kept::value));
        let all = [("a", a), ("b", b), ("y", self.y.as_ref())];
        all.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))).collect()
    }
}

struct Where {
    condition: Tensor,
    shapes: [Dims; 2],
}

impl Backward for Where {
    fn op(&self) -> &'static Op {
        WHERE
    }

    fn backward(self: Box<Self>, dy: Tensor, needed: &[bool]) -> Vec<Option<Tensor>> {
        let zero = dy.new_zeros(&[]);
        let da = needed[0].then(|| self.condition.select(&dy, &zero).sum_to(&self.shapes[0]));
        let db = needed[1].then(|| self.condition.select(&zero, &dy).sum_to(&self.shapes[1]));
        vec![da, db]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("condition", &self.condition)]
    }
}

fn unary_cases(op: Unary) -> Vec<Case> {
    // None of the values is near 0, where relu and |x| have no derivative.
    let (scale, shift) = if op.domain() == Domain::Positive { (0.9, 1.5) } else { (2.0, 0.05) };
    vec![
        Case::scaled("odd size", &[&[7, 3]], scale, shift, move |x| x[0].unary(op)),
        Case::scaled("one element", &[&[1]], scale, shift, move |x| x[0].unary(op)),
        Case::scaled("a transposed view", &[&[3, 5]], scale, shift, move |x| x[0].transpose(0, 1).unary(op)),
        Case::scaled("empty", &[&[0, 4]], scale, shift, move |x| x[0].unary(op)),
    ]
}

fn binary_cases(op: Binary) -> Vec<Case> {
    let (scale, shift) = if matches!(op, Binary::Div | Binary::Pow) { (0.8, 1.5) } else { (1.0, 0.0) };
    let case = |name, shapes: &[&[usize]]| Case::scaled(name, shapes, scale, shift, move |x| x[0].binary(op, &x[1]));
    vec![
        case("one shape", &[&[5, 7], &[5, 7]]),
        case("a row", &[&[5, 7], &[7]]),
        case("a column", &[&[5, 1], &[5, 7]]),
        case("both repeated", &[&[3, 1, 5], &[2, 1]]),
        case("a number", &[&[2, 3], &[]]),
        case("empty", &[&[0, 3], &[3]]),
        Case::scaled("a transposed view", &[&[4, 3], &[3, 4]], scale, shift, move |x| {
            x[0].transpose(0, 1).binary(op, &x[1])
        }),
        Case::scaled("with itself", &[&[3, 4]], scale, shift, move |x| {
            x[0].binary(op, &x[0].transpose(0, 1).permute(&[1, 0]))
        }),
    ]
}

const WHERE: &Op = &Op {
    name: "where",
    formula: "y = condition ? a : b",
    cases: || {
        let condition = Tensor::from_slice(&[1.0_f64, 0.0, 1.0], &[3]);
        vec![Case::new("broadcast", &[&[2, 3], &[2, 1]], move |x| x[0].where_(&beside(x, &condition), &x[1]))]
    },
};

macro_rules! binary_ops {
    ($($Op:ident)*) => {
        const fn binary_op(op: Binary) -> &'static Op {
            match op {
                $(Binary::$Op => const {
                    let op = Binary::$Op;
                    &Op { name: op.name(), formula: op.formula(), cases: || binary_cases(Binary::$Op) }
                },)*
                Binary::Gt | Binary::Ge | Binary::Eq => panic!("refused when it was recorded"),
            }
        }
    };
}
binary_ops! { Add Sub Mul Div Pow Max Min }
