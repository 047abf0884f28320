//! Kernels of candle: those that it has as one operation on the CPU, forward only.

use super::Peer;
use candle_core::{Device, Result, Tensor};
use candle_nn::{attention::AttnMask, ops};
use gradus_kernels::{attention::Shape, elementwise::Unary};

/// One of its kernels; each allocates its result.
pub(super) struct Candle {
    idea: &'static str,
    call: Box<dyn Fn() -> Result<Tensor> + Send>,
    result: Option<Tensor>,
}

impl Candle {
    pub(super) fn new(idea: &'static str, call: impl Fn() -> Result<Tensor> + Send + 'static) -> Candle {
        Candle { idea, call: Box::new(call), result: None }
    }
}

impl Peer for Candle {
    fn name(&self) -> &'static str {
        "candle"
    }
    fn idea(&self) -> &'static str {
        self.idea
    }
    fn run(&mut self) {
        self.result = Some((self.call)().expect("the operands have the sizes that it asks for"));
    }
    fn result(&self) -> Vec<f32> {
        let result = self.result.as_ref().and_then(|c| c.flatten_all().ok());
        result.and_then(|c| c.to_vec1().ok()).unwrap_or_default()
    }
}

/// A tensor of these numbers.
pub(super) fn tensor(x: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(x, shape, &Device::Cpu).expect("as many numbers as the shape has")
}

fn one(idea: &'static str, call: impl Fn() -> Result<Tensor> + Send + 'static) -> Vec<Box<dyn Peer>> {
    vec![Box::new(Candle::new(idea, call))]
}

/// Causal attention of \[B,H,T,D\] operands, which it takes as \[B,T,H,D\].
pub(in super::super) fn attention(shape: Shape, qkv: [&[f32]; 3]) -> Vec<Box<dyn Peer>> {
    let Shape { b, h, tq, tk, d, .. } = shape;
    let of = |x: &[f32], t: usize| tensor(x, &[b, h, t, d]).transpose(1, 2).and_then(|x| x.contiguous());
    let [q, k, v] = [(qkv[0], tq), (qkv[1], tk), (qkv[2], tk)].map(|(x, t)| of(x, t).expect("it has four axes"));
    let scale = 1.0 / (d as f32).sqrt();
    one("flash attention of candle-nn 0.11, which has no backward pass", move || {
        let mask = AttnMask::causal_with_offset(tk - tq);
        candle_nn::attention::flash_attn::<f32>(&q, &k, &v, scale, mask, None, None)
    })
}

/// Softmax of rows.
pub(in super::super) fn softmax(x: &[f32], shape: [usize; 2]) -> Vec<Box<dyn Peer>> {
    let x = tensor(x, &shape);
    one("softmax_last_dim of candle-nn 0.11", move || ops::softmax_last_dim(&x))
}

/// Layer norm of rows.
pub(in super::super) fn layer_norm(
    x: &[f32],
    shape: [usize; 2],
    [gamma, beta]: [&[f32]; 2],
    eps: f32,
) -> Vec<Box<dyn Peer>> {
    let [gamma, beta] = [gamma, beta].map(|x| tensor(x, &[shape[1]]));
    let x = tensor(x, &shape);
    one("layer_norm of candle-nn 0.11", move || ops::layer_norm(&x, &gamma, &beta, eps))
}

/// RMS norm of rows.
pub(in super::super) fn rms_norm(x: &[f32], shape: [usize; 2], gamma: &[f32], eps: f32) -> Vec<Box<dyn Peer>> {
    let gamma = tensor(gamma, &[shape[1]]);
    let x = tensor(x, &shape);
    one("rms_norm of candle-nn 0.11", move || ops::rms_norm(&x, &gamma, eps))
}

/// The activations that it has.
pub(in super::super) fn unary(op: Unary, x: &[f32]) -> Vec<Box<dyn Peer>> {
    let x = tensor(x, &[x.len()]);
    match op {
        Unary::GeluTanh => one("gelu of candle 0.11", move || x.gelu()),
        Unary::GeluErf => one("gelu_erf of candle 0.11", move || x.gelu_erf()),
        Unary::Silu => one("silu of candle 0.11", move || x.silu()),
        _ => Vec::new(),
    }
}
