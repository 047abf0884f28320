//! Embedding: rows of a table, picked by index.

use super::{run, same_device};
use crate::layout::Dims;
use crate::{DType, Error, Result, Tensor};

fn check(table: &[usize], ids: &Tensor) -> Result<()> {
    let error = |problem: &str| Error::new("embedding", problem).shape(table).shape(ids.shape());
    let [v, _] = *table else { return Err(error("the table needs the axes [V, C]")) };
    if ids.dtype() != DType::U32 {
        return Err(error("ids need the type u32"));
    }
    match ids.largest_index(None, v).filter(|&id| id as usize >= v) {
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
    same_device("embedding", table, ids)?;
    let (table, ids) = (table.contiguous(), ids.contiguous());
    let (v, c) = (table.shape()[0], table.shape()[1]);
    let mut shape: Dims = ids.shape().iter().copied().collect();
    shape.try_extend(&[c]).map_err(|_| Error::new("embedding", "too many axes").shape(ids.shape()))?;
    if table.dtype() == DType::Bf16 {
        let mut y = table.new_empty_of(DType::F32, &shape)?;
        run!(f32 table, embedding::forward_stored(v, c, table.data(), ids.data(), y.data_mut()));
        return Ok(y);
    }
    let mut y = table.new_empty(&shape)?;
    run!("embedding", table, embedding::forward(v, c, table.data(), ids.data(), y.data_mut()));
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
    same_device("embedding_backward", ids, dy)?;
    let (ids, dy) = (ids.contiguous(), dy.contiguous());
    let (v, c) = (table[0], table[1]);
    let mut dtable = dy.new_empty(table)?;
    run!("embedding", dy, embedding::backward(v, c, ids.data(), dy.data(), dtable.data_mut()));
    Ok(dtable)
}
