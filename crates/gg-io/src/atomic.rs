//! Whole files or none: an output is written beside its place, forced to disk and renamed.

use crate::WriteError;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Buffer between the writer and the file.
const BUFFER_BYTES: usize = 1 << 16;

/// Writes a file so that its place holds the old content or the whole new one, never a part.
///
/// # Errors
/// [`WriteError::DiskFull`] or [`WriteError::Io`]; the temporary file is removed, an old file stays as it was.
pub fn atomic_write(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), WriteError> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let temporary = beside(folder)?;
    let mut buffer = BufWriter::with_capacity(BUFFER_BYTES, temporary);
    write(&mut buffer)?;
    let temporary = buffer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    sync_folder(folder);
    Ok(())
}

/// A temporary file with the permissions that a file made in the plain way would have.
fn beside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".groundglass-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666)); // the umask takes its share
    }
    builder.tempfile_in(folder)
}

/// Makes the rename last through a power cut; a file system that cannot do that is no reason to fail.
pub fn sync_folder(folder: &Path) {
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.bin");
        atomic_write(&path, |w| w.write_all(b"old")).unwrap();
        let failed = atomic_write(&path, |w| {
            w.write_all(b"half")?;
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        });
        assert!(matches!(failed, Err(WriteError::DiskFull)));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named() {
        // /dev/full refuses every write as a full disk does; the error of its kind must become ours.
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = full.write_all(b"x").unwrap_err();
        assert_eq!(WriteError::from(error).to_string(), "the disk is full; the file was not written");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_was_written() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
        atomic_write(&ours, |w| w.write_all(b"x")).unwrap();
        std::fs::write(&plain, b"x").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
