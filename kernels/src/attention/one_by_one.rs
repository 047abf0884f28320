//! The heads of a problem one after the other, on the calling thread.

use super::{
    Inputs, Output, Strides,
    view::{Part, PartOf},
};
use crate::scratch;
use std::ops::Range;

/// Calls `work` for the queries of each head, with the rows of O and lse that it writes.
pub(super) fn forward(
    inputs: &Inputs<'_>,
    o: Output<'_>,
    lse: &mut [f32],
    work: impl Fn([usize; 2], Range<usize>, [Part<'_>; 2]),
) {
    let (h, tq) = (inputs.shape.h, inputs.shape.tq);
    let lse = Output::new("lse", lse, [inputs.shape.b, h, tq], Strides { b: h * tq, h: tq, t: 1 }, 1);
    for [b, h] in (0..inputs.shape.b * h).map(|head| [head / h, head % h]) {
        // SAFETY: one head after the other.
        let outputs = unsafe { [o.part(b, h, 0..tq), lse.part(b, h, 0..tq)] };
        work([b, h], 0..tq, outputs);
    }
}

/// Calls `work` for the keys of each key head, with a function that gives the rows of dQ of a head, and the rows of dK
/// and dV.
pub(super) fn backward(
    inputs: &Inputs<'_>,
    [dq, dk, dv]: [Output<'_>; 3],
    work: impl Fn([usize; 2], Range<usize>, &PartOf<'_>, [Part<'_>; 2]),
) {
    let (tq, keys) = (inputs.shape.tq, 0..inputs.shape.tk);
    for (b, kv) in (0..inputs.shape.b).flat_map(|b| (0..inputs.shape.h_kv).map(move |kv| (b, kv))) {
        // SAFETY: one after the other, and each is the only one with these rows.
        let part = |h| unsafe { dq.part(b, h, 0..tq) };
        // SAFETY: as above.
        let gradients = unsafe { [dk.part(b, kv, keys.clone()), dv.part(b, kv, keys.clone())] };
        work([b, kv], keys.clone(), &part, gradients);
    }
}

/// Calls `work` for every query head that shares the key head `kv`, with a buffer of `space` words.
pub(super) fn sharing(
    inputs: &Inputs<'_>,
    kv: usize,
    keys: Range<usize>,
    space: usize,
    mut gradients: [Part<'_>; 2],
    mut work: impl FnMut(usize, &mut [Part<'_>; 2], &mut [u32]),
) {
    let heads = inputs.query_heads(kv);
    if heads.is_empty() {
        gradients.iter_mut().for_each(|part| keys.clone().for_each(|j| part.row(j).fill(0.0)));
    }
    scratch::with(space, |buffer: &mut [u32]| heads.for_each(|h| work(h, &mut gradients, buffer)));
}
