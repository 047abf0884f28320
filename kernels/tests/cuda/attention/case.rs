//! A problem, what the rungs make of it on the device, and the oracle.

use crate::device::Device;
use gradus_kernels::attention::{self, Mask, MaskOf, Options, Shape, Strides, ViewOf, cuda, naive};
use gradus_kernels::oracle::{check, values, widen};
use gradus_kernels::{cuda::Buffer, philox::Dropout};

/// A problem with its numbers: q, k, v and the gradient of o, each \[B,T,H,D\] with gaps between the rows.
#[derive(Clone)]
pub struct Case {
    pub shape: Shape,
    pub scale: f32,
    pub causal: bool,
    pub window: Option<usize>,
    pub dropout: Option<Dropout>,
    pub keep: Option<(Vec<f32>, [usize; 3])>,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    pub d_o: Vec<f32>,
}

const GAP: usize = 3;
pub const POISON: f32 = 1e30;
pub const DROPOUT: Dropout = Dropout { p: 0.3, seed: 0x1234_5678_9abc_def0, stream: 7 << 33 | 5 };

/// \[B,T,H,D\] with `GAP` unused elements after each row of D and of H.
fn gapped(h: usize, t: usize, d: usize) -> Strides {
    let head = d + GAP;
    let time = h * head + GAP;
    Strides { b: t * time + GAP, h: head, t: time }
}

pub fn square(b: usize, h: usize, t: usize, d: usize) -> Shape {
    Shape { b, h, h_kv: h, tq: t, tk: t, d }
}

pub fn view<E>(data: &[E], strides: Strides) -> attention::View<'_, E> {
    ViewOf { data, strides }
}

fn random(seed: u64, [b, h, t]: [usize; 3], d: usize, factor: f32) -> Vec<f32> {
    let strides = gapped(h, t, d);
    let mut data = vec![POISON; b * strides.b];
    let mut x = values(seed, b * h * t * d).into_iter().map(|x| x * factor);
    for i in 0..b * h * t {
        let at = i / (h * t) * strides.b + i / t % h * strides.h + i % t * strides.t;
        data[at..at + d].fill_with(|| x.next().unwrap());
    }
    data
}

impl Case {
    pub fn new(shape: Shape) -> Case {
        let Shape { b, h, h_kv, tq, tk, d } = shape;
        Case {
            shape,
            scale: 1.0 / (d.max(1) as f32).sqrt(),
            causal: true,
            window: None,
            dropout: None,
            keep: None,
            q: random(1, [b, h, tq], d, 2.0),
            k: random(2, [b, h_kv, tk], d, 2.0),
            v: random(3, [b, h_kv, tk], d, 1.0),
            d_o: random(4, [b, h, tq], d, 1.0),
        }
    }

    /// A mask that hides about a third of the keys, and all of them from query 1.
    pub fn masked(mut self, broadcast: bool) -> Case {
        let Shape { b, h, tq, tk, .. } = self.shape;
        let mut keep: Vec<f32> = values(9, b * h * tq * tk).iter().map(|&x| if x < -0.3 { 0.0 } else { x }).collect();
        if tq > 1 {
            (0..b * h).for_each(|head| keep[head * tq * tk + tk..][..tk].fill(0.0));
        }
        self.keep = Some((keep, if broadcast { [0, 0, tk] } else { [h * tq * tk, tq * tk, tk] }));
        self
    }

    pub fn options(&self) -> Options<'_> {
        Options {
            scale: self.scale,
            causal: self.causal,
            window: self.window,
            dropout: self.dropout,
            mask: self.keep.as_ref().map(|(keep, strides)| Mask { keep, strides: *strides }),
        }
    }

    pub fn strides(&self) -> [Strides; 2] {
        let Shape { h, h_kv, tq, tk, d, .. } = self.shape;
        [gapped(h, tq, d), gapped(h_kv, tk, d)]
    }

    /// O and lse of the definition in `f32`.
    pub fn plain(&self) -> [Vec<f32>; 2] {
        let (Shape { b, h, tq, .. }, [queries, keys]) = (self.shape, self.strides());
        let (mut o, mut lse) = (vec![POISON; b * queries.b], vec![0.0; b * h * tq]);
        let qkv = [view(&self.q, queries), view(&self.k, keys), view(&self.v, keys)];
        naive::forward(self.shape, &self.options(), qkv, (&mut o, queries), &mut lse);
        [o, lse]
    }

    /// dQ, dK and dV of the definition in `f32`.
    pub fn plain_gradients(&self, [o, lse]: &[Vec<f32>; 2]) -> [Vec<f32>; 3] {
        let (b, [queries, keys]) = (self.shape.b, self.strides());
        let [mut dq, mut dk, mut dv] = [queries, keys, keys].map(|strides| vec![POISON; b * strides.b]);
        let qkv = [view(&self.q, queries), view(&self.k, keys), view(&self.v, keys)];
        let gradients = [(&mut dq[..], queries), (&mut dk, keys), (&mut dv, keys)];
        let (o, d_o) = (view(o, queries), view(&self.d_o, queries));
        naive::backward(self.shape, &self.options(), qkv, o, lse, d_o, gradients);
        [dq, dk, dv]
    }

    /// O, lse, dQ, dK and dV of the definition in `f64`, with their gaps.
    pub fn exact(&self) -> [Vec<f64>; 5] {
        let (Shape { b, h, tq, .. }, [queries, keys], options) = (self.shape, self.strides(), self.options());
        let [q, k, v, d_o] = [&self.q, &self.k, &self.v, &self.d_o].map(|x| widen(x));
        let poisoned = |strides: Strides| vec![f64::from(POISON); b * strides.b];
        let (mut o, mut lse) = (poisoned(queries), vec![0.0; b * h * tq]);
        let qkv = [view(&q, queries), view(&k, keys), view(&v, keys)];
        naive::forward(self.shape, &options, qkv, (&mut o, queries), &mut lse);
        let (mut dq, mut dk, mut dv) = (poisoned(queries), poisoned(keys), poisoned(keys));
        let gradients = [(&mut dq[..], queries), (&mut dk, keys), (&mut dv, keys)];
        let (o_view, d_o) = (view(&o, queries), view(&d_o, queries));
        naive::backward(self.shape, &options, qkv, o_view, &lse, d_o, gradients);
        [o, lse, dq, dk, dv]
    }

    /// Whether query i of (b, h) sees key j, written out once more.
    pub fn sees(&self, [b, h, i, j]: [usize; 4]) -> bool {
        let distance = (self.shape.tk + i) as i64 - self.shape.tq as i64 - j as i64;
        let masked = |(keep, s): &(Vec<f32>, [usize; 3])| keep[b * s[0] + h * s[1] + i * s[2] + j] == 0.0;
        !(self.causal && distance < 0
            || self.window.is_some_and(|w| distance >= w as i64)
            || self.keep.as_ref().is_some_and(masked))
    }

    /// Runs `body` with the operands on the device.
    fn on_device<R>(&self, device: &Device, body: impl FnOnce(cuda::Options<'_>, [cuda::View<'_>; 4]) -> R) -> R {
        let [queries, keys] = self.strides();
        let buffers = [&self.q, &self.k, &self.v, &self.d_o].map(|x| device.upload(x));
        let mask = self.keep.as_ref().map(|(keep, strides)| (device.upload(keep), keep.len(), *strides));
        let mask =
            mask.as_ref().map(|(buffer, len, strides)| MaskOf { keep: buffer.slice(0..*len), strides: *strides });
        let Options { scale, causal, window, dropout, .. } = self.options();
        let view = |i: usize, len: usize, strides| ViewOf { data: buffers[i].slice(0..len), strides };
        let views = [
            view(0, self.q.len(), queries),
            view(1, self.k.len(), keys),
            view(2, self.v.len(), keys),
            view(3, self.d_o.len(), queries),
        ];
        body(cuda::Options { scale, causal, window, mask, dropout }, views)
    }

    /// O (with its gaps) and lse.
    pub fn forward(&self, device: &Device, rung: cuda::Forward) -> [Vec<f32>; 2] {
        let Shape { b, h, tq, d, .. } = self.shape;
        let strides = self.strides()[0];
        let mut o = device.upload(&vec![POISON; b * strides.b]);
        let mut lse = device.upload(&vec![POISON; b * h * tq]);
        self.on_device(device, |options, [q, k, v, _]| {
            let inputs = cuda::Inputs::new(self.shape, options, q, k, v);
            let mut o = o.slice_mut(0..b * strides.b);
            let o = cuda::Output::new("o", &mut o, [b, h, tq], strides, d);
            rung(&device.gpu, &inputs, o, lse.slice_mut(0..b * h * tq)).unwrap_or_else(|error| panic!("{error}"));
        });
        [o, lse].map(host)
    }

    /// dQ, dK and dV (with their gaps).
    pub fn backward(&self, device: &Device, rung: cuda::Backward, [o, lse]: &[Vec<f32>; 2]) -> [Vec<f32>; 3] {
        let (Shape { b, h, h_kv, tq, tk, d }, [queries, keys]) = (self.shape, self.strides());
        let lens = [queries, keys, keys].map(|strides| b * strides.b);
        let mut buffers = lens.map(|len| device.upload(&vec![POISON; len]));
        let (o_buffer, lse_buffer) = (device.upload(o), device.upload(lse));
        self.on_device(device, |options, [q, k, v, d_o]| {
            let inputs = cuda::Inputs::new(self.shape, options, q, k, v);
            let o = ViewOf { data: o_buffer.slice(0..o.len()), strides: queries };
            let saved = cuda::Saved::new(self.shape, o, lse_buffer.slice(0..lse.len()), d_o);
            let [dq, dk, dv] = &mut buffers;
            let [mut dq, mut dk, mut dv] =
                [dq.slice_mut(0..lens[0]), dk.slice_mut(0..lens[1]), dv.slice_mut(0..lens[2])];
            let gradients = [
                cuda::Output::new("dq", &mut dq, [b, h, tq], queries, d),
                cuda::Output::new("dk", &mut dk, [b, h_kv, tk], keys, d),
                cuda::Output::new("dv", &mut dv, [b, h_kv, tk], keys, d),
            ];
            rung(&device.gpu, &inputs, &saved, gradients).unwrap_or_else(|error| panic!("{error}"));
        });
        buffers.map(host)
    }

    /// The largest P·|dO|·|V|·scale, times the largest of K and Q: dQ and dK are made of differences of such terms, which
    /// cancel where a query sees a single key; the rounding of the terms stays.
    fn largest_term(&self, lse: &[f32]) -> f32 {
        let (Shape { b, h, h_kv, tq, tk, d }, [queries, keys]) = (self.shape, self.strides());
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let scale_of_dropout = self.dropout.map_or(1.0, |dropout| dropout.scale());
        let mut largest = 0.0_f32;
        for (b, h, i) in (0..b * h * tq).map(|r| (r / (h * tq), r / tq % h, r % tq)) {
            let kv = h * h_kv / self.shape.h;
            let [q, d_o] = [&self.q, &self.d_o].map(|x| view(x, queries).row(b, h, i, d));
            for j in (0..tk).filter(|&j| self.sees([b, h, i, j])) {
                let [k, v] = [&self.k, &self.v].map(|x| view(x, keys).row(b, kv, j, d));
                let p = (self.scale * dot(q, k) - lse[(b * self.shape.h + h) * tq + i]).exp();
                let dp = scale_of_dropout * d_o.iter().zip(v).map(|(x, y)| (x * y).abs()).sum::<f32>();
                let size = q.iter().chain(k).fold(0.0_f32, |m, x| m.max(x.abs()));
                largest = largest.max((p * dp).abs() * self.scale.abs() * size);
            }
        }
        largest
    }

    /// Checks these rungs, forward and backward.
    pub fn check(
        &self,
        device: &Device,
        what: &str,
        forward: &[gradus_kernels::cuda::CudaRung<cuda::Forward>],
        backward: &[gradus_kernels::cuda::CudaRung<cuda::Backward>],
    ) {
        let plain = self.plain();
        let term = self.largest_term(&plain[1]);
        let plain_gradients = self.plain_gradients(&plain);
        let [o, lse, gradients @ ..] = self.exact();
        for rung in forward {
            let got = self.forward(device, rung.run);
            for (((got, plain), exact), name) in got.iter().zip(&plain).zip([&o, &lse]).zip(["o", "lse"]) {
                compare(got, plain, exact, 0.0)
                    .unwrap_or_else(|e| panic!("{what}, {}, {name}: {e}, {:?}", rung.name, self.shape));
            }
        }
        for rung in backward {
            let got = self.backward(device, rung.run, &plain);
            let names = ["dq", "dk", "dv"];
            for (((got, plain), exact), name) in got.iter().zip(&plain_gradients).zip(&gradients).zip(names) {
                compare(got, plain, exact, term)
                    .unwrap_or_else(|e| panic!("{what}, {}, {name}: {e}, {:?}", rung.name, self.shape));
            }
        }
    }

    /// Small cases of everything that the options and shapes allow.
    pub fn variety() -> Vec<(&'static str, Case)> {
        let grouped = |tq, tk| Shape { b: 1, h: 2, h_kv: 1, tq, tk, d: 3 };
        vec![
            ("causal", Case::new(square(1, 1, 5, 3))),
            ("full", Case { causal: false, ..Case::new(square(2, 1, 4, 2)) }),
            ("grouped, fewer queries", Case::new(Shape { b: 2, h: 4, h_kv: 2, tq: 3, tk: 7, d: 3 })),
            ("grouped, more queries", Case::new(grouped(7, 4))),
            ("window", Case { window: Some(2), ..Case::new(square(1, 1, 7, 3)) }),
            ("window, not causal", Case { window: Some(2), causal: false, ..Case::new(grouped(6, 9)) }),
            ("window of nothing", Case { window: Some(0), ..Case::new(square(1, 1, 5, 3)) }),
            ("mask", Case::new(square(2, 1, 5, 3)).masked(false)),
            ("broadcast mask", Case { causal: false, ..Case::new(grouped(4, 5)) }.masked(true)),
            ("dropout", Case { dropout: Some(DROPOUT), ..Case::new(grouped(5, 7)) }),
            ("all", Case { dropout: Some(DROPOUT), window: Some(4), ..Case::new(grouped(6, 8)) }.masked(false)),
        ]
    }
}

pub fn host(buffer: Buffer) -> Vec<f32> {
    buffer.to_host::<f32>().unwrap_or_else(|error| panic!("{error}"))
}

/// The oracle rule on the rows, and untouched gaps between them. `term` counts as one more value: 4 units of rounding of it
/// are allowed.
fn compare(got: &[f32], plain: &[f32], exact: &[f64], term: f32) -> Result<(), String> {
    let gap = |&i: &usize| exact[i] == f64::from(POISON);
    if let Some(i) = (0..got.len()).filter(gap).find(|&i| got[i] != POISON) {
        return Err(format!("the gap at {i} was written to: {}", got[i]));
    }
    let rows: Vec<usize> = (0..got.len()).filter(|i| !gap(i)).collect();
    let pick = |x: &[f32]| rows.iter().map(|&i| x[i]).chain([term]).collect::<Vec<_>>();
    let exact: Vec<f64> = rows.iter().map(|&i| exact[i]).chain([f64::from(term)]).collect();
    check(&pick(got), &pick(plain), &exact)
}
