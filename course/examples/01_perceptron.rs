//! Lesson 1: a machine that weighs reasons, and learns the weights from its mistakes.
//!
//!     cargo run --release --example 01_perceptron
//!
//! Read beside it: `nn/src/perceptron.rs` (one page: the unit, the rule, why it stops). Next: `02_mlp.rs`.

use gradus_nn::data::{Example, FILM_THRESHOLD, FILM_WEIGHTS, film, xor};
use gradus_nn::perceptron::Perceptron;

fn main() {
    given_weights();
    learned_weights();
    xor_is_not_learned();
}

fn given_weights() {
    println!("1. Somebody gives us the weights\n");
    println!("Do we go to the film? Good weather counts 8, a cheap ticket 4, a friend who comes along 4.");
    println!("We go if the sum is more than the threshold, 8.\n");
    let unit = Perceptron::new(FILM_WEIGHTS, FILM_THRESHOLD);
    println!("  weather  price  friend   sum   go?");
    for Example { inputs, .. } in film() {
        let [weather, price, friend] = inputs;
        let (sum, answer) = (unit.weighted_sum(&inputs), yes_or_no(unit.decide(&inputs)));
        println!("  {weather:>7}  {price:>5}  {friend:>6}  {sum:>4}   {answer}");
    }
    println!("\nNo reason is enough by itself. The weights say it in one line: weather, and price or friend.\n");
}

fn learned_weights() {
    println!("2. Nobody gives us the weights: we see the eight decisions, again and again\n");
    println!(
        "We begin with zeros. After a wrong answer, and only then, the inputs of that case are added to the weights"
    );
    println!("(if it should have been yes) or taken off (if no), and the threshold moves by 1 the other way.\n");
    let (mut unit, mut total) = (Perceptron::zeros(), 0);
    println!("  epoch  mistakes   weather  price  friend  threshold");
    for epoch in 1.. {
        let mistakes = unit.epoch(&film());
        total += mistakes;
        let ([weather, price, friend], threshold) = (unit.weights, unit.threshold);
        println!("  {epoch:>5}  {mistakes:>8}   {weather:>7}  {price:>5}  {friend:>6}  {threshold:>9}");
        if mistakes == 0 {
            break;
        }
    }
    // The given weights with threshold 10 instead of 8 decide the same, and leave room on both sides of the line.
    let bound = Perceptron::new(FILM_WEIGHTS, 10.0).novikoff_bound(&film()).expect("these weights separate the cases");
    println!("\nOther numbers than 8, 4, 4 and 8, the same decisions: only the line between yes and no matters.");
    println!(
        "{total} mistakes in all. Novikoff's theorem allows at most (R/γ)² = {bound:.0}, for any order of the cases.\n"
    );
}

fn xor_is_not_learned() {
    println!("3. Exclusive or: yes if exactly one of two inputs is 1\n");
    let (mut unit, mut seen) = (Perceptron::zeros(), Vec::new());
    println!("  epoch  mistakes   weights  threshold");
    // The weights before an epoch decide all that follows; when they come back, so does everything after them.
    let first = loop {
        if let Some(first) = seen.iter().position(|before| *before == unit) {
            break first;
        }
        seen.push(unit.clone());
        let mistakes = unit.epoch(&xor());
        let ([a, b], threshold) = (unit.weights, unit.threshold);
        println!("  {:>5}  {mistakes:>8}   {a:>3} {b:>3}  {threshold:>9}", seen.len());
    };
    let last = seen.len();
    println!(
        "\nThe numbers after epoch {last} are those after epoch {first}: from here it walks in a circle, for ever."
    );
    println!(
        "On a plane the four cases are the corners of a square, and yes and no stand crosswise. A threshold unit draws"
    );
    println!("one straight line, and no line has two opposite corners on one side and the other two on the other.");
    println!("It takes a second layer.");
}

fn yes_or_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}
