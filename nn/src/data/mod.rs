//! Small data sets of the first lessons, each in a file of its own.
//!
//! | set | from | what it shows |
//! | --- | --- | --- |
//! | [`film`] | three reasons for and against an evening out | a threshold unit can weigh them |
//! | [`xor`] | Minsky and Papert 1969 | no threshold unit can do it: one line is not enough |
//! | [`two_spirals`] | Lang and Witbrock 1988 | hard even for several layers |
//! | [`FilmGoers`] | a crowd with hidden weights, of any size | what a unit learns of them |
//! | [`PlaneSet`] | Smilkov et al. 2017 (TensorFlow Playground) | what each setting of a network does |
//! | [`drawn_digits`] | noisy drawings of 0 to 9 | ten classes |
//!
//! The first three are not random. The others are functions of a seed. Data of one's own come as [`LabelledRows`] or [`Pairs`], in batches whose
//! order is a function of a seed ([`shuffled`]). A [`TextBatch`] is what text becomes for a language model.

mod blows;
mod characters;
mod digits;
mod film;
mod pairs;
mod people;
mod playground;
mod rows;
mod shuffle;
mod spirals;
mod swapped;
mod text;
mod xor;

pub use blows::{BLOW, Blows};
pub use characters::Characters;
pub use digits::{DIGIT_SIDE, drawn_digits};
pub use film::{FILM_THRESHOLD, FILM_WEIGHTS, film};
pub use pairs::{PairBatch, Pairs};
pub use people::FilmGoers;
pub use playground::{PlanePoint, PlaneSet, train_and_test};
pub use rows::{LabelledRows, RowBatch};
pub use shuffle::shuffled;
pub use spirals::two_spirals;
pub use swapped::{SENTENCE_LENGTH, Swapped};
pub use text::{IGNORED, TextBatch};
pub use xor::xor;

/// A case with its answer: N numbers, and whether it belongs to the class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Example<const N: usize> {
    /// What is known about the case.
    pub inputs: [f32; N],
    /// The right answer.
    pub label: bool,
}

#[cfg(test)]
mod tests;
