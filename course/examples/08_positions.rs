//! Lesson 8: how a model knows the order of its tokens.
//!
//!     cargo run --release --example 08_positions
//!
//! Attention takes a weighted mean, and a mean does not know what came first. So each token is told where it stands:
//!
//! > sinusoidal  PE(t, 2i) = sin(t·θᵢ), PE(t, 2i + 1) = cos(t·θᵢ), θᵢ = 10000^(−2i/C), added to the embedding
//! > learned     row t of a table, added to the embedding
//! > rotary      channels of q and k are turned in pairs by t·θᵢ: q·k then depends on the distance alone
//! > ALiBi       q·k/√D − m·|i − j|, with a slope m for each head
//!
//! Read beside it: `nn/src/layers/positions/`, a file for each, and `nn/src/encoder.rs`. Next: `09_attention.rs`.

use gradus_autograd::{DType, Tape, Tensor};
use gradus_course::{Failure, Result, progress, show};
use gradus_nn::data::{BLOW, Blows};
use gradus_nn::layers::{Alibi, BlockConfig, LearnedPositions, Rotary, RotaryConfig, SinusoidalPositions};
use gradus_nn::optim::{AdamWConfig, Schedule};
use gradus_nn::training::{Trainer, TrainerConfig};
use gradus_nn::{Encoder, EncoderConfig, Init, Module, Order};
use gradus_pictures::{HeatMap, Scale};

const LESSON: &str = "08_positions";
const TOLERANCE: f64 = 1e-12;
const STEPS: u64 = 200;

fn main() -> Result {
    waves()?;
    distances()?;
    table();
    rotary()?;
    alibi();
    same_tokens()?;
    who_hits_whom()?;
    println!("\nExercises: at the end of course/examples/08_positions.rs.");
    Ok(())
}

/// The sinusoidal rows of the first `positions`, each of `width` numbers.
fn sinusoidal(width: usize, positions: usize) -> Result<Vec<Vec<f64>>> {
    let rows = SinusoidalPositions::new(width, DType::F64)?.forward(0..positions).value().to_vec::<f64>();
    Ok(rows.chunks(width).map(<[f64]>::to_vec).collect())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    std::iter::zip(a, b).map(|(a, b)| a * b).sum()
}

fn line(row: &[f64]) -> String {
    row.iter().map(|x| format!("{x:8.3}")).collect()
}

/// Fails unless two numbers that ought to be equal are.
fn equal(what: &str, a: f64, b: f64) -> Result {
    let close = (a - b).abs() <= TOLERANCE * a.abs().max(1.0);
    if close { Ok(()) } else { Err(Failure::new(format!("{what}: {a} and {b} differ by more than {TOLERANCE:e}"))) }
}

fn waves() -> Result {
    println!("1. Sinusoidal: hands of clocks, each slower than the one before\n");
    let (pe, theta) = (sinusoidal(8, 6)?, |i: i32| 10_000_f64.powf(-2.0 * f64::from(i) / 8.0));
    println!("  C = 8: four pairs of channels, θ = {}", line(&(0..4).map(theta).collect::<Vec<f64>>()));
    println!("  t       sin     cos     sin     cos     sin     cos     sin     cos");
    for (t, row) in pe.iter().enumerate() {
        println!("  {t} {}", line(row));
    }
    println!(
        "\nEach pair is a point on a circle. From t to t + k it turns by k·θᵢ, wherever it was: PE(t + k) = R(k)·PE(t)."
    );
    let (k, (sin, cos)) = (3, (3.0 * theta(0)).sin_cos());
    println!("For k = 3 the first pair (sin, cos) is multiplied by\n");
    println!(
        "  | {cos:6.3} {sin:6.3} |      t = 1: ({:.3}, {:.3}) → ({:.3}, {:.3}), which is row 4",
        pe[1][0],
        pe[1][1],
        cos * pe[1][0] + sin * pe[1][1],
        cos * pe[1][1] - sin * pe[1][0]
    );
    println!(
        "  | {:6.3} {cos:6.3} |      t = 2: ({:.3}, {:.3}) → ({:.3}, {:.3}), which is row 5\n",
        -sin,
        pe[2][0],
        pe[2][1],
        cos * pe[2][0] + sin * pe[2][1],
        cos * pe[2][1] - sin * pe[2][0]
    );
    let far = sinusoidal(8, 600)?;
    for (t, i) in (0..500).flat_map(|t| (0..4).map(move |i| (t, i))) {
        for k in [1, k, 99] {
            let (sin, cos) = (k as f64 * theta(i as i32)).sin_cos();
            let ([s, c], later) = ([far[t][2 * i], far[t][2 * i + 1]], &far[t + k][2 * i..]);
            equal("a turned sine", cos * s + sin * c, later[0])?;
            equal("a turned cosine", cos * c - sin * s, later[1])?;
        }
    }
    println!(
        "Checked for 500 positions, every pair, and k = 1, 3 and 99: equal within {TOLERANCE:e}. So one matrix, which a"
    );
    println!("layer can learn, says \"three places on\" everywhere in a text.\n");
    let wide = sinusoidal(32, 64)?;
    let labels = |n: usize, every: usize| -> Vec<String> {
        (0..n).map(|i| if i % every == 0 { i.to_string() } else { String::new() }).collect()
    };
    let picture = HeatMap {
        title: "Sinusoidal positions",
        note: "a row for each position, a column for each channel: fast waves on the left, slow ones on the right",
        rows: labels(64, 8),
        columns: labels(32, 4),
        values: &wide.concat().iter().map(|x| *x as f32).collect::<Vec<f32>>(),
        scale: Scale::Diverging(1.0),
        side: 14,
        decimals: None,
    };
    show(LESSON, "sinusoidal.svg", &picture.svg()?)?;
    let products: Vec<f32> = wide.iter().flat_map(|a| wide.iter().map(|b| dot(a, b) as f32)).collect();
    let picture = HeatMap {
        title: "How alike are two positions?",
        note: "PE(i)·PE(j): equal along every diagonal, so only the distance counts",
        rows: labels(64, 8),
        columns: labels(64, 8),
        values: &products,
        scale: Scale::Diverging(16.0),
        side: 10,
        decimals: None,
    };
    show(LESSON, "distances.svg", &picture.svg()?)
}

fn distances() -> Result {
    println!("\n2. PE(t)·PE(t + k) = Σᵢ cos(k·θᵢ): the distance alone, C = 32\n");
    let pe = sinusoidal(32, 164)?;
    println!("  distance k     0       1       2       4       8      16      32      64");
    for t in [0, 50, 99] {
        let row: Vec<f64> = [0, 1, 2, 4, 8, 16, 32, 64].iter().map(|k| dot(&pe[t], &pe[t + k])).collect();
        println!("  from t = {t:>2} {}", line(&row));
        for k in 0..65 {
            equal("a dot product", dot(&pe[t], &pe[t + k]), dot(&pe[0], &pe[k]))?;
        }
    }
    println!(
        "\nNear positions are alike, far ones less, and 99 is no different from 0. But cos does not know its sign: the"
    );
    println!("product alone cannot say which of the two came first. Wq and Wk, which turn the pairs differently, can.");
    Ok(())
}

fn table() {
    println!("\n3. Learned: a table, of which nothing is known at first\n");
    let table = LearnedPositions::new(&mut Init::with_dtype(1, DType::F64), 64, 32, 1.0);
    let rows = table.weight.value().to_vec::<f64>();
    let row = |t: usize| &rows[t * 32..(t + 1) * 32];
    println!("  distance k     0       1       2       4       8      16      32");
    for t in [0, 31] {
        let products: Vec<f64> = [0, 1, 2, 4, 8, 16, 32].iter().map(|k| dot(row(t), row(t + k))).collect();
        println!("  from t = {t:>2} {}", line(&products));
    }
    println!(
        "\nBefore training no position is near to any other. {} numbers have to be learned for 64 positions,",
        table.parameter_count()
    );
    println!("and position 64 has no row at all: the context ends there. Sines have no parameters and no end.");
}

fn rotary() -> Result {
    println!("\n4. Rotary: nothing is added; q and k are turned\n");
    let x = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0], &[1, 1, 1, 4]);
    let numbers = |config: &RotaryConfig, x: &Tensor, t: usize| -> Result<Vec<f64>> {
        let rotation = Rotary::new(config, 4, DType::F64)?.rotation(t..t + 1);
        Ok(rotation.apply(x, 1)?.to_vec())
    };
    let (half, neighbours) = (RotaryConfig::half_split(10_000.0), RotaryConfig::interleaved(10_000.0));
    println!("  [1, 2, 3, 4] at position        0                               1");
    for (name, config) in [("pairs (1,2) (3,4), interleaved", &neighbours), ("pairs (1,3) (2,4), half split ", &half)] {
        println!("  {name} {}   {}", line(&numbers(config, &x, 0)?), line(&numbers(config, &x, 1)?));
    }
    println!("\nThe first pair turns by 1 radian a position: interleaved (1, 2) → (cos 1 − 2·sin 1, sin 1 + 2·cos 1).");
    let sorted = Tensor::from_slice(&[1.0, 3.0, 2.0, 4.0], &[1, 1, 1, 4]);
    let (a, b) = (numbers(&neighbours, &x, 1)?, numbers(&half, &sorted, 1)?);
    for (i, j) in [(0, 0), (1, 2), (2, 1), (3, 3)] {
        equal("the pairings", a[i], b[j])?;
    }
    println!("The two differ in the order of the channels alone (checked), so both are right; but weights that were");
    println!("trained with one are wrong with the other.\n");
    let (q, k) = (&x, Tensor::from_slice(&[0.5, -1.0, 2.0, 0.3], &[1, 1, 1, 4]));
    println!("  q at  k at  distance   q·k interleaved   q·k half split");
    let mut first = None;
    for (i, j) in [(5, 2), (6, 3), (100, 97), (5, 5), (2, 5)] {
        let score = |config| -> Result<f64> { Ok(dot(&numbers(config, q, i)?, &numbers(config, &k, j)?)) };
        let both = (score(&neighbours)?, score(&half)?);
        println!("  {i:>4}  {j:>4}  {:>8}   {:>15.4}   {:>14.4}", i as i32 - j as i32, both.0, both.1);
        if i == j + 3 {
            let (a, b) = *first.get_or_insert(both);
            equal("a score at distance 3", a, both.0)?;
            equal("a score at distance 3", b, both.1)?;
        }
    }
    println!(
        "\nEqual distances, equal scores; and 3 to the left is not 3 to the right. At distance 0 it is q·k itself."
    );
    Ok(())
}

fn alibi() {
    println!("\n5. ALiBi: the farther, the less\n");
    let (alibi, equal) = (Alibi::new(4), 6);
    let weights = alibi.bias(DType::F64, 1, equal, true).softmax(2).to_vec::<f64>();
    println!("  Four heads; six keys whose q·k are all the same, seen from the last one. Softmax of −m·distance:\n");
    println!("  slope m    distance  5       4       3       2       1       0");
    for (slope, row) in alibi.slopes().iter().zip(weights.chunks(equal)) {
        println!("  {slope:.6}      {}", line(row));
    }
    println!(
        "\nEach step away multiplies the weight by e^(−m): the first head reads what is near, the last one everything."
    );
}

fn encoder(order: Order, vocabulary: usize, seed: u64) -> Result<Encoder> {
    let block = BlockConfig::bert(16, 2).with_initial_weights(0.25, 1);
    let config = EncoderConfig { vocabulary, context: 7, order, layers: 1, block };
    Ok(Encoder::new(&mut Init::with_dtype(seed, DType::F64), &config)?)
}

fn same_tokens() -> Result {
    println!("\n6. 张麻子打李麻子: who hits whom?\n");
    let data = Blows::default();
    let [a, b] = [("张", "李"), ("李", "张")].map(|(x, y)| Blows::sentence(x, y));
    println!("An encoder before any training. How far is a token's output in {a} from that of the same token in");
    println!("{b} (the largest of 16 differences)?\n");
    println!("  positions       张       麻       子       打       李       麻       子");
    for (name, order) in [("none", Order::None), ("sinusoidal", Order::Sinusoidal)] {
        let model = encoder(order, data.characters.len(), 1)?;
        let outputs = |sentence: &str| -> Result<Vec<f64>> {
            let ids = data.tensors(&[sentence]).map_err(Failure::new)?.ids;
            Ok(model.hidden(&Tape::inference(), &ids).value().to_vec())
        };
        let (a, b) = (outputs(&a)?, outputs(&b)?);
        let counterpart = [4, 5, 6, 3, 0, 1, 2];
        let apart = |t: usize| {
            let (a, b) = (&a[t * 16..(t + 1) * 16], &b[counterpart[t] * 16..(counterpart[t] + 1) * 16]);
            std::iter::zip(a, b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        let all: Vec<f64> = (0..7).map(apart).collect();
        println!("  {name:<10} {}", line(&all));
        if (name == "none") != all.iter().all(|apart| *apart < TOLERANCE) {
            return Err(Failure::new(format!("{name}: the outputs of the two orders are {all:?} apart")));
        }
    }
    println!(
        "\nWithout positions both orders have the same seven outputs (within {TOLERANCE:e}), so no layer after it, and no"
    );
    println!("training, can tell who hits whom. {} and {} are one and the same thing to it.", a, b);
    Ok(())
}

fn who_hits_whom() -> Result {
    let data = Blows::default();
    println!(
        "\nNow they learn it: {} sentences of ten surnames, both orders of each pair; {} more, of other pairs, are held",
        data.learned.len(),
        data.held_out.len()
    );
    println!(
        "out. The question is asked at 打 (place {BLOW}), and the answer is the surname of who hits. {STEPS} steps.\n"
    );
    println!("  positions              parameters    loss   learned   held out");
    let kinds = [
        ("none", Order::None),
        ("sinusoidal", Order::Sinusoidal),
        ("learned", Order::Learned),
        ("rotary, interleaved", Order::Rotary(RotaryConfig::interleaved(10_000.0))),
        ("rotary, half split", Order::Rotary(RotaryConfig::half_split(10_000.0))),
    ];
    for (name, order) in kinds {
        let chance = order == Order::None;
        let schedule = Schedule { learning_rate: 1e-2, min_learning_rate: 0.0, warmup: 10, steps: STEPS };
        let adamw = AdamWConfig::default();
        let config = TrainerConfig { seed: 1, batch: 16, grad_accum: 1, clip: 1.0, schedule, adamw };
        let mut trainer = Trainer::new(encoder(order, data.characters.len(), 1)?, config);
        let (bar, mut loss) = (progress(name, STEPS), 0.0);
        for _ in 0..STEPS {
            loss = trainer.step(&data)?.loss;
            bar.inc(1);
        }
        drop(bar);
        let share = |sentences: &[String]| -> Result<f64> {
            let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
            let (right, all) = trainer.model().right(&data.tensors(&sentences).map_err(Failure::new)?);
            Ok(100.0 * right as f64 / all as f64)
        };
        let (learned, held_out) = (share(&data.learned)?, share(&data.held_out)?);
        println!(
            "  {name:<22} {:>10}  {loss:.4}   {learned:>6.1}%   {held_out:>7.1}%",
            trainer.model().parameter_count()
        );
        if chance != (learned <= 50.0) || !chance && (learned, held_out) != (100.0, 100.0) {
            return Err(Failure::new(format!("positions {name}: {learned}% and {held_out}% are right")));
        }
    }
    println!(
        "\nWithout positions it answers the two orders of a pair alike, so it is right for at most one of them: half, which"
    );
    println!("is chance, and its loss stays near ln 2 = {:.4}. With any of the others it is always right.", 2_f64.ln());
    Ok(())
}

// Exercises
//
// 1. C = 32. At which distance of 20 and more is PE(t)·PE(t + k) largest, where the base is 100 instead of 10000? Why is a
//    large base needed for long texts?
// 2. Give the encoder without positions a causal mask (`block.attention.causal = true`). It learns who hits whom. Why? What
//    does each token see that it did not see before?
// 3. Train with rotary positions on the sentences as they are, and ask with 啊 three times before each of them (so that the
//    question stands at place 6). Which positions still know the answer, which cannot?
