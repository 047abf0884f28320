//! Cross-entropy from logits, fused with the softmax before it.

use super::{one_per_row, rows, run, same_dtype};
use crate::{DType, Error, Result, Tensor};
pub use gradus_kernels::cross_entropy::Options;
use gradus_kernels::cross_entropy::{BackwardInput, Input, Output};

/// The loss and what its backward pass needs.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The mean over the counted rows, a tensor of no axes.
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
    let v = logits.last_size();
    let targets = targets.contiguous();
    let wrong = |&&t: &&u32| t as usize >= v && Some(t) != options.ignore_index;
    if let Some(target) = targets.as_slice::<u32>().iter().find(wrong) {
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
    let (dtype, (rows, v)) = (logits.dtype(), rows(&logits));
    let mut losses = Tensor::recycled(dtype, &[rows])?;
    let mut lse = Tensor::recycled(dtype, &[rows])?;
    // The kernels return the mean in the type of the logits.
    macro_rules! mean {
        ($function:path) => {{
            let input = Input { rows, v, options, logits: logits.data(), targets: targets.data() };
            f64::from($function(input, Output { losses: losses.data_mut(), lse: lse.data_mut() }))
        }};
    }
    let mean = match dtype {
        DType::F32 => mean!(gradus_kernels::cross_entropy::forward),
        DType::F64 => mean!(gradus_kernels::cross_entropy::naive::forward::<f64>),
        DType::U32 | DType::Bf16 => return Err(super::not_a_float("cross_entropy", dtype)),
    };
    Ok(Loss { mean: Tensor::scalar(dtype, mean), losses, log_sum_exp: lse })
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
    let [logits, targets, lse] = [logits, targets, lse].map(Tensor::contiguous);
    let (dtype, (rows, v)) = (logits.dtype(), rows(&logits));
    let mut dlogits = Tensor::recycled(dtype, logits.shape())?;
    run!(
        "cross_entropy",
        dtype,
        cross_entropy::backward(
            BackwardInput {
                rows,
                v,
                options,
                logits: logits.data(),
                targets: targets.data(),
                lse: lse.data(),
                d_loss: d_loss.data()[0],
            },
            dlogits.data_mut(),
        )
    );
    Ok(dlogits)
}
