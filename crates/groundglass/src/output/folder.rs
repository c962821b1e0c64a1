//! Folders that are filled in place: claimed only when they are ours, and held while they are filled.

use super::checks::{check_free, check_kind, hold_parts};
use super::held::Held;
use super::marker::{MARKER, is_partial, write_marker};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Holds a folder against other programs, where it is there.
pub(crate) fn hold(dest: &Path) -> Result<Option<Held>> {
    dest.is_dir().then(|| Held::take(dest)).transpose()
}

/// Makes (or takes over) a folder that is filled in place, such as a training run. `files` are those that will be
/// written there, `inner` the folders with markers of their own, each with a file that its marker lists; of both, names
/// or patterns.
pub(crate) fn claim(dest: &Path, force: bool, files: &[&str], inner: &[(&str, &str)]) -> Result<Held> {
    let held = hold(dest)?;
    check_kind(dest, files)?;
    check_free(dest, force)?;
    if force && dest.is_dir() {
        let _parts = hold_parts(dest, inner)?;
        clear(dest).with_context(|| format!("replacing {}", dest.display()))?;
    }
    made(dest, held, files)
}

/// Enters a folder in which results are replaced one by one: what it holds stays there, and stays ours. `files` are
/// those that will be written there, besides folders with markers of their own.
pub(crate) fn share(dest: &Path, force: bool, files: &[&str]) -> Result<Held> {
    let held = hold(dest)?;
    check_kind(dest, files)?;
    check_free(dest, force)?;
    let held = made(dest, held, files)?;
    if held.is_locked() {
        sweep(dest)?; // of a program that was killed: no other is at work here
    }
    Ok(held)
}

/// A folder with its marker, held against other runs of this program.
fn made(dest: &Path, held: Option<Held>, files: &[&str]) -> Result<Held> {
    fs::create_dir_all(dest).with_context(|| format!("making {}", dest.display()))?;
    let held = held.map_or_else(|| Held::take(dest), Ok)?;
    write_marker(dest, &files.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>())?;
    Ok(held)
}

/// Enters a folder to go on with what was begun there, where `begun_alike` finds it to be the same work, and removes
/// what a program that was killed left beside its outputs.
pub(crate) fn resume(dest: &Path, begun_alike: impl FnOnce() -> Result<()>) -> Result<Held> {
    let held = Held::take(dest)?;
    begun_alike()?;
    sweep(dest)?;
    Ok(held)
}

/// Removes all that a folder holds but unfinished work; [`check_free`] has looked at it before.
pub(super) fn clear(dest: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dest)? {
        let entry = entry?;
        if entry.file_name() != MARKER && is_partial(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes what a program that was killed while writing left beside its outputs.
fn sweep(dest: &Path) -> Result<()> {
    let listed = || format!("opening {}", dest.display());
    for entry in fs::read_dir(dest).with_context(listed)? {
        let entry = entry.with_context(listed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != MARKER && is_partial(&name) {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// The folder that a path lies in.
pub(crate) fn parent_of(dest: &Path) -> PathBuf {
    match dest.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}
