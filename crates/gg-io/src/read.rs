//! The readers' front door: any path to a CT or to labels.

use crate::input::{self, Input, Kind};
use crate::{ReadError, ReadOptions, Scan, dicom, nifti, pictures, scan};
use gg_volume::{Grid, LabelVolume, Warned};
use std::path::{Path, PathBuf};

/// Reads a CT: a NIfTI file, a DICOM file or folder, a picture, or a folder of pictures (one per slice, in natural
/// order of their names, which must be those of one series).
///
/// # Errors
/// [`ReadError`] says what was found and what would be right, without the path. A mask is refused unless
/// [`ReadOptions::intensity`] states what its grey values are.
pub fn read_ct(path: &Path, options: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    let read = match input::look(path)? {
        Input::Nifti(file, others) => {
            refuse_series("a NIfTI file", options)?;
            let mut read = nifti::read_ct(&file, options)?.0;
            read.value.skipped.extend(input::left_out(others));
            read
        }
        Input::Dicom => dicom::read_dicom(path, options)?,
        Input::Pictures(found) => {
            refuse_series("a scan of slice pictures", options)?;
            pictures::read_folder(found, options)?
        }
    };
    scan::refuse_labels(&read.value, options)?;
    Ok(read)
}

/// Reads a CT from an explicit list of files: slice pictures in the given order, DICOM files of one series, or one
/// NIfTI file.
///
/// # Errors
/// As [`read_ct`]; also where the files are of several kinds.
pub fn read_ct_files(paths: &[PathBuf], options: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    let read = match paths {
        [] => return Err(ReadError::EmptyFolder),
        [one] => return read_ct(one, options),
        many => match common_kind(many)? {
            Kind::Picture => {
                refuse_series("a scan of slice pictures", options)?;
                pictures::read_ct(many, options)?
            }
            Kind::Dicom => dicom::read_dicom_files(many, options)?,
            other => return Err(unfit_list(other, many.len())),
        },
    };
    scan::refuse_labels(&read.value, options)?;
    Ok(read)
}

/// Reads labels: a NIfTI file, a picture or a folder of pictures. The stored values are the labels.
///
/// The grid's spacing is never trusted, for a mask does not say where it comes from; its CT does.
///
/// # Errors
/// As [`read_ct`]; also where a value is not a whole number from 0 to 255.
pub fn read_labels(path: &Path, options: &ReadOptions) -> Result<Warned<(LabelVolume, Grid)>, ReadError> {
    match input::look(path)? {
        Input::Nifti(file, _) => nifti::read_labels(&file, options),
        Input::Pictures(found) => pictures::read_labels(&found.files, options),
        Input::Dicom => Err(ReadError::UnknownFormat { found: "a mask in DICOM cannot be read".to_owned() }),
    }
}

/// Reads labels from an explicit list of pictures, in the given order, or from one NIfTI file.
///
/// # Errors
/// As [`read_labels`].
pub fn read_labels_files(
    paths: &[PathBuf],
    options: &ReadOptions,
) -> Result<Warned<(LabelVolume, Grid)>, ReadError> {
    match paths {
        [] => Err(ReadError::EmptyFolder),
        [one] => read_labels(one, options),
        many => match common_kind(many)? {
            Kind::Picture => pictures::read_labels(many, options),
            other => Err(unfit_list(other, many.len())),
        },
    }
}

/// Refuses the choice of a DICOM series for what is no DICOM.
pub(crate) fn refuse_series(found: &'static str, options: &ReadOptions) -> Result<(), ReadError> {
    if options.series.is_some() { Err(ReadError::NoSeries(found)) } else { Ok(()) }
}

/// The kind of the first file that tells one; a single broken picture is left to the reader.
fn common_kind(paths: &[PathBuf]) -> Result<Kind, ReadError> {
    let mut common = Kind::Other;
    for path in paths {
        match input::kind(path) {
            Ok(Kind::Other) => {}
            Ok(kind) if common == Kind::Other || common == kind => common = kind,
            Ok(_) => {
                return Err(ReadError::Ambiguous { found: "list holds files of several kinds".to_owned() });
            }
            Err(e) if paths.len() == 1 => return Err(e),
            Err(_) => {}
        }
    }
    Ok(common)
}

fn unfit_list(kind: Kind, count: usize) -> ReadError {
    match kind {
        Kind::Nifti => ReadError::Ambiguous { found: format!("list holds {count} NIfTI files") },
        _ => ReadError::UnknownFormat { found: format!("none of the {count} files is a slice") },
    }
}
