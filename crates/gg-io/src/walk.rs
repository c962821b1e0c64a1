//! Which files of a folder are looked at: one rule for all that walk through one.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The files at any depth below a folder, sorted by name in each. Links are followed, as stores of data often consist of
/// them; hidden files and folders are not the user's. An error is a folder that may not be entered, or a link that leads
/// nowhere or back to where it came from.
pub fn visible_files(folder: &Path) -> impl Iterator<Item = io::Result<PathBuf>> {
    entries(folder).map(|e| e.map(DirEntry::into_path).map_err(io::Error::from))
}

/// The same as entries of their folders.
pub(crate) fn entries(folder: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
    let visible = |name: &OsStr| !name.as_encoded_bytes().starts_with(b".");
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    walk.filter_entry(move |e| e.depth() == 0 || visible(e.file_name()))
        .filter(|e| e.as_ref().map_or(true, |e| e.file_type().is_file()))
}
