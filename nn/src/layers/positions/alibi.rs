//! Attention with linear biases: nothing is added to embeddings or turned; a score loses the more the farther away its key is.

use gradus_autograd::{DType, Tensor, Var};

/// scores − m·|i − j| before the softmax, with a slope m of its own for each head (Press, Smith and Lewis, "Train short, test
/// long", 2022, section 3). There are no parameters, and no position is the last one.
#[derive(Clone, Debug, PartialEq)]
pub struct Alibi {
    slopes: Vec<f64>,
}

impl Alibi {
    /// The paper's slopes for H heads: 2^(−8h/H) for h = 1 to H, where H is a power of two; otherwise those of the power of
    /// two below H, and every other one of the power above it.
    ///
    /// ```
    /// use gradus_nn::layers::Alibi;
    /// assert_eq!(Alibi::new(4).slopes(), [0.25, 0.0625, 0.015625, 0.00390625]);
    /// assert_eq!(Alibi::new(3).slopes(), [0.0625, 0.00390625, 0.25]);
    /// ```
    ///
    /// # Panics
    /// Where there is no head.
    pub fn new(heads: usize) -> Alibi {
        assert!(heads > 0, "alibi: a slope is of a head, and there is none");
        let powers = |n: usize| (1..=n).map(move |h| 2_f64.powf(-8.0 * h as f64 / n as f64));
        let below = 1 << heads.ilog2();
        Alibi { slopes: powers(below).chain(powers(2 * below).step_by(2)).take(heads).collect() }
    }

    /// m of each head.
    pub fn slopes(&self) -> &[f64] {
        &self.slopes
    }

    /// What is added to the scores of `queries` that stand at the last of `keys` positions: −m·|i − j|, and with `causal` −∞
    /// where j is after i. [H, Tq, Tk].
    ///
    /// # Panics
    /// Where there are more queries than keys.
    pub fn bias(&self, dtype: DType, queries: usize, keys: usize, causal: bool) -> Tensor {
        assert!(queries <= keys, "alibi: {queries} queries cannot stand at the last of {keys} positions");
        let first = keys - queries;
        let mut values = Vec::with_capacity(self.slopes.len() * queries * keys);
        for slope in &self.slopes {
            for (i, j) in (first..keys).flat_map(|i| (0..keys).map(move |j| (i, j))) {
                values.push(if causal && j > i { f64::NEG_INFINITY } else { -slope * i.abs_diff(j) as f64 });
            }
        }
        Tensor::from_slice(&values, &[self.slopes.len(), queries, keys]).to_dtype(dtype)
    }

    /// softmax(Q·Kᵀ/√D − m·|i − j|)·V of q [B, H, Tq, D], k and v [B, H, Tk, D], written out: [B, H, Tq, D].
    ///
    /// # Panics
    /// Where the shapes do not fit, or q has another number of heads.
    pub fn attend(&self, q: &Var, k: &Var, v: &Var, causal: bool) -> Var {
        assert_eq!(q.shape()[1], self.slopes.len(), "alibi: heads of queries, and slopes");
        let scores = &q.matmul(&k.transpose(2, 3)) * (1.0 / (q.value().last_size() as f64).sqrt());
        let bias = self.bias(q.value().dtype(), q.shape()[2], k.shape()[2], causal).to_device(q.value().device());
        (&scores + &Var::constant(bias)).softmax(3).matmul(v)
    }
}
