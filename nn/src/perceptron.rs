//! The perceptron: one threshold unit, and the first rule by which a machine learned from its mistakes.
//!
//! It weighs its inputs and says yes if the sum is more than a threshold:
//!
//! > decide(x) = (w·x > θ)
//!
//! Learning (Rosenblatt, "The perceptron", Psychological Review 65, 1958): look at one example at a time and change
//! nothing while the answer is right. After a wrong *no*, add x to the weights and take 1 from the threshold, so that the
//! sum comes nearer to yes; after a wrong *yes*, the opposite:
//!
//! > w ← w + (y − ŷ)·x,  θ ← θ − (y − ŷ)   with the label y and the answer ŷ, each 0 or 1
//!
//! Usually there is a learning rate here. From weights of zero it would only scale w and θ alike, and decide nothing.
//!
//! # Why does it stop?
//! Write x̂ = (x, −1) and ŵ = (w, θ), so that the answer is the sign of ŵ·x̂. Suppose that some unit vector u separates the
//! examples with a margin γ > 0: u·x̂ ≥ γ for yes, ≤ −γ for no; and no x̂ is longer than R. Each mistake makes ŵ·u grow by at
//! least γ. It makes |ŵ|² grow by at most R², because ŵ·x̂ was on the wrong side. After k mistakes from zero,
//! kγ ≤ ŵ·u ≤ |ŵ| ≤ √k·R, hence k ≤ (R/γ)² (Novikoff, 1962), however many examples there are and in whatever order.
//! If no line separates them, it never stops: the weights stay bounded and walk in a circle (see [`crate::data::xor`]).
//!
//! What this is not: a layer. A step has the derivative 0, so nothing can be learned *through* it; the multi-layer
//! networks of this crate put a smooth function in its place and follow gradients.

use crate::data::Example;

/// A threshold unit with N inputs; the state is plain numbers, no tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Perceptron<const N: usize> {
    /// How much each input speaks for yes.
    pub weights: [f32; N],
    /// What the weighted sum has to exceed.
    pub threshold: f32,
}

impl<const N: usize> Perceptron<N> {
    /// A unit with given weights and threshold.
    pub fn new(weights: [f32; N], threshold: f32) -> Self {
        Self { weights, threshold }
    }

    /// A unit that knows nothing: all zeros; it says no to everything.
    pub fn zeros() -> Self {
        Self::new([0.0; N], 0.0)
    }

    /// w·x, before the threshold.
    pub fn weighted_sum(&self, inputs: &[f32; N]) -> f32 {
        self.weights.iter().zip(inputs).map(|(w, x)| w * x).sum()
    }

    /// Whether the weighted sum is more than the threshold; equal is not enough.
    pub fn decide(&self, inputs: &[f32; N]) -> bool {
        self.weighted_sum(inputs) > self.threshold
    }

    /// Rosenblatt's rule on one example. Returns whether there was a mistake to learn from.
    pub fn learn(&mut self, example: &Example<N>) -> bool {
        let answer = self.decide(&example.inputs);
        if answer == example.label {
            return false;
        }
        let direction = if example.label { 1.0 } else { -1.0 };
        for (w, x) in self.weights.iter_mut().zip(&example.inputs) {
            *w += direction * x;
        }
        self.threshold -= direction;
        true
    }

    /// One epoch: every example once, in order. Returns the number of mistakes.
    pub fn epoch(&mut self, examples: &[Example<N>]) -> usize {
        examples.iter().filter(|example| self.learn(example)).count()
    }

    /// Epochs until one has no mistakes, at most `max_epochs`. Returns the mistakes of each epoch; everything was learned
    /// if the last is 0.
    pub fn fit(&mut self, examples: &[Example<N>], max_epochs: usize) -> Vec<usize> {
        let mut mistakes = Vec::new();
        while mistakes.len() < max_epochs && mistakes.last() != Some(&0) {
            mistakes.push(self.epoch(examples));
        }
        mistakes
    }

    /// The margin γ with which this unit separates the examples: the smallest ±(w·x − θ) / |(w, θ)|, with the sign of the
    /// label, computed in f64. Negative if it gets an example wrong; 0 if one lies on the line, or if all weights are 0.
    /// Infinite without examples.
    pub fn margin(&self, examples: &[Example<N>]) -> f64 {
        let length = norm_with(&self.weights, self.threshold);
        let signed = |e: &Example<N>| {
            let sum: f64 = self.weights.iter().zip(&e.inputs).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
            let above = sum - f64::from(self.threshold);
            if length == 0.0 { 0.0 } else { (if e.label { above } else { -above }) / length }
        };
        examples.iter().map(signed).fold(f64::INFINITY, f64::min)
    }

    /// Novikoff's bound (R/γ)² on the mistakes that learning from zero makes, if this unit separates the examples with a
    /// margin γ > 0; `None` if it does not.
    pub fn novikoff_bound(&self, examples: &[Example<N>]) -> Option<f64> {
        let margin = self.margin(examples);
        let radius = examples.iter().map(|e| norm_with(&e.inputs, 1.0)).fold(0.0, f64::max);
        (margin > 0.0).then(|| (radius / margin).powi(2))
    }
}

/// |(v, last)| in f64.
fn norm_with(v: &[f32], last: f32) -> f64 {
    v.iter().chain([&last]).map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests;
