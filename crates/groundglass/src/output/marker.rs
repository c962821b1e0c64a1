//! What groundglass wrote in a folder, as the hidden file says that it leaves there.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Marks a folder that groundglass wrote and may therefore replace. Its lines after the first are the files, relative to
/// the folder; `*` stands for any part of one name.
pub(super) const MARKER: &str = ".groundglass-output";

/// Its first line.
const MARKED: &str =
    "written by groundglass; --force replaces the folder while it holds nothing but these files:";

/// What temporary files and folders begin with.
const PARTIAL: &str = ".groundglass-";

pub(super) fn is_partial(name: &str) -> bool {
    name.starts_with(PARTIAL)
}

/// Whether groundglass wrote this folder.
pub(crate) fn is_ours(dest: &Path) -> bool {
    dest.join(MARKER).is_file()
}

/// What the marker of a folder lists; nothing where it has none.
pub(super) fn listed(dir: &Path) -> Vec<String> {
    let marker = fs::read_to_string(dir.join(MARKER)).unwrap_or_default();
    marker.lines().skip(1).map(str::to_owned).collect()
}

pub(super) fn write_marker(dir: &Path, files: &[String]) -> Result<()> {
    let path = dir.join(MARKER);
    let lines: Vec<&str> = std::iter::once(MARKED).chain(files.iter().map(String::as_str)).collect();
    let text = format!("{}\n", lines.join("\n"));
    gg_io::atomic_write(&path, |out| out.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// Tells of every file below a folder, relative to it with `/` between names; markers and unfinished work are no files.
pub(super) fn walk(dir: &Path, tell: &mut dyn FnMut(String)) -> std::io::Result<()> {
    fn below(dir: &Path, prefix: &str, tell: &mut dyn FnMut(String)) -> std::io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_partial(&name) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => below(&entry.path(), &format!("{prefix}{name}/"), tell)?,
                false => tell(format!("{prefix}{name}")),
            }
        }
        Ok(())
    }
    below(dir, "", tell)
}

/// The files below a folder that groundglass did not write, as the markers there say.
pub(super) fn foreign(dir: &Path) -> Result<Vec<String>> {
    let failed = || format!("opening {}", dir.display());
    let mut found = Vec::new();
    walk(dir, &mut |file| {
        // The innermost marked folder says.
        let folder = Path::new(&file).ancestors().skip(1).find(|f| is_ours(&dir.join(f)));
        let written = folder.is_some_and(|folder| {
            let name = Path::new(&file).strip_prefix(folder).unwrap_or(Path::new("")).to_string_lossy();
            listed(&dir.join(folder)).iter().any(|pattern| matches(pattern, &name))
        });
        if !written && !is_cache(dir, &file) {
            found.push(file);
        }
    })
    .with_context(failed)?;
    found.sort();
    Ok(found)
}

/// Whether a file is of a cache of prepared slices, which may be deleted at any time.
fn is_cache(dir: &Path, file: &str) -> bool {
    let of_case = |name: &std::ffi::OsStr| Path::new(name).extension().is_some_and(|e| e == "ggcase");
    let path = dir.join(file);
    match path.file_name() {
        Some(name) if name == "inputs.json" => path
            .parent()
            .and_then(|folder| std::fs::read_dir(folder).ok())
            .is_some_and(|mut entries| entries.any(|e| e.is_ok_and(|e| of_case(&e.file_name())))),
        Some(name) => of_case(name),
        None => false,
    }
}

/// Whether a name fits a pattern, folder by folder; `*` stands for any part of one name.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), name.split('/').collect());
    let fits = |(pattern, name): (&&str, &&str)| match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    };
    pattern.len() == name.len() && pattern.iter().zip(&name).all(fits)
}
