//! Scaled dot-product attention, fused: the T×T matrix of probabilities is never stored.

use super::{dropout, run, same_device, same_dtype, same_shape};
use crate::access::Read;
use crate::{DType, Error, Precision, Result, Tensor};
use gradus_kernels::attention::{MaskOf, OptionsOf, Shape, Strides, ViewOf};
use gradus_kernels::philox::Dropout;

/// Which keys a query attends to, and how scores are scaled, dropped and rounded.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The factor of the scores; 1/√D where none is given. The dot product of two D-vectors of unit variance
    /// has variance D: without the factor the softmax of wide heads is one-hot, and its gradient nearly zero.
    pub scale: Option<f32>,
    /// Query i sees keys up to Tk − Tq + i only.
    pub causal: bool,
    /// A query sees this many keys, itself included, and none before them.
    pub window: Option<usize>,
    /// A key is visible to a query where this is not zero; broadcast to [B, H, Tq, Tk].
    pub mask: Option<Tensor>,
    /// Dropout of probabilities.
    pub dropout: Option<Dropout>,
    /// What the operands of the products are rounded to where they are `f32`; softmax and sums are not.
    pub precision: Precision,
}

/// The output and what the backward pass needs.
#[derive(Clone, Debug)]
pub struct Attended {
    /// O, [B, H, Tq, D], in memory [B, Tq, H, D], so that merging the heads is a view.
    pub output: Tensor,
    /// ln Σ eˢ of each query, [B, H, Tq].
    pub log_sum_exp: Tensor,
}

impl Options {
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        match self.dropout {
            Some(dropout) => dropout::check(op, dropout.p),
            None => Ok(()),
        }
    }

    /// The mask as the kernels read it, in `f32`, with its last axis contiguous, on the device of `queries`.
    pub(super) fn mask(&self, op: &'static str, shape: Shape, queries: &Tensor) -> Result<Option<Tensor>> {
        let Some(mask) = &self.mask else { return Ok(None) };
        same_device(op, queries, mask)?;
        let mask = mask.to_dtype(DType::F32);
        let full = [shape.b, shape.h, shape.tq, shape.tk];
        let view = mask.try_broadcast_to(&full).map_err(|error| Error { op, ..error })?;
        let last_is_contiguous = view.layout().strides()[3] == 1 || shape.tk <= 1;
        Ok(Some(if last_is_contiguous { view } else { view.copied() }))
    }

    pub(super) fn kernel<'a, S: Read<'a>>(&self, d: usize, mask: &'a Option<Tensor>) -> OptionsOf<S> {
        OptionsOf {
            scale: self.scale.unwrap_or(1.0 / (d as f32).sqrt()),
            causal: self.causal,
            window: self.window,
            mask: mask.as_ref().map(|mask| {
                let s = mask.layout().strides();
                MaskOf { keep: mask.data(), strides: [s[0], s[1], s[2]] }
            }),
            dropout: self.dropout,
        }
    }
}

/// O = softmax(scale·Q·Kᵀ)·V (Vaswani et al. 2017, eq. 1): q [B, H, Tq, D], k and v [B, Hkv, Tk, D], where H is a
/// multiple of Hkv (grouped-query attention). A query without a visible key gets 0.
///
/// # Errors
/// Where the shapes or types do not fit.
pub fn forward(q: &Tensor, k: &Tensor, v: &Tensor, options: &Options) -> Result<Attended> {
    let shape = shape_of(q, k, v)?;
    options.check("attention")?;
    let mask = options.mask("attention", shape, q)?;
    let [q, k, v] = [q, k, v].map(with_contiguous_rows);
    let mut o = q.new_empty(&[shape.b, shape.tq, shape.h, shape.d])?;
    let mut lse = q.new_empty(&[shape.b, shape.h, shape.tq])?;
    let output = o.permute(&[0, 2, 1, 3]);
    let o_strides = strides(&output);
    drop(output);
    run!(
        "attention",
        q,
        options.precision,
        attention::forward(
            shape,
            &options.kernel(shape.d, &mask),
            [view(&q), view(&k), view(&v)],
            (o.data_mut(), o_strides),
            lse.data_mut(),
        )
    );
    Ok(Attended { output: o.permute(&[0, 2, 1, 3]), log_sum_exp: lse })
}

/// The gradients (dq, dk, dv) of [`forward`].
///
/// # Errors
/// Where the shapes or types do not fit.
pub fn backward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    attended: &Attended,
    d_output: &Tensor,
    options: &Options,
) -> Result<[Tensor; 3]> {
    let shape = shape_of(q, k, v)?;
    options.check("attention_backward")?;
    check_saved(q.shape(), shape, &attended.output, &attended.log_sum_exp, d_output)?;
    let mask = options.mask("attention_backward", shape, q)?;
    let [q, k, v, o, d_o] = [q, k, v, &attended.output, d_output].map(with_contiguous_rows);
    let lse = attended.log_sum_exp.contiguous();
    let mut gradients = [&q, &k, &v].map(|t| t.new_empty(t.shape()));
    let [Ok(dq), Ok(dk), Ok(dv)] = &mut gradients else {
        return Err(Error::new("attention_backward", "the gradients cannot be addressed"));
    };
    let [dq_strides, dk_strides, dv_strides] = [&*dq, &*dk, &*dv].map(strides);
    run!(
        "attention_backward",
        q,
        options.precision,
        attention::backward(
            shape,
            &options.kernel(shape.d, &mask),
            [view(&q), view(&k), view(&v)],
            view(&o),
            lse.data(),
            view(&d_o),
            [(dq.data_mut(), dq_strides), (dk.data_mut(), dk_strides), (dv.data_mut(), dv_strides)],
        )
    );
    let [dq, dk, dv] = gradients;
    Ok([dq?, dk?, dv?])
}

/// The heads of a packed projection. A number of heads, as in `8.into()`, stands for as many of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// H: the heads of queries, a multiple of `key_value`.
    pub query: usize,
    /// Hkv: the heads of keys, and those of values.
    pub key_value: usize,
}

impl Heads {
    /// H + 2·Hkv: all heads of a packed projection.
    pub fn packed(self) -> usize {
        self.query + 2 * self.key_value
    }
}

impl From<usize> for Heads {
    fn from(heads: usize) -> Heads {
        Heads { query: heads, key_value: heads }
    }
}

/// Self-attention of a packed projection: qkv [B, T, (H + 2·Hkv)·D], rows ordered q, k, v → O [B, T, H·D].
///
/// It reads the three parts in place, and its backward pass returns the three gradients in one tensor.
///
/// # Errors
/// Where the last axis is no multiple of H + 2·Hkv, or H none of Hkv.
pub fn packed_forward(qkv: &Tensor, heads: impl Into<Heads>, options: &Options) -> Result<(Tensor, Tensor)> {
    let shape = packed_shape(qkv, heads.into())?;
    options.check("attention")?;
    let mask = options.mask("attention", shape, qkv)?;
    if qkv.dtype() != DType::F32 || shape.h != shape.h_kv {
        let [q, k, v] = unpacked(qkv, shape)?;
        let attended = forward(&q, &k, &v, options)?;
        let output = attended.output.permute(&[0, 2, 1, 3]).try_reshape(&[shape.b, shape.tq, shape.h * shape.d])?;
        return Ok((output, attended.log_sum_exp));
    }
    let qkv = qkv.contiguous();
    let mut o = qkv.new_empty(&[shape.b, shape.tq, shape.h * shape.d])?;
    let mut lse = qkv.new_empty(&[shape.b, shape.h, shape.tq])?;
    macro_rules! forward {
        ($($function:ident)::+) => {
            run!(f32 qkv, $($function)::+(
                shape,
                &options.kernel(shape.d, &mask),
                qkv.data(),
                o.data_mut(),
                lse.data_mut(),
            ))
        };
    }
    match options.precision {
        Precision::F32 => forward!(attention::forward_packed),
        Precision::Bf16 => forward!(attention::bf16::forward_packed),
    }
    Ok((o, lse))
}

/// q, k and v of a packed projection, [B, H, T, D] and twice [B, Hkv, T, D], as views.
fn unpacked(qkv: &Tensor, Shape { b, h, h_kv, tq, d, .. }: Shape) -> Result<[Tensor; 3]> {
    let qkv = qkv.contiguous().try_reshape(&[b, tq, h + 2 * h_kv, d])?;
    Ok([0..h, h..h + h_kv, h + h_kv..h + 2 * h_kv].map(|heads| qkv.slice(2, heads).permute(&[0, 2, 1, 3])))
}

/// d(qkv) of [`packed_forward`] from its output and log-sum-exp.
///
/// # Errors
/// As [`packed_forward`].
pub fn packed_backward(
    qkv: &Tensor,
    heads: impl Into<Heads>,
    output: &Tensor,
    lse: &Tensor,
    d_output: &Tensor,
    options: &Options,
) -> Result<Tensor> {
    let shape = packed_shape(qkv, heads.into())?;
    options.check("attention_backward")?;
    check_saved(&[shape.b, shape.tq, shape.h * shape.d], shape, output, lse, d_output)?;
    let mask = options.mask("attention_backward", shape, qkv)?;
    if qkv.dtype() != DType::F32 || shape.h != shape.h_kv {
        let heads = |t: &Tensor| -> Result<Tensor> {
            Ok(t.contiguous().try_reshape(&[shape.b, shape.tq, shape.h, shape.d])?.permute(&[0, 2, 1, 3]))
        };
        let attended = Attended { output: heads(output)?, log_sum_exp: lse.clone() };
        let [q, k, v] = unpacked(qkv, shape)?;
        let gradients = backward(&q, &k, &v, &attended, &heads(d_output)?, options)?;
        let [dq, dk, dv] = gradients.map(|g| g.permute(&[0, 2, 1, 3])); // [B, T, H, D]
        return super::shape::concat(&[&dq, &dk, &dv], 2)?.try_reshape(qkv.shape());
    }
    let [qkv, output, lse, d_output] = [qkv, output, lse, d_output].map(Tensor::contiguous);
    let mut d_qkv = qkv.new_empty(qkv.shape())?;
    macro_rules! backward {
        ($($function:ident)::+) => {
            run!(f32 qkv, $($function)::+(
                shape,
                &options.kernel(shape.d, &mask),
                qkv.data(),
                output.data(),
                lse.data(),
                d_output.data(),
                d_qkv.data_mut(),
            ))
        };
    }
    match options.precision {
        Precision::F32 => backward!(attention::backward_packed),
        Precision::Bf16 => backward!(attention::bf16::backward_packed),
    }
    Ok(d_qkv)
}

/// Fails where what the forward pass left, or the gradient of its output, is not of this problem.
fn check_saved(expected: &[usize], shape: Shape, output: &Tensor, lse: &Tensor, d_output: &Tensor) -> Result<()> {
    const OP: &str = "attention_backward";
    same_shape(OP, output, d_output)?;
    same_dtype(OP, output, lse)?;
    if output.shape() == expected && *lse.shape() == [shape.b, shape.h, shape.tq] {
        return Ok(());
    }
    let error = Error::new(OP, "output and log-sum-exp are of another problem").shape(output.shape());
    Err(error.shape(lse.shape()).hint(format!("{expected:?} is the shape of the output")))
}

fn shape_of(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Shape> {
    let error = |problem: &str| Error::new("attention", problem).shape(q.shape()).shape(k.shape()).shape(v.shape());
    same_dtype("attention", q, k)?;
    same_dtype("attention", q, v)?;
    let ([b, h, tq, d], [b_k, h_kv, tk, d_k]) = (q.shape(), k.shape()) else {
        return Err(error("q, k and v need the axes [B, H, T, D]"));
    };
    if k.shape() != v.shape() {
        return Err(error("k and v differ"));
    }
    if b != b_k {
        return Err(error("batches differ").axis(0).hint(format!("{b} ≠ {b_k}")));
    }
    if d != d_k {
        return Err(error("head sizes differ").axis(3).hint(format!("{d} ≠ {d_k}")));
    }
    if *h_kv == 0 || h % h_kv != 0 {
        return Err(error("the heads of q are no multiple of those of k").axis(1).hint(format!("{h} and {h_kv}")));
    }
    Ok(Shape { b: *b, h: *h, h_kv: *h_kv, tq: *tq, tk: *tk, d: *d })
}

fn packed_shape(qkv: &Tensor, heads: Heads) -> Result<Shape> {
    let Heads { query: h, key_value: h_kv } = heads;
    let error = |problem: &str| Error::new("attention", problem).shape(qkv.shape());
    if h_kv == 0 || !h.is_multiple_of(h_kv) {
        return Err(error("the heads of q are no multiple of those of k").hint(format!("{h} and {h_kv}")));
    }
    match *qkv.shape() {
        [b, t, width] if width.is_multiple_of(heads.packed()) => {
            Ok(Shape { b, h, h_kv, tq: t, tk: t, d: width / heads.packed() })
        }
        _ if h == h_kv => Err(error("qkv needs the axes [B, T, 3·H·D]").hint(format!("H = {h}"))),
        _ => Err(error("qkv needs the axes [B, T, (H + 2·Hkv)·D]").hint(format!("H = {h}, Hkv = {h_kv}"))),
    }
}

fn strides(t: &Tensor) -> Strides {
    let s = t.layout().strides();
    Strides { b: s[0], h: s[1], t: s[2] }
}

fn view<'a, S: Read<'a>>(t: &'a Tensor) -> ViewOf<S> {
    ViewOf { data: t.data(), strides: strides(t) }
}

/// The kernels need the D elements of a head to be contiguous; all other strides are free.
fn with_contiguous_rows(t: &Tensor) -> Tensor {
    if t.layout().strides()[3] == 1 || t.shape()[3] <= 1 { t.clone() } else { t.copied() }
}
