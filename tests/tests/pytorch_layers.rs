//! Attention layers and blocks as PyTorch computes them in `f64`: its own layers of 2017, and Llama and Qwen written with its
//! operations. Outputs and all gradients, in `f64`; in `f32`, on the CPU and on CUDA, the same at its precision.

use gradus_autograd::{DType, Device, Tape, Tensor, Var};
use gradus_nn::layers::{
    Attention, AttentionConfig, Block, BlockConfig, BlockInputs, FrequencyScaling, NormConfig, NormPlacement, Padding,
    RotaryConfig,
};
use gradus_nn::{Init, Module};
use gradus_tests::compare::assert_close;
use gradus_tests::device::cuda;
use gradus_tests::fixture::Fixture;

const EPS: f32 = 1.0 / 65_536.0;
const C: usize = 12;

/// The output of a layer for x, a memory and the padding of the memory or, where there is none, of x.
type Run<M> = fn(&M, &Tape, &Var, Option<&Var>, Option<&Padding>) -> Var;

fn self_attention(layer: &Attention, tape: &Tape, x: &Var, _: Option<&Var>, padding: Option<&Padding>) -> Var {
    layer.forward_with(tape, x, padding, None)
}

fn cross_attention(layer: &Attention, tape: &Tape, x: &Var, memory: Option<&Var>, padding: Option<&Padding>) -> Var {
    layer.forward_cross(tape, x, &layer.memory(tape, memory.unwrap(), padding))
}

fn block(layer: &Block, tape: &Tape, x: &Var, memory: Option<&Var>, padding: Option<&Padding>) -> Var {
    let memory = memory.map(|memory| layer.memory(tape, memory, padding));
    let padding = padding.filter(|_| memory.is_none());
    layer.forward_with(tape, x, BlockInputs { padding, cache: None, memory: memory.as_ref() })
}

/// Compares y, the gradients of the inputs and those of every parameter.
fn check<M: Module>(fixture: &Fixture, case: &str, make: &dyn Fn(&mut Init) -> M, run: Run<M>) {
    let cpu = [(Device::Cpu, DType::F64, 1e-11), (Device::Cpu, DType::F32, 2e-5)];
    for (device, dtype, tolerance) in cpu.into_iter().chain(cuda().map(|cuda| (cuda, DType::F32, 2e-5))) {
        let layer = make(&mut Init::with_dtype(1, dtype));
        let named = layer.named_parameters();
        let mut names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        assert_eq!(names, fixture.names(&format!("{case}/p/")), "{case}: parameters");
        for (name, parameter) in &named {
            parameter.set_value(fixture.of_type(&format!("{case}/p/{name}"), dtype));
        }
        layer.to_device(&device);
        let tape = Tape::new();
        let leaf = |name: &str| {
            let name = format!("{case}/{name}");
            fixture.has(&name).then(|| tape.leaf(fixture.of_type(&name, dtype).to_device(&device)))
        };
        let (x, memory) = (leaf("x").unwrap(), leaf("memory"));
        let keep = format!("{case}/keep");
        let padding = fixture.has(&keep).then(|| {
            let real: Vec<bool> = fixture.numbers(&keep).into_iter().map(|keep| keep != 0.0).collect();
            Padding::new(&real, 2).unwrap()
        });
        let mut y = run(&layer, &tape, &x, memory.as_ref(), padding.as_ref());
        if let (Some(padding), None) = (&padding, &memory) {
            let real: Vec<f32> = padding.real().iter().map(|&real| f32::from(u8::from(real))).collect();
            let [b, t] = padding.shape();
            let real = Tensor::from_slice(&real, &[b, t, 1]).to_dtype(dtype).to_device(&device);
            y = y.where_(&real, &Var::constant(Tensor::scalar(dtype, 0.0).to_device(&device)));
        }
        assert_close(&format!("{case}: y"), &y.value().to_f64_vec(), &fixture.numbers(&format!("{case}/y")), tolerance);
        let gradients = tape.backward_from(&y, fixture.of_type(&format!("{case}/dy"), dtype).to_device(&device));
        for (name, input) in [("dx", Some(&x)), ("dmemory", memory.as_ref())] {
            let Some(input) = input else { continue };
            let (what, got) = (format!("{case}/{name}"), gradients.get(input).unwrap().to_f64_vec());
            assert_close(&what, &got, &fixture.numbers(&what), 10.0 * tolerance);
        }
        for (name, parameter) in named {
            let (what, mut got) = (format!("{case}/d/{name}"), parameter.take_grad().unwrap().to_f64_vec());
            let mut expected = fixture.numbers(&what);
            if name.ends_with("kv.bias") && !case.starts_with("qwen") {
                // Softmax does not see a number added to a whole row: without rotary positions the gradient of the keys' bias is
                // rounding noise.
                let keys = if name.ends_with("qkv.bias") { got.len() / 3..2 * got.len() / 3 } else { 0..got.len() / 2 };
                (got, expected) = (without(got, keys.clone()), without(expected, keys));
            }
            assert_close(&what, &got, &expected, 10.0 * tolerance);
        }
    }
}

fn without(mut values: Vec<f64>, range: std::ops::Range<usize>) -> Vec<f64> {
    values.drain(range);
    values
}

#[test]
fn attention_is_pytorchs() {
    let fixture = Fixture::open("layers.safetensors");
    let check = |case: &str, config: AttentionConfig, run: Run<Attention>| {
        check(&fixture, case, &|init| Attention::new(init, &config), run);
    };
    check("mha", AttentionConfig::bidirectional(C, 3), self_attention);
    check("mha_padded", AttentionConfig::bidirectional(C, 3), self_attention);
    check("mha_causal", AttentionConfig::causal(C, 3), self_attention);
    check("mha_cross", AttentionConfig::cross(C, 3, 10), cross_attention);
    let causal = AttentionConfig::causal(C, 4);
    let grouped = AttentionConfig { kv_heads: 2, head_size: Some(4), qkv_bias: false, out_bias: false, ..causal };
    check("gqa", grouped, self_attention);
}

#[test]
fn the_blocks_of_2017_are_pytorchs() {
    let fixture = Fixture::open("layers.safetensors");
    for (case, config) in [("encoder", BlockConfig::encoder(C, 3)), ("decoder", BlockConfig::decoder(C, 3))] {
        for (suffix, placement) in [("", NormPlacement::After), ("_pre", NormPlacement::Before)] {
            let config = BlockConfig { placement, norm: NormConfig::Layer { bias: true, eps: EPS }, ..config.clone() };
            check(&fixture, &format!("{case}{suffix}"), &|init| Block::new(init, &config), block);
        }
    }
}

/// The rotary positions are those of complex numbers there, the scaled frequencies those by wavelength.
#[test]
fn the_blocks_of_llama_and_qwen_are_those_of_pytorchs_operations() {
    let fixture = Fixture::open("layers.safetensors");
    let half = || RotaryConfig::half_split(500.0);
    let llama = |rotary| {
        let llama = BlockConfig::llama(C, 4, 2, 20, rotary);
        let attention = AttentionConfig { head_size: Some(4), ..llama.attention.clone() };
        BlockConfig { attention, norm: NormConfig::Rms { eps: EPS }, ..llama }
    };
    let with = |change: fn(&mut AttentionConfig)| {
        let mut config = llama(half());
        change(&mut config.attention);
        config
    };
    let scaling = FrequencyScaling::Llama3 { factor: 4.0, low: 1.0, high: 4.0, context: 32 };
    for (case, config) in [
        ("llama_half", llama(half())),
        ("llama_interleaved", llama(RotaryConfig::interleaved(500.0))),
        ("llama_3", llama(RotaryConfig { scaling, ..RotaryConfig::half_split(50.0) })),
        ("qwen_2", with(|attention| attention.qkv_bias = true)),
        ("qwen_3", with(|attention| (attention.qk_norm, attention.head_size) = (Some(EPS), Some(16)))),
    ] {
        check(&fixture, case, &|init| Block::new(init, &config), block);
    }
}
