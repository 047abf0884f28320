//! Chapter one: reverse-mode differentiation of scalars, whole, in one short file.
//!
//! A [`Tape`] records every operation as it happens. A [`Value`] is a number and its place on the tape. The tape keeps,
//! for each number, where it came from (at most two parents) and how fast it changes with each of them: the local
//! derivatives, known the moment the operation runs. [`Value::backward`] walks the tape once from the end and multiplies
//! along the way: the chain rule. The cost is that of the forward pass, for the derivatives with respect to *all* inputs.
//!
//! micrograd's example, with its answers:
//! ```
//! use gradus_autograd::scalar::Tape;
//! let tape = Tape::new();
//! let (a, b) = (tape.value(-4.0), tape.value(2.0));
//! let mut c = a + b;
//! let mut d = a * b + b.powf(3.0);
//! c = c + (c + 1.0);
//! c = c + (1.0 + c - a);
//! d = d + (d * 2.0 + (b + a).relu());
//! d = d + (3.0 * d + (b - a).relu());
//! let f = (c - d).powf(2.0);
//! let g = f / 2.0 + 10.0 / f;
//! let gradients = g.backward();
//! assert_eq!(format!("{:.4}", g.data()), "24.7041");
//! assert_eq!(format!("{:.4}", gradients.of(a)), "138.8338"); // raise a by a little, and g rises 138.8 times as much
//! assert_eq!(format!("{:.4}", gradients.of(b)), "645.5773");
//! ```
//!
//! # Why in reverse topological order?
//! A number may be used many times. Its gradient is complete only when *all* of its users have handed theirs down;
//! passing on a partial one would lose the rest. So every user must come first. In `b = a + a; c = b + b`, `b` passes its
//! gradient on to `a` after both uses in `c` have been counted. Here the order costs nothing: an operation can only use
//! what is on the tape already, so the order of recording is topological, and its reverse is what we need. There is no
//! graph search and no recursion to overflow the stack.
//!
//! # Why accumulate?
//! When `a` changes, `b = a + a` changes through both terms, and the effects add up (the chain rule of several
//! variables): ∂b/∂a = 1 + 1. Assigning instead of adding would leave 1, the contribution of the last use alone; for
//! `c = b + b` it would give ∂c/∂a = 1 instead of 4.
//!
//! What this is not: fast. A node per number is what the rest of this crate avoids with a node per *tensor*; nothing
//! else changes. Sources: Linnainmaa (1970) for the method, Wengert (1964) for the list, Karpathy's micrograd for the
//! example.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// One recorded number: its parents' places on the tape, each with the local derivative ∂self/∂parent.
type Node = [Option<(usize, f64)>; 2];

/// The list of recorded operations, in the order in which they ran.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: RefCell<Vec<Node>>,
}

/// A number on a tape. It is `Copy`: using it twice is writing it twice.
#[derive(Clone, Copy, Debug)]
pub struct Value<'t> {
    tape: &'t Tape,
    id: usize,
    data: f64,
}

/// The derivatives of one result with respect to everything recorded before it.
#[derive(Debug)]
pub struct Gradients<'t> {
    tape: &'t Tape,
    /// `None` where the result does not depend on the number.
    gradients: Vec<Option<f64>>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records an input: a number without parents.
    pub fn value(&self, data: f64) -> Value<'_> {
        self.push(data, [None, None])
    }

    /// How many numbers are on it.
    pub fn count(&self) -> usize {
        self.nodes.borrow().len()
    }

    fn push(&self, data: f64, node: Node) -> Value<'_> {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(node);
        Value { tape: self, id: nodes.len() - 1, data }
    }
}

impl<'t> Value<'t> {
    /// The number itself.
    pub fn data(self) -> f64 {
        self.data
    }

    /// ∂self/∂v for every `v` on the tape up to here: one walk, from this value back to the first. It may be asked for again.
    pub fn backward(self) -> Gradients<'t> {
        let mut gradients = vec![None; self.id + 1];
        gradients[self.id] = Some(1.0); // ∂self/∂self
        for (id, node) in self.tape.nodes.borrow()[..=self.id].iter().enumerate().rev() {
            let Some(from_above) = gradients[id] else { continue }; // not on the way to `self`
            for &(parent, local) in node.iter().flatten() {
                *gradients[parent].get_or_insert(0.0) += from_above * local;
            }
        }
        Gradients { tape: self.tape, gradients }
    }

    /// selfᵏ for a constant k; d/dx xᵏ = k·xᵏ⁻¹.
    pub fn powf(self, k: f64) -> Self {
        let slope = if k == 0.0 { 0.0 } else { k * self.data.powf(k - 1.0) }; // x⁰ is 1 even at 0, where 0·0⁻¹ is no number
        self.unary(self.data.powf(k), slope)
    }

    /// eˣ, its own derivative.
    pub fn exp(self) -> Self {
        self.unary(self.data.exp(), self.data.exp())
    }

    /// ln x; d/dx = 1/x.
    pub fn ln(self) -> Self {
        self.unary(self.data.ln(), 1.0 / self.data)
    }

    /// tanh x; d/dx = 1 − tanh² x.
    pub fn tanh(self) -> Self {
        let y = self.data.tanh();
        self.unary(y, 1.0 - y * y)
    }

    /// max(x, 0); the derivative is 0 up to 0 and 1 above (at 0 itself any choice in [0, 1] would do). NaN goes through.
    pub fn relu(self) -> Self {
        let (y, slope) = if self.data <= 0.0 { (0.0, 0.0) } else { (self.data, 1.0) };
        self.unary(y, slope)
    }

    fn unary(self, data: f64, slope: f64) -> Self {
        self.tape.push(data, [Some((self.id, slope)), None])
    }

    fn binary(self, other: Self, data: f64, slopes: (f64, f64)) -> Self {
        assert!(std::ptr::eq(self.tape, other.tape), "the two values are on different tapes: record both on one");
        self.tape.push(data, [Some((self.id, slopes.0)), Some((other.id, slopes.1))])
    }
}

impl Gradients<'_> {
    /// The derivative with respect to `value`: 0 if the result does not depend on it.
    pub fn of(&self, value: Value<'_>) -> f64 {
        assert!(std::ptr::eq(self.tape, value.tape), "the value is on another tape: ask the gradients of that one");
        self.gradients.get(value.id).copied().flatten().unwrap_or(0.0)
    }
}

/// Operator, and from the two numbers x and y: the result, ∂/∂x and ∂/∂y.
macro_rules! operator {
    ($trait:ident, $method:ident, |$x:ident, $y:ident| $data:expr, $dx:expr, $dy:expr) => {
        impl<'t> $trait for Value<'t> {
            type Output = Value<'t>;
            fn $method(self, other: Value<'t>) -> Value<'t> {
                let ($x, $y) = (self.data, other.data);
                let _ = ($x, $y); // + and − do not need them for their slopes
                self.binary(other, $data, ($dx, $dy))
            }
        }
        impl<'t> $trait<f64> for Value<'t> {
            type Output = Value<'t>;
            fn $method(self, other: f64) -> Value<'t> {
                self.$method(self.tape.value(other))
            }
        }
        impl<'t> $trait<Value<'t>> for f64 {
            type Output = Value<'t>;
            fn $method(self, other: Value<'t>) -> Value<'t> {
                other.tape.value(self).$method(other)
            }
        }
    };
}

operator!(Add, add, |x, y| x + y, 1.0, 1.0);
operator!(Sub, sub, |x, y| x - y, 1.0, -1.0);
operator!(Mul, mul, |x, y| x * y, y, x);
operator!(Div, div, |x, y| x / y, 1.0 / y, -(x / y) / y);

impl Neg for Value<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary(-self.data, -1.0)
    }
}

#[cfg(test)]
mod tests;
