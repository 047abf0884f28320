//! Pictures are read back: what they show, by the scales that they show, is what they were given.

#[path = "common/svg.rs"]
mod svg;

#[path = "common/attention_picture.rs"]
mod attention_picture;

use attention_picture::{Map, assert_shows, read_maps};
use gradus_gpt::{
    metrics::Metric,
    plot::{AttentionMaps, attention_map, loss_curve},
};
use svg::{Element, elements};

fn metric(step: u64, train_loss: f32, val_loss: Option<f32>) -> Metric {
    Metric {
        step,
        train_loss,
        val_loss,
        val_tokens: None,
        val_standard_error: None,
        lr: 1e-3,
        grad_norm: 1.0,
        tokens_per_second: 1.0,
        elapsed_s: 1.0,
    }
}

/// A number between 0 and 1 that looks random.
fn noise(i: usize) -> f32 {
    ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32
        / (1u64 << 24) as f32
}

const TRAIN: &str = "#3B82C4";
const VAL: &str = "#D95F02";

/// A loss curve as its axes tell it.
struct Curves {
    all: Vec<Element>,
    steps: [(f64, f64); 2],
    losses: [(f64, f64); 2],
}

impl Curves {
    /// Reads the labels of both axes; the outermost two of each give the scale.
    fn read(svg: &str) -> Curves {
        let all = elements(svg);
        let ticks = |anchor: &str, along: &str| -> [(f64, f64); 2] {
            let labels = all.iter().filter(|e| e.name == "text" && e.get("text-anchor") == Some(anchor));
            let numbers = labels.filter(|e| e.get("transform").is_none()).filter_map(|e| {
                let number = e.text.replace(',', "").parse::<f64>().ok()?;
                Some((e.number(along), number))
            });
            let mut numbers: Vec<_> = numbers.collect();
            numbers.sort_by(|a, b| a.1.total_cmp(&b.1));
            [numbers[0], numbers[numbers.len() - 1]]
        };
        let (steps, losses) = (ticks("middle", "x"), ticks("end", "y"));
        Curves { all, steps, losses }
    }

    fn step(&self, x: f64) -> f64 {
        let [(x0, s0), (x1, s1)] = self.steps;
        s0 + (s1 - s0) * (x - x0) / (x1 - x0)
    }

    fn loss(&self, y: f64) -> f64 {
        let [(y0, l0), (y1, l1)] = self.losses;
        f64::exp(l0.ln() + (l1.ln() - l0.ln()) * (y - y0) / (y1 - y0))
    }

    /// The lines of a colour and an opacity that have the width of a curve.
    fn lines(&self, color: &str, opacity: &str, width: &str) -> Vec<Vec<(f64, f64)>> {
        let lines = self.all.iter().filter(|e| {
            let is = |key, value| e.get(key) == Some(value);
            e.name == "polyline" && is("stroke", color) && is("opacity", opacity) && is("stroke-width", width)
        });
        lines.map(|e| e.numbers("points").chunks(2).map(|p| (self.step(p[0]), self.loss(p[1]))).collect()).collect()
    }

    fn dots(&self, color: &str) -> Vec<(f64, f64)> {
        let dots = self.all.iter().filter(|e| e.name == "circle" && e.get("fill") == Some(color));
        dots.map(|e| (self.step(e.number("cx")), self.loss(e.number("cy")))).collect()
    }

    /// That these are the points, to one of the pixels that the picture is drawn in.
    #[track_caller]
    fn assert_near(&self, shown: &[(f64, f64)], expected: &[(f64, f64)]) {
        let pixel = (self.step(1.0) - self.step(0.0), self.loss(0.0) / self.loss(1.0) - 1.0);
        assert_eq!(shown.len(), expected.len());
        for ((step, loss), wanted) in shown.iter().zip(expected) {
            let off = ((step - wanted.0).abs() / pixel.0, (loss / wanted.1 - 1.0).abs() / pixel.1);
            assert!(off.0 < 1.2 && off.1 < 1.2, "({step}, {loss}) for {wanted:?}: {off:?} pixels off");
        }
    }
}

/// Unevenly spaced steps, as with an evaluation between two logged ones.
fn uneven_run() -> Vec<Metric> {
    let steps = (1..=120).map(|i| i as u64 * 16 + (noise(i) * 9.0) as u64);
    let loss = |step: u64| 1.4 + 2.9 * (-0.004 * step as f32).exp() + 0.2 * noise(step as usize);
    steps.enumerate().map(|(i, step)| metric(step, loss(step), (i % 20 == 7).then(|| loss(step) + 0.3))).collect()
}

#[test]
fn the_points_of_the_curves_are_the_metrics() {
    let metrics = uneven_run();
    let curves = Curves::read(&loss_curve(&metrics, 65).unwrap());
    let train: Vec<_> = metrics.iter().map(|m| (m.step as f64, f64::from(m.train_loss))).collect();
    let val: Vec<_> = metrics.iter().filter_map(|m| Some((m.step as f64, f64::from(m.val_loss?)))).collect();
    let [line] = &curves.lines(TRAIN, "0.3", "2")[..] else { panic!("one line of batches") };
    curves.assert_near(line, &train);
    let [line] = &curves.lines(VAL, "1", "6")[..] else { panic!("one line of validations") };
    curves.assert_near(line, &val);
    curves.assert_near(&curves.dots(VAL), &val);

    // The geometric mean of two batches to either side, of fewer at the start.
    let mean = |i: usize| {
        let around = &train[i - i.min(2)..(i + i.min(2) + 1).min(train.len())];
        around.iter().map(|point| point.1.ln()).sum::<f64>() / around.len() as f64
    };
    let means: Vec<_> = train.iter().enumerate().map(|(i, point)| (point.0, mean(i).exp())).collect();
    let [line] = &curves.lines(TRAIN, "1", "6")[..] else { panic!("one line of means") };
    curves.assert_near(line, &means);
    let end = |loss: f64| format!("{loss:.3}");
    let texts: Vec<&str> = curves.all.iter().map(|e| e.text.as_str()).collect();
    for (name, loss) in [("training", means[119].1), ("validation", val[5].1), ("guessing", 65f64.ln())] {
        let place = texts.iter().position(|text| *text == name).expect(name);
        assert_eq!(texts[place + 2], end(loss), "the value below {name}");
    }
    let guessing = curves.lines("#6F7884", "1", "2").into_iter().flatten();
    let guessing = guessing.filter(|(step, _)| *step > 100.0 && *step < 1900.0).filter(|(_, loss)| *loss > 3.0);
    for (_, loss) in guessing {
        assert!((loss / 65f64.ln() - 1.0).abs() < 0.003, "{loss}");
    }
}

#[test]
fn what_is_not_finite_interrupts_the_curve() {
    let mut metrics: Vec<_> = (0..60).map(|i| metric(i * 10, 3.0, i.is_multiple_of(10).then_some(3.1))).collect();
    metrics[20].train_loss = f32::NAN;
    metrics[22].train_loss = f32::INFINITY;
    metrics[30].val_loss = Some(f32::NAN);
    let curves = Curves::read(&loss_curve(&metrics, 65).unwrap());
    let spans = |lines: Vec<Vec<(f64, f64)>>| -> Vec<[i64; 2]> {
        lines.iter().map(|line| [line[0], line[line.len() - 1]].map(|point| point.0.round() as i64)).collect()
    };
    assert_eq!(spans(curves.lines(TRAIN, "0.3", "2")), [[0, 190], [230, 590]]);
    let alone = curves.dots(TRAIN);
    assert!(!alone.is_empty() && alone.iter().all(|dot| (dot.0 - 210.0).abs() < 1.0), "a point alone: {alone:?}");
    assert_eq!(spans(curves.lines(VAL, "1", "6")), [[0, 200], [400, 500]]);
    assert_eq!(curves.dots(VAL).len(), 5);
}

#[test]
fn one_point_is_seen_too() {
    for (metrics, dots) in
        [(vec![metric(1, 4.2, None)], [true, false]), (vec![metric(9, f32::NAN, Some(4.0))], [false, true])]
    {
        let curves = Curves::read(&loss_curve(&metrics, 65).unwrap());
        assert_eq!([!curves.dots(TRAIN).is_empty(), !curves.dots(VAL).is_empty()], dots);
    }
    let empty = loss_curve(&[], 65).unwrap();
    assert!(empty.contains("no finite loss above 0 has been logged"));
}

/// Boxes of text, of which every pair must be apart. The font has 0.7 em for a letter at most.
fn boxes(all: &[Element]) -> Vec<([f64; 4], &str)> {
    let texts = all.iter().filter(|e| e.name == "text" && e.get("transform").is_none());
    texts
        .map(|e| {
            let (size, width) = (e.number("font-size"), e.number("font-size") * 0.7 * e.text.chars().count() as f64);
            let left = match e.get("text-anchor") {
                Some("middle") => e.number("x") - width / 2.0,
                Some("end") => e.number("x") - width,
                _ => e.number("x"),
            };
            let baseline = match e.get("dy") {
                Some("0.76em") => 0.76 * size,
                Some("0.5ex") => 0.25 * size,
                Some("-0.5ex") => -0.25 * size,
                other => panic!("{other:?}"),
            };
            let bottom = e.number("y") + baseline;
            ([left, left + width, bottom - 0.8 * size, bottom + 0.1 * size], e.text.as_str())
        })
        .collect()
}

#[test]
fn labels_meet_neither_each_other_nor_the_axes_nor_the_edge() {
    let losses = [1e-30, 1e-7, 0.0012, 0.01, 0.0101, 0.21, 1.5, 1.5001, 1.51, 4.17, 4.18, 12.0, 300.0, 1e6, 1e30];
    for (i, train) in losses.into_iter().enumerate() {
        for (j, val) in losses.into_iter().enumerate() {
            for (start, last) in [(4.2, 2000), (train, 7), (1e-6, 1_234_567), (90.0, u64::MAX)] {
                let metrics = [metric(0, start, None), metric(last, train, Some(val))];
                let svg = loss_curve(&metrics, [65, 1, 50_257][(i + j) % 3]).unwrap();
                assert!(!svg.contains("NaN") && !svg.contains("inf\""));
                let all = elements(&svg);
                let boxes = boxes(&all);
                for (k, (a, text)) in boxes.iter().enumerate() {
                    assert!(
                        a[0] >= 0.0 && a[1] <= 1920.0 && a[2] >= 0.0 && a[3] <= 1120.0,
                        "{text} leaves the picture"
                    );
                    for (b, other) in &boxes[..k] {
                        let apart = a[1] <= b[0] || b[1] <= a[0] || a[3] <= b[2] || b[3] <= a[2];
                        assert!(apart, "{text:?} {a:?} meets {other:?} {b:?} for {train}, {val} until {last}");
                    }
                    // The horizontal axis ends where the curves do, at x = 1671, and stands at y = 984.
                    assert!(a[0] < 1680.0 || a[3] < 984.0, "{text:?} lies below the axis");
                }
            }
        }
    }
}

#[test]
fn a_long_run_makes_a_small_picture_with_its_spikes() {
    let mut metrics: Vec<_> = (0..100_000).map(|i| metric(i * 10, 2.0 + noise(i as usize), Some(3.5))).collect();
    metrics[51_234].train_loss = 9.0;
    let svg = loss_curve(&metrics, 65).unwrap();
    assert!(svg.len() < 150_000, "{} bytes", svg.len());
    let curves = Curves::read(&svg);
    let highest = curves.lines(TRAIN, "0.3", "2")[0].iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!((highest.0 / 512_340.0 - 1.0).abs() < 0.002 && (highest.1 / 9.0 - 1.0).abs() < 0.01, "{highest:?}");
    assert!(curves.dots(VAL).is_empty(), "so many dots would hide the curve");
}

#[test]
fn wild_metrics_draw_too() {
    let wild = [metric(1, f32::NAN, Some(f32::INFINITY)), metric(2, 0.0, Some(-1.0)), metric(u64::MAX, 1e30, None)];
    for (metrics, vocabulary) in [(&[][..], 65), (&[], 1), (&wild, 2), (&wild[..2], 1), (&[metric(0, 4.2, None)], 1)] {
        let svg = loss_curve(metrics, vocabulary).unwrap();
        assert!(svg.trim_end().ends_with("</svg>") && !svg.contains("NaN") && !svg.contains("inf\""));
    }
}

/// Random weights whose rows sum to 1, with something above the diagonal that must not be drawn.
fn random_weights(count: usize, time: usize) -> Vec<f32> {
    let mut weights: Vec<f32> = (0..count * time * time).map(|i| noise(i).powi(6) + 1e-4).collect();
    for (i, row) in weights.chunks_mut(time).enumerate() {
        let sum: f32 = row[..=i % time].iter().sum();
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
    weights
}

fn tokens(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

#[test]
fn the_squares_of_the_maps_are_the_weights() {
    for (layers, heads, text) in
        [(0..1, 0..1, "a"), (0..2, 0..3, "天地 ab\n"), (5..6, 2..4, "Once upon a time"), (0..6, 0..6, "abcd")]
    {
        let (tokens, count) = (tokens(text), layers.len() * heads.len());
        let weights = random_weights(count, tokens.len());
        let maps = AttentionMaps { weights: &weights, layers: layers.clone(), heads: heads.clone(), tokens: &tokens };
        let shown = read_maps(&attention_map(&maps));
        assert_eq!(shown.len(), count);
        let numbers = layers.flat_map(|layer| heads.clone().map(move |head| (layer, head)));
        for ((map, wanted), values) in shown.iter().zip(numbers).zip(weights.chunks(tokens.len().pow(2))) {
            assert_eq!((map.layer, map.head), wanted);
            assert_shows(map, values, tokens.len());
        }
    }
}

#[test]
fn labels_stand_beside_their_rows_and_below_their_columns() {
    let tokens = tokens("a天\n\u{1b}<&· \u{301}");
    let shown = ["a", "天", "\\n", "\\u{1b}", "<", "&", "\\u{b7}", "·", "\\u{301}"];
    let weights = random_weights(6, tokens.len());
    let svg = attention_map(&AttentionMaps { weights: &weights, layers: 0..2, heads: 0..3, tokens: &tokens });
    assert!(!svg.contains('\u{1b}') && !svg.contains("dominant-baseline") && !svg.contains("<style"));
    let all = elements(&svg);
    let labels: Vec<&Element> = all.iter().filter(|e| e.name == "text" && e.get("dy") == Some("0.35em")).collect();
    for Map { x, y, cell, .. } in read_maps(&svg) {
        for (i, wanted) in shown.iter().enumerate() {
            let middle = i as f64 * cell + cell / 2.0;
            if x < 200.0 {
                let beside =
                    |e: &&&Element| e.get("text-anchor") == Some("end") && (e.number("y") - y - middle).abs() < 1.0;
                let label = labels.iter().find(beside).expect("a label for the row");
                assert!(label.text == *wanted && label.number("x") < x);
            }
            let below = |e: &&&Element| match e.get("transform") {
                Some(_) => (e.numbers("transform")[0] - x - middle).abs() < 1.0,
                None => e.get("text-anchor") == Some("middle") && (e.number("x") - x - middle).abs() < 1.0,
            };
            assert_eq!(labels.iter().find(below).expect("a label for the column").text, *wanted);
        }
    }
}

/// Titles, notes, scale and labels of few and many maps, long and short labels.
#[test]
fn texts_of_a_map_meet_neither_each_other_nor_the_edge() {
    let long = |text: &str, count: usize| vec![text.to_string(); count];
    let alphabet = "The quick brown fox jumps over the lazy dog, 天地玄黄宇宙洪荒";
    let many: String = alphabet.chars().cycle().take(64).collect();
    for tokens in [
        tokens("a"),
        tokens("ab"),
        tokens(&many),
        long("0xe4", 64),
        long("internationalisation", 5),
        long("天地玄黄宇宙洪荒", 9),
    ] {
        for (layers, heads) in [(0..1, 0..1), (3..4, 0..4), (0..6, 0..6), (990..992, 0..1)] {
            let weights = vec![0.0; layers.len() * heads.len() * tokens.len().pow(2)];
            let svg = attention_map(&AttentionMaps { weights: &weights, layers, heads, tokens: &tokens });
            let all = elements(&svg);
            let (width, height) = (all[0].number("width"), all[0].number("height"));
            let boxes = map_boxes(&all);
            for (k, (a, text)) in boxes.iter().enumerate() {
                assert!(
                    a[0] >= 0.0 && a[1] <= width && a[2] >= 0.0 && a[3] <= height,
                    "{text} {a:?} of {width} x {height}"
                );
                for (b, other) in &boxes[..k] {
                    let apart = a[1] <= b[0] || b[1] <= a[0] || a[3] <= b[2] || b[3] <= a[2];
                    assert!(apart, "{text:?} {a:?} meets {other:?} {b:?}, {} tokens", tokens.len());
                }
            }
            for e in all.iter().filter(|e| e.name == "text") {
                let size = e.get("font-size").map_or(9.0, |size| size.parse().unwrap());
                assert!(size >= 9.0, "too small to read: {e:?}");
            }
        }
    }
}

/// Boxes of the text in a map; a Latin letter takes 0.6 em and a Chinese one 1 em.
fn map_boxes(all: &[Element]) -> Vec<([f64; 4], &str)> {
    let mut inherited = 0.0;
    let mut boxes = Vec::new();
    for e in all {
        if e.name == "g" && e.get("font-size").is_some() {
            inherited = e.number("font-size");
        }
        if e.name != "text" {
            continue;
        }
        let size = e.get("font-size").map_or(inherited, |size| size.parse().unwrap());
        let em: f64 = e.text.chars().map(|c| if c > '\u{2e80}' { 1.0 } else { 0.6 }).sum();
        let (up, down) = (0.7 * size, 0.1 * size); // without the room below for g and y
        let (up, down) = if e.get("dy").is_some() { (up - 0.35 * size, down + 0.35 * size) } else { (up, down) };
        boxes.push(if e.get("transform").is_some() {
            let at = e.numbers("transform");
            ([at[0] - down, at[0] + up, at[1], at[1] + em * size], e.text.as_str())
        } else {
            let left = match e.get("text-anchor") {
                Some("middle") => e.number("x") - em * size / 2.0,
                Some("end") => e.number("x") - em * size,
                _ => e.number("x"),
            };
            ([left, left + em * size, e.number("y") - up, e.number("y") + down], e.text.as_str())
        });
    }
    boxes
}
