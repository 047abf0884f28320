//! What every head looks at: the probabilities that the fused operation never writes down, for pictures.

use super::{Attention, Memory};
use crate::layers::Padding;
use gradus_autograd::{Tape, Tensor, Var};

impl Attention {
    /// softmax(Q·Kᵀ/√D) of self-attention on x [B, T, C], with 0 where a query may not look: [B, H, T, T].
    ///
    /// # Panics
    /// Where this is cross-attention, or the padding is of another shape.
    pub fn probabilities(&self, tape: &Tape, x: &Var, padding: Option<&Padding>) -> Tensor {
        let (t, heads) = (x.shape()[1], self.heads());
        let parts = self.split_heads(&self.qkv(tape, x, 0), &[heads.query, heads.key_value, heads.key_value]);
        let sees = |i: usize, j: usize| {
            !self.config.causal || j <= i && self.config.window.is_none_or(|window| i - j < window)
        };
        let seen: Vec<f32> = (0..t * t).map(|at| f32::from(u8::from(sees(at / t, at % t)))).collect();
        let seen = Tensor::from_slice(&seen, &[t, t]).to_device(x.value().device());
        let mask = padding.map_or_else(|| seen.clone(), |padding| &seen * &padding.mask(x.value(), 0..t));
        self.softmax(parts[0].transpose(1, 2).value(), parts[1].transpose(1, 2).value(), Some(&mask))
    }

    /// The same of cross-attention, [B, H, Tq, Tk].
    ///
    /// # Panics
    /// Where this is self-attention, or the memory is of another batch.
    pub fn cross_probabilities(&self, tape: &Tape, x: &Var, memory: &Memory) -> Tensor {
        self.softmax(self.queries(tape, x).value(), memory.k.value(), memory.mask.as_ref())
    }

    /// From q [B, H, Tq, D], k [B, Hkv, Tk, D] and a mask that is broadcast to [B, H, Tq, Tk].
    fn softmax(&self, q: &Tensor, k: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let ([b, h, _, d], [_, h_kv, t_k, _]) = (sizes(q), sizes(k));
        let k = k.reshape(&[b, h_kv, 1, t_k, d]).broadcast_to(&[b, h_kv, h / h_kv, t_k, d]).contiguous();
        let k = k.reshape(&[b, h, t_k, d]); // each key head once for every head of its group
        let scores = &q.matmul(&k.transpose(2, 3)) * (1.0 / (d as f64).sqrt()); // [B, H, Tq, Tk]
        let Some(mask) = mask else { return scores.softmax(3) };
        let mask = mask.to_dtype(scores.dtype());
        let number = |x: f64| scores.new_full(x, &[]);
        let p = mask.select(&scores, &number(f64::NEG_INFINITY)).softmax(3);
        mask.select(&p, &number(0.0)) // also in rows that see nothing, where the softmax is NaN
    }
}

fn sizes(x: &Tensor) -> [usize; 4] {
    x.shape().try_into().expect("[B, heads, T, D]")
}
