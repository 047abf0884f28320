//! The files of weights themselves: what is written, and weights of other programs in every type.

use super::*;

#[test]
fn what_is_written_is_a_safetensors_file_with_aligned_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (names, shape) = (["天.weight", "b", "cc"], [3]);
    let data = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
    let model: Vec<_> = names.iter().zip(&data).map(|(name, data)| NamedArray { name, shape: &shape, data }).collect();
    Checkpoint { step: 7, meaning: "a \"model\"", model: &model, optimizer: &[] }.save(&Disk, folder.path()).unwrap();
    let bytes = fs::read(folder.path().join(MODEL)).unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, data) in names.iter().zip(&data) {
        let array = read.tensor(name).unwrap();
        assert_eq!((array.dtype(), array.shape()), (Dtype::F32, &shape[..]));
        assert_eq!(array.data(), data.iter().flat_map(|x: &f32| x.to_le_bytes()).collect::<Vec<u8>>());
        assert_eq!((array.data().as_ptr() as usize - bytes.as_ptr() as usize) % 4, 0, "{name}");
    }
    let file = WeightsFile::open(&folder.path().join(MODEL)).unwrap();
    assert_eq!((file.step, file.model.as_deref(), file.is_ours()), (Some(7), Some("a \"model\""), true));
}

/// A model of one array `a`, as another program would save it.
fn foreign_model(dtype: Dtype, count: usize, bytes: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let view = TensorView::new(dtype, vec![count], bytes).unwrap();
    let metadata = std::collections::HashMap::from([("format".to_string(), "pt".to_string())]);
    fs::write(folder.path().join(MODEL), safetensors::serialize([("a", view)], Some(metadata)).unwrap()).unwrap();
    folder
}

fn load_foreign(folder: &TempDir, count: usize) -> Result<(Option<u64>, Vec<Vec<f32>>)> {
    load(folder.path(), &[Expected { name: "a".into(), shape: vec![count] }])
}

/// More numbers than one buffer holds, of all magnitudes, the smallest and the largest included.
#[test]
fn each_type_that_weights_are_stored_in_loads() {
    let bytes = |bits: &dyn Fn(u64) -> Vec<u8>, count: usize| (0..count as u64).flat_map(bits).collect::<Vec<u8>>();
    let count = 40_001;
    let check = |dtype, bytes: &[u8], count: usize, expected: &dyn Fn(usize) -> f32| {
        let (step, arrays) = load_foreign(&foreign_model(dtype, count, bytes), count).unwrap();
        assert_eq!((step, arrays.len(), arrays[0].len()), (None, 1, count));
        for (i, &x) in arrays[0].iter().enumerate() {
            assert_eq!(x.to_bits(), expected(i).to_bits(), "{dtype:?} element {i}");
        }
    };
    let value = |i: u64| (i as f32 - 20_000.0) * 1.25e-3;
    check(Dtype::F32, &bytes(&|i| value(i).to_le_bytes().to_vec(), count), count, &|i| value(i as u64));
    let wide = |i: u64| f64::from(value(i)) / 3.0;
    check(Dtype::F64, &bytes(&|i| wide(i).to_le_bytes().to_vec(), count), count, &|i| wide(i as u64) as f32);
    // Every finite half: sign, exponent and fraction taken apart by hand.
    let finite = |exponent_bits: u32, fraction_bits: u32| -> Vec<u16> {
        (0..=u16::MAX)
            .filter(|bits| (bits >> fraction_bits) & ((1 << exponent_bits) - 1) != (1 << exponent_bits) - 1)
            .collect()
    };
    let decoded = |bits: u16, exponent_bits: u32, fraction_bits: u32| -> f32 {
        let exponent = i32::from((bits >> fraction_bits) & ((1 << exponent_bits) - 1));
        let fraction = f64::from(bits & ((1 << fraction_bits) - 1)) / f64::from(1 << fraction_bits);
        let bias = (1 << (exponent_bits - 1)) - 1;
        let size =
            if exponent == 0 { fraction * 2f64.powi(1 - bias) } else { (1.0 + fraction) * 2f64.powi(exponent - bias) };
        (if bits >> 15 == 1 { -size } else { size }) as f32
    };
    for (dtype, exponent_bits, fraction_bits) in [(Dtype::F16, 5, 10), (Dtype::BF16, 8, 7)] {
        let all = finite(exponent_bits, fraction_bits);
        let bytes: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        check(dtype, &bytes, all.len(), &|i| decoded(all[i], exponent_bits, fraction_bits));
    }
}

#[test]
fn wild_values_and_types_that_are_none_of_weights_are_refused() {
    let says = |dtype, bytes: &[u8]| load_foreign(&foreign_model(dtype, 2, bytes), 2).unwrap_err().to_string();
    let two = |bytes: &[u8]| [bytes, bytes].concat();
    for wild in [f32::NAN, f32::INFINITY] {
        assert!(says(Dtype::F32, &two(&wild.to_le_bytes())).contains("a holds a value that is not finite"));
        assert!(says(Dtype::F64, &two(&f64::from(wild).to_le_bytes())).contains("a holds a value that is not finite"));
        let half = half::f16::from_f32(wild).to_le_bytes();
        assert!(says(Dtype::F16, &two(&half)).contains("a holds a value that is not finite"));
        let brain = half::bf16::from_f32(wild).to_le_bytes();
        assert!(says(Dtype::BF16, &two(&brain)).contains("a holds a value that is not finite"));
    }
    assert!(says(Dtype::F64, &two(&1e300_f64.to_le_bytes())).contains("not finite as an f32"));
    let integers = says(Dtype::I32, &[0; 8]);
    assert!(integers.contains("a is of type I32; F32, F16, BF16 and F64 are read"), "{integers}");
}

/// Each array is read from where it stands to where it ends, whatever its type and its place.
#[test]
fn arrays_of_every_type_are_read_from_their_place() {
    let values = [1.5_f32, -2.0, 0.25];
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64] {
        let one = |x: f32| match dtype {
            Dtype::F16 => half::f16::from_f32(x).to_le_bytes().to_vec(),
            Dtype::BF16 => half::bf16::from_f32(x).to_le_bytes().to_vec(),
            Dtype::F64 => f64::from(x).to_le_bytes().to_vec(),
            _ => x.to_le_bytes().to_vec(),
        };
        let bytes = |times: f32| values.iter().flat_map(|x| one(times * x)).collect::<Vec<u8>>();
        let data = [("a", bytes(1.0)), ("b", bytes(2.0)), ("c", bytes(4.0))];
        let views = data.iter().map(|(name, bytes)| (*name, TensorView::new(dtype, vec![3], bytes).unwrap()));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MODEL), safetensors::serialize(views, None).unwrap()).unwrap();
        let expected = ["c", "a", "b"].map(|name| Expected { name: name.into(), shape: vec![3] });
        let (_, arrays) = load(folder.path(), &expected).unwrap();
        assert_eq!(arrays, [4.0, 1.0, 2.0].map(|times| values.map(|x| times * x).to_vec()), "{dtype:?}");
    }
}
