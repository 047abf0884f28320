//! Lesson 1: a machine that weighs reasons, and learns the weights from its mistakes.
//!
//!     cargo run --release --example 01_perceptron
//!
//! > answer = yes if w₁·x₁ + w₂·x₂ + … > θ, with inputs x, weights w and a threshold θ
//! >
//! > after a mistake: w ← w + (y − ŷ)·x,  θ ← θ − (y − ŷ), with the right answer y and the given one ŷ, each 0 or 1
//!
//! Read beside it: `nn/src/perceptron.rs` (one page: the unit, the rule, why it stops). Next: `02_mlp.rs`.

use gradus_course::{Failure, Result, show};
use gradus_nn::data::{Example, FILM_THRESHOLD, FILM_WEIGHTS, FilmGoers, film, xor};
use gradus_nn::perceptron::Perceptron;
use gradus_pictures::{Input, LineChart, Series, Unit};

const LESSON: &str = "01_perceptron";

fn main() -> Result {
    given_weights()?;
    learned_weights();
    learned_from_people()?;
    xor_is_not_learned();
    println!("\nExercises: at the end of course/examples/01_perceptron.rs.");
    Ok(())
}

fn given_weights() -> Result {
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
    println!("\nNo reason is enough by itself. The weights say it in one line: weather, and price or friend.");
    println!("The unit as a picture, for good weather and a friend:\n");
    let case = [("weather", 1.0, 8.0), ("price", 0.0, 4.0), ("friend", 1.0, 4.0)];
    let inputs = case.map(|(name, value, weight)| Input { name, value, weight });
    let (title, note) = ("A threshold unit", "each input times its weight; the sum has to be more than the threshold");
    let answers = ["we stay", "we go"];
    let picture = Unit { title, note, inputs: &inputs, threshold: FILM_THRESHOLD.into(), answers };
    show(LESSON, "unit.svg", &picture.svg()?)?;
    println!();
    Ok(())
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

fn learned_from_people() -> Result {
    println!("3. Ten thousand people, each with reasons of their own\n");
    println!(
        "How good is the weather, how cheap the ticket, how dear the friend: numbers from 0 to 1. All of them weigh"
    );
    println!("their reasons alike, and we see what they do, but not the weights.\n");
    let (crowd, others) = (FilmGoers::STEADY.people(1, 10_000), FilmGoers::STEADY.people(2, 10_000));
    let mut unit = Perceptron::zeros();
    println!("       people   mistakes among 1000");
    for (n, thousand) in crowd.chunks(1000).enumerate() {
        println!("  {:>11}   {:>8}", 1000 * (n + 1), unit.epoch(thousand));
    }
    let mut steady = Perceptron::zeros();
    let mistakes = steady.fit(&crowd, 200);
    println!("\nOnce is not enough. Again and again, the mistakes of each epoch: {mistakes:?}.");
    let ([weather, price, friend], threshold) = (steady.weights, steady.threshold);
    println!("\n              weather   price  friend  threshold");
    println!("  learned     {weather:>7.3}  {price:>6.3}  {friend:>6.3}  {threshold:>9.3}");
    let scale = FilmGoers::STEADY.weights[0] / weather;
    let scaled = [price, friend, threshold].map(|number| number * scale);
    println!("  × {scale:.3}    {:>6.3}  {:>6.3}  {:>6.3}  {:>9.3}", weather * scale, scaled[0], scaled[1], scaled[2]);
    let ([weather, price, friend], threshold) = (FilmGoers::STEADY.weights, FilmGoers::STEADY.threshold);
    println!("  hidden      {weather:>7.3}  {price:>6.3}  {friend:>6.3}  {threshold:>9.3}");
    println!("\nWeights and threshold times the same number decide the same, so only their ratios can be learned.");
    let right = others.iter().filter(|person| steady.decide(&person.inputs) == person.label).count();
    println!("Of 10000 other people, whom it has never seen, {right} do what it says.\n");
    let near = std::iter::zip(scaled, [price, friend, threshold]).all(|(a, b)| (a / b - 1.0).abs() < 0.02);
    if mistakes.last() != Some(&0) || right < 9950 || !near {
        return Err(Failure::new("the hidden weights were not learned: 2% for each, and 9950 of 10000, are the mark"));
    }
    moody_people(&others, &mistakes)
}

fn moody_people(others: &[Example<3>], steady: &[usize]) -> Result {
    println!("And if one in twenty is in a mood, and does the opposite?\n");
    let crowd = FilmGoers { moody: 0.05, ..FilmGoers::STEADY }.people(1, 10_000);
    let mut unit = Perceptron::zeros();
    let moody = unit.fit(&crowd, 30);
    let least = moody.iter().min().copied().unwrap_or(0);
    let right = others.iter().filter(|person| unit.decide(&person.inputs) == person.label).count();
    println!(
        "{} epochs, and none has fewer than {least} mistakes. No line separates these people, so the rule never",
        moody.len()
    );
    println!(
        "stops: every mood pushes the weights away again. Of the 10000 others, who have none, {right} are right.\n"
    );
    if least == 0 {
        return Err(Failure::new("moody people cannot all be right, and yet they are: look at FilmGoers::people"));
    }
    let points = |mistakes: &[usize]| (1..).zip(mistakes).map(|(epoch, &m)| (f64::from(epoch), m as f64)).collect();
    let series = [("everybody follows the reasons", steady), ("one in twenty does not", &moody)];
    let series = series.map(|(name, mistakes)| Series { name, points: points(mistakes) }).to_vec();
    let (title, note) =
        ("Mistakes in each epoch", "10000 people; the unit changes after every mistake, and after nothing else");
    let chart = LineChart { title, note, x: "epoch", y: "mistakes", logarithmic: false, series };
    show(LESSON, "mistakes.svg", &chart.svg()?)?;
    println!();
    Ok(())
}

fn xor_is_not_learned() {
    println!("4. Exclusive or: yes if exactly one of two inputs is 1\n");
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

// Exercises
//
// 1. Let the perceptron see the eight decisions of part 2 in another order: backwards, and with each of the 8 cases moved to the front. Does
//    the number of mistakes change? Is it ever above Novikoff's 196?
// 2. Find weights and a threshold for *or*, and for *not both*, by hand. Give their two answers to a third unit, so that the
//    three together are exclusive or. Which question does the third one answer?
// 3. Moody people push the weights about for ever. Add up the weights after every person, mistake or not, and decide by the sum
//    of all of them (the averaged perceptron: Freund and Schapire 1999). How many of the 10000 others are right then?
