//! The batches that are cut from a part of the tokens: windows at random places to train on, and windows in order, all or
//! some of them, to evaluate on.

use super::{Dataset, Part};
use crate::error::Result;
use gradus_kernels::philox;

impl Dataset {
    /// Batch `index` of the random sequence `seed`: `batch` windows of `context` tokens from `part`, row after row in
    /// `inputs`, and in `targets` the token after each of them. Both vectors are emptied first.
    ///
    /// Training takes `index` = step · grad_accum + micro-batch; an estimate of the loss takes 0, 1, 2 … every time, so
    /// that two estimates differ only where the model does.
    ///
    /// # Errors
    /// Those of reading the tokens from a file.
    ///
    /// # Panics
    /// Where the part has no more than `context` tokens; [`Dataset::check`] tells before.
    pub fn batch(
        &self,
        part: Part,
        seed: u64,
        index: u64,
        batch: usize,
        context: usize,
        inputs: &mut Vec<u32>,
        targets: &mut Vec<u32>,
    ) -> Result<()> {
        inputs.clear();
        targets.clear();
        let range = self.range(part);
        assert!(range.len() > context, "a part of {} tokens has no window of {context} and a target", range.len());
        let places = (range.len() - context) as u64;
        for row in 0..batch {
            let start = range.start + place(seed, part, index, row as u32, places) as usize;
            self.window(start, context, inputs, targets)?;
        }
        Ok(())
    }

    /// Appends the `time` tokens from `start` on to `inputs`, and to `targets` the token after each of them.
    fn window(&self, start: usize, time: usize, inputs: &mut Vec<u32>, targets: &mut Vec<u32>) -> Result<()> {
        let begin = inputs.len();
        self.append_to(start..start + time + 1, inputs)?;
        targets.extend_from_slice(&inputs[begin + 1..]);
        inputs.truncate(begin + time);
        Ok(())
    }

    /// The windows of `part` one after the other, `batch` rows at a time: every token but the first is a target once.
    ///
    /// # Panics
    /// Where `batch` or `context` is 0.
    pub fn sweep(&self, part: Part, batch: usize, context: usize) -> Sweep<'_> {
        self.sample(part, usize::MAX, batch, context)
    }

    /// At most `windows` of the full windows that [`Dataset::sweep`] takes, at even distances over the whole part. Where
    /// that is all of them, the short window at the end belongs to them too.
    ///
    /// # Panics
    /// Where `windows`, `batch` or `context` is 0.
    pub fn sample(&self, part: Part, windows: usize, batch: usize, context: usize) -> Sweep<'_> {
        assert!(windows > 0 && batch > 0 && context > 0, "a sweep needs at least one row of one token");
        let range = self.range(part);
        let targets = range.len().saturating_sub(1); // the first token is an input only
        let full = targets / context;
        let chosen = windows.min(full);
        let rest = if chosen == full { targets % context } else { 0 };
        Sweep { dataset: self, start: range.start, batch, context, full, chosen, rest, next: 0 }
    }
}

/// A place below `places`, by Philox: counter (row, index, what it is for), key the seed.
fn place(seed: u64, part: Part, index: u64, row: u32, places: u64) -> u64 {
    const PURPOSE: u32 = 0x6261_7463; // "batc": dropout draws from the same seed and must not see the same numbers
    let counter = [row, index as u32, (index >> 32) as u32, PURPOSE ^ part as u32];
    let [low, high, ..] = philox::block(counter, [seed as u32, (seed >> 32) as u32]);
    let random = u64::from(low) | u64::from(high) << 32;
    ((u128::from(random) * u128::from(places)) >> 64) as u64
}

/// The state of [`Dataset::sweep`] and [`Dataset::sample`].
#[derive(Clone, Debug)]
pub struct Sweep<'a> {
    dataset: &'a Dataset,
    /// The first token of the part.
    start: usize,
    batch: usize,
    context: usize,
    /// Full windows in the part.
    full: usize,
    /// How many of them are taken.
    chosen: usize,
    /// Targets in the short window at the end; 0 once it has been taken.
    rest: usize,
    /// Windows taken so far.
    next: usize,
}

impl Sweep<'_> {
    /// Targets in all of its batches together.
    pub fn targets(&self) -> usize {
        self.chosen * self.context + self.rest
    }

    /// Whether it takes every target of the part.
    pub fn is_whole(&self) -> bool {
        self.chosen == self.full
    }

    /// The share of the part's full windows that it takes, from 0 to 1.
    pub fn share(&self) -> f64 {
        if self.full == 0 { 1.0 } else { self.chosen as f64 / self.full as f64 }
    }

    /// Fills `inputs` and `targets` with the next (rows, tokens in a row), or says that there are no more.
    ///
    /// Rows are full windows as long as there are any; a last one may be shorter, and comes alone.
    ///
    /// # Errors
    /// Those of reading the tokens from a file.
    pub fn next_batch(&mut self, inputs: &mut Vec<u32>, targets: &mut Vec<u32>) -> Result<Option<(usize, usize)>> {
        inputs.clear();
        targets.clear();
        let rows = self.batch.min(self.chosen - self.next);
        if rows > 0 {
            for window in self.next..self.next + rows {
                let start = self.start + self.place(window) * self.context;
                self.dataset.window(start, self.context, inputs, targets)?;
            }
            self.next += rows;
            return Ok(Some((rows, self.context)));
        }
        let time = std::mem::take(&mut self.rest);
        if time == 0 {
            return Ok(None);
        }
        self.dataset.window(self.start + self.full * self.context, time, inputs, targets)?;
        Ok(Some((1, time)))
    }

    /// Which of the full windows is the `index`-th that is taken: the middle one of its share of them.
    fn place(&self, index: usize) -> usize {
        ((2 * index as u128 + 1) * self.full as u128 / (2 * self.chosen as u128)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::counting;
    use super::*;

    fn batch(data: &Dataset, part: Part, seed: u64, index: u64) -> (Vec<u32>, Vec<u32>) {
        let (mut inputs, mut targets) = (vec![9; 3], vec![9; 3]);
        data.batch(part, seed, index, 5, 7, &mut inputs, &mut targets).unwrap();
        (inputs, targets)
    }

    #[test]
    fn windows_lie_in_their_part_and_targets_follow_inputs() {
        let data = counting(300); // token i is the number i, in u16
        for (part, range) in [(Part::Training, 0..270), (Part::Validation, 270..300), (Part::Whole, 0..300)] {
            for index in 0..200 {
                let (inputs, targets) = batch(&data, part, 1, index);
                assert_eq!((inputs.len(), targets.len()), (35, 35));
                for (row, next) in inputs.chunks(7).zip(targets.chunks(7)) {
                    assert!((0..7).all(|i| row[i] == row[0] + i as u32 && next[i] == row[i] + 1), "{row:?} {next:?}");
                    assert!(range.contains(&row[0]) && range.contains(&next[6]), "{part:?}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn every_place_is_drawn_about_as_often() {
        let data = counting(300);
        let mut counts = [0; 23]; // the validation part has 30 tokens, so 23 windows of 7 with a target
        for index in 0..4600 {
            for row in batch(&data, Part::Validation, 3, index).0.chunks(7) {
                counts[row[0] as usize - 270] += 1;
            }
        }
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}"); // 1000 ± 31
    }

    #[test]
    fn a_batch_depends_on_seed_and_index_alone() {
        let data = counting(300);
        let first = batch(&data, Part::Training, 1, 77);
        assert_eq!(first, batch(&data, Part::Training, 1, 77));
        assert_ne!(first, batch(&data, Part::Training, 1, 78));
        assert_ne!(first, batch(&data, Part::Training, 2, 77));
        assert_ne!(first, batch(&data, Part::Training, 1, 77 | 1 << 32));
        assert_ne!(first, batch(&data, Part::Training, 1 | 1 << 32, 77));
    }

    /// Printed by `tests/fixtures/philox.py`, which shares nothing with this project's Philox: around the 2¹⁶-th and the
    /// 2³²-th batch, at seeds and texts that need more than 32 bits.
    #[test]
    fn places_are_those_of_another_implementation() {
        const PLACES: [(u64, Part, u64, u32, u64, u64); 24] = [
            (0x3, Part::Training, 0x0, 0, 1000, 796),
            (0x3, Part::Validation, 0x0, 70000, 300000000000, 281642865042),
            (0x3, Part::Training, 0xffff, 0, 1000, 431),
            (0x3, Part::Validation, 0xffff, 70000, 300000000000, 119569831832),
            (0x3, Part::Training, 0x10000, 0, 1000, 210),
            (0x3, Part::Validation, 0x10000, 70000, 300000000000, 71615645321),
            (0x3, Part::Training, 0xffffffff, 0, 1000, 519),
            (0x3, Part::Validation, 0xffffffff, 70000, 300000000000, 127088252576),
            (0x3, Part::Training, 0x100000000, 0, 1000, 768),
            (0x3, Part::Validation, 0x100000000, 70000, 300000000000, 232644685222),
            (0x3, Part::Training, 0x10000000005, 0, 1000, 874),
            (0x3, Part::Validation, 0x10000000005, 70000, 300000000000, 4301474833),
            (0x123456789abcdef0, Part::Training, 0x0, 0, 1000, 151),
            (0x123456789abcdef0, Part::Validation, 0x0, 70000, 300000000000, 277637070425),
            (0x123456789abcdef0, Part::Training, 0xffff, 0, 1000, 769),
            (0x123456789abcdef0, Part::Validation, 0xffff, 70000, 300000000000, 275958852050),
            (0x123456789abcdef0, Part::Training, 0x10000, 0, 1000, 280),
            (0x123456789abcdef0, Part::Validation, 0x10000, 70000, 300000000000, 201318357241),
            (0x123456789abcdef0, Part::Training, 0xffffffff, 0, 1000, 528),
            (0x123456789abcdef0, Part::Validation, 0xffffffff, 70000, 300000000000, 137615280465),
            (0x123456789abcdef0, Part::Training, 0x100000000, 0, 1000, 988),
            (0x123456789abcdef0, Part::Validation, 0x100000000, 70000, 300000000000, 159776358172),
            (0x123456789abcdef0, Part::Training, 0x10000000005, 0, 1000, 879),
            (0x123456789abcdef0, Part::Validation, 0x10000000005, 70000, 300000000000, 53956654418),
        ];
        for (seed, part, index, row, places, expected) in PLACES {
            assert_eq!(place(seed, part, index, row, places), expected, "{seed:#x} {part:?} {index:#x} {row}");
        }
    }

    #[test]
    fn a_sweep_takes_every_target_once() {
        for count in [80, 93, 100, 300, 301, 307] {
            let data = counting(count);
            for part in [Part::Training, Part::Validation, Part::Whole] {
                let (mut inputs, mut targets) = (Vec::new(), Vec::new());
                let (mut seen, mut sweep) = (Vec::new(), data.sweep(part, 3, 7));
                while let Some((rows, time)) = sweep.next_batch(&mut inputs, &mut targets).unwrap() {
                    assert_eq!((inputs.len(), targets.len()), (rows * time, rows * time));
                    assert!(inputs.iter().zip(&targets).all(|(input, target)| input + 1 == *target));
                    assert!(rows <= 3 && (time == 7 || rows == 1));
                    seen.extend_from_slice(&targets);
                }
                let range = data.range(part);
                assert_eq!(seen, (range.start as u32 + 1..range.end as u32).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_sample_is_spread_evenly_and_takes_no_window_twice() {
        let data = counting(1000); // 142 windows of 7 and a rest of 5
        for windows in [1, 2, 3, 10, 141, 142, 143, usize::MAX] {
            let (mut inputs, mut targets, mut starts) = (Vec::new(), Vec::new(), Vec::new());
            let mut sample = data.sample(Part::Whole, windows, 4, 7);
            let (promised, mut seen) = (sample.targets(), 0);
            while let Some((rows, time)) = sample.next_batch(&mut inputs, &mut targets).unwrap() {
                assert!(inputs.iter().zip(&targets).all(|(input, target)| input + 1 == *target));
                assert!(rows <= 4 && (time == 7 || (time == 5 && windows >= 142)));
                starts.extend(inputs.chunks(time).map(|row| row[0] as usize));
                seen += targets.len();
            }
            assert_eq!(seen, promised);
            assert_eq!(seen, if windows >= 142 { 999 } else { 7 * windows });
            assert!(starts.iter().all(|start| start.is_multiple_of(7)), "windows of the sweep: {starts:?}");
            let distances: Vec<usize> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let (least, most) = (distances.iter().min(), distances.iter().max());
            assert!(least.is_none_or(|&least| least > 0 && most.unwrap() - least <= 7), "{distances:?}");
            let (before, after) = (starts[0], 994 - starts.last().unwrap());
            assert!(before.abs_diff(after) <= 14, "the middle of the text is the middle of the sample: {starts:?}");
        }
    }
}
