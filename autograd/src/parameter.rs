//! A parameter: a tensor that training changes, and the gradient that has been gathered for it.

use gradus_tensor::{DType, Device, Tensor};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle on a trainable tensor. Clones share it: that is how two layers are tied to one weight.
#[derive(Clone)]
pub struct Parameter(Arc<Mutex<State>>);

struct State {
    value: Tensor,
    grad: Option<Tensor>,
}

impl Parameter {
    /// A parameter with this first value and no gradient.
    pub fn new(value: Tensor) -> Parameter {
        Parameter(Arc::new(Mutex::new(State { value, grad: None })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value now.
    pub fn value(&self) -> Tensor {
        self.lock().value.clone()
    }

    /// The sizes of the value's axes.
    pub fn shape(&self) -> Vec<usize> {
        self.lock().value.shape().to_vec()
    }

    /// Puts another value in its place, of the same shape and type; it is copied to the device of the old one.
    ///
    /// # Panics
    /// Where shape or type differ.
    pub fn set_value(&self, value: Tensor) {
        let mut state = self.lock();
        let value = value.to_device(state.value.device());
        let old = (state.value.shape(), state.value.dtype());
        assert_eq!(old, (value.shape(), value.dtype()), "a parameter keeps its shape and type");
        state.value = value;
    }

    /// Stores the value in another type; a gradient is gone afterwards. In bf16 it takes half the memory, and serves
    /// inference only: see [`crate::Tape::parameter`].
    pub fn set_dtype(&self, dtype: DType) {
        let mut state = self.lock();
        state.value = state.value.to_dtype(dtype);
        state.grad = None;
    }

    /// Moves the value to another device and clears the gradient.
    pub fn to_device(&self, device: &Device) {
        let mut state = self.lock();
        state.value = state.value.to_device(device);
        state.grad = None;
    }

    /// What the backward passes since [`Self::take_grad`] have added up, if any reached it.
    pub fn grad(&self) -> Option<Tensor> {
        self.lock().grad.clone()
    }

    /// Takes the gradient out of the parameter.
    pub fn take_grad(&self) -> Option<Tensor> {
        self.lock().grad.take()
    }

    /// Adds a contribution to the gradient: the first one moves in, later ones are added in place. That is what makes
    /// tied weights and accumulation over micro-batches work.
    ///
    /// # Panics
    /// Where its shape is not that of the value.
    pub fn add_grad(&self, grad: Tensor) {
        let mut state = self.lock();
        assert_eq!(state.value.shape(), grad.shape(), "a gradient has the shape of its parameter");
        match &mut state.grad {
            Some(sum) => crate::ok(sum.try_accumulate(&grad)),
            none => *none = Some(grad),
        }
    }

    /// Changes the value in place: `update` gets it and the gradient, which is gone afterwards. Nothing happens where
    /// there is no gradient.
    pub fn update(&self, update: impl FnOnce(&mut Tensor, Tensor)) {
        let mut state = self.lock();
        if let Some(grad) = state.grad.take() {
            update(&mut state.value, grad);
        }
    }

    /// Whether both are handles of the same parameter.
    pub fn is_same(&self, other: &Parameter) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({:?})", self.lock().value)
    }
}
