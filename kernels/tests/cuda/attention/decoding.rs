//! One query, or a few, against a cache in `f32` and in bf16.

use super::case::{Case, DROPOUT, POISON, host};
use crate::device::{Device, device, sizes};
use gradus_kernels::attention::{Shape, ViewOf, bf16::rounded, cuda};
use gradus_kernels::simd::bf16::round;

fn shapes() -> Vec<(&'static str, Case)> {
    let case = |b, h, h_kv, tq, tk, d| Case::new(Shape { b, h, h_kv, tq, tk, d });
    let mut all = vec![
        ("several parts", case(1, 2, 1, 1, 300, 128)),
        ("few queries", Case { window: Some(150), ..case(1, 2, 1, 3, 290, 20) }),
        ("wide heads", case(1, 1, 1, 1, 40, 130)),
        ("one key", case(1, 2, 1, 1, 1, 5)),
        ("fewer keys than warps take", case(2, 4, 2, 1, 13, 33)),
        ("a whole cache", case(1, 1, 1, 1, 700, 64)),
        ("mask", Case { causal: false, ..case(2, 2, 2, 2, 270, 20) }.masked(false)),
        ("dropout", Case { dropout: Some(DROPOUT), ..case(1, 3, 1, 1, 150, 8) }),
        ("nothing to see", Case { window: Some(0), ..case(1, 2, 1, 1, 300, 8) }),
        ("no keys", case(1, 2, 1, 1, 0, 8)),
    ];
    all.truncate(sizes(&[all.len()], &[3])[0]);
    all
}

#[test]
fn every_rung() {
    let Some(device) = device() else { return };
    for (what, case) in shapes() {
        case.check(&device, what, &cuda::DECODE_CUDA_RUNGS, &[]);
    }
}

#[test]
fn several_parts_in_every_schedule() {
    let Some(device) = device() else { return };
    let case = Case::new(Shape { b: 1, h: 2, h_kv: 1, tq: 1, tk: 290, d: 40 });
    let case = Case { dropout: Some(DROPOUT), ..case }.masked(false);
    device.in_every_schedule(|schedule| case.check(&device, schedule, &cuda::DECODE_CUDA_RUNGS, &[]));
}

/// The case with keys and values that bf16 can hold.
fn storable(case: Case) -> Case {
    Case { k: rounded(&case.k), v: rounded(&case.v), ..case }
}

fn forward_stored(device: &Device, case: &Case, rung: cuda::bf16_cache::Forward) -> [Vec<f32>; 2] {
    let (Shape { b, h, tq, d, .. }, [queries, keys], host_options) = (case.shape, case.strides(), case.options());
    let buffers = [&case.k, &case.v].map(|x| device.upload(&x.iter().map(|&x| round(x)).collect::<Vec<_>>()));
    let (q, mask) =
        (device.upload(&case.q), case.keep.as_ref().map(|(keep, strides)| (device.upload(keep), keep.len(), *strides)));
    let mask = mask.as_ref().map(|(buffer, len, strides)| cuda_mask(buffer.slice(0..*len), *strides));
    let options = cuda::Options {
        scale: host_options.scale,
        causal: case.causal,
        window: case.window,
        dropout: case.dropout,
        mask,
    };
    let [k, v] = buffers.each_ref().map(|x| ViewOf { data: x.slice(0..case.k.len()), strides: keys });
    let q = ViewOf { data: q.slice(0..case.q.len()), strides: queries };
    let inputs = cuda::Inputs::new(case.shape, options, q, k, v);
    let mut o = device.upload(&vec![POISON; b * queries.b]);
    let mut lse = device.upload(&vec![POISON; b * h * tq]);
    let mut rows = o.slice_mut(0..b * queries.b);
    let output = cuda::Output::new("o", &mut rows, [b, h, tq], queries, d);
    rung(&device.gpu, &inputs, output, lse.slice_mut(0..b * h * tq)).unwrap_or_else(|error| panic!("{error}"));
    [o, lse].map(host)
}

fn cuda_mask(
    keep: gradus_kernels::cuda::Slice<'_, f32>,
    strides: [usize; 3],
) -> gradus_kernels::attention::MaskOf<gradus_kernels::cuda::Slice<'_, f32>> {
    gradus_kernels::attention::MaskOf { keep, strides }
}

#[test]
fn a_cache_in_bf16_gives_the_bits_of_the_same_numbers_in_f32() {
    let Some(device) = device() else { return };
    for (what, case) in shapes() {
        let case = storable(case);
        for (rung, stored) in cuda::DECODE_CUDA_RUNGS.iter().zip(&cuda::bf16_cache::DECODE_CUDA_RUNGS) {
            if rung.name == stored.name {
                let (expected, got) = (case.forward(&device, rung.run), forward_stored(&device, &case, stored.run));
                assert_eq!(expected, got, "{what}, {}", rung.name);
            }
        }
        let [best, widened] =
            [3, 1].map(|i| forward_stored(&device, &case, cuda::bf16_cache::DECODE_CUDA_RUNGS[i].run));
        assert_eq!(best, widened, "{what}, through f32");
    }
}

#[test]
fn a_prompt_is_widened() {
    let Some(device) = device() else { return };
    let case = storable(Case::new(Shape { b: 2, h: 4, h_kv: 2, tq: 9, tk: 21, d: 12 }));
    let entry: cuda::bf16_cache::Forward = cuda::bf16_cache::DECODE_CUDA_RUNGS[1].run;
    let [o, _] = forward_stored(&device, &case, entry);
    let [plain, _] = case.plain();
    assert!(o.iter().zip(&plain).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0)));
}
