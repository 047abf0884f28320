use super::*;

#[test]
fn each_error_is_one_line_that_names_the_thing() {
    let missing = Error::io("read", Path::new("poems.txt"))(io::Error::from(io::ErrorKind::NotFound));
    let text = missing.to_string();
    assert!(text.starts_with("cannot read poems.txt: ") && text.ends_with("; check the path"), "{text}");

    let short = Error::TextTooShort { text: "a.txt".into(), part: "validation", tokens: 7, context: 64 };
    let text = short.to_string();
    assert!(text.contains("has 7 tokens") && text.contains("at least 65") && !text.contains('\n'), "{text}");
    assert!(!text.contains("  "), "no run of spaces: {text}");
}

#[test]
fn the_command_line_is_code_2_and_the_rest_1() {
    assert_eq!(Error::setting("heads", 3, "must divide the width").exit_code(), 2);
    assert_eq!(Error::EmptyText { text: "a.txt".into() }.exit_code(), 1);
}

#[test]
fn a_closed_pipe_is_told_apart() {
    let closed = |kind| Error::io("write", Path::new("stdout"))(io::Error::from(kind)).is_broken_pipe();
    assert!(closed(io::ErrorKind::BrokenPipe) && !closed(io::ErrorKind::NotFound));
}
