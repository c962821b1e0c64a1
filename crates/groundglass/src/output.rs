//! Output folders: claimed only when they are ours, built beside their place and renamed when whole.

use anyhow::{Context, Result, bail};
use gg_report::Scene;
use std::fs;
use std::path::{Path, PathBuf};

/// Marks a folder that groundglass wrote and may therefore replace.
const MARKER: &str = ".groundglass-output";

/// A folder that is being filled beside its final place. Dropped before [`Staged::commit`], it leaves nothing.
pub(crate) struct Staged {
    work: tempfile::TempDir,
    dest: PathBuf,
}

impl Staged {
    /// Starts a folder that will replace `dest`.
    pub(crate) fn begin(dest: &Path, force: bool) -> Result<Self> {
        check_free(dest, force)?;
        let parent = parent_of(dest);
        fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".groundglass-partial-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o777)); // the user's umask applies
        }
        let work = builder.tempdir_in(&parent).with_context(|| format!("writing in {}", parent.display()))?;
        write_marker(work.path())?;
        Ok(Self { work, dest: dest.to_owned() })
    }

    /// Where to write while the work goes on.
    pub(crate) fn path(&self) -> &Path {
        self.work.path()
    }

    /// Puts the finished folder in its place.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { work, dest } = self;
        let failed = || format!("putting the finished folder at {}", dest.display());
        if dest.is_dir() {
            // The old folder is moved away first, so that at no time a mixture of both can be seen.
            let old = tempfile::Builder::new()
                .prefix(".groundglass-old-")
                .tempdir_in(parent_of(&dest))
                .with_context(failed)?;
            let moved = old.path().join("old");
            fs::rename(&dest, &moved).with_context(failed)?;
            if let Err(error) = fs::rename(work.path(), &dest) {
                fs::rename(&moved, &dest).with_context(failed)?; // the old results come back
                return Err(error).with_context(failed);
            }
            let _ = work.keep(); // it lies at its place now
        } else {
            fs::rename(work.keep(), &dest).with_context(failed)?;
        }
        Ok(())
    }
}

/// Makes (or takes over) a folder that is filled in place, such as a training run.
pub(crate) fn claim(dest: &Path, force: bool) -> Result<()> {
    check_free(dest, force)?;
    if force && dest.is_dir() {
        fs::remove_dir_all(dest).with_context(|| format!("replacing {}", dest.display()))?;
    }
    fs::create_dir_all(dest).with_context(|| format!("making {}", dest.display()))?;
    write_marker(dest)
}

/// Removes what a program that was killed while writing left beside its outputs.
pub(crate) fn sweep(dest: &Path) -> Result<()> {
    const PARTIAL: [&str; 2] = [".writing-", ".groundglass-"];
    let listed = || format!("opening {}", dest.display());
    for entry in fs::read_dir(dest).with_context(listed)? {
        let entry = entry.with_context(listed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != MARKER && PARTIAL.iter().any(|p| name.starts_with(p)) {
            fs::remove_file(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Whether groundglass wrote this folder.
pub(crate) fn is_ours(dest: &Path) -> bool {
    dest.join(MARKER).is_file()
}

/// Refuses to replace an existing file unless told to.
pub(crate) fn check_file_free(dest: &Path, force: bool) -> Result<()> {
    if dest.is_dir() {
        bail!("{} is a folder; a file name is needed", dest.display());
    }
    if dest.exists() && !force {
        bail!("{} exists; --force replaces it", dest.display());
    }
    Ok(())
}

/// Writes a text file so that it is either whole or absent.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    gg_io::atomic_write(path, |f| f.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// Writes a value as readable JSON, keys in a fixed order.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write_text(path, &text)
}

/// Scale of the PNG beside each SVG.
const PNG_SCALE: f64 = 2.0;

/// A drawing as SVG and PNG.
pub(crate) fn write_drawing(dir: &Path, name: &str, scene: &Scene) -> Result<()> {
    write_text(&dir.join(format!("{name}.svg")), &scene.to_svg())?;
    write_picture(dir, name, scene)
}

/// A drawing with pictures of CT in it, as PNG alone.
pub(crate) fn write_picture(dir: &Path, name: &str, scene: &Scene) -> Result<()> {
    let path = dir.join(format!("{name}.png"));
    let bytes = scene.to_png(PNG_SCALE);
    gg_io::atomic_write(&path, |f| f.write_all(&bytes)).with_context(|| format!("writing {}", path.display()))
}

fn check_free(dest: &Path, force: bool) -> Result<()> {
    if !dest.exists() {
        return Ok(());
    }
    if !dest.is_dir() {
        bail!("{} is a file; a folder is needed for the outputs", dest.display());
    }
    let empty = fs::read_dir(dest).with_context(|| format!("opening {}", dest.display()))?.next().is_none();
    if empty {
        Ok(())
    } else if !is_ours(dest) {
        bail!(
            "{} holds files that groundglass did not write; choose a new or an empty folder, they are left alone",
            dest.display()
        )
    } else if !force {
        bail!("{} already holds results; --force replaces them", dest.display())
    } else {
        Ok(())
    }
}

fn write_marker(dir: &Path) -> Result<()> {
    let path = dir.join(MARKER);
    fs::write(&path, "written by groundglass; --force may replace this folder\n")
        .with_context(|| format!("writing {}", path.display()))
}

/// The folder that a path lies in.
pub(crate) fn parent_of(dest: &Path) -> PathBuf {
    match dest.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_ours_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out");
        fs::create_dir(&dest).unwrap();
        fs::write(dest.join("thesis.txt"), "years of work").unwrap();
        assert!(Staged::begin(&dest, true).is_err());
        assert!(claim(&dest, true).is_err());
        assert!(dest.join("thesis.txt").exists());
    }

    #[test]
    fn an_abandoned_folder_leaves_nothing_and_a_finished_one_replaces_ours() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out");
        drop(Staged::begin(&dest, false).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        for text in ["one", "two"] {
            let staged = Staged::begin(&dest, true).unwrap();
            fs::write(staged.path().join("a"), text).unwrap();
            staged.commit().unwrap();
            assert_eq!(fs::read_to_string(dest.join("a")).unwrap(), text);
        }
        assert!(Staged::begin(&dest, false).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
