//! Changes bytes of NIfTI files, so that broken and odd ones need no library that would mend them.

use crate::run::Fixture;
use flate2::read::GzDecoder;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The content of a `.gz` file.
pub(crate) fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut content).unwrap();
    content
}

/// The phantom's CT as an uncompressed NIfTI, changed. Its header ends at byte 352.
pub(crate) fn changed(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = unzipped(&fs::read(Fixture::get().ct()).unwrap());
    change(&mut bytes);
    let path = dir.join("ct.nii");
    fs::write(&path, bytes).unwrap();
    path
}
