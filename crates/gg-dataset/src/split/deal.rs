//! Making a split: patients or slices dealt to folds, or the folds of the data set's own table.
//!
//! Folds are dealt evenly to shuffled patients in [`DEALS`] random deals, of which the one with the most equal numbers of
//! cases, slices and positive slices is kept: deterministic by seed.

use super::{Part, Split, SplitCase, SplitEntry, SplitError, SplitKind};
use crate::random::{Purpose, Stream};
use std::collections::BTreeMap;

/// Random deals among which the most even one is kept.
const DEALS: u64 = 200;

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
    /// other cases, else to training. A table of training and validation parts alone was published to be compared on the
    /// latter: it is tested on, and what validates is carved out of the former.
    ///
    /// # Errors
    /// [`SplitError`] where nothing is stated or a patient stands in two folds.
    pub fn from_table(cases: &[SplitCase], seed: u64) -> Result<Self, SplitError> {
        if cases.iter().all(|c| c.fold.is_none() && c.part.is_none()) {
            return Err(SplitError::NoTable);
        }
        let mut fixed = fixed_parts(cases)?;
        let fold_of: BTreeMap<&str, usize> =
            cases.iter().filter_map(|c| Some((c.patient.as_str(), c.fold?))).collect();
        if fold_of.is_empty() && !fixed.values().any(|p| *p == Part::Test) {
            fixed.values_mut().filter(|p| **p == Part::Val).for_each(|p| *p = Part::Test);
        }
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

    /// The split by slice that this split by patient is compared with: slices of the cases that this one may test are dealt
    /// to as many folds (at least two). Cases that are always trained or validated on are so there too, with all their
    /// slices; where none is validated on, as large a share of the slices dealt validates.
    ///
    /// # Errors
    /// [`SplitError`] as for [`Split::by_slice`].
    pub fn by_slice_beside(&self, cases: &[SplitCase], seed: u64) -> Result<Self, SplitError> {
        let of_patient: BTreeMap<&str, Option<Part>> =
            self.cases.iter().map(|e| (e.patient.as_str(), e.part)).collect();
        let of_case: BTreeMap<&str, Option<Part>> =
            self.cases.iter().map(|e| (e.case.as_str(), e.part)).collect();
        // Some of those stated for training validate where nothing else may; no fold changes what is stated.
        let parts = self.parts(0)?;
        let fixed = |c: &SplitCase| {
            let stated = of_patient.get(c.patient.as_str()).or_else(|| of_case.get(c.case.as_str()));
            stated.copied().flatten().filter(|part| *part != Part::Test)?;
            parts.part_for(&c.case, &c.patient, 0)
        };
        let (kept, tested): (Vec<SplitCase>, Vec<SplitCase>) =
            cases.iter().cloned().partition(|c| fixed(c).is_some());
        let mut split = Self::by_slice(&tested, self.folds.max(2), seed)?;
        split.validation_share = self.validation_share;
        split.cases.extend(kept.iter().map(|c| entry(c, None, fixed(c))));
        split.check()?;
        Ok(split)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Four patients that may be tested and two that are always trained on, of ten slices each.
    fn cases() -> Vec<SplitCase> {
        let case = |i: usize| SplitCase {
            case: format!("c{i}"),
            patient: format!("p{i}"),
            slices: Some(10),
            part: (i > 3).then_some(Part::Train),
            ..SplitCase::default()
        };
        (0..6).map(case).collect()
    }

    #[test]
    fn a_split_by_slice_beside_one_by_patient_tests_none_that_it_always_trains_on() {
        let cases = cases();
        let by_patient = Split { validation_share: 0.4, ..Split::by_patient(&cases, 2, 1).unwrap() };
        let by_slice = by_patient.by_slice_beside(&cases, 1).unwrap();
        assert!(by_slice.leaking());
        assert_eq!(by_slice.validation_share, 0.4);
        for fold in 0..2 {
            let parts = by_slice.parts(fold).unwrap();
            let tested = |i: usize| {
                (0..10).filter(|&z| parts.part_of(&format!("c{i}"), z) == Some(Part::Test)).count()
            };
            assert_eq!((0..4).map(tested).sum::<usize>(), 20);
            for fixed in ["c4", "c5"] {
                assert!((0..10).all(|z| parts.part_of(fixed, z) == Some(Part::Train)));
            }
        }
        assert_eq!(Split::from_toml(&by_slice.to_toml().unwrap()).unwrap(), by_slice);
    }

    #[test]
    fn what_is_always_trained_on_is_what_the_split_by_patient_says() {
        let mut cases = cases();
        cases[4].part = None;
        let mut by_patient = Split::by_patient(&cases, 5, 1).unwrap();
        // The split file knows better than the data set's table, under the patients' names too.
        by_patient.cases[0] = entry(&cases[0], None, Some(Part::Train));
        cases[0].case = "a later scan".to_owned();
        let parts = by_patient.by_slice_beside(&cases, 1).unwrap().parts(0).unwrap();
        let others = [parts.val(), parts.test()].concat();
        assert!(["a later scan", "c5"].iter().all(|c| !others.contains(c)), "{others:?}");
    }

    #[test]
    fn without_fixed_cases_the_deal_is_that_of_any_split_by_slice() {
        let cases = &cases()[..4];
        let by_patient = Split::by_patient(cases, 3, 7).unwrap();
        assert_eq!(by_patient.by_slice_beside(cases, 7), Split::by_slice(cases, 3, 7));
    }

    #[test]
    fn a_table_of_training_and_test_alone_has_a_split_by_slice_of_its_test() {
        let mut cases = cases();
        cases.iter_mut().take(4).for_each(|c| c.part = Some(Part::Test));
        let by_patient = Split::from_table(&cases, 1).unwrap();
        let parts = by_patient.by_slice_beside(&cases, 1).unwrap().parts(0).unwrap();
        let whole = by_patient.parts(0).unwrap();
        assert!(!parts.test().is_empty() && parts.test().iter().all(|c| whole.test().contains(c)));
        // One of the two validates, as there; no slice of a tested case does beside it.
        assert_eq!((parts.val().len(), parts.val()), (1, whole.val()));
        let fixed = |parts: &crate::split::Parts| ["c4", "c5"].map(|c| parts.part_of(c, 0));
        assert_eq!(fixed(&parts), fixed(&whole));
    }

    #[test]
    fn cases_that_are_always_validated_on_validate_alone() {
        let mut cases = cases();
        cases[4].part = Some(Part::Val);
        let by_patient = Split::by_patient(&cases, 2, 1).unwrap();
        let by_slice = by_patient.by_slice_beside(&cases, 1).unwrap();
        for fold in 0..2 {
            let [slices, patients] = [&by_slice, &by_patient].map(|split| split.parts(fold).unwrap());
            assert_eq!(slices.val(), patients.val());
            assert_eq!(slices.part_of("c5", 3), Some(Part::Train));
        }
    }
}
