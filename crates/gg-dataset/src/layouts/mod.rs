//! The ways in which data sets lie on disk, told apart by what is there.

mod dicom_table;
mod folder_pairs;
mod kaggle;
mod nnunet;
mod picture_table;
mod slice_table;

use crate::case::Case;
use crate::table;
use crate::{Dataset, DatasetError};
use gg_volume::{Warned, Warning};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How a data set lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `metadata.csv` with the columns `ct_scan`, `lung_mask`, `infection_mask`, `lung_and_infection_mask`.
    Kaggle,
    /// nnU-Net raw: `dataset.json`, `imagesTr/`, `labelsTr/`.
    NnUnet,
    /// `slices.csv` with the folders `ct/`, `lung_mask/`, `infection_mask/` of pictures.
    SliceTable,
    /// `labels.csv` with the columns `case`, `class`, `file`, `slice_has_infection`: DICOM slices.
    DicomTable,
    /// `labels.csv` with the columns `file`, `covid`, `split`: single pictures.
    PictureTable,
    /// The folders `ct/` (or `image/`) and `lung_mask/` or `infection_mask/` with files of equal names.
    FolderPairs,
}

/// One line per layout, as errors and help texts show them.
pub(crate) const LAYOUTS: &str = "\
  Kaggle:        metadata.csv with the columns ct_scan, lung_mask, infection_mask, lung_and_infection_mask
  nnU-Net raw:   dataset.json, imagesTr/, labelsTr/
  slice table:   slices.csv with the columns file, volume; the folders ct/, lung_mask/, infection_mask/
  DICOM table:   labels.csv with the columns case, class, file, slice_has_infection
  picture table: labels.csv with the columns file, covid, split
  folder pairs:  ct/ or image/, with lung_mask/ or infection_mask/ beside it";

impl Layout {
    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kaggle => "Kaggle",
            Self::NnUnet => "nnU-Net raw",
            Self::SliceTable => "slice table",
            Self::DicomTable => "DICOM table",
            Self::PictureTable => "picture table",
            Self::FolderPairs => "folder pairs",
        }
    }

    /// The layout of a folder; `None` where it is none of them.
    pub fn detect(root: &Path) -> Option<Self> {
        let file = |name: &str| root.join(name).is_file();
        let folder = |name: &str| root.join(name).is_dir();
        if file("metadata.csv") {
            return Some(Self::Kaggle);
        }
        if file("dataset.json") && folder("imagesTr") {
            return Some(Self::NnUnet);
        }
        if file("slices.csv") {
            return Some(Self::SliceTable);
        }
        let labels = table::header(root, "labels.csv");
        let has = |columns: &[&str]| columns.iter().all(|name| labels.iter().any(|c| c == name));
        if has(&["file", "case", "slice_has_infection"]) {
            return Some(Self::DicomTable);
        }
        if has(&["file", "covid"]) {
            return Some(Self::PictureTable);
        }
        let masks = folder("lung_mask") || folder("infection_mask");
        (masks && (folder("ct") || folder("image"))).then_some(Self::FolderPairs)
    }
}

/// Reads the tables of a data set whose root is `root`.
pub(crate) fn open(root: &Path) -> Result<Warned<Dataset>, DatasetError> {
    let layout = match Layout::detect(root) {
        None | Some(Layout::SliceTable) if is_analysis(root) => return Err(DatasetError::Analysis),
        found => found.ok_or(DatasetError::NotRecognised)?,
    };
    let mut warnings = Vec::new();
    let cases = match layout {
        Layout::Kaggle => kaggle::cases(root)?,
        Layout::NnUnet => nnunet::cases(root)?,
        Layout::SliceTable => slice_table::cases(root)?,
        Layout::DicomTable => dicom_table::cases(root)?,
        Layout::PictureTable => picture_table::cases(root)?,
        Layout::FolderPairs => folder_pairs::cases(root, &mut warnings)?,
    };
    if cases.is_empty() {
        return Err(DatasetError::NoCases);
    }
    let mut seen = std::collections::BTreeSet::new();
    for case in &cases {
        if !is_folder_name(&case.case_id) {
            return Err(DatasetError::CaseName(case.case_id.escape_debug().to_string()));
        }
        if !seen.insert(case.case_id.as_str()) {
            return Err(DatasetError::CaseTwice(case.case_id.clone()));
        }
    }
    let has_patient_column = cases.iter().any(|c| c.patient_known);
    warnings.extend(patients_unknown(&cases));
    Ok(Warned::new(Dataset { layout, cases, has_patient_column, root: root.to_owned() }, warnings))
}

/// Whether a folder holds what `analyze` wrote of one CT. Its table of slices is called as that of a data set, but names no
/// files.
fn is_analysis(root: &Path) -> bool {
    let Ok(bytes) = std::fs::read(root.join("analysis.json")) else { return false };
    let found: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let is_ours = found["case_id"].is_string() && found["input"]["sha256"].is_string();
    is_ours && !table::header(root, "slices.csv").iter().any(|c| c == "file")
}

/// The remark on cases of which no table names the patient.
fn patients_unknown(cases: &[Case]) -> Option<Warning> {
    let (unknown, of) = (cases.iter().filter(|c| !c.patient_known).count(), cases.len());
    let message = match unknown {
        0 => return None,
        n if n == of => {
            "the data set does not say which cases are of one patient: each case is taken for a patient of its own".to_owned()
        }
        1 => format!("1 of {of} cases names no patient: it is taken for a patient of its own"),
        n => format!("{n} of {of} cases name no patient: each is taken for a patient of its own"),
    };
    Some(Warning::new("patients_unknown", message))
}

/// Case names become folder names of outputs.
fn is_folder_name(case_id: &str) -> bool {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    !(case_id.is_empty() || case_id.starts_with('.') || case_id.chars().any(bad))
}

/// The longest end of a path from a table that exists below `root`, e.g. `ct_scans/x.nii` of
/// `../input/covid19-ct-scans/ct_scans/x.nii`; `.nii` and `.nii.gz` stand for each other.
fn resolve(root: &Path, stated: &str) -> Option<PathBuf> {
    let parts: Vec<&str> = stated.split(['/', '\\']).filter(|p| !matches!(*p, "" | "." | "..")).collect();
    let swapped = stated.strip_suffix(".gz").map_or_else(|| format!("{stated}.gz"), |short| short.to_owned());
    let last = swapped.rsplit(['/', '\\']).next().unwrap_or("");
    for start in 0..parts.len() {
        let folder = root.join(parts[start..parts.len() - 1].iter().collect::<PathBuf>());
        for name in [parts[parts.len() - 1], last] {
            let path = folder.join(name);
            if path.exists() {
                return Some(path);
            }
        }
    }
    None
}

/// File name without `.nii.gz` or its last extension.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}

/// Files of a folder whose names do not start with a dot, sorted by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let io = |e| DatasetError::Io("a folder of the data set", e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let hidden = path.file_name().is_none_or(|n| n.to_string_lossy().starts_with('.'));
        if !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Refuses CTs without a mask of the same name; `missing` are their names.
fn none_missing(missing: Vec<String>, of: usize, folder: &'static str) -> Result<(), DatasetError> {
    let n = missing.len();
    match missing.into_iter().next() {
        None => Ok(()),
        Some(first) => Err(DatasetError::NoMask { missing: n, of, first, folder }),
    }
}

/// Adds the stems of a case's files to its other names.
fn add_aliases(case: &mut Case, files: &[&PathBuf]) {
    for file in files {
        let name = stem(file);
        if name != case.case_id && !case.aliases.contains(&name) {
            case.aliases.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_by_its_longest_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        for file in ["x.nii", "b.txt", "a/b/x.nii", "a/y.nii.gz"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        let check = |stated: &str, expected: Option<&str>| {
            assert_eq!(resolve(root, stated), expected.map(|e| root.join(e)), "{stated}");
        };
        check("../input/a/b/x.nii", Some("a/b/x.nii"));
        check("C:\\data\\a\\b\\x.nii", Some("a/b/x.nii"));
        check("../input/set/x.nii", Some("x.nii"));
        check("a/y.nii", Some("a/y.nii.gz"));
        check("a/z.nii", None);
        check("", None);
        check("../..", None);
    }

    #[test]
    fn a_stem_loses_both_extensions_of_a_compressed_volume() {
        assert_eq!(stem(Path::new("q/scan_1.v2.nii.gz")), "scan_1.v2");
        assert_eq!(stem(Path::new("q/12.png")), "12");
        assert_eq!(stem(Path::new("q/bare")), "bare");
    }
}
