//! Lesson 9: attention, every number of it by hand.
//!
//!     cargo run --release --example 09_attention
//!
//! Each token asks a question (its query q), holds a label up (its key k) and has something to say (its value v). Where a
//! question fits a label, much of that value is heard:
//!
//! > Q = X·Wqᵀ,  K = X·Wkᵀ,  V = X·Wvᵀ,  P = softmax(Q·Kᵀ/√D),  O = P·V
//!
//! Lesson 8 gave tokens their places. Here four tokens go through a layer with every matrix printed, and then a small
//! encoder learns to put 漢字的序順並不定一影閱響讀 back in order.
//!
//! Read beside it: `nn/src/layers/attention/mod.rs`, `kernels/src/attention/mod.rs`, `nn/src/encoder.rs`.
//! Next: `10_block.rs`.

use gradus_autograd::ops::attention::Options;
use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_course::{Failure, Result, progress, show};
use gradus_nn::data::{Characters, SENTENCE_LENGTH, Swapped};
use gradus_nn::layers::{Attention, AttentionConfig, BlockConfig, Embedding, Projection, SinusoidalPositions};
use gradus_nn::optim::{AdamWConfig, Schedule};
use gradus_nn::training::{Trainer, TrainerConfig};
use gradus_nn::{Encoder, EncoderConfig, Init, Layer, Order};
use gradus_pictures::{HeatMap, Scale};

const LESSON: &str = "09_attention";
const TEXT: &str = "中华人民";
const WIDTH: usize = 64; // one head, so this is D too
/// Sums in `f64`, in another order: 64 products of size 1 are off by some 64 · 10⁻¹⁶.
const TOLERANCE: f64 = 1e-12;
const SWAPPED: &str = "漢字的序順並不定一影閱響讀。";
const RIGHT: &str = "漢字的順序並不一定影響閱讀。";

fn main() -> Result {
    let p = by_hand()?;
    what_must_hold()?;
    questions();
    let (data, encoder) = learn_order()?;
    draw(&p, &data, &encoder)?;
    println!("\nExercises: at the end of course/examples/09_attention.rs.");
    Ok(())
}

/// The layer of sections 1 and 2, and the vectors of the four tokens, [4, 64].
fn layer_and_tokens(print: bool) -> Result<(Attention, Tensor)> {
    let characters = Characters::of([TEXT]);
    let ids = characters.encode(TEXT).map_err(Failure::new)?;
    let mut init = Init::with_dtype(9, DType::F64);
    let table = Embedding::new(&mut init, characters.len(), WIDTH, 0.5);
    let e = table.forward(&Tape::inference(), &Tensor::from_slice(&ids, &[4]));
    let positions = SinusoidalPositions::new(WIDTH, DType::F64)?.forward(0..4);
    let x = (&e + &positions).value().clone();
    let settings = AttentionConfig { qkv_bias: false, out_bias: false, ..AttentionConfig::causal(WIDTH, 1) };
    let deviation = 0.18;
    let settings =
        AttentionConfig { standard_deviation: deviation, residual_standard_deviation: deviation, ..settings };
    if print {
        println!("{TEXT} are the ids {ids:?} in a vocabulary of {}.\n", characters.len());
        matrix("E, the rows of the embedding table with these ids", e.value(), 5);
        matrix("P, the sines and cosines of the positions 0 to 3 (lesson 8)", positions.value(), 5);
        matrix("X = E + P", &x, 5);
    }
    Ok((Attention::new(&mut init, &settings), x))
}

fn by_hand() -> Result<Tensor> {
    println!("1. Four tokens, one head of D = 64\n");
    let (layer, x) = layer_and_tokens(true)?;
    let Projection::Own { qkv } = &layer.projection else { return Err(Failure::new("a layer of one sequence")) };
    let w = qkv.weight.value(); // [3·64, 64]: Wq, Wk and Wv under each other
    let [q, k, v] = [0, 1, 2].map(|i| x.matmul(&w.slice(0, i * WIDTH..(i + 1) * WIDTH).transpose(0, 1)));
    matrix("Q = X·Wqᵀ: what each token asks", &q, 5);
    matrix("K = X·Wkᵀ: what each token can be found by", &k, 5);
    matrix("V = X·Wvᵀ: what each token gives to those who find it", &v, 5);
    println!(
        "Why three: what a token looks for, how it is found and what it says are different things. With one vector"
    );
    println!("for all of them every token would find itself.\n");
    let s = q.matmul(&k.transpose(0, 1));
    matrix("Q·Kᵀ: row = who asks, column = who answers", &s, 4);
    let scaled = &s * (1.0 / (WIDTH as f64).sqrt());
    matrix("S = Q·Kᵀ/√64", &scaled, 4);
    let hidden: Vec<f64> = (0..16).map(|at| if at % 4 > at / 4 { f64::NEG_INFINITY } else { 0.0 }).collect();
    let masked = &scaled + &Tensor::from_slice(&hidden, &[4, 4]);
    matrix("S with −∞ where a token would see a later one", &masked, 4);
    let largest: Vec<f64> =
        masked.to_vec::<f64>().chunks(4).map(|row| row.iter().fold(row[0], |m, s| m.max(*s))).collect();
    let below = &masked - &Tensor::from_slice(&largest, &[4, 1]);
    let exponentials = below.to_vec::<f64>().into_iter().map(f64::exp).collect::<Vec<f64>>();
    let exponentials = Tensor::from_slice(&exponentials, &[4, 4]);
    matrix("e^(S − largest of the row)", &exponentials, 4);
    let p = &exponentials / &exponentials.sum(&[1], true);
    matrix("P = that, divided by the sum of its row", &p, 4);
    let o = p.matmul(&v);
    matrix("O = P·V: row i is the mean of the rows of V with the weights of row i of P", &o, 5);
    println!("中 sees itself alone, so its row of O is its row of V.\n");

    println!("The same by the project's own operations, which never write S and P down:\n");
    let batch = |x: &Tensor, shape: &[usize]| Var::constant(x.reshape(shape));
    let [q, k, v] = [&q, &k, &v].map(|x| batch(x, &[1, 1, 4, WIDTH]));
    let causal = Options { causal: true, ..Options::default() };
    agree("O and Var::attention", &o, q.attention(&k, &v, &causal).value())?;
    let (tape, x) = (Tape::inference(), batch(&x, &[1, 4, WIDTH]));
    agree("P and Attention::probabilities", &p, &layer.probabilities(&tape, &x, None))?;
    let out = o.matmul(&layer.out.weight.value().transpose(0, 1));
    agree("O·Woᵀ and the whole layer", &out, layer.forward(&tape, &x).value())?;
    Ok(p)
}

/// Prints the first columns of a matrix whose rows belong to the four tokens.
fn matrix(name: &str, x: &Tensor, columns: usize) {
    let width = x.last_size();
    println!("{name}   [4, {width}]");
    for (token, row) in TEXT.chars().zip(x.to_vec::<f64>().chunks(width)) {
        let number = |x: &f64| if x.is_finite() { format!("{x:8.3}") } else { format!("{:>8}", "−∞") };
        let numbers: String = row.iter().take(columns).map(number).collect();
        println!("  {token} {numbers}{}", if width > columns { "  …" } else { "" });
    }
    println!();
}

fn agree(what: &str, a: &Tensor, b: &Tensor) -> Result {
    let (a, b) = (a.to_f64_vec(), b.to_f64_vec());
    let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    if a.len() != b.len() || apart.is_nan() || apart > TOLERANCE {
        return Err(Failure::new(format!("{what} differ by {apart:e}, which is more than {TOLERANCE:e}")));
    }
    println!("  {what}: equal within {TOLERANCE:e}");
    Ok(())
}

fn what_must_hold() -> Result {
    println!("\n2. Three things that must hold\n");
    let (layer, x) = layer_and_tokens(false)?;
    let tape = Tape::inference();
    let batch = |x: &Tensor| Var::constant(x.reshape(&[1, 4, WIDTH]));
    let p = layer.probabilities(&tape, &batch(&x), None);
    let sums: Vec<String> = p.to_vec::<f64>().chunks(4).map(|row| format!("{:.6}", row.iter().sum::<f64>())).collect();
    println!("Rows of P sum to 1: {}.", sums.join(", "));

    let v = x.reshape(&[1, 1, 4, WIDTH]);
    let keys = v.slice(2, 2..3).broadcast_to(&[1, 1, 4, WIDTH]).contiguous();
    let [q, k, v] = [v.clone(), keys, v].map(Var::constant);
    let mean = x.mean(&[0], true).broadcast_to(&[4, WIDTH]);
    println!("Four equal keys: no token has a reason to prefer one, so each gets the mean of the values:");
    agree("attention and the mean", &mean, q.attention(&k, &v, &Options::default()).value())?;

    let mut other = x.to_vec::<f64>();
    other[3 * WIDTH..].iter_mut().for_each(|x| *x += 1000.0);
    let other = Tensor::from_slice(&other, &[4, WIDTH]);
    for dtype in [DType::F64, DType::F32] {
        let mut init = Init::with_dtype(9, dtype);
        let layer = Attention::new(&mut init, layer.config());
        let [a, b] = [&x, &other].map(|x| {
            let y = layer.forward(&tape, &Var::constant(x.to_dtype(dtype).reshape(&[1, 4, WIDTH])));
            y.value().to_f64_vec()
        });
        let same: Vec<bool> = (0..4).map(|t| a[t * WIDTH..(t + 1) * WIDTH] == b[t * WIDTH..(t + 1) * WIDTH]).collect();
        if same != [true, true, true, false] {
            return Err(Failure::new(format!("after a change of the last token rows are the same: {same:?}")));
        }
    }
    println!(
        "Add 1000 to each number of 民: the outputs of 中, 华 and 人 stay the same to the last bit, in f64 and in f32."
    );
    Ok(())
}

fn questions() {
    println!("\n3. Four questions\n");
    println!("Why does softmax subtract the maximum? e^(s − m) / Σ e^(s − m) is the same for every m, on paper.");
    let s = [1000.0, 1001.0, 1002.0_f64];
    let overflows = s.iter().all(|x| x.exp() == f64::INFINITY) && (s[0].exp() / s[2].exp()).is_nan();
    println!("  s = {s:?}: e^s {}", if overflows { "is ∞ for each, and ∞/∞ is no number" } else { "is finite" });
    println!("  with the maximum taken off: {}\n", list(&softmax(&s)));

    println!("Why /√D? q·k is a sum of D products. Of 4000 pairs of random vectors, each number of variance 1:\n");
    println!("     D   variance of q·k   of q·k/√D   largest of 8 weights   its p·(1 − p)   both with /√D");
    for d in [4, 64, 1024] {
        let mut init = Init::with_dtype(d as u64, DType::F64);
        let [q, k] = [0, 1].map(|_| init.normal(&[4000, d], 1.0).value());
        let dots = (&q * &k).sum(&[1], false).to_vec::<f64>();
        let variance = dots.iter().map(|x| x * x).sum::<f64>() / 4000.0;
        let (p, slope) = sharpness(&dots, 1.0);
        let (scaled_p, scaled_slope) = sharpness(&dots, (d as f64).sqrt());
        let scaled = variance / d as f64;
        println!(
            "  {d:>4}   {variance:>15.1}   {scaled:>9.2}   {p:>20.3}   {slope:>13.4}   {scaled_p:.3} {scaled_slope:.4}"
        );
    }
    println!(
        "\n  p·(1 − p) is the derivative of a weight by its score. Without the factor a wide head sees one token alone"
    );
    println!(
        "  from the first step on, and next to no gradient comes through to tell it that another would be better.\n"
    );

    println!("Why −∞ and not −10⁹? e^(−∞) is 0 whatever the other scores are; −10⁹ is only smaller than most.");
    let very_low = [-2e9, -1e9];
    println!(
        "  scores [−2·10⁹, hidden]:        with −10⁹ {}, with −∞ {}",
        list(&softmax(&very_low)),
        list(&softmax(&[-2e9, f64::NEG_INFINITY]))
    );
    let v = Var::constant(Tensor::from_slice(&[4.0, 8.0_f64], &[1, 1, 2, 1]));
    let q = v.slice(2, 0..1);
    let nobody = Options { mask: Some(Tensor::from_slice(&[0.0_f32, 0.0], &[1, 2])), ..Options::default() };
    let fused = q.attention(&v, &v, &nobody).value().item();
    let weights = softmax(&[-1e9, -1e9]);
    println!(
        "  both of two values hidden, 4 and 8: with −10⁹ {}, their mean; with −∞ the operation answers {fused}",
        weights[0] * 4.0 + weights[1] * 8.0
    );
    println!("  And in f16, whose largest number is 65504, −10⁹ is −∞ anyway.\n");

    println!("Why several heads? One head gives one mean. Between a = [1, 0] and b = [0, 1], half of each:");
    let mean = |first: [f64; 2], second: [f64; 2]| [0, 1].map(|i| 0.5 * first[i] + 0.5 * second[i]);
    let (a, b) = ([1.0, 0.0], [0.0, 1.0]);
    println!("  one head:  a before b {:?}, b before a {:?}: who came first is lost", mean(a, b), mean(b, a));
    println!(
        "  two heads: a before b {:?}, b before a {:?}: one looks left, one right",
        [a, b].concat(),
        [b, a].concat()
    );
    println!("  They cost nothing: H heads of D = C/H have as many weights as one of D = C.");
}

fn softmax(s: &[f64]) -> Vec<f64> {
    Tensor::from_slice(s, &[s.len()]).softmax(0).to_vec()
}

fn list(x: &[f64]) -> String {
    let numbers: Vec<String> = x.iter().map(|x| format!("{x:.3}")).collect();
    format!("[{}]", numbers.join(", "))
}

/// The mean of the largest weight p in softmaxes of eight scores, and of p·(1 − p).
fn sharpness(dots: &[f64], divided_by: f64) -> (f64, f64) {
    let largest = |eight: &[f64]| {
        let scores: Vec<f64> = eight.iter().map(|x| x / divided_by).collect();
        softmax(&scores).into_iter().fold(0.0, f64::max)
    };
    let all: Vec<f64> = dots.chunks(8).map(largest).collect();
    let mean = |f: fn(f64) -> f64| all.iter().map(|p| f(*p)).sum::<f64>() / all.len() as f64;
    (mean(|p| p), mean(|p| p * (1.0 - p)))
}

fn learn_order() -> Result<(Swapped, Encoder)> {
    println!("\n4. Put the characters back in order\n");
    let data = Swapped::default();
    let config = EncoderConfig {
        vocabulary: data.characters.len(),
        context: SENTENCE_LENGTH,
        order: Order::Learned,
        layers: 1,
        block: BlockConfig::bert(32, 4).with_initial_weights(0.18, 1),
    };
    let encoder = Encoder::new(&mut Init::with_dtype(1, DType::F64), &config)?;
    let steps = 600;
    let schedule = Schedule { learning_rate: 8e-3, min_learning_rate: 0.0, warmup: 20, steps };
    let config =
        TrainerConfig { seed: 1, batch: 16, grad_accum: 1, clip: 1.0, schedule, adamw: AdamWConfig::default() };
    let mut trainer = Trainer::new(encoder, config);
    let [learned, held_out] = [data.learned.len(), data.held_out.len()];
    println!(
        "{learned} sentences to learn from, {held_out} held out, {} characters. Neighbours change places at random.\n",
        data.characters.len()
    );
    println!("   step     loss   {SWAPPED}   characters right");
    let (test, asked) = (data.test_batch(99), data.tensors(&[(SWAPPED.into(), RIGHT)]).map_err(Failure::new)?);
    let (bar, mut loss) = (progress("training", steps), "–".to_string());
    for step in 0..=steps {
        let model = trainer.model();
        if step % 100 == 0 {
            let (answer, (right, all)) = (data.characters.decode(&model.answers(&asked.ids)), model.right(&test));
            bar.suspend(|| println!("  {step:>5}   {loss:>6}   {answer}   {right:>3} of {all}"));
        }
        if step < steps {
            loss = format!("{:.4}", trainer.step(&data)?.loss);
            bar.inc(1);
        }
    }
    let ((right, all), answer) = (trainer.model().right(&test), trainer.model().answers(&asked.ids));
    if (right as f64) < 0.98 * all as f64 || data.characters.decode(&answer) != RIGHT {
        return Err(Failure::new(format!(
            "{right} of {all} held-out characters are right; 98% and {RIGHT} were wanted"
        )));
    }
    println!("\nThe characters are those of the held-out sentences, with their stops. No batch had {RIGHT}");
    println!("in it, in any order: its words came in other sentences, at other places.\n");
    Ok((data, trainer.model().clone()))
}

fn draw(p: &Tensor, data: &Swapped, encoder: &Encoder) -> Result {
    println!("5. What do the heads look at?\n");
    let (t, letters) = (SWAPPED.chars().count(), SWAPPED.chars().collect::<Vec<char>>());
    let ids = data.tensors(&[(SWAPPED.into(), RIGHT)]).map_err(Failure::new)?.ids;
    let maps: Vec<f32> = encoder.attention(&ids, 0).to_vec::<f64>().iter().map(|p| *p as f32).collect();
    let row = |head: usize, i: usize| &maps[(head * t + i) * t..(head * t + i + 1) * t];
    let most =
        |head: usize, i: usize| (0..t).fold(0, |best, j| if row(head, i)[j] > row(head, i)[best] { j } else { best });
    let (first, second) = (3, 4); // 序 and 順, which have changed places
    println!("  head   序 looks at 順   most at       順 looks at 序   most at");
    for head in 0..4 {
        let [a, b] = [(first, second), (second, first)].map(|(i, j)| {
            let best = most(head, i);
            format!("{:>14.2}   {} {:.2}", row(head, i)[j], letters[best], row(head, i)[best])
        });
        println!("  {head:>4}   {a}    {b}");
    }
    let left =
        (0..4).fold(0, |best, head| if row(head, second)[first] > row(best, second)[first] { head } else { best });
    if most(left, second) != first {
        return Err(Failure::new("no head of 順 looks at 序 more than at anything else"));
    }
    println!(
        "\nHead {left} looks to the left: at the place of 順 the answer is 序, and that is where it finds it. The places"
    );
    println!("where nothing is wrong look elsewhere, or at nothing in particular.\n");
    let name = format!("Head {left}: who looks at whom");
    let note = "a row for each character that asks; 順 (fifth row) looks at 序 (fourth column)";
    map("order.svg", &name, note, SWAPPED, &maps[left * t * t..(left + 1) * t * t], None)?;
    let p: Vec<f32> = p.to_vec::<f64>().iter().map(|x| *x as f32).collect();
    map("four_tokens.svg", "The P of section 1", "each row sums to 1; nobody sees what comes later", TEXT, &p, Some(2))
}

fn map(file: &str, title: &str, note: &str, text: &str, values: &[f32], decimals: Option<usize>) -> Result {
    let rows: Vec<String> = text.chars().map(String::from).collect();
    let (columns, scale, side) = (rows.clone(), Scale::Sequential(0.0, 1.0), if rows.len() > 4 { 30 } else { 60 });
    show(LESSON, file, &HeatMap { title, note, rows, columns, values, scale, side, decimals }.svg()?)
}

// Exercises
//
// 1. Compute the row of 人 in P by hand from its row in S: three exponentials, their sum, three quotients.
// 2. Multiply S by 10, and by 0, before the softmax. What becomes of the rows of P? What does a temperature do to a model?
// 3. Take the positions and the mask away and give the layer the tokens in the order 民人华中. What becomes of the outputs?
//    Which lesson needed that?
