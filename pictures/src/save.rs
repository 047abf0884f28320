use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Writes a picture to `folder/name`, makes the folder where it is missing, and returns the path.
///
/// # Errors
/// [`Error::Writing`].
pub fn save(folder: &Path, name: &str, svg: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, svg));
    written.map_err(|source| Error::Writing { path: path.clone(), source })?;
    Ok(path)
}
