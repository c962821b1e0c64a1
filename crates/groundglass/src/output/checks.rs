//! What an output folder must not hold: files of others, results of another kind, inputs.

use super::held::Held;
use super::marker::{MARKER, foreign, is_ours, is_partial, listed, matches};
use crate::failure::Usage;
use crate::model_file::BUNDLE;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Refuses an output folder that holds somebody else's files, or ours without `force`.
pub(crate) fn check_free(dest: &Path, force: bool) -> Result<()> {
    if !dest.exists() {
        return Ok(());
    }
    if !dest.is_dir() {
        bail!("{} is a file; a folder is needed for the outputs", dest.display());
    }
    let mut empty = true;
    for entry in fs::read_dir(dest).with_context(|| format!("opening {}", dest.display()))? {
        let name = entry.with_context(|| format!("opening {}", dest.display()))?.file_name();
        empty &= name != MARKER && is_partial(&name.to_string_lossy());
    }
    if empty {
        Ok(())
    } else if !is_ours(dest) {
        bail!(
            "{} is not empty, and groundglass did not write it as one result; choose a new or an empty folder, what it holds is left alone",
            dest.display()
        )
    } else if !force {
        Err(Usage(format!("{} already holds results; --force replaces them", dest.display())).into())
    } else {
        let others = foreign(dest)?;
        match &others[..] {
            [] => Ok(()),
            [first, more @ ..] => bail!(
                "{} holds {} that groundglass did not write, such as {first}; move them elsewhere, --force would \
                 remove them",
                dest.display(),
                if more.is_empty() { "a file".to_owned() } else { format!("{} files", others.len()) }
            ),
        }
    }
}

/// Refuses a folder of results of another kind, as its marker lists them: `files` are those of this one.
pub(super) fn check_kind(dest: &Path, files: &[&str]) -> Result<()> {
    match listed(dest).iter().find(|file| !files.contains(&file.as_str())) {
        None => Ok(()),
        Some(other) => refuse_kind(dest, other),
    }
}

/// Refuses a folder of results of another kind: one whose marker lists files, and not that which every result of this
/// kind holds.
pub(super) fn check_own(dest: &Path, own: &str) -> Result<()> {
    let listed = listed(dest);
    match listed.first().filter(|_| !listed.iter().any(|file| file == own)) {
        None => Ok(()),
        Some(other) => refuse_kind(dest, other),
    }
}

fn refuse_kind(dest: &Path, other: &str) -> Result<()> {
    bail!(
        "{} holds what another command wrote ({other}), which is left alone; choose another folder, or remove it first",
        dest.display()
    )
}

/// Refuses to replace one result for which others would go that took long: those of several cases or folds below it, or
/// a network.
pub(super) fn check_single(dest: &Path) -> Result<()> {
    let held = if listed(dest).iter().any(|file| file == BUNDLE) {
        format!("a training ({BUNDLE})")
    } else if let Some(below) = first_marked(dest)? {
        format!("several results, such as {}", below.strip_prefix(dest).unwrap_or(&below).display())
    } else {
        return Ok(());
    };
    bail!("{} holds {held}, which is left alone; choose another folder, or remove it first", dest.display())
}

/// Refuses a folder below which, at any depth, lies one with a marker that is none of these, and holds those that are
/// against other programs.
pub(super) fn hold_parts(dest: &Path, inner: &[(&str, &str)]) -> Result<Vec<Held>> {
    let mut parts_held = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let whole = dest.join(&folder);
        let listing = || format!("opening {}", whole.display());
        let mut below = Vec::new();
        for entry in fs::read_dir(&whole).with_context(listing)? {
            let entry = entry.with_context(listing)?;
            let name = entry.file_name();
            if entry.file_type().with_context(listing)?.is_dir() && !is_partial(&name.to_string_lossy()) {
                below.push(folder.join(name));
            }
        }
        below.sort();
        for folder in &below {
            let parts: Vec<_> = folder.iter().map(|part| part.to_string_lossy()).collect();
            let name = parts.join("/");
            let files = listed(&dest.join(folder));
            let part =
                |(pattern, own): &(&str, &str)| matches(pattern, &name) && files.iter().any(|f| f == own);
            if !is_ours(&dest.join(folder)) {
                continue;
            }
            if !inner.iter().any(part) {
                bail!(
                    "{} holds results of another command, such as {name}, which are left alone; choose another folder, or move them first",
                    dest.display()
                );
            }
            parts_held.push(Held::take(&dest.join(folder))?);
        }
        folders.extend(below.into_iter().rev());
    }
    Ok(parts_held)
}

/// The first folder below a folder, at any depth, that has a marker.
fn first_marked(dir: &Path) -> Result<Option<PathBuf>> {
    if !dir.is_dir() {
        return Ok(None);
    }
    let listing = || format!("opening {}", dir.display());
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).with_context(listing)? {
        let entry = entry.with_context(listing)?;
        if entry.file_type().with_context(listing)?.is_dir()
            && !is_partial(&entry.file_name().to_string_lossy())
        {
            folders.push(entry.path());
        }
    }
    folders.sort();
    for folder in folders {
        if is_ours(&folder) {
            return Ok(Some(folder));
        }
        if let Some(below) = first_marked(&folder)? {
            return Ok(Some(below));
        }
    }
    Ok(None)
}

/// Refuses an output folder that holds an input: replacing the one would take away the other.
pub(crate) fn check_apart(dest: &Path, inputs: &[PathBuf]) -> Result<()> {
    let Ok(dest_whole) = fs::canonicalize(dest) else { return Ok(()) }; // it is not there yet
    for input in inputs {
        if fs::canonicalize(input).is_ok_and(|i| i.starts_with(&dest_whole)) {
            return Err(Usage(format!(
                "{} lies in the output folder {}; choose another folder for the outputs",
                input.display(),
                dest.display()
            ))
            .into());
        }
    }
    Ok(())
}
