//! Words as a shell reads them, for messages that say what to type.

/// `word` as it has to be typed in a shell: in single quotes where it has other than ordinary characters.
pub fn word(word: &str) -> String {
    let ordinary = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(ordinary) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_word_is_quoted_where_it_must_be() {
        assert_eq!(["out/book-1", "out/天.d"].map(word), ["out/book-1", "out/天.d"]);
        assert_eq!(["my run", "", "it's", "$HOME"].map(word), ["'my run'", "''", r"'it'\''s'", "'$HOME'"]);
    }
}
