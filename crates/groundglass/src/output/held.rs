//! One program at a time in a folder that is filled in place.

use anyhow::{Result, bail};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Keeps other runs of this program out of a folder for as long as it lives, or the program does.
///
/// The lock is the operating system's, on the folder itself: it leaves no file and outlives no crash. Where a folder
/// cannot be locked (Windows, some network drives), nothing is kept out.
#[derive(Debug)]
#[must_use = "the folder is given back where this is dropped"]
pub(crate) struct Held {
    _folder: Option<File>,
}

impl Held {
    /// Takes a folder that exists; one that another program holds is refused.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let Ok(folder) = File::open(dir) else { return Ok(Self { _folder: None }) };
        match folder.try_lock() {
            Ok(()) => Ok(Self { _folder: Some(folder) }),
            Err(TryLockError::Error(_)) => Ok(Self { _folder: None }),
            Err(TryLockError::WouldBlock) => bail!(
                "another groundglass is writing in {}; wait until it has ended, or choose another folder",
                dir.display()
            ),
        }
    }
}
