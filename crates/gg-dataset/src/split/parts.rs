//! Training, validation and test of one tested fold.

use super::{LEAK, PATIENTS_LEAK, Part, Split, SplitEntry, SplitError, SplitKind};
use crate::random::{Purpose, Stream};
use gg_volume::Warning;
use std::collections::{BTreeMap, BTreeSet};

/// Neighbours in a table that validate together where patients are not known.
const RUN: usize = 10;

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
            self.warnings.push(Warning::new(PATIENTS_LEAK, LEAK));
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

impl Split {
    /// The parts when fold `fold` is tested. The validation part is carved out of the rest by patient (in a split by
    /// slice: by slice), the same for the same seed.
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
        let tested = self.cases.iter().any(|e| e.part == Some(Part::Test));
        let val = match (stated, free.is_empty() && tested) {
            (true, _) => BTreeSet::new(),
            // The table states training and test alone: early stopping and thresholds take their share of training.
            (false, true) => self.carve_runs(fold),
            (false, false) => self.carve(&free, fold),
        };
        for e in &self.cases {
            let part = match place(e) {
                Some(part) if part != Part::Train => part,
                _ if val.contains(e.patient.as_str()) => Part::Val,
                _ => Part::Train,
            };
            parts.cases.insert(e.case.clone(), PartOf::Whole(part));
            parts.patients.insert(e.patient.clone(), part);
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

    /// As [`Split::carve`], out of cases that are fixed for training, in runs of neighbours: pictures of one patient stand
    /// beside each other in tables that do not name patients.
    fn carve_runs(&self, fold: usize) -> BTreeSet<&str> {
        let mut patients: Vec<&str> = Vec::new();
        for e in self.cases.iter().filter(|e| e.part == Some(Part::Train)) {
            if !patients.contains(&e.patient.as_str()) {
                patients.push(&e.patient);
            }
        }
        let n = match patients.len() {
            0 | 1 => 0,
            len => ((self.validation_share * len as f64).round() as usize).clamp(1, len - 1),
        };
        let mut runs: Vec<&[&str]> = patients.chunks(RUN).collect();
        Stream::new(self.seed, Purpose::Validation, fold as u64, 0).shuffle(&mut runs);
        runs.into_iter().flatten().copied().take(n).collect()
    }

    fn slice_parts(&self, fold: usize, parts: &mut Parts) {
        let stated = self.cases.iter().any(|e| e.part == Some(Part::Val));
        for (index, e) in self.cases.iter().enumerate() {
            if let Some(part) = e.part {
                parts.cases.insert(e.case.clone(), PartOf::Whole(part));
                continue;
            }
            let folds = e.slice_folds.as_deref().unwrap_or(&[]);
            let mut stream = Stream::new(self.seed, Purpose::Validation, fold as u64, 1 + index as u64);
            let of = folds.iter().map(|&f| {
                let val = stream.chance(self.validation_share);
                if f == fold {
                    Part::Test
                } else if val && !stated {
                    Part::Val
                } else {
                    Part::Train
                }
            });
            parts.cases.insert(e.case.clone(), PartOf::Slices(of.collect()));
        }
    }
}
