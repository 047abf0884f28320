//! Solutions of the exercises of lesson 1.
fn main() {}
