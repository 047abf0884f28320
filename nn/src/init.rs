//! First values of parameters.

use gradus_autograd::{DType, Parameter, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

/// Draws first values from one seeded sequence, in the order in which the layers are made.
pub struct Init {
    rng: ChaCha8Rng,
    dtype: DType,
}

impl Init {
    /// Values of type `f32`.
    pub fn new(seed: u64) -> Init {
        Init::with_dtype(seed, DType::F32)
    }

    /// Values of another type; `f64` is for gradient checks.
    pub fn with_dtype(seed: u64, dtype: DType) -> Init {
        Init { rng: ChaCha8Rng::seed_from_u64(seed), dtype }
    }

    /// The type of the values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Normally distributed values of mean 0.
    ///
    /// # Panics
    /// Where the standard deviation is not finite.
    pub fn normal(&mut self, shape: &[usize], standard_deviation: f64) -> Parameter {
        let normal = Normal::new(0.0, standard_deviation).expect("a finite standard deviation");
        let values = (0..shape.iter().product()).map(|_| normal.sample(&mut self.rng));
        Parameter::new(match self.dtype {
            // No tensor of f64 is made on the way: its memory would stay in the pool.
            DType::F32 => Tensor::from_slice(&values.map(|x: f64| x as f32).collect::<Vec<f32>>(), shape),
            dtype => Tensor::from_slice(&values.collect::<Vec<f64>>(), shape).to_dtype(dtype),
        })
    }

    /// Zeros: for biases.
    pub fn zeros(&mut self, shape: &[usize]) -> Parameter {
        Parameter::new(Tensor::zeros_of(self.dtype, shape))
    }

    /// Ones: for scales.
    pub fn ones(&mut self, shape: &[usize]) -> Parameter {
        Parameter::new(Tensor::scalar(self.dtype, 1.0).broadcast_to(shape).contiguous())
    }
}
