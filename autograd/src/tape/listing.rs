//! What stands on a tape, to look at: as a table, and as a graph.

use super::{Kind, Node, Tape};
use std::fmt;

impl Node {
    fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Op(op) => op.op().name,
            Kind::Leaf => "leaf",
            Kind::Parameter(_) => "parameter",
        }
    }
}

/// A table of the recorded operations: shapes, what each saves, the bytes held.
impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.borrow();
        writeln!(f, "{:>4}  {:<16} {:<16} {:<18} {:>12}  saves", "id", "operation", "inputs", "shape", "bytes")?;
        for (id, node) in inner.nodes.iter().enumerate() {
            let inputs: Vec<String> =
                node.inputs.iter().map(|input| input.map_or("–".into(), |id| id.to_string())).collect();
            let saved: Vec<String> =
                node.saved().iter().map(|(name, tensor)| format!("{name} {:?}", tensor.shape())).collect();
            writeln!(
                f,
                "{id:>4}  {:<16} {:<16} {:<18} {:>12}  {}",
                node.name(),
                inputs.join(" "),
                format!("{:?}", &node.shape[..]),
                node.saved_bytes(),
                if saved.is_empty() { "nothing".into() } else { saved.join(", ") }
            )?;
        }
        let bytes: usize = inner.nodes.iter().map(Node::saved_bytes).sum();
        write!(f, "{} entries, {bytes} bytes held for the backward pass", inner.nodes.len())
    }
}

impl Tape {
    /// The recording as a graph in Graphviz's language: `dot -Tsvg` draws it.
    pub fn to_dot(&self) -> String {
        use fmt::Write;
        let inner = self.0.borrow();
        let mut dot = String::from("digraph tape {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        for (id, node) in inner.nodes.iter().enumerate() {
            let style = if matches!(node.kind, Kind::Op(_)) { "" } else { ", style=filled, fillcolor=\"#dde8f5\"" };
            let shape = &node.shape[..];
            _ = writeln!(dot, "  n{id} [label=\"{} {}\\n{shape:?}\"{style}];", id, node.name());
            for input in node.inputs.iter().flatten() {
                _ = writeln!(dot, "  n{input} -> n{id};");
            }
        }
        dot.push_str("}\n");
        dot
    }
}
