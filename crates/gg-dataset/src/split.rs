//! Who trains, who chooses thresholds and who is tested: folds of patients, kept in a TOML file.
//!
//! By patient: no patient stands in two parts, across all data sets at once. By slice: every slice has its own fold,
//! so patients leak between training and test; it exists to show what that does to scores, and says so everywhere.
//!
//! Folds are dealt evenly to shuffled patients in [`DEALS`] random deals, of which the one with the most equal numbers of
//! cases, slices and positive slices is kept: deterministic by seed.

use crate::random::{Purpose, Stream};
use gg_volume::Warning;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Version of the file format.
const VERSION: u32 = 1;
/// Random deals among which the most even one is kept.
const DEALS: u64 = 200;
/// Share of the patients outside the test fold that validate, unless the file says otherwise.
const VALIDATION_SHARE: f64 = 0.2;

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
    #[error("case `{0}` has no single place, right would be exactly one of `fold`, `part` and `slice_folds`")]
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
}

impl Split {
    /// Deals whole patients to folds. Cases with a stated `part` keep it (they are never tested unless it says so);
    /// where all have one, the split is that of the table.
    ///
    /// # Errors
    /// [`SplitError::TooSmall`] where there are fewer patients than folds.
    pub fn by_patient(cases: &[SplitCase], folds: usize, seed: u64) -> Result<Self, SplitError> {
        if folds < 2 {
            return Err(SplitError::Folds(folds));
        }
        // A patient with one case of fixed part is fixed as a whole: it must not be tested elsewhere.
        let fixed = fixed_parts(cases)?;
        let mut loads: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
        for c in cases.iter().filter(|c| !fixed.contains_key(c.patient.as_str())) {
            let load = loads.entry(&c.patient).or_default();
            let add = [1.0, c.slices.unwrap_or(0) as f64, c.positives.unwrap_or(0) as f64];
            load.iter_mut().zip(add).for_each(|(l, a)| *l += a);
        }
        if loads.is_empty() && !fixed.is_empty() {
            // Nothing is left to deal: the table has said it all, as for single pictures of unknown patients.
            return Self::from_table(cases, seed);
        }
        if loads.len() < folds {
            return Err(SplitError::TooSmall { found: loads.len(), folds });
        }
        let patients: Vec<(&str, [f64; 3])> = loads.into_iter().collect();
        let fold_of = deal(&patients, folds, seed);
        let entries = cases.iter().map(|c| {
            let part = fixed.get(c.patient.as_str()).copied();
            entry(c, part.is_none().then(|| fold_of[c.patient.as_str()]), part)
        });
        Self::checked(SplitKind::Patient, seed, folds, entries.collect())
    }

    /// Takes the folds or parts that the data set's own table states. Cases without one go with their patient's
    /// other cases, else to training.
    ///
    /// # Errors
    /// [`SplitError`] where nothing is stated or a patient stands in two folds.
    pub fn from_table(cases: &[SplitCase], seed: u64) -> Result<Self, SplitError> {
        if cases.iter().all(|c| c.fold.is_none() && c.part.is_none()) {
            return Err(SplitError::NoTable);
        }
        let fixed = fixed_parts(cases)?;
        let fold_of: BTreeMap<&str, usize> =
            cases.iter().filter_map(|c| Some((c.patient.as_str(), c.fold?))).collect();
        let folds = fold_of.values().max().map_or(0, |&f| f + 1);
        let entries = cases.iter().map(|c| {
            let fold = c.fold.or_else(|| fold_of.get(c.patient.as_str()).copied());
            match (fold, fixed.get(c.patient.as_str())) {
                (None, part) => entry(c, None, Some(part.copied().unwrap_or(Part::Train))),
                (fold, None) => entry(c, fold, None),
                // A patient of known fold may be tested: no set that is always trained on may hold it.
                (fold, Some(Part::Train)) => entry(c, fold, None),
                (_, Some(&part)) => entry(c, None, Some(part)),
            }
        });
        Self::checked(SplitKind::Patient, seed, folds, entries.collect())
    }

    /// Deals single slices to folds: patients leak between training and test.
    ///
    /// # Errors
    /// [`SplitError`] where a case's number of slices is unknown or there are fewer slices than folds.
    pub fn by_slice(cases: &[SplitCase], folds: usize, seed: u64) -> Result<Self, SplitError> {
        if folds < 2 {
            return Err(SplitError::Folds(folds));
        }
        let counts: Vec<usize> = cases
            .iter()
            .map(|c| c.slices.ok_or_else(|| SplitError::SlicesUnknown(c.case.clone())))
            .collect::<Result<_, _>>()?;
        let total: usize = counts.iter().sum();
        if total < folds {
            return Err(SplitError::TooSmall { found: total, folds });
        }
        let mut dealt: Vec<usize> = (0..total).map(|i| i % folds).collect();
        Stream::new(seed, Purpose::Folds, 1, 0).shuffle(&mut dealt);
        let mut rest = dealt.as_slice();
        let entries = cases.iter().zip(counts).map(|(c, n)| {
            let (mine, others) = rest.split_at(n);
            rest = others;
            SplitEntry { slice_folds: Some(mine.to_vec()), ..entry(c, None, None) }
        });
        Self::checked(SplitKind::Slice, seed, folds, entries.collect())
    }

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
        let leak = if self.leaking() { "# patients leak between training and test\n" } else { "" };
        Ok(format!("{leak}{body}"))
    }

    /// Whether patients leak between training and test; every output must then say so.
    pub fn leaking(&self) -> bool {
        self.kind == SplitKind::Slice
    }

    /// The parts when fold `fold` is tested. The validation part is carved out of the rest by patient (in a split by slice: by
    /// slice), the same for the same seed.
    ///
    /// # Errors
    /// [`SplitError::NoSuchFold`].
    pub fn parts(&self, fold: usize) -> Result<Parts, SplitError> {
        if fold >= self.folds.max(1) {
            return Err(SplitError::NoSuchFold { found: fold, folds: self.folds });
        }
        let mut parts = Parts { leaking: self.leaking(), ..Parts::default() };
        match self.kind {
            SplitKind::Patient => self.patient_parts(fold, &mut parts),
            SplitKind::Slice => self.slice_parts(fold, &mut parts),
        }
        parts.warn();
        Ok(parts)
    }

    fn patient_parts(&self, fold: usize, parts: &mut Parts) {
        let place = |e: &SplitEntry| match (e.part, e.fold) {
            (Some(part), _) => Some(part),
            (None, Some(f)) if f == fold => Some(Part::Test),
            _ => None,
        };
        let stated = self.cases.iter().any(|e| e.part == Some(Part::Val));
        let free: BTreeSet<&str> =
            self.cases.iter().filter(|e| place(e).is_none()).map(|e| e.patient.as_str()).collect();
        let val = if stated { BTreeSet::new() } else { self.carve(&free, fold) };
        for e in &self.cases {
            let part =
                place(e).unwrap_or(if val.contains(e.patient.as_str()) { Part::Val } else { Part::Train });
            parts.cases.insert(e.case.clone(), PartOf::Whole(part));
            parts.patients.insert(e.patient.clone(), part);
            if part == Part::Train {
                parts.train_patients.insert(e.patient.clone());
            }
        }
    }

    /// The patients that validate; at least one where at least one is left to train on.
    fn carve<'a>(&self, free: &BTreeSet<&'a str>, fold: usize) -> BTreeSet<&'a str> {
        let mut patients: Vec<&str> = free.iter().copied().collect();
        let n = match patients.len() {
            0 | 1 => 0,
            len => ((self.validation_share * len as f64).round() as usize).clamp(1, len - 1),
        };
        Stream::new(self.seed, Purpose::Validation, fold as u64, 0).shuffle(&mut patients);
        patients.into_iter().take(n).collect()
    }

    fn slice_parts(&self, fold: usize, parts: &mut Parts) {
        for (index, e) in self.cases.iter().enumerate() {
            let folds = e.slice_folds.as_deref().unwrap_or(&[]);
            let mut stream = Stream::new(self.seed, Purpose::Validation, fold as u64, 1 + index as u64);
            let of = folds.iter().map(|&f| {
                let val = stream.chance(self.validation_share);
                if f == fold {
                    Part::Test
                } else if val {
                    Part::Val
                } else {
                    Part::Train
                }
            });
            parts.cases.insert(e.case.clone(), PartOf::Slices(of.collect()));
            parts.train_patients.insert(e.patient.clone());
        }
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
            let sliced = e.slice_folds.is_some();
            if places.iter().filter(|&&p| p).count() != 1 || sliced != (self.kind == SplitKind::Slice) {
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

fn entry(c: &SplitCase, fold: Option<usize>, part: Option<Part>) -> SplitEntry {
    SplitEntry { case: c.case.clone(), patient: c.patient.clone(), fold, part, slice_folds: None }
}

/// The part of every patient that has one stated.
fn fixed_parts(cases: &[SplitCase]) -> Result<BTreeMap<&str, Part>, SplitError> {
    let mut fixed: BTreeMap<&str, Part> = BTreeMap::new();
    for c in cases {
        if let Some(part) = c.part
            && *fixed.entry(&c.patient).or_insert(part) != part
        {
            return Err(SplitError::PatientTorn(c.case.clone()));
        }
    }
    Ok(fixed)
}

/// The most even of [`DEALS`] random deals; loads are cases, slices and positive slices of each patient.
fn deal<'a>(patients: &[(&'a str, [f64; 3])], folds: usize, seed: u64) -> BTreeMap<&'a str, usize> {
    let totals: [f64; 3] = std::array::from_fn(|k| patients.iter().map(|p| p.1[k]).sum());
    let mut best: Option<(f64, Vec<usize>)> = None;
    for round in 0..DEALS {
        let mut dealt: Vec<usize> = (0..patients.len()).map(|i| i % folds).collect();
        Stream::new(seed, Purpose::Folds, 0, round).shuffle(&mut dealt);
        let mut loads = vec![[0.0; 3]; folds];
        for ((_, load), &f) in patients.iter().zip(&dealt) {
            loads[f].iter_mut().zip(load).for_each(|(l, a)| *l += a);
        }
        let cost: f64 = (0..3)
            .filter(|&k| totals[k] > 0.0)
            .map(|k| loads.iter().map(|l| (l[k] * folds as f64 / totals[k] - 1.0).powi(2)).sum::<f64>())
            .sum();
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, dealt));
        }
    }
    let dealt = best.map(|b| b.1).unwrap_or_default();
    patients.iter().map(|p| p.0).zip(dealt).collect()
}

/// Where a case's slices belong.
#[derive(Debug, Clone, PartialEq)]
enum PartOf {
    Whole(Part),
    Slices(Vec<Part>),
}

/// Training, validation and test for one tested fold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parts {
    /// Whether patients leak between training and test.
    pub leaking: bool,
    /// Remarks for every output.
    pub warnings: Vec<Warning>,
    /// Patients that weights are learnt from; a bundle keeps their number.
    pub train_patients: BTreeSet<String>,
    cases: BTreeMap<String, PartOf>,
    /// Empty in a split by slice.
    patients: BTreeMap<String, Part>,
}

impl Parts {
    /// The part of one canonical slice of a case of which the patient is known: the patient's part, so that a split
    /// also holds for other scans and other data sets of the same patients; else that of the case's name.
    pub fn part_for(&self, case: &str, patient: &str, z: usize) -> Option<Part> {
        self.patients.get(patient).copied().or_else(|| self.part_of(case, z))
    }

    /// The part of one canonical slice of a case; `None` where the split does not know the case.
    pub fn part_of(&self, case: &str, z: usize) -> Option<Part> {
        match self.cases.get(case)? {
            PartOf::Whole(part) => Some(*part),
            PartOf::Slices(parts) => parts.get(z).copied(),
        }
    }

    /// Names of the cases of which at least one slice belongs to a part, sorted.
    pub fn cases(&self, part: Part) -> Vec<&str> {
        let has = |p: &PartOf| match p {
            PartOf::Whole(whole) => *whole == part,
            PartOf::Slices(slices) => slices.contains(&part),
        };
        self.cases.iter().filter(|(_, p)| has(p)).map(|(name, _)| name.as_str()).collect()
    }

    /// Names of the cases that weights are learnt from.
    pub fn train(&self) -> Vec<&str> {
        self.cases(Part::Train)
    }

    /// Names of the cases on which thresholds are chosen.
    pub fn val(&self) -> Vec<&str> {
        self.cases(Part::Val)
    }

    /// Names of the cases on which scores are reported.
    pub fn test(&self) -> Vec<&str> {
        self.cases(Part::Test)
    }

    fn warn(&mut self) {
        if self.leaking {
            self.warnings.push(Warning::new("patients_leak", "patients leak between training and test"));
        }
        for (part, code, what) in [
            (Part::Train, "no_training_part", "no case is left to train on"),
            (
                Part::Val,
                "no_validation_part",
                "no patient is left to validate on; thresholds cannot be chosen",
            ),
            (Part::Test, "no_test_part", "no case is tested; scores cannot be reported on unseen patients"),
        ] {
            if self.cases(part).is_empty() {
                self.warnings.push(Warning::new(code, what));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cases named `c0..`, each of the patient with the given number.
    fn cases(patients: &[usize]) -> Vec<SplitCase> {
        let case = |(i, p): (usize, &usize)| SplitCase {
            case: format!("c{i}"),
            patient: format!("p{p}"),
            slices: Some(10 + 7 * i % 5),
            ..SplitCase::default()
        };
        patients.iter().enumerate().map(case).collect()
    }

    fn patients_of(cases: &[SplitCase], names: &[&str]) -> BTreeSet<String> {
        cases.iter().filter(|c| names.contains(&c.case.as_str())).map(|c| c.patient.clone()).collect()
    }

    #[test]
    fn too_few_patients_are_named_with_the_number_that_would_do() {
        let error = Split::by_patient(&cases(&[0, 0, 1]), 5, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "data set too small to split: found 2 patients, right would be at least 5"
        );
        assert_eq!(Split::by_patient(&cases(&[0, 1]), 1, 1).unwrap_err(), SplitError::Folds(1));
    }

    #[test]
    fn leaving_one_patient_out_tests_each_patient_once() {
        let cases = cases(&[0, 1, 1, 2, 3]);
        let split = Split::by_patient(&cases, 4, 7).unwrap();
        let mut tested = BTreeSet::new();
        for fold in 0..4 {
            let parts = split.parts(fold).unwrap();
            let test = patients_of(&cases, &parts.test());
            assert_eq!((test.len(), parts.val().is_empty(), parts.train().is_empty()), (1, false, false));
            tested.extend(test);
        }
        assert_eq!(tested.len(), 4);
        assert_eq!(split.parts(4).unwrap_err().to_string(), "fold 4 was asked for, right would be 0 to 3");
    }

    #[test]
    fn folds_hold_equal_numbers_of_slices_and_positives() {
        let case = |i: usize| SplitCase {
            case: format!("c{i}"),
            patient: format!("p{i}"),
            slices: Some(if i < 5 { 200 } else { 20 }),
            positives: Some(if i.is_multiple_of(2) { 20 } else { 0 }),
            ..SplitCase::default()
        };
        let cases: Vec<SplitCase> = (0..20).map(case).collect();
        let split = Split::by_patient(&cases, 5, 3).unwrap();
        for fold in 0..5 {
            let of: Vec<&SplitCase> = cases
                .iter()
                .zip(&split.cases)
                .filter(|(_, e)| e.fold == Some(fold))
                .map(|(c, _)| c)
                .collect();
            assert_eq!(of.len(), 4);
            let slices: usize = of.iter().filter_map(|c| c.slices).sum();
            assert!((200..=500).contains(&slices), "fold {fold} has {slices} slices");
        }
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let cases = cases(&(0..12).collect::<Vec<_>>());
        let of = |seed| Split::by_patient(&cases, 3, seed).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn the_folds_of_a_table_are_kept_and_other_sets_follow_their_patients() {
        let mut cases = cases(&[0, 1, 2, 0, 9]);
        for (c, fold) in cases.iter_mut().zip([Some(0), Some(1), Some(2), None, None]) {
            c.fold = fold;
        }
        let split = Split::from_table(&cases, 1).unwrap();
        let folds: Vec<Option<usize>> = split.cases.iter().map(|e| e.fold).collect();
        assert_eq!((split.folds, folds), (3, vec![Some(0), Some(1), Some(2), Some(0), None]));
        assert_eq!(split.parts(0).unwrap().part_of("c4", 0), Some(Part::Train));
        assert_eq!(split.parts(0).unwrap().part_of("c3", 5), Some(Part::Test));
        cases[3].fold = Some(1);
        assert!(matches!(Split::from_table(&cases, 1), Err(SplitError::PatientTorn(_))));
        cases.iter_mut().for_each(|c| c.fold = None);
        assert_eq!(Split::from_table(&cases, 1), Err(SplitError::NoTable));
    }

    #[test]
    fn stated_parts_are_kept_and_a_missing_test_part_is_remarked() {
        let mut cases = cases(&[0, 1, 2]);
        for (c, part) in cases.iter_mut().zip([Part::Train, Part::Train, Part::Val]) {
            c.part = Some(part);
        }
        let parts = Split::from_table(&cases, 1).unwrap().parts(0).unwrap();
        assert_eq!((parts.train(), parts.val(), parts.test()), (vec!["c0", "c1"], vec!["c2"], vec![]));
        assert_eq!(parts.warnings[0].code, "no_test_part");
    }

    #[test]
    fn a_set_for_training_only_is_never_tested() {
        let mut cases = cases(&[0, 1, 2, 3, 8, 9]);
        cases[4].part = Some(Part::Train);
        cases[5].part = Some(Part::Train);
        let split = Split::by_patient(&cases, 4, 1).unwrap();
        for fold in 0..4 {
            let parts = split.parts(fold).unwrap();
            assert!(["c4", "c5"].iter().all(|c| parts.part_of(c, 0) == Some(Part::Train)));
        }
    }

    #[test]
    fn a_split_holds_for_other_scans_of_its_patients() {
        let split = Split::by_patient(&cases(&[0, 1, 2]), 3, 1).unwrap();
        let parts = split.parts(1).unwrap();
        for (c, p) in [("c0", "p0"), ("c1", "p1"), ("c2", "p2")] {
            assert_eq!(parts.part_for("a later scan", p, 3), parts.part_of(c, 0));
            assert_eq!(parts.part_for(c, "no table said so", 3), parts.part_of(c, 0));
        }
        assert_eq!(parts.part_for("new", "new", 0), None);
    }

    #[test]
    fn a_split_by_slice_says_that_patients_leak() {
        let cases = cases(&[0, 1]);
        let split = Split::by_slice(&cases, 5, 1).unwrap();
        assert!(split.leaking());
        assert!(split.to_toml().unwrap().starts_with("# patients leak between training and test\n"));
        let parts = split.parts(2).unwrap();
        assert_eq!(parts.warnings[0].message, "patients leak between training and test");
        let total: usize = cases.iter().filter_map(|c| c.slices).sum();
        let of = |part| {
            let slices = cases.iter().flat_map(|c| (0..c.slices.unwrap()).map(move |z| (c.case.as_str(), z)));
            slices.filter(|(c, z)| parts.part_of(c, *z) == Some(part)).count()
        };
        assert_eq!(of(Part::Test), total / 5 + usize::from(2 < total % 5));
        assert_eq!(of(Part::Train) + of(Part::Val) + of(Part::Test), total);
        assert!(of(Part::Val) > 0);
    }

    #[test]
    fn a_split_file_comes_back_and_faults_are_refused() {
        for split in [Split::by_patient(&cases(&[0, 1, 2]), 2, 5), Split::by_slice(&cases(&[0, 1, 2]), 2, 5)]
        {
            let split = split.unwrap();
            assert_eq!(Split::from_toml(&split.to_toml().unwrap()).unwrap(), split);
        }
        let check = |text: &str, expected: &str| {
            let error = Split::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let head = "version = 1\nkind = \"patient\"\nseed = 1\nfolds = 2\n";
        check("version = 2\nnews = true\n", "version 2, right would be 1");
        check("hello", "no split file");
        check(&format!("{head}[[case]]\ncase = \"a\"\npatient = \"p\"\n"), "`a` has no single place");
        let torn = "[[case]]\ncase = \"a\"\npatient = \"p\"\nfold = 0\n[[case]]\ncase = \"b\"\npatient = \"p\"\nfold = 1\n";
        check(&format!("{head}{torn}"), "one patient stand in different folds");
        check(&format!("{head}[[case]]\ncase = \"a\"\npatient = \"p\"\nfold = 2\n"), "fold 2 was asked for");
        check(&format!("{head}typo = 1\n"), "unknown field");
    }

    proptest! {
        #[test]
        fn no_patient_stands_in_two_parts(
            patients in proptest::collection::vec(0usize..12, 1..40), folds in 2usize..7, seed: u64,
        ) {
            let cases = cases(&patients);
            let distinct: BTreeSet<usize> = patients.iter().copied().collect();
            let split = Split::by_patient(&cases, folds, seed);
            prop_assert_eq!(split.is_ok(), distinct.len() >= folds);
            let Ok(split) = split else { return Ok(()) };
            for fold in 0..folds {
                let parts = split.parts(fold).unwrap();
                let sets = [parts.train(), parts.val(), parts.test()].map(|names| patients_of(&cases, &names));
                prop_assert!(sets[0].is_disjoint(&sets[1]) && sets[0].is_disjoint(&sets[2]) && sets[1].is_disjoint(&sets[2]));
                prop_assert_eq!(sets.iter().map(BTreeSet::len).sum::<usize>(), distinct.len());
                prop_assert!(!sets[0].is_empty() && !sets[2].is_empty());
            }
        }
    }
}
