//! The multi-layer perceptron once more, on the scalar engine: every weight is a number on the tape, and every product and sum
//! an entry of its own. It computes what [`Mlp`] computes, so that both can be held against each other step by step.

use crate::data::Example;
use crate::mlp::Mlp;
use crate::module::Module;
use gradus_autograd::scalar::{Tape, Value};

/// Linear layers with tanh between them, none after the last, as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalarMlp {
    sizes: Vec<usize>,
    /// For each layer its weights, row by row, and its biases: the order of [`Module::named_parameters`].
    pub parameters: Vec<f64>,
}

/// What one pass forward and backward gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// The loss.
    pub loss: f64,
    /// ∂loss/∂parameter, in the order of the parameters.
    pub gradients: Vec<f64>,
    /// Entries of the tape.
    pub entries: usize,
}

impl ScalarMlp {
    /// With the weights that `network` has now.
    ///
    /// # Panics
    /// Where a layer has no bias.
    pub fn like(network: &Mlp) -> ScalarMlp {
        let inputs = network.layers.first().map(|layer| layer.weight.shape()[1]);
        let outputs = network.layers.iter().map(|layer| layer.weight.shape()[0]);
        assert!(network.layers.iter().all(|layer| layer.bias.is_some()), "ScalarMlp: every layer needs a bias");
        let values = network.named_parameters().into_iter().flat_map(|(_, parameter)| parameter.value().to_f64_vec());
        ScalarMlp { sizes: inputs.into_iter().chain(outputs).collect(), parameters: values.collect() }
    }

    /// The mean of ln(1 + eᶻ) − y·z over the examples, with the output z and the label y, 0 or 1: the binary cross-entropy of
    /// [`crate::loss::binary_cross_entropy`].
    ///
    /// # Panics
    /// Where there are no examples, or the network has not N inputs and one output.
    pub fn pass<const N: usize>(&self, examples: &[Example<N>]) -> Pass {
        assert!(!examples.is_empty(), "ScalarMlp: there are no examples");
        assert_eq!((self.sizes.first(), self.sizes.last()), (Some(&N), Some(&1)), "ScalarMlp: inputs and outputs");
        let tape = Tape::new();
        let parameters: Vec<Value<'_>> = self.parameters.iter().map(|&p| tape.value(p)).collect();
        let mut sum = tape.value(0.0);
        for example in examples {
            let z = self.forward(&tape, &parameters, &example.inputs);
            let y = if example.label { 1.0 } else { 0.0 };
            sum = sum + ((z.exp() + 1.0).ln() - z * y);
        }
        let loss = sum / examples.len() as f64;
        let gradients = loss.backward();
        let entries = tape.count();
        Pass { loss: loss.data(), gradients: parameters.iter().map(|&p| gradients.of(p)).collect(), entries }
    }

    fn forward<'t>(&self, tape: &'t Tape, parameters: &[Value<'t>], inputs: &[f32]) -> Value<'t> {
        let mut x: Vec<Value<'t>> = inputs.iter().map(|&x| tape.value(f64::from(x))).collect();
        let (mut rest, last) = (parameters, self.sizes.len() - 2);
        for (layer, &outputs) in self.sizes[1..].iter().enumerate() {
            let (weights, after) = rest.split_at(outputs * x.len());
            let (biases, after) = after.split_at(outputs);
            let unit = |(row, &bias): (&[Value<'t>], &Value<'t>)| {
                let z = std::iter::zip(row, &x).fold(bias, |sum, (&w, &x)| sum + w * x);
                if layer == last { z } else { z.tanh() }
            };
            x = std::iter::zip(weights.chunks(x.len()), biases).map(unit).collect();
            rest = after;
        }
        x[0]
    }

    /// p ← p − learning_rate·∂loss/∂p.
    ///
    /// # Panics
    /// Where there is not one gradient for each parameter.
    pub fn descend(&mut self, gradients: &[f64], learning_rate: f64) {
        assert_eq!(gradients.len(), self.parameters.len(), "ScalarMlp: a gradient for each parameter");
        for (p, g) in self.parameters.iter_mut().zip(gradients) {
            *p -= learning_rate * g;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{two_spirals, xor};
    use crate::loss::binary_cross_entropy;
    use crate::{Init, Layer};
    use gradus_autograd::{DType, Tensor, Var};

    /// Loss and gradients of the same examples on the tensor engine.
    fn tensors(network: &Mlp, examples: &[Example<2>]) -> (f64, Vec<f64>) {
        let inputs: Vec<f64> = examples.iter().flat_map(|e| e.inputs.map(f64::from)).collect();
        let labels: Vec<f64> = examples.iter().map(|e| f64::from(u8::from(e.label))).collect();
        let tape = gradus_autograd::Tape::new();
        let x = Var::constant(Tensor::from_slice(&inputs, &[examples.len(), 2]));
        let y = Tensor::from_slice(&labels, &[examples.len(), 1]);
        let loss = binary_cross_entropy(&network.forward(&tape, &x), &y);
        tape.backward(&loss);
        let parameters = network.named_parameters().into_iter();
        (loss.value().item(), parameters.flat_map(|(_, p)| p.take_grad().unwrap().to_vec::<f64>()).collect())
    }

    #[test]
    fn numbers_and_tensors_give_the_same_loss_and_gradients() {
        for (sizes, examples) in
            [(vec![2, 4, 1], xor().to_vec()), (vec![2, 3, 5, 1], two_spirals(1)), (vec![2, 1], xor().to_vec())]
        {
            let network = Mlp::new(&mut Init::with_dtype(3, DType::F64), &sizes);
            let pass = ScalarMlp::like(&network).pass(&examples);
            let (loss, gradients) = tensors(&network, &examples);
            assert!((pass.loss - loss).abs() < 1e-14, "{sizes:?}: {} and {loss}", pass.loss);
            assert_eq!(pass.gradients.len(), network.parameter_count());
            for (a, b) in pass.gradients.iter().zip(&gradients) {
                assert!((a - b).abs() < 1e-14, "{sizes:?}: {a} and {b}");
            }
            assert!(gradients.iter().any(|g| g.abs() > 0.01));
        }
    }

    #[test]
    fn a_step_goes_against_the_gradient() {
        let mut network = ScalarMlp { sizes: vec![2, 1], parameters: vec![1.0, 2.0, 3.0] };
        network.descend(&[0.5, -0.5, 0.0], 0.1);
        assert_eq!(network.parameters, [0.95, 2.05, 3.0]);
        let before = network.pass(&xor());
        network.descend(&before.gradients, 0.1);
        assert!(network.pass(&xor()).loss < before.loss);
    }

    #[test]
    #[should_panic(expected = "inputs and outputs")]
    fn a_network_of_other_inputs_is_refused() {
        ScalarMlp { sizes: vec![3, 1], parameters: vec![0.0; 4] }.pass(&xor());
    }
}
