//! A gradient is computed by playing a tape of operations backwards.
//!
//!     cargo run -p gradus-autograd --example tape
//!
//! Read beside it: `autograd/src/scalar.rs` (the idea with numbers), `autograd/src/tape.rs` (the same with tensors).

use gradus_autograd::gradcheck::{Case, gradcheck};
use gradus_autograd::{Tape, Tensor};

fn main() {
    println!("y = Σ relu(x·w), with x a row of two numbers and w a 2×2 matrix.\n");
    let tape = Tape::new();
    let x = tape.leaf(Tensor::from_slice(&[1.0_f64, 2.0], &[1, 2]));
    let w = tape.leaf(Tensor::from_slice(&[1.0_f64, -2.0, 0.5, 0.5], &[2, 2]));
    let product = x.matmul(&w);
    let y = product.relu().sum(&[0, 1], false);
    println!("  x·w = (1·1 + 2·0.5, 1·(−2) + 2·0.5) = {:?}", product.value().to_vec::<f64>());
    println!("  relu sets the second number to 0, so y = {}\n", y.value().item());
    assert_eq!(product.value().to_vec::<f64>(), [2.0, -1.0]);
    assert_eq!(y.value().item(), 2.0);

    println!("The tape holds each operation, the entries it read, and what it saved for the way back:\n");
    println!("{tape}\n");

    println!("Backwards: the sum passes on 1, relu lets it through to the first number only, and the product");
    println!("gives dw = xᵀ·(1, 0) and dx = (1, 0)·wᵀ:\n");
    let gradients = tape.backward(&y);
    let [dx, dw] = [&x, &w].map(|leaf| gradients.get(leaf).expect("y depends on it").to_vec::<f64>());
    println!("  dy/dx = {dx:?}\n  dy/dw = {dw:?}\n");
    assert_eq!(dx, [1.0, 0.5]);
    assert_eq!(dw, [1.0, 0.0, 2.0, 0.0]);

    println!("Is that right? Moving an input by a little must move y by the gradient times as much.");
    println!("gradcheck tries it for every element of every input:\n");
    let right = Case::new("Σ relu(x·w)", &[&[1, 2], &[2, 2]], |v| v[0].matmul(&v[1]).relu().sum(&[0, 1], false));
    println!("  {}: {:?}", right.name, gradcheck(&right));
    gradcheck(&right).expect("the gradients of the library are right");
    let wrong = Case::new("x² with one factor detached", &[&[1]], |v| &v[0] * &v[0].detach());
    let error = gradcheck(&wrong).expect_err("half of the gradient is missing");
    println!("  {error}\n");

    println!("Exercise: change w so that the second number is positive too. What do dx and dw become?");
}

#[test]
fn the_numbers_are_right() {
    main();
}
