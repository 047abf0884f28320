//! The registry entry of a kernel. Tests, benches and printed tables iterate these; no list of kernels is written twice.

/// One rung of an operation's ladder: the rung below plus one idea.
#[derive(Clone, Copy, Debug)]
pub struct Rung<F> {
    /// Its name in tests, benchmarks and tables; as a rule that of its file (the page of the crate says which share one).
    pub name: &'static str,
    /// The one idea that it adds, and what that should buy.
    pub idea: &'static str,
    /// The function itself; all rungs of a ladder have one signature.
    pub run: F,
    /// Whether it uses vectors, and so is to be tested at every instruction set.
    pub simd: bool,
}
