//! The safetensors format: a header in JSON with names, types, shapes and places, and then the numbers.
//!
//! The header is written here, and not by the crate that reads it, for two reasons. Metadata and arrays stand in a
//! fixed order, so that equal runs make equal bytes; and the arrays go to the file from where they lie, through the
//! same [`FileSystem`] as all else, so that there is no second copy of the model in memory. Files of other programs are
//! read one array at a time, in each of the types that weights are stored in.

use crate::{
    error::{Error, Result},
    files::{self, FileSystem, OutFile},
};
use bytemuck::{cast_slice, cast_slice_mut};
use half::{bf16, f16};
use safetensors::{Dtype, tensor::Metadata};
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// The version of what the metadata say.
pub const FORMAT: u64 = 1;

const FORMAT_KEY: &str = "gradus";
const STEP_KEY: &str = "step";
const MODEL_KEY: &str = "model";

/// The longest header that is read: the limit of the safetensors crate.
const MOST_HEADER: u64 = 100_000_000;

/// A parameter, or a moment of one: what goes into a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedArray<'a> {
    /// `blocks.0.attention.qkv.weight`, say.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements, the last axis running fastest.
    pub data: &'a [f32],
}

/// The name and the shape of an array in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The name.
    pub name: String,
    /// The shape.
    pub shape: Vec<usize>,
}

#[derive(Serialize)]
struct ArrayHeader<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

/// Replaces the file at `path` by these arrays, which belong to `step` and to the model that `model` describes.
///
/// # Errors
/// [`Error::Io`]; the file that was there is then still there.
pub fn write(files: &dyn FileSystem, path: &Path, step: u64, model: &str, arrays: &[NamedArray<'_>]) -> Result<()> {
    files::replace(files, path, |file| {
        file.write_all(&header(step, model, arrays)?)?;
        arrays.iter().try_for_each(|array| write_numbers(file, array.data))
    })
}

/// The length of the JSON in eight bytes and the JSON, padded with spaces so that the numbers start at a multiple of 8.
fn header(step: u64, model: &str, arrays: &[NamedArray<'_>]) -> io::Result<Vec<u8>> {
    let json = |value: &str| serde_json::to_string(value);
    let mut text = format!(
        "{{\"__metadata__\":{{\"{FORMAT_KEY}\":\"{FORMAT}\",\"{STEP_KEY}\":\"{step}\",\"{MODEL_KEY}\":{}}}",
        json(model)?
    );
    let mut start = 0;
    for array in arrays {
        let end = start + size_of_val(array.data);
        let info = ArrayHeader { dtype: "F32", shape: array.shape, data_offsets: [start, end] };
        text.push_str(&format!(",{}:{}", json(array.name)?, serde_json::to_string(&info)?));
        start = end;
    }
    text.push('}');
    let length = text.len().next_multiple_of(8);
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(8 + length, b' ');
    Ok(bytes)
}

fn write_numbers(file: &mut dyn OutFile, data: &[f32]) -> io::Result<()> {
    if cfg!(target_endian = "little") {
        return file.write_all(cast_slice(data)); // the file's own order
    }
    data.chunks(1 << 14).try_for_each(|part| {
        let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
        file.write_all(&bytes)
    })
}

/// A file of weights or moments, open for reading. It stays whole where another one takes its name meanwhile.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    start: u64,
    /// The step that it was saved at; other programs' files have none.
    pub step: Option<u64>,
    /// The model that it belongs to; files that were saved before this was written down have none.
    pub model: Option<String>,
}

impl WeightsFile {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`] for a file that is truncated or something else, [`Error::Format`] for one of a
    /// newer program.
    pub fn open(path: &Path) -> Result<WeightsFile> {
        let io = |error| Error::io("read", path)(error);
        let damaged = |problem: &str| Error::damaged(path, problem);
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut length = [0; 8];
        if size < 8 {
            return Err(damaged("it ends within its header"));
        }
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > MOST_HEADER {
            return Err(damaged("it has no safetensors header"));
        }
        if length > size - 8 {
            return Err(damaged("it ends within its header"));
        }
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text).map_err(io)?;
        let header: Metadata = serde_json::from_slice(&text)
            .map_err(|error| damaged(&format!("it has no safetensors header ({error})").replace('\n', " ")))?;

        let said = |key: &str| header.metadata().as_ref().and_then(|all| all.get(key)).cloned();
        let number = |key: &str| {
            let number = said(key).map(|text| text.parse::<u64>()).transpose();
            number.map_err(|_| damaged(&format!("its {key} is not a number")))
        };
        if let Some(found) = number(FORMAT_KEY)?.filter(|&found| found != FORMAT) {
            return Err(Error::Format { path: path.to_path_buf(), found, known: FORMAT });
        }
        if size - 8 - length != header.data_len() as u64 {
            return Err(damaged("it is shorter or longer than its header says"));
        }
        let (step, model) = (number(STEP_KEY)?, said(MODEL_KEY));
        Ok(WeightsFile { path: path.to_path_buf(), file, start: 8 + length, step, model, header })
    }

    /// Whether gradus wrote it: no other program names a step and nothing else, as older versions did, or the format.
    pub fn is_ours(&self) -> bool {
        let metadata = self.header.metadata().as_ref();
        metadata.is_some_and(|all| all.contains_key(FORMAT_KEY) || all.len() == 1 && all.contains_key(STEP_KEY))
    }

    /// The type that each array is stored in, by its name.
    pub fn types(&self) -> HashMap<String, Dtype> {
        self.header.tensors().into_iter().map(|(name, info)| (name, info.dtype)).collect()
    }

    /// That the file holds these arrays and no other.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the first name that is missing or too many, [`Error::WrongShape`].
    pub fn check(&self, expected: &[Expected]) -> Result<()> {
        for wanted in expected {
            let Some(found) = self.header.info(&wanted.name) else {
                return Err(Error::damaged(&self.path, format!("the parameter {} is missing", wanted.name)));
            };
            if found.shape != wanted.shape {
                return Err(Error::WrongShape {
                    path: self.path.clone(),
                    parameter: wanted.name.clone(),
                    found: found.shape.clone(),
                    expected: wanted.shape.clone(),
                });
            }
        }
        let known: HashSet<&str> = expected.iter().map(|wanted| wanted.name.as_str()).collect();
        let extra = self.header.offset_keys().into_iter().find(|name| !known.contains(name.as_str()));
        extra.map_or(Ok(()), |name| {
            Err(Error::damaged(&self.path, format!("the model of config.json has no parameter {name}")))
        })
    }

    /// Reads the numbers of one array, stored as F32, F16, BF16 or F64.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] for another type, or for a value that is not finite or too large for an `f32`.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let damaged = |path: &Path, problem: &str| Error::damaged(path, format!("{name} {problem}"));
        let info = self.header.info(name).ok_or_else(|| damaged(&self.path, "is missing"))?;
        let (dtype, [begin, end]) = (info.dtype, [info.data_offsets.0, info.data_offsets.1]);
        let io = |error| Error::io("read", &self.path)(error);
        self.file.seek(SeekFrom::Start(self.start + begin as u64)).map_err(io)?;
        let numbers = match dtype {
            Dtype::F32 => numbers::<4>(&mut self.file, end - begin, f32::from_le_bytes),
            Dtype::F16 => numbers::<2>(&mut self.file, end - begin, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => numbers::<2>(&mut self.file, end - begin, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F64 => numbers::<8>(&mut self.file, end - begin, |bytes| f64::from_le_bytes(bytes) as f32),
            other => {
                let problem = format!("is of type {other:?}; F32, F16, BF16 and F64 are read");
                return Err(damaged(&self.path, &problem));
            }
        };
        let numbers = numbers.map_err(io)?;
        if numbers.iter().any(|x| !x.is_finite()) {
            let problem = match dtype {
                Dtype::F64 => "holds a value that is not finite as an f32",
                _ => "holds a value that is not finite",
            };
            return Err(damaged(&self.path, problem));
        }
        Ok(numbers)
    }
}

/// Reads `bytes` bytes as numbers of N bytes each.
fn numbers<const N: usize>(file: &mut File, bytes: usize, convert: impl Fn([u8; N]) -> f32) -> io::Result<Vec<f32>> {
    let mut numbers = vec![0f32; bytes / N];
    if N == 4 && cfg!(target_endian = "little") {
        file.read_exact(cast_slice_mut(&mut numbers))?; // no buffer between: they are stored as they are kept
        return Ok(numbers);
    }
    let mut buffer = vec![0; (N << 14).min(bytes)];
    for part in numbers.chunks_mut(1 << 14) {
        let buffer = &mut buffer[..part.len() * N];
        file.read_exact(buffer)?;
        part.iter_mut().zip(buffer.as_chunks::<N>().0).for_each(|(number, &bytes)| *number = convert(bytes));
    }
    Ok(numbers)
}
