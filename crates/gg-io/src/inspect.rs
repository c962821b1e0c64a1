//! Everything that can be told about a file or folder, for people who wonder what they have.

use crate::input::{self, Input, left_out};
use crate::nifti::NiftiFacts;
use crate::read::refuse_series;
use crate::{Format, ReadError, ReadOptions, Scan, SeriesSummary, dicom, nifti, pictures};
use gg_volume::{Intensity, Orientation, SpacingTrust, Warned, Warning};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a file or folder holds. No path, no identifier and no attribute of the patient has a place here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The kind of file or folder.
    pub format: Format,
    /// How the values are stored, e.g. `NIfTI-1, int16, little-endian, gzip, slope 2, intercept -1024`.
    pub stored: Option<String>,
    /// The CT series of a DICOM folder.
    pub series: Vec<SeriesSummary>,
    /// What the volume is like; `None` where there are several series and none was chosen.
    pub volume: Option<VolumeFacts>,
    /// Number of files that were left out.
    pub skipped_files: usize,
    /// Those files and why. Paths may stand on stderr only, never in an output.
    #[serde(skip)]
    pub skipped: Vec<(PathBuf, String)>,
    /// The folder of each series, of its first slice. For stderr only, too.
    #[serde(skip)]
    pub series_folders: Vec<PathBuf>,
    /// Everything odd that was found.
    pub oddities: Vec<Warning>,
}

/// What a volume is like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeFacts {
    /// `[z, y, x]`.
    pub shape: [usize; 3],
    /// Distance between voxel centres `[z, y, x]` in mm, as the file states it.
    pub spacing_mm: Option<[f64; 3]>,
    /// Whether it may be used, or why not.
    pub spacing: SpacingTrust,
    /// The directions in which x, y and z of the array grow, e.g. `LPS`.
    pub orientation: Option<Orientation>,
    /// The lowest and the highest value.
    pub range: [f32; 2],
    /// The kind of the grey values, how sure that is, and why.
    pub intensity: Intensity,
    /// The labels, where the volume is a mask or a map of labels.
    pub labels: Option<Vec<u16>>,
    /// SHA-256 of the input (see [`Scan::sha256`]).
    pub sha256: String,
}

/// Says what lies at a path.
///
/// # Errors
/// [`ReadError`] where it cannot be read as a CT. Several DICOM series are no error here: they are listed.
pub fn inspect(path: &Path, options: &ReadOptions) -> Result<Inspection, ReadError> {
    match input::look(path)? {
        Input::Nifti(file, others) => {
            refuse_series("a NIfTI file", options)?;
            let (mut read, facts) = nifti::read_ct(&file, options)?;
            read.value.skipped.extend(left_out(others));
            Ok(inspection(read, Some(stored(&facts)), Vec::new()))
        }
        Input::Pictures(found) => {
            refuse_series("a scan of slice pictures", options)?;
            let stored = found.files.first().and_then(|f| pictures::stored_type(f));
            Ok(inspection(pictures::read_folder(found, options)?, stored, Vec::new()))
        }
        Input::Dicom => inspect_dicom(path, options),
    }
}

fn inspect_dicom(path: &Path, options: &ReadOptions) -> Result<Inspection, ReadError> {
    match dicom::read_dicom(path, options) {
        Ok(read) => {
            let described = dicom::describe_dicom(path)?;
            let chosen = options.series.as_deref().map_or("1", str::trim);
            let chosen = described.iter().find(|d| d.summary.id == chosen).cloned();
            let series_folders = described.iter().map(|d| d.folder.clone()).collect();
            let series = described.into_iter().map(|d| d.summary).collect();
            let stored = chosen.as_ref().map(|d| d.summary.transfer_syntax.clone());
            let mut found = inspection(read, stored, series);
            found.series_folders = series_folders;
            for oddity in chosen.into_iter().flat_map(|d| d.oddities) {
                // What headers alone say of a place that two slices share is said better once their pixels were compared.
                let same = |o: &Warning| {
                    o.code == oddity.code || (oddity.code == "same_position" && o.code == "same_slice_twice")
                };
                if !found.oddities.iter().any(same) {
                    found.oddities.push(oddity);
                }
            }
            Ok(found)
        }
        Err(ReadError::SeveralSeries(series)) => {
            let message = format!("{} CT series; choose one with --series", series.len());
            let mut oddities = vec![Warning::new("several_series", message)];
            let mut series_folders = Vec::new();
            for d in dicom::describe_dicom(path)? {
                let of =
                    |o: Warning| Warning::new(&o.code, format!("series {}: {}", d.summary.id, o.message));
                oddities.extend(d.oddities.into_iter().map(of));
                series_folders.push(d.folder);
            }
            Ok(Inspection {
                format: Format::DicomSeries,
                stored: None,
                series,
                volume: None,
                skipped_files: 0,
                skipped: Vec::new(),
                series_folders,
                oddities,
            })
        }
        Err(e) => Err(e),
    }
}

fn inspection(read: Warned<Scan>, stored: Option<String>, series: Vec<SeriesSummary>) -> Inspection {
    let Warned { value: Scan { ct, format, sha256, skipped, labels, .. }, warnings } = read;
    let range = ct
        .voxels
        .data()
        .iter()
        .fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], &v| [low.min(v), high.max(v)]);
    let volume = VolumeFacts {
        shape: ct.grid.shape,
        spacing_mm: ct.grid.spacing_mm,
        orientation: ct.grid.orientation(),
        range,
        labels: labels.map(|l| l.values),
        spacing: ct.grid.trust,
        intensity: ct.intensity,
        sha256,
    };
    Inspection {
        format,
        stored,
        series,
        volume: Some(volume),
        skipped_files: skipped.len(),
        skipped,
        series_folders: Vec::new(),
        oddities: warnings,
    }
}

fn stored(facts: &NiftiFacts) -> String {
    let mut text = format!("{}, {}", facts.edition, facts.stored);
    text.push_str(if facts.big_endian { ", big-endian" } else { ", little-endian" });
    if facts.gzip {
        text.push_str(", gzip");
    }
    if let Some((slope, inter)) = facts.scaling {
        text.push_str(&format!(", slope {slope}, intercept {inter}"));
    }
    text
}
