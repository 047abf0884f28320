//! The heads of a problem one after the other, on the calling thread.

use super::{
    Inputs, Output, Strides,
    task::{HeadTask, KeyTask, QueryTask},
};
use crate::scratch;

/// Calls `work` for all queries of each head.
pub(super) fn forward(inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32], work: impl Fn(QueryTask<'_>)) {
    let (h, tq) = (inputs.shape.h, inputs.shape.tq);
    let lse = Output::new("lse", lse, [inputs.shape.b, h, tq], Strides { b: h * tq, h: tq, t: 1 }, 1);
    for [b, h] in (0..inputs.shape.b * h).map(|head| [head / h, head % h]) {
        // SAFETY: one head after the other.
        let (o, lse) = unsafe { (o.part(b, h, 0..tq), lse.part(b, h, 0..tq)) };
        work(QueryTask { head: [b, h], queries: 0..tq, o, lse });
    }
}

/// Calls `work` for all keys of each key head.
pub(super) fn backward(inputs: &Inputs<'_>, [dq, dk, dv]: [Output<'_>; 3], work: impl Fn(KeyTask<'_>)) {
    let (tq, keys) = (inputs.shape.tq, 0..inputs.shape.tk);
    for (b, kv) in (0..inputs.shape.b).flat_map(|b| (0..inputs.shape.h_kv).map(move |kv| (b, kv))) {
        // SAFETY: one after the other, and each is the only one with these rows.
        let dq = |h| unsafe { dq.part(b, h, 0..tq) };
        // SAFETY: as above.
        let (dk, dv) = unsafe { (dk.part(b, kv, keys.clone()), dv.part(b, kv, keys.clone())) };
        work(KeyTask { head: [b, kv], keys: keys.clone(), dq: &dq, dk, dv });
    }
}

/// Calls `work` for every query head that shares the key head of a task, with a buffer of `space` words.
pub(super) fn for_each_query_head(
    inputs: &Inputs<'_>,
    task: KeyTask<'_>,
    space: usize,
    mut work: impl FnMut(HeadTask<'_, '_>, &mut [u32]),
) {
    let KeyTask { head: [b, kv], keys, dq, mut dk, mut dv } = task;
    let heads = inputs.query_heads(kv);
    if heads.is_empty() {
        [&mut dk, &mut dv].into_iter().for_each(|part| keys.clone().for_each(|j| part.row(j).fill(0.0)));
    }
    scratch::with(space, |buffer: &mut [u32]| {
        for h in heads {
            let head = HeadTask { head: [b, h, kv], keys: keys.clone(), dq: dq(h), dk: &mut dk, dv: &mut dv };
            work(head, buffer);
        }
    });
}
