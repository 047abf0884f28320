//! Cross-entropy from logits, fused with the softmax before it.

use super::{one_per_row, rows, run, same_device, same_dtype};
use crate::{DType, Error, Result, Tensor};
pub use gradus_kernels::cross_entropy::Options;
use gradus_kernels::cross_entropy::{BackwardInputOf, InputOf, OutputOf};

/// The loss and what its backward pass needs.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The mean over the rows that count, a scalar tensor.
    pub mean: Tensor,
    /// The loss of each row, `[rows]`; 0 for an ignored one.
    pub losses: Tensor,
    /// ln Σ e^logits of each row.
    pub log_sum_exp: Tensor,
}

/// Checks logits [.., V] against one target a row, in [0, V) or the ignored index.
fn check(logits: &Tensor, targets: &Tensor, options: Options) -> Result<()> {
    let error = |problem: &str| Error::new("cross_entropy", problem).shape(logits.shape()).shape(targets.shape());
    if targets.dtype() != DType::U32 || logits.rank() == 0 || logits.shape()[..logits.rank() - 1] != *targets.shape() {
        return Err(error("one u32 target for each row of logits is needed"));
    }
    let smoothing = options.label_smoothing;
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(error("the label smoothing is not in [0, 1]").hint(smoothing.to_string()));
    }
    same_device("cross_entropy", logits, targets)?;
    let v = logits.last_size();
    if let Some(target) = targets.largest_index(options.ignore_index, v).filter(|&target| target as usize >= v) {
        return Err(error("a target is no class").axis(logits.rank() - 1).hint(format!("{target} of {v}")));
    }
    Ok(())
}

/// The mean of −ln softmax(logits)\[target\] over the rows of `logits` [.., V], `targets` [..].
///
/// # Errors
/// Where the shapes do not fit, a target is neither a class nor the ignored index, or the smoothing is not in [0, 1].
pub fn forward(logits: &Tensor, targets: &Tensor, options: Options) -> Result<Loss> {
    check(logits, targets, options)?;
    let (logits, targets) = (logits.contiguous(), targets.contiguous());
    let (rows, v) = rows(&logits);
    let (mut mean, mut losses, mut lse) =
        (logits.new_empty(&[])?, logits.new_empty(&[rows])?, logits.new_empty(&[rows])?);
    run!(
        "cross_entropy",
        logits,
        cross_entropy::mean_loss(
            InputOf { rows, v, options, logits: logits.data(), targets: targets.data() },
            OutputOf { losses: losses.data_mut(), lse: lse.data_mut() },
            mean.data_mut(),
        )
    );
    Ok(Loss { mean, losses, log_sum_exp: lse })
}

/// d(logits) of [`forward`] for the gradient `d_loss` of the mean, which is one number.
///
/// # Errors
/// As [`forward`], and where `lse` or `d_loss` has another size or type.
pub fn backward(logits: &Tensor, targets: &Tensor, lse: &Tensor, options: Options, d_loss: &Tensor) -> Result<Tensor> {
    check(logits, targets, options)?;
    same_dtype("cross_entropy", logits, d_loss)?;
    one_per_row("cross_entropy", logits, lse)?;
    if d_loss.len() != 1 {
        return Err(Error::new("cross_entropy", "the gradient of the loss is not one number").shape(d_loss.shape()));
    }
    let [logits, targets, lse, d_loss] = [logits, targets, lse, d_loss].map(Tensor::contiguous);
    let (rows, v) = rows(&logits);
    let mut dlogits = logits.new_empty(logits.shape())?;
    run!(
        "cross_entropy",
        logits,
        cross_entropy::backward(
            BackwardInputOf {
                rows,
                v,
                options,
                logits: logits.data(),
                targets: targets.data(),
                lse: lse.data(),
                d_loss: d_loss.data(),
            },
            dlogits.data_mut(),
        )
    );
    Ok(dlogits)
}
