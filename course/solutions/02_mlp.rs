//! Solutions of the exercises of lesson 2.
fn main() {}
