//! Reading `fixtures/*.safetensors`; what is in them, and what made them, is told in `fixtures/README.md`.

use gradus_tensor::{DType, Tensor};
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::path::Path;

/// A file of tensors and constants.
pub struct Fixture {
    tensors: HashMap<String, Tensor>,
    constants: HashMap<String, String>,
}

fn decode(name: &str, dtype: Dtype, bytes: &[u8], shape: &[usize]) -> Tensor {
    match dtype {
        Dtype::F32 => Tensor::from_slice(&words(bytes, f32::from_le_bytes), shape),
        Dtype::F64 => Tensor::from_slice(&words(bytes, f64::from_le_bytes), shape),
        // An ignored target is −100 in PyTorch; as u32 it is a number that no class has.
        Dtype::I32 => Tensor::from_slice(&words(bytes, |word| i32::from_le_bytes(word) as u32), shape),
        Dtype::U8 => Tensor::from_slice(&bytes.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), shape),
        other => panic!("{name} is of type {other:?}"),
    }
}

fn words<T, const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|word| decode(word.try_into().expect("N bytes"))).collect()
}

impl Fixture {
    /// The file `name` of `fixtures`.
    ///
    /// # Panics
    /// Where it is not there or not what it should be.
    pub fn open(name: &str) -> Fixture {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let tensor = |name: &str| {
            let view = file.tensor(name).expect("a name of the file");
            decode(name, view.dtype(), view.data(), view.shape())
        };
        let tensors = file.names().into_iter().map(|name| (name.to_string(), tensor(name))).collect();
        Fixture { tensors, constants: metadata.metadata().clone().unwrap_or_default() }
    }

    /// The tensor `name` in the type in which it is stored: ids and targets as `u32`, masks as `f64`.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn tensor(&self, name: &str) -> Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the fixture has no {name}")).clone()
    }

    /// The same in another type.
    #[track_caller]
    pub fn of_type(&self, name: &str, dtype: DType) -> Tensor {
        self.tensor(name).to_dtype(dtype)
    }

    /// The elements as `f64`.
    #[track_caller]
    pub fn numbers(&self, name: &str) -> Vec<f64> {
        self.tensor(name).to_f64_vec()
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names that begin with `prefix`, without it, in order.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.tensors.keys().filter_map(|name| name.strip_prefix(prefix)).map(str::to_string).collect();
        names.sort_unstable();
        names
    }

    /// The constant `name`.
    ///
    /// # Panics
    /// Where there is none, or it is no such thing.
    #[track_caller]
    pub fn constant<T: std::str::FromStr>(&self, name: &str) -> T {
        let text = self.constants.get(name).unwrap_or_else(|| panic!("the fixture has no constant {name}"));
        text.parse().unwrap_or_else(|_| panic!("the constant {name} is {text}"))
    }
}
