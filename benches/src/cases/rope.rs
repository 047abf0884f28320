//! Rotary positions of a packed projection: the heads of q and k turn, those of v are copied.

use super::{Buffer, Ladder, cast, ladder, values, zeros};
use gradus_kernels::{
    Float,
    rope::{self, Input, Pairing, RUNGS, Rotate, Shape},
};

pub(super) struct Data<E> {
    pub(super) shape: Shape,
    pub(super) pairing: Pairing,
    pub(super) inverse: bool,
    pub(super) x: Buffer<E>,
    pub(super) cos: Buffer<E>,
    pub(super) sin: Buffer<E>,
    pub(super) y: Buffer<E>,
}

impl<E: Float> Data<E> {
    fn arguments(&mut self) -> (Input<'_, E>, &mut [E]) {
        let Data { shape, pairing, inverse, x, cos, sin, y } = self;
        (Input { shape: *shape, pairing: *pairing, inverse: *inverse, x, cos, sin }, y)
    }
}

impl Data<f32> {
    /// What the specification makes of it in `E`.
    fn expected<E: Float>(&self) -> Vec<Vec<E>> {
        let [x, cos, sin] = [&self.x, &self.cos, &self.sin].map(|x| cast::<E>(x));
        let mut y = vec![E::zero(); x.len()];
        let Data { shape, pairing, inverse, .. } = *self;
        rope::naive::rotate(Input { shape, pairing, inverse, x: &x, cos: &cos, sin: &sin }, &mut y);
        vec![y]
    }
}

pub(super) fn case(inverse: bool, [b, t, h, d]: [usize; 4], interleaved: bool) -> Ladder<Rotate, Data<f32>> {
    let shape = Shape { b, t, h: 3 * h, rotated: 2 * h, d, pairs: d / 2 };
    let angles =
        |i: usize| (i / shape.pairs) as f64 * 10_000_f64.powf(-((i % shape.pairs) as f64) / shape.pairs as f64);
    let [cos, sin] = [f64::cos, f64::sin].map(|f| super::aligned((0..t * shape.pairs).map(|i| f(angles(i)) as f32)));
    let pairing = if interleaved { Pairing::Interleaved } else { Pairing::HalfSplit };
    let n = b * t * 3 * h * d;
    let data = Data { shape, pairing, inverse, x: values(1, n), cos, sin, y: zeros(n) };
    let expected = (data.expected::<f32>(), data.expected::<f64>());
    let call = |run: Rotate, isa, data: &mut Data<f32>| {
        let (input, y) = data.arguments();
        run(isa, input, y);
    };
    let spoil = |data: &mut Data<f32>| data.y.fill(f32::NAN);
    ladder(&RUNGS, data, call, spoil, |data| vec![data.y.to_vec()], expected)
}
