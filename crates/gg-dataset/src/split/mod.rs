//! Who trains, who chooses thresholds and who is tested: folds of patients, kept in a TOML file.
//!
//! By patient: no patient stands in two parts, across all data sets at once. By slice: every slice has its own fold
//! (but those of cases that are always trained or validated on), so patients leak between training and test; it exists
//! to show what that does to scores, and says so everywhere.

mod deal;
mod parts;
#[cfg(test)]
mod tests;

pub use parts::Parts;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Code of the remark that [`LEAK`] says.
pub const PATIENTS_LEAK: &str = "patients_leak";
/// What every output of a split by slice says.
pub const LEAK: &str = "patients leak between training and test";
/// Version of the file format.
const VERSION: u32 = 1;
/// Share of the patients outside the test fold that validate, unless the file says otherwise.
pub const VALIDATION_SHARE: f64 = 0.2;

/// What a split is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitKind {
    /// Whole patients.
    Patient,
    /// Single slices; patients leak between the parts.
    Slice,
}

/// What a case or slice is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Weights are learnt from it.
    Train,
    /// Thresholds and the best epoch are chosen on it.
    Val,
    /// Scores are reported on it.
    Test,
}

/// What a split needs to know about a case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SplitCase {
    /// Name of the case.
    pub case: String,
    /// Name of its patient.
    pub patient: String,
    /// Number of slices, where known (needed to split by slice).
    pub slices: Option<usize>,
    /// Number of slices that show infection, where known.
    pub positives: Option<usize>,
    /// Fold stated by the data set's own table.
    pub fold: Option<usize>,
    /// Part stated by the data set's own table, or training where nothing else is right.
    pub part: Option<Part>,
}

/// One case of a split file: it has a fold, a fixed part, or one fold per slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitEntry {
    /// Name of the case.
    pub case: String,
    /// Name of its patient.
    pub patient: String,
    /// Fold in which it is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Part it always belongs to, whatever fold is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Fold of every canonical slice, in a split by slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_folds: Option<Vec<usize>>,
}

/// Folds of cases, as a split file holds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Version of the file format.
    pub version: u32,
    /// Whole patients or single slices.
    pub kind: SplitKind,
    /// Seed of the deal, and of the choice of validation patients.
    pub seed: u64,
    /// Number of folds.
    pub folds: usize,
    /// Share of the patients outside the test fold that validate.
    #[serde(default = "default_validation_share")]
    pub validation_share: f64,
    /// All cases.
    #[serde(rename = "case")]
    pub cases: Vec<SplitEntry>,
}

fn default_validation_share() -> f64 {
    VALIDATION_SHARE
}

/// A split that cannot be made, read or applied.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SplitError {
    /// Fewer patients than folds.
    #[error("data set too small to split: found {found} patients, right would be at least {folds}")]
    TooSmall {
        /// Patients that may be tested.
        found: usize,
        /// Folds wanted.
        folds: usize,
    },
    /// Fewer than two folds.
    #[error("found {0} folds, right would be at least 2")]
    Folds(usize),
    /// A fold that the split does not have.
    #[error("fold {found} was asked for, right would be 0 to {last}", last = .folds.saturating_sub(1))]
    NoSuchFold {
        /// Fold asked for.
        found: usize,
        /// Folds in the split.
        folds: usize,
    },
    /// One patient on both sides.
    #[error("the cases of one patient stand in different folds or parts, right would be one for all (`{0}`)")]
    PatientTorn(String),
    /// A case twice.
    #[error("case `{0}` stands twice in the split, right would be once")]
    CaseTwice(String),
    /// A case without fold and part, or with too much.
    #[error(
        "case `{0}` has no single place, right would be either `part` or, in a split by patient, `fold`, in one by slice, `slice_folds`"
    )]
    NoPlace(String),
    /// The table states no folds.
    #[error("found no folds or parts in the data set's own table, right would be a column `fold` or `split`")]
    NoTable,
    /// The number of slices must be known.
    #[error(
        "the number of slices of case `{0}` is not known, right would be to count them before a split by slice"
    )]
    SlicesUnknown(String),
    /// Not a split file.
    #[error("this is no split file: {0}")]
    Format(String),
    /// Written by a newer program.
    #[error("found split file version {found}, right would be {VERSION}")]
    Version {
        /// Version in the file.
        found: u32,
    },
    /// A case of the data set that the split does not know.
    #[error(
        "case `{0}` of the data set does not stand in the split, right would be a split made of this data set"
    )]
    CaseMissing(String),
    /// Two cases of one patient of the data set, of two patients in the split.
    #[error(
        "`{}` and `{}` are of one patient in the data set and of two in the split, right would be one for both",
        .0[0], .0[1]
    )]
    PatientNamedTwice([String; 2]),
}

impl Split {
    /// Reads a split file.
    ///
    /// # Errors
    /// [`SplitError`] where it is no split file, is newer than this program, or tears a patient apart.
    pub fn from_toml(text: &str) -> Result<Self, SplitError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let format = |e: toml::de::Error| SplitError::Format(e.message().to_owned());
        let head: Head = toml::from_str(text).map_err(format)?;
        if head.version != VERSION {
            return Err(SplitError::Version { found: head.version });
        }
        let split: Self = toml::from_str(text).map_err(format)?;
        split.check()?;
        Ok(split)
    }

    /// The text of a split file.
    ///
    /// # Errors
    /// [`SplitError::Format`] where a seed or number does not fit the format.
    pub fn to_toml(&self) -> Result<String, SplitError> {
        let body = toml::to_string(self).map_err(|e| SplitError::Format(e.to_string()))?;
        Ok(if self.leaking() { format!("# {LEAK}\n{body}") } else { body })
    }

    /// Whether the split keeps together what a data set says is one patient. `cases` are a data set's cases with their
    /// patients; a patient that the split knows by name has one place for all its cases anyway.
    ///
    /// # Errors
    /// [`SplitError::PatientNamedTwice`].
    pub fn keeps_patients<'a>(
        &self,
        cases: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), SplitError> {
        if self.leaking() {
            return Ok(());
        }
        let known: BTreeSet<&str> = self.cases.iter().map(|e| e.patient.as_str()).collect();
        let of_case: BTreeMap<&str, &str> =
            self.cases.iter().map(|e| (e.case.as_str(), e.patient.as_str())).collect();
        let mut first: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for (case, patient) in cases.filter(|(_, patient)| !known.contains(patient)) {
            let Some(&in_split) = of_case.get(case) else { continue };
            let &mut (other, before) = first.entry(patient).or_insert((case, in_split));
            if before != in_split {
                return Err(SplitError::PatientNamedTwice([other, case].map(str::to_owned)));
            }
        }
        Ok(())
    }

    /// Whether patients leak between training and test; every output must then say so.
    pub fn leaking(&self) -> bool {
        self.kind == SplitKind::Slice
    }

    fn checked(kind: SplitKind, seed: u64, folds: usize, cases: Vec<SplitEntry>) -> Result<Self, SplitError> {
        let split = Self { version: VERSION, kind, seed, folds, validation_share: VALIDATION_SHARE, cases };
        split.check()?;
        Ok(split)
    }

    /// Every case once, with one place, and no patient in two.
    fn check(&self) -> Result<(), SplitError> {
        if !(0.0..1.0).contains(&self.validation_share) {
            let found = self.validation_share;
            return Err(SplitError::Format(format!(
                "`validation_share` is {found}, right would be from 0 to below 1"
            )));
        }
        let mut seen = BTreeSet::new();
        let mut place_of = BTreeMap::new();
        for e in &self.cases {
            if !seen.insert(e.case.as_str()) {
                return Err(SplitError::CaseTwice(e.case.clone()));
            }
            let places = [e.fold.is_some(), e.part.is_some(), e.slice_folds.is_some()];
            let of_the_other_kind = match self.kind {
                SplitKind::Patient => e.slice_folds.is_some(),
                SplitKind::Slice => e.fold.is_some(),
            };
            if places.iter().filter(|&&p| p).count() != 1 || of_the_other_kind {
                return Err(SplitError::NoPlace(e.case.clone()));
            }
            for &f in e.fold.iter().chain(e.slice_folds.iter().flatten()) {
                if f >= self.folds {
                    return Err(SplitError::NoSuchFold { found: f, folds: self.folds });
                }
            }
            let place = (e.fold, e.part);
            if *place_of.entry(e.patient.as_str()).or_insert(place) != place {
                return Err(SplitError::PatientTorn(e.case.clone()));
            }
        }
        Ok(())
    }
}
