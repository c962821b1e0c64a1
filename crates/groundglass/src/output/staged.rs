//! Single results: built beside their place and renamed when whole.

use super::checks::{check_free, check_own, check_single};
use super::folder::{clear, hold, parent_of};
use super::held::Held;
use super::marker::{walk, write_marker};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is being filled beside its final place. Dropped before [`Staged::commit`], it leaves nothing.
///
/// Where nothing can be put beside the place (its parent cannot be written to, or the place is a mount point), the work
/// lies in a hidden folder inside it and is moved up when whole.
pub(crate) struct Staged {
    work: tempfile::TempDir,
    dest: PathBuf,
    force: bool,
    inside: bool,
    own: String,
}

impl Staged {
    /// Starts a folder that will replace `dest`; `own` is a file that every result of this kind holds, and none of another.
    pub(crate) fn begin(dest: &Path, force: bool, own: &str) -> Result<Self> {
        drop(replaceable(dest, force, own)?);
        let parent = parent_of(dest);
        let own = own.to_owned();
        fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
        if !dest.is_dir() || can_be_swapped(dest) {
            match partial_folder(&parent) {
                Ok(work) => return Ok(Self { work, dest: dest.to_owned(), force, inside: false, own }),
                Err(_) if dest.is_dir() => {}
                Err(e) => return Err(e).with_context(|| format!("making {}", dest.display())),
            }
        }
        Self::begin_inside(dest, force, own)
    }

    pub(super) fn begin_inside(dest: &Path, force: bool, own: String) -> Result<Self> {
        let work = partial_folder(dest).with_context(|| format!("writing in {}", dest.display()))?;
        Ok(Self { work, dest: dest.to_owned(), force, inside: true, own })
    }

    /// Where to write while the work goes on.
    pub(crate) fn path(&self) -> &Path {
        self.work.path()
    }

    /// Puts the finished folder in its place.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { work, dest, force, inside, own } = self;
        let failed = || format!("putting the finished folder at {}", dest.display());
        let parent = parent_of(&dest);
        let mut written = Vec::new();
        walk(work.path(), &mut |path| written.push(path)).with_context(failed)?;
        written.sort();
        for file in &written {
            sync(&work.path().join(file));
        }
        write_marker(work.path(), &written)?;
        let _held = replaceable(&dest, force, &own)?; // something may have been put there while the work went on
        if inside {
            clear(&dest).with_context(failed)?;
            for entry in fs::read_dir(work.path()).with_context(failed)? {
                let entry = entry.with_context(failed)?;
                fs::rename(entry.path(), dest.join(entry.file_name())).with_context(failed)?;
            }
        } else if dest.is_dir() {
            // The old folder is moved away first, so that at no time a mixture of both can be seen.
            let old = tempfile::Builder::new()
                .prefix(".groundglass-old-")
                .tempdir_in(parent_of(&dest))
                .with_context(failed)?;
            let moved = old.path().join("old");
            fs::rename(&dest, &moved).with_context(failed)?;
            if let Err(error) = fs::rename(work.path(), &dest) {
                if fs::rename(&moved, &dest).is_err() {
                    // They cannot come back: at least they stay where they were moved to.
                    let kept = old.keep();
                    return Err(error)
                        .with_context(|| format!("{}; the old one is in {}", failed(), kept.display()));
                }
                return Err(error).with_context(failed);
            }
            let _ = work.keep(); // it lies at its place now
        } else {
            fs::rename(work.path(), &dest).with_context(failed)?;
            let _ = work.keep();
        }
        gg_io::sync_folder(if inside { &dest } else { &parent });
        Ok(())
    }
}

/// Refuses a place that a single result may not take; what lies there is held against other programs.
fn replaceable(dest: &Path, force: bool, own: &str) -> Result<Option<Held>> {
    let held = hold(dest)?;
    check_single(dest)?;
    check_own(dest, own)?;
    check_free(dest, force)?;
    Ok(held)
}

/// Puts what a file holds on the disk, so that a rename does not outlive its content through a power cut; a file system
/// that cannot do that is no reason to fail.
fn sync(path: &Path) {
    if let Ok(file) = fs::File::open(path) {
        let _ = file.sync_all();
    }
}

/// A hidden folder for unfinished work.
fn partial_folder(parent: &Path) -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".groundglass-partial-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777)); // the user's umask applies
    }
    builder.tempdir_in(parent)
}

/// Whether a folder can be renamed: not `.` or `..`, no link, no mount point.
pub(super) fn can_be_swapped(dest: &Path) -> bool {
    let plain = dest.file_name().is_some() && fs::symlink_metadata(dest).is_ok_and(|m| m.is_dir());
    #[cfg(unix)]
    let mounted = {
        use std::os::unix::fs::MetadataExt;
        let device = |p: &Path| fs::metadata(p).map(|m| m.dev()).ok();
        device(dest) != device(&parent_of(dest))
    };
    #[cfg(not(unix))]
    let mounted = false;
    plain && !mounted
}
