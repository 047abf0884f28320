//! What a model is made of: its parameters in the order in which data flow through them, with their bytes, and the work
//! that each is for a token.

use crate::{config::ModelConfig, output::thousands};
use safetensors::Dtype;

/// A parameter as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredParameter {
    /// `blocks.0.attention.qkv.weight`, say.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type of its numbers in the file.
    pub dtype: Dtype,
}

impl StoredParameter {
    fn numbers(&self) -> u128 {
        self.shape.iter().map(|&size| size as u128).product()
    }

    fn bytes(&self) -> u128 {
        self.numbers() * self.dtype.bitsize() as u128 / 8
    }

    /// A matrix product takes a multiplication and an addition for each weight. Embeddings are looked up.
    fn flops(&self) -> u128 {
        let multiplied = self.shape.len() == 2 && !self.name.contains("embedding");
        if multiplied { 2 * self.numbers() } else { 0 }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Default)]
struct Row {
    name: String,
    shape: String,
    dtype: String,
    numbers: Option<u128>,
    bytes: Option<u128>,
    f32_bytes: Option<u128>,
    flops: u128,
}

const COLUMNS: [&str; 8] = ["parameter", "shape", "type", "numbers", "share", "bytes", "bytes as f32", "FLOPs/token"];

/// The FLOPs of one block for q·kᵀ and for the weighted sum of v: for a token that sees a full context of T tokens, each
/// is a product with T·C numbers.
fn attention_flops(model: &ModelConfig) -> u128 {
    4 * model.context as u128 * model.width as u128
}

/// The table of `parameters`, which must be in the order in which data flow. Attention between the tokens has a line of
/// its own in each block, and so has the output, which is the token embedding once more.
pub fn table(model: &ModelConfig, parameters: &[StoredParameter]) -> String {
    let mut rows = Vec::new();
    for parameter in parameters {
        rows.push(Row {
            name: parameter.name.clone(),
            shape: format!("{:?}", parameter.shape),
            dtype: format!("{:?}", parameter.dtype),
            numbers: Some(parameter.numbers()),
            bytes: Some(parameter.bytes()),
            f32_bytes: Some(4 * parameter.numbers()),
            flops: parameter.flops(),
        });
        if let Some(attention) = attention_after(parameters, parameter) {
            rows.push(Row {
                name: attention,
                shape: "q·kᵀ, ·v".into(),
                flops: attention_flops(model),
                ..Row::default()
            });
        }
    }
    rows.push(Row {
        name: "output".into(),
        shape: format!("{:?}", [model.vocab_size, model.width]),
        dtype: "tied".into(),
        flops: 2 * model.vocab_size as u128 * model.width as u128,
        ..Row::default()
    });
    let sum = |number: fn(&Row) -> Option<u128>| Some(rows.iter().filter_map(number).sum());
    let total = Row {
        name: "total".into(),
        numbers: sum(|row| row.numbers),
        bytes: sum(|row| row.bytes),
        f32_bytes: sum(|row| row.f32_bytes),
        flops: rows.iter().map(|row| row.flops).sum(),
        ..Row::default()
    };
    rows.push(total.clone());
    format!("{}\n{}", aligned(&rows, total.numbers.unwrap_or(0)), explanation(model))
}

/// The name of the line for the attention between the tokens, after the last parameter that makes q, k and v.
fn attention_after(all: &[StoredParameter], parameter: &StoredParameter) -> Option<String> {
    let qkv = |name: &str| name.rsplit_once(".qkv.").map(|(attention, _)| attention.to_string());
    let attention = qkv(&parameter.name)?;
    let last = all.iter().rev().find(|other| qkv(&other.name).as_ref() == Some(&attention))?;
    (last.name == parameter.name).then_some(attention)
}

fn aligned(rows: &[Row], total: u128) -> String {
    let number = |number: Option<u128>| number.map_or(String::new(), thousands);
    let share = |numbers: u128| format!("{:.1}%", 100.0 * numbers as f64 / total.max(1) as f64);
    let cells = |row: &Row| -> [String; 8] {
        [
            row.name.clone(),
            row.shape.clone(),
            row.dtype.clone(),
            number(row.numbers),
            row.numbers.map_or(String::new(), share),
            number(row.bytes),
            number(row.f32_bytes),
            thousands(row.flops),
        ]
    };
    let lines: Vec<[String; 8]> = std::iter::once(COLUMNS.map(String::from)).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0..3 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn explanation(model: &ModelConfig) -> String {
    format!(
        "The output is the token embedding itself (tied weights); its numbers are counted once.\n\
         FLOPs: the forward pass of one token that sees a full context of {} tokens. 2 for each weight of a matrix product,\n\
         and 4 · context · width for the attention of a block. Norms, biases, GELU and softmax are not counted.\n",
        model.context
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, shape: &[usize], dtype: Dtype) -> StoredParameter {
        StoredParameter { name: name.into(), shape: shape.to_vec(), dtype }
    }

    fn model() -> ModelConfig {
        ModelConfig { layers: 1, heads: 2, width: 10, context: 7, vocab_size: 30, dropout: 0.0, bias: true }
    }

    #[test]
    fn the_table_adds_up() {
        let parameters = [
            stored("token_embedding.weight", &[30, 10], Dtype::F32),
            stored("blocks.0.attention.qkv.weight", &[30, 10], Dtype::BF16),
            stored("blocks.0.attention.qkv.bias", &[30], Dtype::F64),
            stored("blocks.0.feed_forward.up.weight", &[40, 10], Dtype::F32),
        ];
        let table = table(&model(), &parameters);
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0].join(" "), "parameter shape type numbers share bytes bytes as f32 FLOPs/token");
        assert_eq!(words[1].join(" "), "token_embedding.weight [30, 10] F32 300 29.1% 1,200 1,200 0");
        assert_eq!(words[2].join(" "), "blocks.0.attention.qkv.weight [30, 10] BF16 300 29.1% 600 1,200 600");
        assert_eq!(words[3].join(" "), "blocks.0.attention.qkv.bias [30] F64 30 2.9% 240 120 0");
        assert_eq!(words[4].join(" "), "blocks.0.attention q·kᵀ, ·v 280");
        assert_eq!(words[5].join(" "), "blocks.0.feed_forward.up.weight [40, 10] F32 400 38.8% 1,600 1,600 800");
        assert_eq!(words[6].join(" "), "output [30, 10] tied 600");
        assert_eq!(words[7].join(" "), "total 1,030 100.0% 3,640 4,120 2,280");
        let width = table.lines().next().unwrap().chars().count();
        assert!(table.lines().take(8).all(|line| line.chars().count() == width), "aligned at the right:\n{table}");
    }
}
