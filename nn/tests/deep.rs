//! Deep networks with and without norms and residual connections, and the encoder.

use gradus_autograd::gradcheck::values;
use gradus_autograd::{DType, Parameter, Tape, Tensor, Var};
use gradus_nn::data::{BLOW, Blows, SENTENCE_LENGTH, Swapped};
use gradus_nn::layers::{Activation, BlockConfig, NormConfig, NormPlacement, RotaryConfig};
use gradus_nn::training::{Batches, Trainable};
use gradus_nn::{Deep, DeepConfig, DeepNorm, Encoder, EncoderConfig, Init, Layer, Module, Order};

fn config(residual: bool, norm: DeepNorm, placement: NormPlacement) -> DeepConfig {
    let activation = Activation::Gelu;
    DeepConfig { inputs: 2, width: 4, hidden: 5, outputs: 1, depth: 3, residual, norm, placement, activation }
}

/// Holds the gradient of every parameter that gets one against central differences.
fn check(name: &str, model: &dyn Module, loss: &dyn Fn(&Tape) -> Var) -> usize {
    let tape = Tape::new();
    tape.backward(&loss(&tape));
    let checked: Vec<(String, Parameter)> =
        model.distinct_parameters().into_iter().filter(|(_, parameter)| parameter.grad().is_some()).collect();
    for (what, parameter) in &checked {
        let (grad, old) = (parameter.take_grad().unwrap().to_vec::<f64>(), parameter.value());
        for (i, analytic) in grad.into_iter().enumerate() {
            let at = |h: f64| {
                let mut moved = old.clone();
                moved.make_host_mut::<f64>()[i] += h;
                parameter.set_value(moved);
                loss(&Tape::new()).value().item() // a tape that records: batch norm measures the batch on it
            };
            let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
            parameter.set_value(old.clone());
            let close = (analytic - numeric).abs() < 1e-7 + 1e-6 * analytic.abs();
            assert!(close, "{name}: {what}[{i}]: {analytic:e}, numerically {numeric:e}");
        }
    }
    checked.len()
}

#[test]
fn gradients_of_every_kind_of_deep_network() {
    let rows = DeepNorm::Rows(NormConfig::Layer { bias: true, eps: 1e-5 });
    let rms = DeepNorm::Rows(NormConfig::Rms { eps: 1e-5 });
    let x = Var::constant(Tensor::from_slice(&values(3, 10), &[5, 2]));
    for residual in [false, true] {
        for placement in [NormPlacement::Before, NormPlacement::After] {
            for (norm, of_each) in [(DeepNorm::None, 0), (DeepNorm::Batch, 2), (rows, 2), (rms, 1)] {
                let config = config(residual, norm, placement);
                let model = Deep::new(&mut Init::with_dtype(1, DType::F64), config).unwrap();
                let checked = check(&format!("{config:?}"), &model, &|tape| {
                    model.forward(tape, &x).square().mean(&[0, 1], false)
                });
                let norms = 3 + usize::from(placement == NormPlacement::Before);
                assert_eq!(checked, 4 + 3 * 4 + norms * of_each);
            }
        }
    }
}

#[test]
fn a_residual_network_of_silent_layers_is_the_identity() {
    let answers = |residual: bool| {
        let config = config(residual, DeepNorm::None, NormPlacement::Before);
        let model = Deep::new(&mut Init::with_dtype(1, DType::F64), config).unwrap();
        for (_, layer) in &model.layers {
            layer.down.weight.set_value(Tensor::zeros_of(DType::F64, &[4, 5]));
        }
        let (tape, x) = (Tape::inference(), Var::constant(Tensor::from_slice(&[0.3, -0.7], &[1, 2])));
        let through = model.leave.forward(&tape, &model.enter.forward(&tape, &x)).value().item();
        (model.forward(&tape, &x).value().item(), through)
    };
    let (with, through) = answers(true);
    assert_eq!(with, through);
    assert_eq!(answers(false).0, 0.0);
}

fn encoder(order: Order, block: BlockConfig, vocabulary: usize) -> Encoder {
    let block = block.with_initial_weights(0.4, 2);
    let config = EncoderConfig { vocabulary, context: 14, order, layers: 2, block };
    Encoder::new(&mut Init::with_dtype(1, DType::F64), &config).unwrap()
}

#[test]
fn gradients_of_encoders() {
    let data = Blows::default();
    let batch = data.batch(1, 0, 2).unwrap();
    for (order, more) in [(Order::None, 0), (Order::Learned, 1), (Order::Sinusoidal, 0)] {
        let model = encoder(order, BlockConfig::bert(4, 2), data.characters.len());
        assert_eq!(check("encoder", &model, &|tape| model.loss(tape, &batch)), 3 + 2 * 12 + more);
    }
    let rotary = Order::Rotary(RotaryConfig::half_split(10_000.0));
    let before = BlockConfig { placement: NormPlacement::Before, ..BlockConfig::bert(4, 2) };
    let model = encoder(rotary, before, data.characters.len());
    assert_eq!(check("encoder", &model, &|tape| model.loss(tape, &batch)), 3 + 2 * 12 + 2);
}

#[test]
fn attention_is_that_of_the_layer_that_is_asked() {
    let data = Blows::default();
    let model = encoder(Order::Sinusoidal, BlockConfig::bert(4, 2), data.characters.len());
    let ids = data.tensors(&["张麻子打李麻子"]).unwrap().ids;
    let tape = Tape::inference();
    let x = model.blocks[0].forward(&tape, &model.embed(&tape, &ids));
    let second = model.blocks[1].attention_probabilities(&tape, &x, None).to_vec::<f64>();
    assert_eq!(model.attention(&ids, 1).to_vec::<f64>(), second);
    assert_ne!(model.attention(&ids, 0).to_vec::<f64>(), second);
}

#[test]
fn blows_ask_at_the_verb_and_hold_out_both_orders() {
    let data = Blows::default();
    assert_eq!(data.learned.len() + data.held_out.len(), 90);
    let orders = |all: &[String]| {
        all.chunks(2).all(|pair| {
            let turned: String = pair[1].chars().skip(4).chain(['打']).chain(pair[1].chars().take(3)).collect();
            turned == pair[0]
        })
    };
    assert!(orders(&data.learned) && orders(&data.held_out));
    assert!(data.held_out.iter().all(|sentence| !data.learned.contains(sentence)));
    let batch = data.tensors(&["张麻子打李麻子"]).unwrap();
    let answers: Vec<usize> = (0..7).filter(|&at| batch.targets.to_vec::<u32>()[at] != u32::MAX).collect();
    assert_eq!(answers, [BLOW]);
    assert_eq!(data.characters.decode(&batch.targets.to_vec::<u32>()[BLOW..=BLOW]), "张");
    assert!(data.tensors(&["孙麻子打李麻子"]).unwrap_err().starts_with("孙 is none of"));
}

#[test]
fn swaps_keep_the_characters_and_the_stops() {
    let data = Swapped::default();
    assert_eq!((data.learned.len(), data.held_out.len()), (144, 36));
    assert!(data.held_out.contains(&"漢字的順序並不定一影閱響讀。".replace("定一影閱響讀", "一定影響閱讀")));
    assert!(data.held_out.iter().all(|sentence| !data.learned.contains(sentence)));
    let mut changed = 0;
    for (row, sentence) in data.learned.iter().enumerate() {
        let swapped = Swapped::swap(sentence, 3, row as u64);
        assert_eq!((swapped.chars().count(), swapped.find('。')), (SENTENCE_LENGTH, sentence.find('。')));
        let (mut a, b): (Vec<char>, Vec<char>) = (sentence.chars().collect(), swapped.chars().collect());
        for i in 0..a.len() - 1 {
            if a[i] != b[i] {
                assert_eq!((a[i], a[i + 1]), (b[i + 1], b[i]), "{sentence} {swapped}");
                a.swap(i, i + 1);
                changed += 1;
            }
        }
    }
    // About ⅕ of some 1300 places: a swap that begins with the chance ¼ uses up the next place too.
    assert!((200..350).contains(&changed), "{changed}");
    let batch = data.test_batch(1);
    assert_eq!(data.characters.decode(&batch.targets.to_vec::<u32>()[..SENTENCE_LENGTH]), data.held_out[0]);
}
