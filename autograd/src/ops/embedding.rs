//! Embedding: a product with one-hot rows that is never multiplied out; its gradient adds rows where an id is repeated.

use crate::gradcheck::{Case, Op, beside};
use crate::tape::Backward;
use crate::var::{Var, record};
use gradus_tensor::Tensor;
use gradus_tensor::layout::Dims;
use gradus_tensor::ops::embedding::{backward, forward};

impl Var {
    /// y[..] = self[ids[..]]: a table [V, C] and ids [..] of type `u32` → [.., C].
    ///
    /// # Panics
    /// Where the shapes do not fit, or an id is not in the table.
    #[track_caller]
    pub fn embedding(&self, ids: &Tensor) -> Var {
        let table = self.shape().iter().copied().collect();
        record(&[self], crate::ok(forward(self.value(), ids)), |_| Embedding { table, ids: ids.clone() })
    }
}

struct Embedding {
    table: Dims,
    ids: Tensor,
}

impl Backward for Embedding {
    fn op(&self) -> &'static Op {
        EMBEDDING
    }

    fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
        vec![Some(crate::ok(backward(&self.table, &self.ids, &dy)))]
    }

    fn saved(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("ids", &self.ids)]
    }
}

const EMBEDDING: &Op = &Op {
    name: "embedding",
    formula: "y = table[ids]",
    cases: || {
        let ids = Tensor::from_slice(&[4_u32, 0, 4, 4, 2, 0], &[2, 3]);
        let none = Tensor::from_slice::<u32>(&[], &[0]);
        vec![
            Case::new("repeated ids", &[&[5, 3]], move |x| x[0].embedding(&beside(x, &ids))),
            Case::new("no ids", &[&[5, 3]], move |x| x[0].embedding(&beside(x, &none))),
        ]
    },
};

/// The operations of this file, for the registry.
pub const OPS: &[&Op] = &[EMBEDDING];
