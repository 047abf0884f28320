//! `gradus inspect`: the table of the parameters, and the attention maps down to the colour of each square.

mod common;

#[path = "common/svg.rs"]
mod svg;

#[path = "common/attention_picture.rs"]
mod attention_picture;

use attention_picture::{assert_shows, read_maps};
use common::{Place, contains, refused, succeeds};
use gradus_autograd::{Tape, Tensor, Var};
use gradus_gpt::{
    config::{ModelConfig, RunConfig},
    model::Gpt,
    trainer,
};
use gradus_nn::{Init, Layer, Module, Parameter};
use std::collections::BTreeMap;
use std::{fs, sync::OnceLock};

/// A model of two layers of three heads with a context of 20, trained once for all tests here.
fn trained() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Place::new();
        succeeds(place.train("run", "--steps 40 --layers 2 --heads 3 --width 24 --context 20 --lr 0.03"));
        place
    })
}

#[test]
fn the_table_follows_the_data_and_adds_up() {
    let (out, err) = succeeds(trained().with_model("run", "inspect", &[]));
    contains(&out, &["2 layers, 3 heads of 8, width 24, context 20, vocabulary 41; trained on ", "precision f32"]);
    let rows: Vec<Vec<&str>> = out.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
    let names: Vec<&str> = rows.iter().map_while(|row| row.first().copied()).take(17).collect();
    let block = |i: usize| {
        ["norm1.weight", "attention.qkv.weight", "attention", "attention.out.weight"]
            .into_iter()
            .chain(["norm2.weight", "feed_forward.up.weight", "feed_forward.down.weight"])
            .map(move |name| format!("blocks.{i}.{name}"))
    };
    let ends = |names: [&str; 2]| names.map(String::from).into_iter();
    let expected: Vec<String> = ends(["token_embedding.weight", "position_embedding.weight"])
        .chain(block(0))
        .chain(block(1))
        .chain(["norm.weight".into()])
        .collect();
    assert_eq!(names, expected);
    assert_eq!(rows[3].join(" "), "blocks.0.attention.qkv.weight [72, 24] F32 1,728 11.2% 6,912 6,912 3,456");
    assert_eq!(rows[17].join(" "), "output [41, 24] tied 1,968");
    // (41 + 20)·24 for the embeddings, 12·24² + 2·24 for a block, 24 for the last norm; 2 FLOPs for each weight of the
    // blocks and the output, and 4·20·24 for the attention of a block.
    let (numbers, flops): (usize, usize) =
        (61 * 24 + 2 * (12 * 576 + 48) + 24, 2 * (2 * 12 * 576 + 41 * 24) + 2 * 1920);
    let total = rows[18].join(" ").replace(',', "");
    assert_eq!(total, format!("total {numbers} 100.0% {} {} {flops}", 4 * numbers, 4 * numbers));
    contains(&out, &["tied weights", "4 · context · width", "full context of 20 tokens"]);
    contains(&err, &["attention.svg: what each of 20 tokens attends to, layers 0 to 1, heads 0 to 2"]);
    assert!(trained().path("run").join("attention.svg").exists());
}

/// The maps of the layers and heads for the tokens of `prompt`, by the model itself.
fn weights(prompt: &str) -> (usize, Vec<Vec<f32>>) {
    let run = RunConfig::load(&trained().path("run")).unwrap();
    let model = trainer::load(&trained().path("run"), &run).unwrap().0;
    let tokens = run.tokenizer.encode(prompt).unwrap();
    let maps = model.attention_maps(&Tensor::from_slice(&tokens, &[1, tokens.len()]));
    let heads = maps.iter().flat_map(|map| (0..3).map(move |head| map.slice(0, head..head + 1).to_vec::<f32>()));
    (tokens.len(), heads.collect())
}

/// Flags, and the layers and heads that they choose.
type Case<'a> = (&'a [&'a str], Vec<(usize, usize)>);

#[test]
fn the_picture_shows_the_weights_of_the_chosen_maps() {
    let place = trained();
    let prompt = "天地 at\nlittle bat!";
    let (time, weights) = weights(prompt);
    let path = place.path("picture.svg");
    let cases: [Case<'_>; 4] = [
        (&[], (0..6).map(|i| (i / 3, i % 3)).collect()),
        (&["--layer", "1"], vec![(1, 0), (1, 1), (1, 2)]),
        (&["--head", "2"], vec![(0, 2), (1, 2)]),
        (&["--layer", "0", "--head", "1"], vec![(0, 1)]),
    ];
    for (flags, expected) in cases {
        let flags = [flags, &["--prompt", prompt, "--out", path.to_str().unwrap()]].concat();
        let (_, err) = succeeds(place.with_model("run", "inspect", &flags));
        contains(&err, &["picture.svg: what each of 17 tokens attends to, "]);
        let drawn = fs::read_to_string(&path).unwrap();
        assert!(["天", "·", "\\n"].iter().all(|label| drawn.contains(&format!(">{label}<"))));
        let maps = read_maps(&drawn);
        assert_eq!(maps.iter().map(|map| (map.layer, map.head)).collect::<Vec<_>>(), expected);
        maps.iter().for_each(|map| assert_shows(map, &weights[map.layer * 3 + map.head], time));
    }
}

#[test]
fn what_the_model_does_not_have_is_refused_before_anything_is_printed() {
    let refusal = |flags: &[&str]| {
        let output = trained().with_model("run", "inspect", flags).output().unwrap();
        assert!(output.stdout.is_empty(), "{flags:?}");
        refused(trained().with_model("run", "inspect", flags), 2)
    };
    assert_eq!(refusal(&["--layer", "2"]), "layer 2: must be from 0 to 1 for this model");
    assert_eq!(refusal(&["--head", "3", "--layer", "1"]), "head 3: must be from 0 to 2 for this model");
    contains(&refusal(&["--prompt", &"at ".repeat(10)]), &["has 30 tokens; from 1 to 20"]);
}

/// LayerNorm, q and k of the blocks, their products, and softmax, in loops and in f64. The weights are far larger than the
/// first ones of a training, with which all maps are nearly even and no scale shows.
#[test]
fn the_maps_are_softmax_of_q_times_k() {
    let (width, heads, time) = (12, 3, 9);
    let config = ModelConfig { layers: 2, heads, width, context: time, vocab_size: 11, dropout: 0.0, bias: true };
    let model = Gpt::new(&config, &mut Init::new(5));
    for (i, (_, parameter)) in model.named_parameters().into_iter().enumerate() {
        let noise = |k: usize| ((k * 7919 + i * 104_729) % 1009) as f32 / 1009.0 - 0.5;
        let values: Vec<f32> = (0..parameter.value().len()).map(|k| 3.0 * noise(k)).collect();
        parameter.set_value(Tensor::from_slice(&values, &parameter.shape()));
    }
    let ids: Vec<u32> = (0..time as u32).map(|i| i * 5 % 11).collect();
    let maps = model.attention_maps(&Tensor::from_slice(&ids, &[1, time]));

    let numbers = |tensor: &Tensor| -> Vec<f64> { tensor.to_vec::<f32>().into_iter().map(f64::from).collect() };
    let (words, places) =
        (numbers(&model.token_embedding.weight.value()), numbers(&model.position_embedding.weight.value()));
    let embedded = |i: usize| words[ids[i / width] as usize * width + i % width] + places[i];
    let mut x: Vec<f32> = (0..time * width).map(|i| embedded(i) as f32).collect();
    for (layer, block) in model.blocks.iter().enumerate() {
        let parameters: BTreeMap<String, Parameter> = block.named_parameters().into_iter().collect();
        let [weight, bias, matrix, offset] =
            ["norm1.weight", "norm1.bias", "attention.qkv.weight", "attention.qkv.bias"]
                .map(|name| numbers(&parameters[name].value()));
        let normed: Vec<Vec<f64>> = x
            .chunks(width)
            .map(|row| {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
                let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
                let scale = 1.0 / (variance + 1e-5).sqrt();
                (0..width).map(|c| (f64::from(row[c]) - mean) * scale * weight[c] + bias[c]).collect()
            })
            .collect();
        let project = |t: usize, row: usize| {
            offset[row] + (0..width).map(|c| matrix[row * width + c] * normed[t][c]).sum::<f64>()
        };
        let size = width / heads;
        for head in 0..heads {
            let map = numbers(&maps[layer].slice(0, head..head + 1));
            for asking in 0..time {
                let score = |asked: usize| {
                    let product = |c: usize| project(asking, head * size + c) * project(asked, width + head * size + c);
                    (0..size).map(product).sum::<f64>() / (size as f64).sqrt()
                };
                let sum: f64 = (0..=asking).map(|asked| score(asked).exp()).sum();
                for asked in 0..time {
                    let wanted = if asked <= asking { score(asked).exp() / sum } else { 0.0 };
                    let found = map[asking * time + asked];
                    assert!(
                        (found - wanted).abs() < 5e-4,
                        "layer {layer}, head {head}, {asking} to {asked}: {found} for {wanted}"
                    );
                }
            }
            let highest = map.iter().skip(time * (time - 1)).copied().fold(0.0, f64::max);
            assert!(highest > 1.5 / time as f64, "an uneven map, or its scale would not matter: {highest}");
        }
        let tape = Tape::inference();
        x = block.forward(&tape, &Var::constant(Tensor::from_slice(&x, &[1, time, width]))).value().to_vec();
    }
}
