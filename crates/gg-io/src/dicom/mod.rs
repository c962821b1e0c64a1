//! DICOM CT series: from a folder of files to one volume, and back.

// Placeholders until the reader is in place.

use crate::{ReadError, ReadOptions, Scan, SeriesSummary};
use gg_volume::Warned;
use std::path::{Path, PathBuf};

pub(crate) fn looks_like_dicom(_: &Path) -> bool {
    false
}

pub(crate) fn read_dicom(_: &Path, _: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    Err(ReadError::Dicom("not read yet".to_owned()))
}

pub(crate) fn read_dicom_files(_: &[PathBuf], _: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    Err(ReadError::Dicom("not read yet".to_owned()))
}

pub(crate) fn describe_dicom(_: &Path, _: &ReadOptions) -> Result<Vec<SeriesSummary>, ReadError> {
    Err(ReadError::Dicom("not read yet".to_owned()))
}
