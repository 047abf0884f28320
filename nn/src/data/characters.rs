//! The characters of a few texts as token ids.

/// Every character of some texts once, in the order of their code points: id i stands for the i-th of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters(Vec<char>);

impl Characters {
    /// Those of these texts.
    ///
    /// ```
    /// use gradus_nn::data::Characters;
    /// let characters = Characters::of(["中华人民"]);
    /// assert_eq!(characters.encode("中华人民").unwrap(), [0, 2, 1, 3]);
    /// assert_eq!(characters.decode(&[3, 0]), "民中");
    /// assert_eq!(characters.encode("中国").unwrap_err(), "国 is none of the 4 characters of the vocabulary");
    /// ```
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Characters {
        let mut all: Vec<char> = texts.into_iter().flat_map(str::chars).collect();
        all.sort_unstable();
        all.dedup();
        Characters(all)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id of each character of a text.
    ///
    /// # Errors
    /// With the first that is not among them.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let id = |c: char| match self.0.binary_search(&c) {
            Ok(at) => Ok(at as u32),
            Err(_) => Err(format!("{c} is none of the {} characters of the vocabulary", self.len())),
        };
        text.chars().map(id).collect()
    }

    /// The text of these ids.
    ///
    /// # Panics
    /// Where there is no such id.
    pub fn decode(&self, ids: &[u32]) -> String {
        ids.iter().map(|&id| self.0[id as usize]).collect()
    }
}
