//! The tape: every tracked operation, in the order in which it ran.
//!
//! An operation can only use what was computed before it, so the order of recording is already a topological order:
//! inputs before outputs. Going through it backwards meets every value after all of its uses, when its gradient is
//! complete. That is all there is to "reverse mode"; no graph has to be searched.

mod listing;

use crate::gradcheck::Op;
use crate::{Parameter, Var};
use gradus_tensor::layout::Dims;
use gradus_tensor::ops::dropout::Dropout;
use gradus_tensor::{DType, Precision, Tensor};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// The place of an operation on its tape.
pub type NodeId = usize;

/// The backward pass of one recorded operation, with what it saved of the forward pass.
pub trait Backward {
    /// The operation: its name, its formula, and the cases in which its gradient is checked.
    fn op(&self) -> &'static Op;

    /// The gradient of each input, in order, from the gradient of the output. `needed` says which inputs are tracked;
    /// for the others `None` is right, and cheaper. It takes itself apart, so what it saved is freed.
    fn backward(self: Box<Self>, dy: Tensor, needed: &[bool]) -> Vec<Option<Tensor>>;

    /// The same where the first input has a gradient from other uses already: that of the first input is added to `sum`.
    /// An operation that can add as it writes saves a pass over the gradient; the others add afterwards.
    fn backward_adding(self: Box<Self>, dy: Tensor, needed: &[bool], sum: Tensor) -> Vec<Option<Tensor>> {
        let mut contributions = self.backward(dy, needed);
        let mut sum = Some(sum);
        if let Some(first) = contributions[0].take() {
            accumulate(&mut sum, first);
        }
        contributions[0] = sum;
        contributions
    }

    /// What it saved, by name: an input, the output, a statistic, or nothing.
    fn saved(&self) -> Vec<(&'static str, &Tensor)>;
}

enum Kind {
    Op(Box<dyn Backward>),
    Leaf,
    Parameter(Parameter),
}

struct Node {
    kind: Kind,
    /// For each input its node, or `None` where it is not tracked.
    inputs: Vec<Option<NodeId>>,
    shape: Dims,
}

/// Seed and number of a training step: what dropout masks are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Randomness {
    /// The seed of the run.
    pub seed: u64,
    /// The next stream: each dropout takes one.
    pub stream: u64,
}

struct Inner {
    nodes: Vec<Node>,
    recording: bool,
    randomness: Option<Randomness>,
    precision: Precision,
    recomputes: bool,
    consumed: bool,
}

/// A recording of tracked operations; clones are handles on the same one.
///
/// ```
/// use gradus_autograd::{Tape, Tensor};
/// let tape = Tape::new();
/// let x = tape.leaf(Tensor::from_slice(&[3.0_f64], &[1]));
/// let y = (&x * &x).sum(&[0], false); // y = x²
/// assert_eq!(tape.backward(&y).get(&x).unwrap().to_vec::<f64>(), [6.0]); // dy/dx = 2x
/// ```
#[derive(Clone)]
pub struct Tape(Rc<RefCell<Inner>>);

impl Tape {
    fn with(recording: bool, randomness: Option<Randomness>) -> Tape {
        let (nodes, precision) = (Vec::new(), Precision::F32);
        let inner = Inner { nodes, recording, randomness, precision, recomputes: false, consumed: false };
        Tape(Rc::new(RefCell::new(inner)))
    }

    /// A tape that records; dropout does nothing.
    pub fn new() -> Tape {
        Tape::with(true, None)
    }

    /// A tape that records, with dropout. Runs of the same seed and step drop the same elements.
    pub fn training(seed: u64, step: u64) -> Tape {
        Tape::with(true, Some(Randomness { seed, stream: step << 16 })) // 65536 masks a step
    }

    /// A tape that records nothing: the same module code runs on it and keeps no activations.
    pub fn inference() -> Tape {
        Tape::with(false, None)
    }

    /// The same tape, still empty, on which matrix products, forward and backward, round their operands to `precision`.
    /// Parameters, sums, gradients and every other operation stay as they are.
    ///
    /// ```
    /// use gradus_autograd::{Precision, Tape, Tensor};
    /// let x = Tensor::from_slice(&[1.001_f32], &[1, 1]); // becomes 1 in bf16
    /// let product = |tape: Tape| (&tape.leaf(x.clone()).matmul(&tape.leaf(x.clone()))).value().item();
    /// assert!(product(Tape::new()) > 1.001);
    /// assert_eq!(product(Tape::new().with_precision(Precision::Bf16)), 1.0);
    /// ```
    ///
    /// # Panics
    /// Where something is on the tape already.
    pub fn with_precision(self, precision: Precision) -> Tape {
        assert!(self.is_empty(), "the precision of a tape is chosen before anything is recorded");
        self.0.borrow_mut().precision = precision;
        self
    }

    /// The same tape, still empty, with outputs of norms and activations computed again in the backward pass instead of
    /// being kept, where `recomputes` says so. The results have the same bits; [`Tape::saved_bytes`] is smaller.
    ///
    /// # Panics
    /// Where something is on the tape already.
    pub fn with_recomputation(self, recomputes: bool) -> Tape {
        assert!(self.is_empty(), "recomputation is chosen before anything is recorded");
        self.0.borrow_mut().recomputes = recomputes;
        self
    }

    /// Whether outputs of norms and activations are computed again in the backward pass.
    pub fn recomputes(&self) -> bool {
        self.0.borrow().recomputes
    }

    /// What matrix products round their operands to.
    pub fn precision(&self) -> Precision {
        self.0.borrow().precision
    }

    pub(crate) fn with_randomness(randomness: Option<Randomness>, recording: bool) -> Tape {
        Tape::with(recording, randomness)
    }

    pub(crate) fn randomness(&self) -> Option<Randomness> {
        self.0.borrow().randomness
    }

    pub(crate) fn set_randomness(&self, randomness: Option<Randomness>) {
        self.0.borrow_mut().randomness = randomness;
    }

    /// Whether operations on tracked values are recorded.
    pub fn is_recording(&self) -> bool {
        self.0.borrow().recording
    }

    /// A mask of its own for one use of dropout, or `None` outside training or where `p` is 0.
    pub fn dropout(&self, p: f32) -> Option<Dropout> {
        let mut inner = self.0.borrow_mut();
        let randomness = inner.randomness.as_mut().filter(|_| p > 0.0)?;
        randomness.stream += 1;
        Some(Dropout { p, seed: randomness.seed, stream: randomness.stream - 1 })
    }

    /// A value whose gradient is wanted: it comes back from [`Tape::backward`].
    pub fn leaf(&self, value: Tensor) -> Var {
        self.tracked(value, Kind::Leaf)
    }

    /// A parameter as a value: its gradient is added to the parameter itself.
    ///
    /// # Panics
    /// Where the tape records and the parameter is stored in bf16: steps are too small for it, so such a model only
    /// infers.
    pub fn parameter(&self, parameter: &Parameter) -> Var {
        let value = parameter.value();
        let trains = self.is_recording() && value.dtype() == DType::Bf16;
        assert!(!trains, "a parameter that is stored in bf16 cannot be trained: record none of it");
        self.tracked(value, Kind::Parameter(parameter.clone()))
    }

    fn tracked(&self, value: Tensor, kind: Kind) -> Var {
        if !self.is_recording() {
            return Var::constant(value).at(self.precision());
        }
        let id = self.push(Node { kind, inputs: Vec::new(), shape: value.shape().iter().copied().collect() });
        Var::tracked(value, self.clone(), id)
    }

    fn push(&self, node: Node) -> NodeId {
        let mut inner = self.0.borrow_mut();
        assert!(!inner.consumed, "this tape has been played back: record on a new one");
        inner.nodes.push(node);
        inner.nodes.len() - 1
    }

    /// Records an operation with this output; called by [`crate::var::record`].
    pub(crate) fn record(&self, inputs: Vec<Option<NodeId>>, value: Tensor, op: Box<dyn Backward>) -> Var {
        let shape = value.shape().iter().copied().collect();
        let id = self.push(Node { kind: Kind::Op(op), inputs, shape });
        Var::tracked(value, self.clone(), id)
    }

    /// The number of recorded operations and leaves.
    pub fn len(&self) -> usize {
        self.0.borrow().nodes.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The recorded operations, in the order in which they ran. A test of a model checks each with [`Op::check`].
    pub fn ops(&self) -> Vec<&'static Op> {
        let op = |node: &Node| if let Kind::Op(op) = &node.kind { Some(op.op()) } else { None };
        self.0.borrow().nodes.iter().filter_map(op).collect()
    }

    /// The bytes that the recorded operations hold for the backward pass, each storage view counted as often as it is
    /// saved.
    pub fn saved_bytes(&self) -> usize {
        self.0.borrow().nodes.iter().map(Node::saved_bytes).sum()
    }

    /// Gradients of a value of one element with respect to every leaf and parameter, the tape being used up.
    ///
    /// # Panics
    /// Where `loss` has not one element or is not on this tape, or the tape has been played back already.
    #[track_caller]
    pub fn backward(&self, loss: &Var) -> Gradients {
        assert_eq!(loss.value().len(), 1, "backward: the loss has the shape {:?}, not one element", loss.shape());
        let one = loss.value().new_full(1.0, loss.shape());
        self.backward_from(loss, one)
    }

    /// The same from any value `y` whose gradient `dy` is known: Σ dy·∂y/∂leaf for every leaf.
    ///
    /// # Panics
    /// Where shapes or types differ, `y` is not on this tape, or the tape has been played back already.
    #[track_caller]
    pub fn backward_from(&self, y: &Var, dy: Tensor) -> Gradients {
        let root =
            y.node_on(self).expect("backward: the value is not tracked by this tape: compute it from its leaves");
        assert_eq!(y.shape(), dy.shape(), "backward: a gradient has the shape of its value");
        assert_eq!(y.value().dtype(), dy.dtype(), "backward: a gradient has the type of its value");
        let mut nodes = self.play();
        let mut grads: Vec<Option<Tensor>> = vec![None; nodes.len()];
        grads[root] = Some(dy);
        let mut leaves = HashMap::new();
        // Popping frees each operation's saved tensors as soon as they have been used.
        while let Some(node) = nodes.pop() {
            let id = nodes.len();
            let Some(dy) = grads.pop().flatten() else { continue };
            match node.kind {
                Kind::Leaf => _ = leaves.insert(id, dy),
                Kind::Parameter(parameter) => parameter.add_grad(dy),
                Kind::Op(op) => {
                    let name = op.op().name;
                    let needed: Vec<bool> = node.inputs.iter().map(Option::is_some).collect();
                    let so_far = node.inputs.first().copied().flatten().and_then(|first| grads[first].take());
                    let contributions = match so_far {
                        Some(sum) => op.backward_adding(dy, &needed, sum),
                        None => op.backward(dy, &needed),
                    };
                    assert_eq!(contributions.len(), node.inputs.len(), "{name}: a gradient for each input");
                    for (input, contribution) in node.inputs.into_iter().zip(contributions) {
                        let Some(input) = input else { continue };
                        let contribution = contribution.unwrap_or_else(|| panic!("{name} lost a gradient"));
                        debug_assert_eq!(contribution.shape(), &nodes[input].shape[..], "{name}: gradient shape");
                        accumulate(&mut grads[input], contribution);
                    }
                }
            }
        }
        Gradients { tape: self.clone(), leaves }
    }

    /// What is recorded, which is gone from here afterwards: playing it back uses it up.
    #[track_caller]
    fn play(&self) -> Vec<Node> {
        let mut inner = self.0.borrow_mut();
        let again = std::mem::replace(&mut inner.consumed, true);
        assert!(!again, "backward: this tape has been played back already: record the forward pass on a new one");
        std::mem::take(&mut inner.nodes)
    }
}

/// A value that is used twice gets two contributions, and its gradient is their sum (the chain rule of several
/// variables): in `b = a + a; c = b + b`, dc/da is 4.
fn accumulate(slot: &mut Option<Tensor>, contribution: Tensor) {
    match slot {
        Some(sum) => crate::ok(sum.try_accumulate(&contribution)),
        None => *slot = Some(contribution),
    }
}

impl Default for Tape {
    fn default() -> Tape {
        Tape::new()
    }
}

impl PartialEq for Tape {
    fn eq(&self, other: &Tape) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Node {
    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        match &self.kind {
            Kind::Op(op) => op.saved(),
            _ => Vec::new(),
        }
    }

    fn saved_bytes(&self) -> usize {
        self.saved().iter().map(|(_, tensor)| tensor.bytes()).sum()
    }
}

/// The gradients of the leaves of a tape.
pub struct Gradients {
    /// It is empty by now, and says whose gradients these are.
    tape: Tape,
    leaves: HashMap<NodeId, Tensor>,
}

impl Gradients {
    /// The gradient of a leaf, or `None` where the loss does not depend on it: it is a constant, or was not used.
    ///
    /// # Panics
    /// Where another tape tracks it.
    #[track_caller]
    pub fn get(&self, leaf: &Var) -> Option<&Tensor> {
        let id = leaf.node_on(&self.tape);
        assert!(id.is_some() || !leaf.is_tracked(), "the value is on another tape: ask the gradients of that one");
        self.leaves.get(&id?)
    }
}

impl fmt::Debug for Gradients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gradients").field(&self.leaves).finish()
    }
}
