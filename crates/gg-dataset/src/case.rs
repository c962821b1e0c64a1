//! One case: a CT, whose it is, and what is known about it, as places on disk; nothing is read yet.

use crate::Task;
use crate::split::{Part, SplitCase};
use std::path::PathBuf;

/// Where a CT lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CtSource {
    /// A NIfTI file, a single picture, or a folder of DICOM files or pictures.
    File(PathBuf),
    /// One file per slice: pictures in slice order, or DICOM files in any order (their positions sort them).
    Slices(Vec<PathBuf>),
}

/// Where a mask lies and what its labels mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskSource {
    /// One file, or one picture per slice in the order of the CT's.
    pub files: CtSource,
    /// What its values mean.
    pub labels: MaskLabels,
}

/// What the values of a mask mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskLabels {
    /// 0 outside; 1 and 2 the two lungs, or 1 both. Which side is which is not believed.
    Lung,
    /// 0 healthy, 1 infected.
    Infection,
    /// 0 outside, 1 and 2 the lungs, 3 infected lung.
    Combined,
    /// Every value but 0 is inside.
    NonZero,
    /// 0/1/2 or 0/255; other grey values are taken for a resampled 0/255 mask and cut at 127, with a warning.
    Lenient,
    /// Values with names, as `dataset.json` of nnU-Net states them.
    Named {
        /// Values inside the lungs; infection among them where both are labelled.
        lung: Vec<u8>,
        /// Values that are infection.
        infection: Vec<u8>,
        /// All values that may occur.
        known: Vec<u8>,
    },
}

/// One CT with its masks and labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Name in all outputs; fit for a folder's name.
    pub case_id: String,
    /// Name of the patient, equal for all cases of one patient; the case's own name where patients are unknown.
    pub patient: String,
    /// Whether a table stated the patient.
    pub patient_known: bool,
    /// The CT.
    pub ct: CtSource,
    /// Lung mask.
    pub lung: Option<MaskSource>,
    /// Infection mask.
    pub infection: Option<MaskSource>,
    /// One mask that holds lungs and infection; used for what has no mask of its own.
    pub combined: Option<MaskSource>,
    /// Whether each slice shows infection, in the order of the CT's files; `None` inside where it is unknown.
    pub slice_labels: Option<Vec<Option<bool>>>,
    /// Class of the whole case, as the table words it.
    pub class: Option<String>,
    /// Fold stated by the data set's table.
    pub fold: Option<usize>,
    /// Part stated by the data set's table.
    pub part: Option<Part>,
    /// Other names of the same scan (of its files), by which it is found again in another data set.
    pub aliases: Vec<String>,
}

impl Case {
    /// A case of which only the CT is known.
    pub(crate) fn new(case_id: &str, ct: CtSource) -> Self {
        Self {
            case_id: case_id.to_owned(),
            patient: case_id.to_owned(),
            patient_known: false,
            ct,
            lung: None,
            infection: None,
            combined: None,
            slice_labels: None,
            class: None,
            fold: None,
            part: None,
            aliases: Vec::new(),
        }
    }

    /// States the patient where the table has one.
    pub(crate) fn with_patient(mut self, patient: Option<&str>) -> Self {
        if let Some(patient) = patient.filter(|p| !p.is_empty()) {
            self.patient = patient.to_owned();
            self.patient_known = true;
        }
        self
    }

    /// Whether lung pixels are known.
    pub fn has_lung(&self) -> bool {
        let named = |m: &MaskSource| !matches!(&m.labels, MaskLabels::Named { lung, .. } if lung.is_empty());
        self.lung.is_some() || self.combined.as_ref().is_some_and(named)
    }

    /// Whether infected pixels are known.
    pub fn has_infection(&self) -> bool {
        let named = |m: &MaskSource| !matches!(&m.labels, MaskLabels::Named { infection, .. } if infection.is_empty());
        self.infection.is_some() || self.combined.as_ref().is_some_and(named)
    }

    /// Whether a network can learn the task from it.
    pub fn can_teach(&self, task: Task) -> bool {
        let labelled = |labels: &Vec<Option<bool>>| labels.iter().any(Option::is_some);
        match task {
            Task::Lung => self.has_lung(),
            Task::Infection => self.has_infection(),
            Task::Classify => self.has_infection() || self.slice_labels.as_ref().is_some_and(labelled),
        }
    }

    /// Number of slices, where the table tells it.
    pub fn slices(&self) -> Option<usize> {
        match &self.ct {
            CtSource::Slices(files) => Some(files.len()),
            CtSource::File(_) => None,
        }
    }

    /// What a split needs to know, from the table alone.
    pub fn split_case(&self) -> SplitCase {
        let positives = |labels: &Vec<Option<bool>>| labels.iter().filter(|&&l| l == Some(true)).count();
        SplitCase {
            case: self.case_id.clone(),
            patient: self.patient.clone(),
            slices: self.slices(),
            positives: self.slice_labels.as_ref().map(positives),
            fold: self.fold,
            part: self.part,
        }
    }

    /// All files and folders that the case is made of.
    pub fn sources(&self) -> Vec<&CtSource> {
        let masks = [&self.lung, &self.infection, &self.combined];
        std::iter::once(&self.ct).chain(masks.into_iter().flatten().map(|m| &m.files)).collect()
    }
}
