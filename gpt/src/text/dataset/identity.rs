//! What tells a text from another one: its fingerprint, which takes reading it, and the stamp of its file, which does not.

use serde::{Deserialize, Serialize};
use std::{fmt, fs::Metadata, time::UNIX_EPOCH};

/// What tells a file from another version of it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub size: u64,
    /// When its content was changed, in nanoseconds since 1970.
    modified: i64,
    /// When anything about it was changed, which no program can set; 0 where the system does not say.
    changed: i64,
}

impl Stamp {
    /// Whether a file has the same size and time of change. Its name and permissions may differ.
    pub fn has_same_content(self, other: Stamp) -> bool {
        (self.size, self.modified) == (other.size, other.modified)
    }

    /// That of a file with this metadata.
    pub fn of(metadata: &Metadata) -> Stamp {
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |time| time.as_nanos() as i64);
        Stamp { size: metadata.len(), modified, changed: changed(metadata) }
    }
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;
    metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> i64 {
    0
}

/// The length and the 64-bit hash of Fowler, Noll and Vo (FNV-1a) of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub length: u64,
    pub hash: u64,
}

impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint { length: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Fingerprint {
    /// With more bytes after those that it has.
    pub fn and(self, bytes: &[u8]) -> Fingerprint {
        let add = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        Fingerprint { length: self.length + bytes.len() as u64, hash: bytes.iter().fold(self.hash, add) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {:016x}", self.length, self.hash)
    }
}
