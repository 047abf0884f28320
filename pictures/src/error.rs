use std::path::PathBuf;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is to be drawn contradicts itself.
    #[error("the picture \"{title}\" {problem}")]
    Invalid {
        /// Its title.
        title: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The plotting library refused.
    #[error("the picture could not be drawn: {0}")]
    Drawing(String),
    /// The file could not be written.
    #[error("{path} cannot be written: {source}. Choose a folder that you may write to", path = path.display())]
    Writing {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A picture, or why there is none.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn invalid(title: &str, problem: impl Into<String>) -> Error {
        Error::Invalid { title: title.into(), problem: problem.into() }
    }
}

impl<E: std::error::Error + Send + Sync> From<plotters::drawing::DrawingAreaErrorKind<E>> for Error {
    fn from(error: plotters::drawing::DrawingAreaErrorKind<E>) -> Error {
        Error::Drawing(error.to_string())
    }
}
