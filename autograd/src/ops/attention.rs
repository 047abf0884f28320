//! Scaled dot-product attention: saved are the output and one number a query, ln Σ eˢ; the T×T probabilities are
//! computed again, tile by tile, in the backward pass (Dao et al. 2022). On a tape of bf16 the operands of its products
//! are rounded, forward and backward, as those of [`Var::matmul`] are.

use crate::gradcheck::{Case, Op, beside};
use crate::tape::Backward;
use crate::var::{Var, lowest_precision, record};
#[cfg(doc)]
use gradus_tensor::ops::attention;
use gradus_tensor::ops::attention::{Attended, backward, forward, packed_backward, packed_forward};
pub use gradus_tensor::ops::attention::{Heads, Options};
use gradus_tensor::{Precision, Tensor};

impl Var {
    /// O = softmax(scale·Q·Kᵀ)·V: this is q [B, H, Tq, D]; k and v are [B, Hkv, Tk, D].
    ///
    /// # Panics
    /// Where the shapes do not fit.
    #[track_caller]
    pub fn attention(&self, k: &Var, v: &Var, options: &Options) -> Var {
        let options = at(lowest_precision(&[self, k, v]), options);
        let attended = crate::ok(forward(self.value(), k.value(), v.value(), &options));
        record(&[self, k, v], attended.output.clone(), |_| Attention {
            q: self.value().clone(),
            k: k.value().clone(),
            v: v.value().clone(),
            attended,
            options,
        })
    }

    /// Self-attention of a packed projection qkv [B, T, (H + 2·Hkv)·D] → [B, T, H·D]; see [`attention::packed_forward`].
    ///
    /// # Panics
    /// Where the last axis is no multiple of H + 2·Hkv, or H none of Hkv.
    #[track_caller]
    pub fn self_attention(&self, heads: impl Into<Heads>, options: &Options) -> Var {
        let heads = heads.into();
        let options = at(self.precision(), options);
        let (output, log_sum_exp) = crate::ok(packed_forward(self.value(), heads, &options));
        record(&[self], output, |output| SelfAttention {
            qkv: self.value().clone(),
            heads,
            output: output.clone(),
            log_sum_exp,
            options,
        })
    }
}

/// The options at the precision of the tape, unless their own is lower.
fn at(precision: Precision, options: &Options) -> Options {
    Options { precision: precision.max(options.precision), ..options.clone() }
}

struct Attention {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attended: Attended,
    options: Options,
}

impl Backward for Attention {
    fn op(&self) -> &'static Op {
        ATTENTION
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        crate::ok(backward(&self.q, &self.k, &self.v, &self.attended, &dy, &self.options)).map(Some).into()
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        let Attended { output, log_sum_exp } = &self.attended;
        vec![("q", &self.q), ("k", &self.k), ("v", &self.v), ("output", output), ("log_sum_exp", log_sum_exp)]
    }
}

struct SelfAttention {
    qkv: Tensor,
    heads: Heads,
    output: Tensor,
    log_sum_exp: Tensor,
    options: Options,
}

impl Backward for SelfAttention {
    fn op(&self) -> &'static Op {
        SELF_ATTENTION
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        let Self { qkv, heads, output, log_sum_exp, options } = &*self;
        vec![Some(crate::ok(packed_backward(qkv, *heads, output, log_sum_exp, &dy, options)))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("qkv", &self.qkv), ("output", &self.output), ("log_sum_exp", &self.log_sum_exp)]
    }
}

const ATTENTION: &Op = &Op {
    name: "attention",
    formula: "O = softmax(scale·Q·Kᵀ)·V",
    cases: || {
        let case = |name, shapes: &[&[usize]], options: Options| {
            Case::new(name, shapes, move |x| x[0].attention(&x[1], &x[2], &options))
        };
        let causal = || Options { causal: true, ..Options::default() };
        let mask = Tensor::from_slice(&[1.0_f64, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0], &[3, 3]);
        let one = [2, 2, 3, 4].as_slice();
        let dropout = Some(crate::ops::dropout::Dropout { p: 0.25, seed: 3, stream: 2 });
        vec![
            case("everything seen", &[one, one, one], Options::default()),
            case("causal", &[one, one, one], causal()),
            case("another scale", &[one, one, one], Options { scale: Some(0.3), ..causal() }),
            case("fewer queries than keys", &[&[1, 2, 2, 3], &[1, 2, 5, 3], &[1, 2, 5, 3]], causal()),
            case("grouped queries", &[&[1, 4, 3, 2], &[1, 2, 3, 2], &[1, 2, 3, 2]], causal()),
            case("a window", &[one, one, one], Options { window: Some(2), ..causal() }),
            Case::new("a mask with a row of zeros", &[one, one, one], move |x| {
                let options = Options { mask: Some(beside(x, &mask)), ..Options::default() };
                x[0].attention(&x[1], &x[2], &options)
            }),
            case("dropout", &[one, one, one], Options { dropout, ..causal() }),
            case("one position", &[&[1, 1, 1, 5], &[1, 1, 1, 5], &[1, 1, 1, 5]], causal()),
            Case::new("views [B, T, H, D]", &[&[2, 3, 2, 4], &[2, 3, 2, 4], &[2, 3, 2, 4]], move |x| {
                let [q, k, v] = [0, 1, 2].map(|i| x[i].permute(&[0, 2, 1, 3]));
                q.attention(&k, &v, &causal())
            }),
        ]
    },
};

const SELF_ATTENTION: &Op = &Op {
    name: "self_attention",
    formula: "O = softmax(scale·Q·Kᵀ)·V with (Q, K, V) = qkv",
    cases: || {
        let options = Options { causal: true, ..Options::default() };
        let dropout = Some(crate::ops::dropout::Dropout { p: 0.25, seed: 3, stream: 2 });
        let with_dropout = Options { dropout, ..options.clone() };
        vec![
            Case::new("causal", &[&[2, 5, 18]], move |x| x[0].self_attention(2, &options)),
            Case::new("dropout", &[&[1, 4, 12]], move |x| x[0].self_attention(2, &with_dropout)),
            Case::new("everything seen", &[&[1, 3, 9]], |x| x[0].self_attention(3, &Options::default())),
            Case::new("grouped queries", &[&[2, 4, 24]], |x| {
                let heads = Heads { query: 4, key_value: 2 };
                x[0].self_attention(heads, &Options { causal: true, ..Options::default() })
            }),
        ]
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[ATTENTION, SELF_ATTENTION];
