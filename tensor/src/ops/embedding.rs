//! Embedding: rows of a table, picked by index.

use super::run;
use crate::layout::Dims;
use crate::{DType, Error, Result, Tensor};
use half::bf16;

fn check(table: &[usize], ids: &Tensor) -> Result<()> {
    let error = |problem: &str| Error::new("embedding", problem).shape(table).shape(ids.shape());
    let [v, _] = *table else { return Err(error("the table needs the axes [V, C]")) };
    if ids.dtype() != DType::U32 {
        return Err(error("ids need the type u32"));
    }
    match ids.contiguous().as_slice::<u32>().iter().find(|&&id| id as usize >= v) {
        Some(id) => Err(error("an id is not in the table").axis(0).hint(format!("{id} of {v}"))),
        None => Ok(()),
    }
}

/// y[..] = table[ids[..]]: table [V, C], ids [..] → [.., C], in the type of the table; in `f32` where that is bf16.
///
/// # Errors
/// Where the shapes or types do not fit, or an id is not in the table.
pub fn forward(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    check(table.shape(), ids)?;
    let (table, ids) = (table.contiguous(), ids.contiguous());
    let (v, c) = (table.shape()[0], table.shape()[1]);
    let mut shape: Dims = ids.shape().iter().copied().collect();
    shape.try_extend(&[c]).map_err(|_| Error::new("embedding", "too many axes").shape(ids.shape()))?;
    if table.dtype() == DType::Bf16 {
        return widened(&table, &ids, &shape);
    }
    let mut y = Tensor::recycled(table.dtype(), &shape)?;
    run!("embedding", table.dtype(), embedding::forward(v, c, table.data(), ids.data(), y.data_mut()));
    Ok(y)
}

/// The rows of a table that is stored in bf16, in `f32`.
fn widened(table: &Tensor, ids: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let mut y = Tensor::recycled(DType::F32, shape)?;
    let c = table.last_size();
    let rows = y.data_mut::<f32>().chunks_exact_mut(c.max(1));
    for (y, &id) in rows.zip(ids.data::<u32>()) {
        for (y, x) in y.iter_mut().zip(&table.data::<bf16>()[id as usize * c..]) {
            *y = x.to_f32();
        }
    }
    Ok(y)
}

/// The gradient of a table [V, C]: the rows of dy, added up where an id is repeated.
///
/// # Errors
/// As [`forward`], and where dy is not [.., C].
pub fn backward(table: &[usize], ids: &Tensor, dy: &Tensor) -> Result<Tensor> {
    check(table, ids)?;
    if dy.shape().split_last() != Some((&table[1], ids.shape())) {
        let error = Error::new("embedding_backward", "the gradient needs a row for each id").shape(dy.shape());
        return Err(error.shape(ids.shape()).hint(format!("rows of {}", table[1])));
    }
    let (ids, dy) = (ids.contiguous(), dy.contiguous());
    let (v, c) = (table[0], table[1]);
    let mut dtable = Tensor::recycled(dy.dtype(), table)?;
    run!("embedding", dy.dtype(), embedding::backward(v, c, ids.data(), dy.data(), dtable.data_mut()));
    Ok(dtable)
}
