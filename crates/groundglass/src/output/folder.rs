//! Folders: claimed only when they are ours, built beside their place and renamed when whole.

use super::held::Held;
use super::marker::{MARKER, foreign, is_ours, is_partial, listed, matches, walk, write_marker};
use crate::failure::Usage;
use crate::model_file::BUNDLE;
use anyhow::{Context, Result, bail};
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

    fn begin_inside(dest: &Path, force: bool, own: String) -> Result<Self> {
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
fn can_be_swapped(dest: &Path) -> bool {
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
fn clear(dest: &Path) -> std::io::Result<()> {
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
fn check_kind(dest: &Path, files: &[&str]) -> Result<()> {
    match listed(dest).iter().find(|file| !files.contains(&file.as_str())) {
        None => Ok(()),
        Some(other) => refuse_kind(dest, other),
    }
}

/// Refuses a folder of results of another kind: one whose marker lists files, and not that which every result of this
/// kind holds.
fn check_own(dest: &Path, own: &str) -> Result<()> {
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
fn check_single(dest: &Path) -> Result<()> {
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
fn hold_parts(dest: &Path, inner: &[(&str, &str)]) -> Result<Vec<Held>> {
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
        assert!(Staged::begin(&dest, true, "a").is_err());
        assert!(claim(&dest, true, &[], &[]).is_err());
        assert!(dest.join("thesis.txt").exists());
    }

    #[test]
    fn results_of_another_kind_or_of_several_cases_are_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // A cross-validation that was stopped: what it holds lies two folders down.
        drop(claim(&at("cv"), false, &["split.toml"], &[]).unwrap());
        drop(claim(&at("cv/fold-0/run"), false, &[BUNDLE], &[]).unwrap());
        fs::write(at("cv/fold-0/run").join(BUNDLE), "weights").unwrap();
        for refused in [
            Staged::begin(&at("cv"), true, "a").err().unwrap(),
            Staged::begin(&at("cv/fold-0/run"), true, "a").err().unwrap(),
            claim(&at("cv"), true, &["report.html"], &[]).unwrap_err(),
            share(&at("cv"), true, &["summary.csv"]).unwrap_err(),
        ] {
            assert!(refused.to_string().contains("left alone"), "{refused}");
        }
        assert!(at("cv/fold-0/run").join(BUNDLE).is_file());
        results(Staged::begin(&at("one"), false, "a").unwrap(), "old");
        let error = Staged::begin(&at("one"), true, "c").err().unwrap().to_string();
        assert!(error.contains("what another command wrote (a)"), "{error}");
        assert_eq!(fs::read_to_string(at("one/a")).unwrap(), "old");
        let inner = [("fold-*/run", BUNDLE)];
        assert!(
            claim(&at("cv"), true, &["split.toml"], &[("fold-*/run", "scores.json")]).is_err(),
            "of another kind"
        );
        results(Staged::begin(&at("cv/fold-0/run/patient"), false, "a").unwrap(), "a patient's");
        let error = claim(&at("cv"), true, &["split.toml"], &inner).unwrap_err().to_string();
        assert!(error.contains("such as fold-0/run/patient, which are left alone"), "{error}");
        assert!(at("cv/fold-0/run/patient/a").is_file());
        fs::remove_dir_all(at("cv/fold-0/run/patient")).unwrap();
        assert!(claim(&at("cv"), true, &["split.toml"], &[]).is_err());
        drop(claim(&at("cv"), true, &["split.toml"], &inner).unwrap());
        assert!(!at("cv/fold-0").exists(), "its own kind makes room");
        // What a killed program left inside is no result.
        results(Staged::begin(&at("out"), false, "a").unwrap(), "old");
        fs::create_dir(at("out/.groundglass-partial-x")).unwrap();
        write_marker(&at("out/.groundglass-partial-x"), &[]).unwrap();
        results(Staged::begin(&at("out"), true, "a").unwrap(), "new");
        assert_eq!(fs::read_to_string(at("out/a")).unwrap(), "new");
    }

    #[test]
    fn an_abandoned_folder_leaves_nothing_and_a_finished_one_replaces_ours() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out");
        drop(Staged::begin(&dest, false, "a").unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        for text in ["one", "two"] {
            let staged = Staged::begin(&dest, true, "a").unwrap();
            fs::write(staged.path().join("a"), text).unwrap();
            staged.commit().unwrap();
            assert_eq!(fs::read_to_string(dest.join("a")).unwrap(), text);
        }
        assert!(Staged::begin(&dest, false, "a").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Results at `dest`, `text` in the file `a`.
    fn results(staged: Staged, text: &str) {
        fs::create_dir(staged.path().join("b")).unwrap();
        fs::write(staged.path().join("b/c.png"), text).unwrap();
        fs::write(staged.path().join("a"), text).unwrap();
        staged.commit().unwrap();
    }

    #[test]
    fn a_file_of_the_users_among_the_results_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out");
        for notes in ["notes.txt", "b/notes.txt", "b/c.svg"] {
            results(Staged::begin(&dest, true, "a").unwrap(), "one");
            fs::write(dest.join(notes), "mine").unwrap();
            let error = Staged::begin(&dest, true, "a").err().unwrap().to_string();
            assert!(error.contains(notes) && error.contains("a file that groundglass did not"), "{error}");
            assert!(claim(&dest, true, &[], &[]).is_err());
            assert!(dest.join(notes).is_file() && dest.join("a").is_file());
            fs::remove_file(dest.join(notes)).unwrap();
        }
        let late = Staged::begin(&dest, true, "a").unwrap();
        fs::write(dest.join("late.txt"), "mine").unwrap();
        assert!(late.commit().is_err(), "put there while the work went on");
        assert_eq!(fs::read_to_string(dest.join("late.txt")).unwrap(), "mine");
        fs::remove_file(dest.join("late.txt")).unwrap();
        #[cfg(unix)]
        {
            let late = Staged::begin(&dest, true, "a").unwrap();
            let held = Held::take(&dest).unwrap();
            assert!(Staged::begin(&dest, true, "a").is_err(), "another run is at work there");
            assert!(late.commit().is_err(), "another run began there while the work went on");
            drop(held);
        }
    }

    #[test]
    fn a_claimed_folder_owns_its_files_and_the_marked_folders_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("run");
        let files = ["metrics.jsonl", "curves/*.svg"];
        drop(claim(&dest, false, &files, &[]).unwrap());
        fs::create_dir(dest.join("curves")).unwrap();
        fs::write(dest.join("metrics.jsonl"), "").unwrap();
        fs::write(dest.join("curves/loss.svg"), "").unwrap();
        results(Staged::begin(&dest.join("case"), false, "a").unwrap(), "one");
        drop(claim(&dest, true, &files, &[("case", "a")]).unwrap());
        assert_eq!(fs::read_dir(&dest).unwrap().count(), 1, "only the marker is left");
        fs::write(dest.join("loss.svg"), "").unwrap();
        assert!(claim(&dest, true, &files, &[]).is_err(), "not in its folder");
    }

    #[test]
    fn a_folder_that_cannot_be_renamed_is_filled_from_inside() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out");
        fs::create_dir(&dest).unwrap();
        drop(Staged::begin_inside(&dest, false, "a".to_owned()).unwrap());
        assert_eq!(fs::read_dir(&dest).unwrap().count(), 0);
        for text in ["one", "two"] {
            let staged = Staged::begin_inside(&dest, true, "a".to_owned()).unwrap();
            assert!(staged.path().starts_with(&dest));
            results(staged, text);
            assert_eq!(fs::read_to_string(dest.join("b/c.png")).unwrap(), text);
            assert_eq!(fs::read_dir(&dest).unwrap().count(), 3, "two results and the marker");
        }
        assert!(!can_be_swapped(Path::new(".")) && can_be_swapped(&dest));
        #[cfg(unix)]
        {
            let link = dir.path().join("link");
            std::os::unix::fs::symlink(&dest, &link).unwrap();
            results(Staged::begin(&link, true, "a").unwrap(), "three");
            assert_eq!(fs::read_to_string(dest.join("a")).unwrap(), "three");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
    }
}
