//! Reading a file at a position, without a cursor that two readers would share.

use std::{fs::File, io};

/// Fills `buffer` with the bytes of `file` from `offset` on.
///
/// # Errors
/// `UnexpectedEof` where the file ends before; what else the system answers.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` with the bytes of `file` from `offset` on.
///
/// # Errors
/// `UnexpectedEof` where the file ends before; what else the system answers.
#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::{io::ErrorKind, os::windows::fs::FileExt};
    while !buffer.is_empty() {
        match file.seek_read(buffer, offset) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => (buffer, offset) = (&mut buffer[read..], offset + read as u64),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_where_they_lie_and_the_end_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = File::open(&path).unwrap();
        let read = |offset, length| {
            let mut buffer = vec![0; length];
            read_exact_at(&file, &mut buffer, offset).map(|()| buffer)
        };
        assert_eq!(
            (read(7, 3).unwrap(), read(0, 2).unwrap(), read(10, 0).unwrap()),
            ("789".into(), "01".into(), vec![])
        );
        for (offset, length) in [(7, 4), (10, 1), (99, 1)] {
            assert_eq!(read(offset, length).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
