//! A view is another way to walk through the same memory.
//!
//!     cargo run -p gradus-tensor --example views
//!
//! Read beside it: `tensor/src/layout.rs` (shape, strides and offset: all view algebra).

use gradus_tensor::Tensor;

fn main() {
    let x = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    println!("Six numbers in a row of memory, read as two rows of three. Element (i, j) is at 3i + j:\n");
    show("x", &x);

    println!("The transpose moves no number. It swaps the strides, so element (i, j) is at i + 3j:\n");
    let transposed = x.transpose(0, 1);
    show("x.transpose(0, 1)", &transposed);
    assert_eq!(transposed.to_vec::<f32>(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);

    println!("A slice begins later. Its offset is 1, its strides are those of x:\n");
    let last_two = x.slice(1, 1..3);
    show("x.slice(1, 1..3)", &last_two);
    assert_eq!(last_two.to_vec::<f32>(), [2.0, 3.0, 5.0, 6.0]);

    println!("Broadcasting repeats without copying. A stride of 0 stays where it is:\n");
    let row = Tensor::from_slice(&[10.0_f32, 20.0, 30.0], &[3]);
    show("row.broadcast_to([2, 3])", &row.broadcast_to(&[2, 3]));

    println!("Operators broadcast by themselves, as in NumPy:\n");
    let sum = &x + &row;
    show("x + row", &sum);
    assert_eq!(sum.to_vec::<f32>(), [11.0, 22.0, 33.0, 14.0, 25.0, 36.0]);

    println!("What does not fit is an error that names the operation and both shapes:\n");
    let error = x.try_matmul(&x).expect_err("inner sizes 3 and 2 differ");
    println!("  {error}\n");

    println!("Exercise: which strides has x.transpose(0, 1).slice(0, 1..2), and where does it begin?");
}

/// The numbers row by row, and where they are found.
fn show(name: &str, x: &Tensor) {
    let layout = x.layout();
    println!("  {name}: shape {:?}, strides {:?}, offset {}", x.shape(), layout.strides(), layout.offset());
    let columns = x.shape()[x.shape().len() - 1];
    for row in x.to_vec::<f32>().chunks(columns) {
        println!("    {row:?}");
    }
    println!();
}

#[test]
fn the_numbers_are_right() {
    main();
}
