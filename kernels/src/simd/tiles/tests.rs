use super::{Emulated, SIDE, Tiles, WORDS};
use crate::simd::bf16::{pair, round};
use half::bf16;

/// Numbers of many magnitudes and both signs, the same ones for the same seed.
fn numbers(count: usize, seed: u32, largest: i32) -> Vec<bf16> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let mut number = || {
        let magnitude = 2.0_f32.powi((next() % (2 * largest as u32 + 1)) as i32 - largest);
        round((next() as f32 / (1 << 23) as f32 - 1.0) * magnitude)
    };
    (0..count).map(|_| number()).collect()
}

fn pairs(numbers: &[bf16]) -> Vec<u32> {
    numbers.chunks(2).map(|two| pair(two[0], two[1])).collect()
}

/// C + A·B of one tile each, through memory with rows that are further apart than they are long.
fn product<T: Tiles>(mut tiles: T, a: &[u32], b: &[u32], c: &[f32]) -> Vec<f32> {
    let step = SIDE + 3;
    let apart = |words: &[u32]| -> Vec<u32> {
        words.chunks(SIDE).flat_map(|row| row.iter().copied().chain([u32::MAX; 3])).collect()
    };
    let [a, b, c] = [apart(a), apart(b), apart(bytemuck::cast_slice(c))];
    let mut out = vec![7.0; SIDE * step];
    // SAFETY: 16 rows of 19 words.
    unsafe {
        tiles.load::<4>(a.as_ptr(), step);
        tiles.load::<7>(b.as_ptr(), step);
        tiles.load::<2>(c.as_ptr(), step);
        tiles.dot::<2, 4, 7>();
        tiles.store::<2>(out.as_mut_ptr(), step);
    }
    assert!(out.chunks(step).all(|row| row[SIDE..] == [7.0; 3]), "only the tile is written");
    out.chunks(step).flat_map(|row| row[..SIDE].to_vec()).collect()
}

#[test]
fn a_product_is_that_of_the_numbers() {
    let (a, b) = (numbers(2 * WORDS, 1, 3), numbers(2 * WORDS, 2, 3));
    let c: Vec<f32> = numbers(WORDS, 3, 3).iter().map(|x| x.to_f32()).collect();
    let got = product(Emulated::configured().expect("memory"), &pairs(&a), &pairs(&b), &c);
    for (i, row) in got.chunks(SIDE).enumerate() {
        for (j, &got) in row.iter().enumerate() {
            // Row q of B holds both numbers of a pair side by side, for every column.
            let factors = |p: usize| (a[i * 32 + p].to_f64(), b[p / 2 * 32 + 2 * j + p % 2].to_f64());
            let exact = (0..32).map(factors).fold(f64::from(c[i * SIDE + j]), |sum, (x, y)| sum + x * y);
            let size = (0..32).map(factors).fold(f64::from(c[i * SIDE + j]).abs(), |sum, (x, y)| sum + (x * y).abs());
            assert!((f64::from(got) - exact).abs() <= 1e-6 * size, "({i}, {j}): {got}, not {exact}");
        }
    }
}

#[test]
fn a_tile_is_zero_at_first_and_when_it_is_set_to_zero() {
    fn check<T: Tiles>(mut tiles: T) {
        let ones = [0x3f80_3f80; WORDS];
        let mut out = [7.0; WORDS];
        // SAFETY: 16 rows of 16 words.
        unsafe {
            tiles.load::<4>(ones.as_ptr(), SIDE);
            tiles.load::<5>(ones.as_ptr(), SIDE);
            tiles.dot::<1, 4, 5>();
            tiles.store::<1>(out.as_mut_ptr(), SIDE);
            assert!(out == [32.0; WORDS]);
            tiles.zero::<1>();
            tiles.store::<1>(out.as_mut_ptr(), SIDE);
        }
        assert!(out == [0.0; WORDS]);
    }
    check(Emulated::configured().expect("memory"));
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(tiles) = super::Amx::configured() {
        check(tiles);
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn the_emulation_has_the_bits_of_the_machine() {
    for (seed, largest) in (0..60).zip([0, 3, 20, 70, 120, 127].into_iter().cycle()) {
        let [mut a, b] = [numbers(2 * WORDS, 3 * seed, largest), numbers(2 * WORDS, 3 * seed + 1, largest)];
        if seed % 5 == 0 {
            let special =
                [bf16::NAN, bf16::INFINITY, bf16::NEG_INFINITY, bf16::from_bits(1), bf16::MAX, bf16::NEG_ZERO];
            for (i, special) in special.into_iter().enumerate() {
                a[37 * (i + 1) + seed as usize] = special;
            }
        }
        let c: Vec<f32> = numbers(WORDS, 3 * seed + 2, largest).iter().map(|x| x.to_f32()).collect();
        let Some(machine) = super::Amx::configured() else { return };
        let got = product(machine, &pairs(&a), &pairs(&b), &c);
        let expected = product(Emulated::configured().expect("memory"), &pairs(&a), &pairs(&b), &c);
        for (i, (x, y)) in got.iter().zip(&expected).enumerate() {
            assert!(
                x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan(),
                "seed {seed}, element {i}: {x:e}, not {y:e}"
            );
        }
    }
}

#[test]
fn chains_do_the_work_that_is_counted() {
    assert_eq!(super::chains_of(&mut Emulated::configured().expect("memory"), 3, 2.0, 0.5), 96.0);
}
