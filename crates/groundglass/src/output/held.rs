//! One program at a time in a folder that is filled in place.

use anyhow::{Result, bail};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Keeps other runs of this program out of a folder for as long as it lives, or the program does.
///
/// The lock is the operating system's, on the folder itself: it leaves no file and outlives no crash. On Windows, where
/// a folder cannot be locked, nothing is kept out, nor on a network drive what runs on another machine.
#[derive(Debug)]
#[must_use = "the folder is given back where this is dropped"]
pub(crate) struct Held {
    folder: Option<File>,
}

impl Held {
    /// Whether other programs are kept out for certain.
    pub(super) fn is_locked(&self) -> bool {
        self.folder.is_some()
    }

    /// Takes a folder that exists; one that another program holds is refused.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let Ok(folder) = File::open(dir) else { return Ok(Self { folder: None }) };
        match folder.try_lock() {
            Ok(()) => Ok(Self { folder: Some(folder) }),
            Err(TryLockError::Error(_)) => Ok(Self { folder: None }),
            Err(TryLockError::WouldBlock) => bail!(
                "another program, such as a second groundglass, holds {}; wait until it has ended, or choose another folder",
                dir.display()
            ),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_once_until_it_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let held = Held::take(dir.path()).unwrap();
        let words = Held::take(dir.path()).unwrap_err().to_string();
        assert!(words.contains("another program") && words.contains("choose another folder"), "{words}");
        drop(held);
        assert!(Held::take(dir.path()).is_ok());
    }
}
