//! Solutions of the exercises of lesson 9.

use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_course::{Failure, Result};
use gradus_nn::layers::{Attention, AttentionConfig};
use gradus_nn::{Init, Layer};

/// The row of 人 in S, as lesson 9 prints it.
const S: [f64; 3] = [-2.058, -0.309, -1.993];

fn main() -> Result {
    println!("1. The largest is {}; e^(S − largest) and the quotients:", S[1]);
    let exponentials = S.map(|s| (s - S[1]).exp());
    let sum: f64 = exponentials.iter().sum();
    let p = exponentials.map(|e| e / sum);
    println!("   {exponentials:.3?}, sum {sum:.3}, {p:.3?}");
    if std::iter::zip(p, [0.128, 0.735, 0.137]).any(|(p, printed)| (p - printed).abs() > 1e-3) {
        return Err(Failure::new("the row is not the one that lesson 9 prints"));
    }

    println!("2. A factor on S is one over a temperature:");
    for factor in [10.0, 1.0, 0.0] {
        let p: Vec<f64> = (&Tensor::from_slice(&S, &[3]) * factor).softmax(0).to_vec();
        println!("   {factor:>4}·S: {p:.3?}");
    }
    println!(
        "   Cold, the largest takes all; hot, all are equal. A language model that samples is made bold or dull so."
    );

    println!("3. Without positions and mask, the outputs change places as the tokens do:");
    let mut init = Init::with_dtype(9, DType::F64);
    let layer = Attention::new(&mut init, &AttentionConfig::bidirectional(8, 2));
    let x = init.normal(&[4, 8], 1.0).value();
    let turned: Vec<f64> = x.to_vec::<f64>().chunks(8).rev().flatten().copied().collect();
    let run =
        |x: &Tensor| layer.forward(&Tape::inference(), &Var::constant(x.reshape(&[1, 4, 8]))).value().to_vec::<f64>();
    let (a, b) = (run(&x), run(&Tensor::from_slice(&turned, &[4, 8])));
    let apart = a.chunks(8).rev().flatten().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("   within 1e-12: {}. That is why lesson 8 gives them positions.", apart < 1e-12);
    if apart < 1e-12 { Ok(()) } else { Err(Failure::new(format!("the outputs are {apart:e} apart"))) }
}
