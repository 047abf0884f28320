//! A command line that clap refuses, in one line as every other error.

/// What is wrong with the command line, and clap's tip where it has one, without the usage that clap prints below.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let told =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut line = String::new();
    for part in told.filter(|part| !part.is_empty()) {
        let joint = if line.is_empty() || line.ends_with(':') { "" } else { ";" };
        line += joint;
        line += if line.is_empty() { "" } else { " " };
        line += part;
    }
    line + "; --help lists the options"
}

#[cfg(test)]
mod tests {
    use super::one_line;
    use crate::args::Cli;
    use clap::Parser;

    fn refused(line: &str) -> String {
        one_line(&Cli::try_parse_from(line.split(' ')).unwrap_err())
    }

    #[test]
    fn each_kind_of_mistake_is_one_line_with_what_to_do() {
        let mistakes = [
            (
                "gradus train --laers 3",
                "error: unexpected argument '--laers' found; tip: a similar argument exists: '--layers'; --help lists the options",
            ),
            (
                "gradus sample",
                "error: the following required arguments were not provided: --model <DIR>; --help lists the options",
            ),
            (
                "gradus train --lr x",
                "error: invalid value 'x' for '--lr <X>': give a finite number such as 0.001; --help lists the options",
            ),
            (
                "gradus train --preset tiny",
                "error: invalid value 'tiny' for '--preset <PRESET>'; [possible values: demo, small, large]; --help lists the options",
            ),
            (
                "gradus trian",
                "error: unrecognized subcommand 'trian'; tip: a similar subcommand exists: 'train'; --help lists the options",
            ),
        ];
        for (line, expected) in mistakes {
            let told = refused(line);
            assert_eq!(told, expected, "{line}");
        }
    }
}
