//! Which files are looked at, and a quick answer to whether a file is DICOM at all.

use crate::walk::entries;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Enough for the preamble, its mark and the first element without them.
const HEAD_BYTES: u64 = 140;

/// Whether a file starts as DICOM does, with or without preamble.
pub(crate) fn looks_like_dicom(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|f| f.take(HEAD_BYTES).read_to_end(&mut head));
    if read.is_err() {
        return false;
    }
    if head.get(128..132) == Some(b"DICM") || head.starts_with(b"DICM") {
        return true;
    }
    // A bare data set: group 2 or 8 first, then a type of two capitals or a short length.
    let Some(&[a, b, c, d, e, f, g, h]) = head.first_chunk::<8>() else { return false };
    let explicit = [e, f].iter().all(u8::is_ascii_uppercase);
    let short = u32::from_le_bytes([e, f, g, h]) <= 256;
    match [a, b, c, d] {
        [0x02, 0, 0..=0x10, 0] | [0, 0x08, 0, 0..=0x18] => explicit,
        [0x08, 0, 0..=0x18, 0] => explicit || short,
        _ => false,
    }
}

/// All files below a folder that are looked at, in their order.
pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in entries(folder) {
        match entry {
            Ok(entry) => files.push(entry.into_path()),
            // A folder that may not be entered or a link that leads nowhere may hide slices: it counts as unreadable.
            Err(e) => files.extend(e.path().map(Path::to_owned)),
        }
    }
    files
}

/// Whether a file that cannot be parsed was probably meant to be a slice.
pub(super) fn meant_as_slice(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), None | Some("dcm" | "dicom" | "ima" | "img"))
        || extension.is_some_and(|e| e.bytes().all(|b| b.is_ascii_digit())) // names that are UIDs end in a number
}
