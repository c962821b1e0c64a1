//! Leakage: slices that stand, in another dress, in two places of a split.
//!
//! Slices are compared by [`Fingerprint`]s in all eight postures (mirrors and quarter turns): hashes find candidates,
//! correlations decide. Pairs of cases are independent of each other, so the order of the cases changes nothing.

use crate::split::{Part, Split};
use gg_imaging::Fingerprint;
use serde::Serialize;
use std::collections::BTreeMap;

/// Hashes that differ in more bits cannot belong to slices that correlate by the default limit: at a correlation of 0.8
/// about 52 of 256 signs differ; the rest is room for the coarser picture behind the hash.
const MOST_BITS: u32 = 90;

/// Where a slice stands in a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Tested when this fold is.
    Fold(usize),
    /// Always in this part.
    Part(Part),
}

/// A case with the fingerprints of its canonical slices.
#[derive(Debug, Clone)]
pub struct AuditedCase {
    /// Name of the case.
    pub case_id: String,
    /// Name of its patient.
    pub patient: String,
    /// Number of the data set it stands in.
    pub set: usize,
    /// Fingerprint of each canonical slice.
    pub prints: Vec<Fingerprint>,
    /// Place of each canonical slice; `None` where the split does not know it.
    pub places: Vec<Option<Place>>,
}

/// Two slices that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Match {
    /// Canonical slice of the first case.
    pub first: usize,
    /// Canonical slice of the second case.
    pub second: usize,
    /// Correlation of the normalised pictures.
    pub correlation: f64,
    /// Posture in which the first had to be seen; 0 as it is.
    pub posture: u8,
}

/// Two cases (or one with itself) that share slices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duplicate {
    /// Index of the first case.
    pub first: usize,
    /// Index of the second case; the first again for slices of one case in several places.
    pub second: usize,
    /// Slices of the first case that are found again in the second.
    pub slices: usize,
    /// Share of the smaller case's slices that this is, 0 to 1.
    pub share: f64,
    /// Of them, slices whose nearest likeness in another place makes them leak.
    pub across: usize,
    /// The surest match; of those across places where there are any.
    pub best: Match,
}

/// The place of each of a case's `n` canonical slices.
pub fn places(split: &Split, case_id: &str, patient: &str, n: usize) -> Vec<Option<Place>> {
    let own = split.cases.iter().find(|e| e.case == case_id);
    let Some(entry) = own.or_else(|| split.cases.iter().find(|e| e.patient == patient)) else {
        return vec![None; n];
    };
    if let Some(folds) = &entry.slice_folds {
        return (0..n).map(|z| folds.get(z).map(|&f| Place::Fold(f))).collect();
    }
    let whole = entry.part.map(Place::Part).or(entry.fold.map(Place::Fold));
    vec![whole; n]
}

/// Slices of a pair of cases that correlate by at least `least`; `None` where there are none. With `first == second`
/// only likenesses across places count: that neighbouring slices of one scan are alike is no news.
pub fn near_duplicates(cases: &[AuditedCase], first: usize, second: usize, least: f64) -> Option<Duplicate> {
    let (a, b) = (&cases[first], &cases[second]);
    let itself = first == second;
    if itself && a.places.windows(2).all(|p| p[0] == p[1]) {
        return None;
    }
    let (mut slices, mut across) = (0, 0);
    let mut best: Option<(bool, Match)> = None;
    for (i, print) in a.prints.iter().enumerate() {
        let mut found: Option<(bool, Match)> = None;
        for posture in 0..if itself { 1 } else { 8 } {
            let seen = print.posture(posture);
            for (j, other) in b.prints.iter().enumerate().filter(|&(j, _)| !(itself && j == i)) {
                let apart = matches!((a.places[i], b.places[j]), (Some(p), Some(q)) if p != q);
                if (itself && !apart) || seen.distance(other) > MOST_BITS {
                    continue;
                }
                let correlation = seen.correlation(other);
                if correlation >= least {
                    let this = (apart, Match { first: i, second: j, correlation, posture });
                    found = surer(found, this);
                }
            }
        }
        if let Some(found) = found {
            slices += 1;
            across += usize::from(found.0);
            best = surer(best, found);
        }
    }
    let (_, best) = best?;
    let smaller = a.prints.len().min(b.prints.len()).max(1);
    let share = (slices as f64 / smaller as f64).min(1.0);
    Some(Duplicate { first, second, slices, share, across, best })
}

/// Across places before within one, then the higher correlation, then the first.
fn surer(old: Option<(bool, Match)>, new: (bool, Match)) -> Option<(bool, Match)> {
    match old {
        Some(old) if (old.0, old.1.correlation) >= (new.0, new.1.correlation) => Some(old),
        _ => Some(new),
    }
}

/// Patients of whom slices stand in more than one place, with the number of their places.
pub fn torn_patients(cases: &[AuditedCase]) -> BTreeMap<&str, usize> {
    let mut seen: BTreeMap<&str, std::collections::BTreeSet<Place>> = BTreeMap::new();
    for case in cases {
        seen.entry(&case.patient).or_default().extend(case.places.iter().flatten());
    }
    seen.into_iter().map(|(p, places)| (p, places.len())).filter(|&(_, n)| n > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::SplitCase;
    use gg_imaging::fingerprint;

    /// A picture that depends on scan and slice; neighbouring slices differ clearly.
    fn picture(scan: usize, z: usize) -> Vec<u8> {
        let mut pixels = vec![0u8; 96 * 96];
        for (i, p) in pixels.iter_mut().enumerate() {
            let (y, x) = ((i / 96) as f32 / 96.0, (i % 96) as f32 / 96.0);
            let mut value = 0.0;
            for k in 1..8 {
                let phase = (scan * 31 + z * 5 + k * k) as f32;
                value += ((phase * 1.3).sin() * 50.0 * x + (phase * 0.7).cos() * 50.0 * y + phase).sin();
            }
            *p = (127.0 + 18.0 * value).clamp(0.0, 255.0) as u8;
        }
        pixels
    }

    fn case(name: &str, scan: usize, place: Place, change: fn(Vec<u8>) -> Vec<u8>) -> AuditedCase {
        let prints = (0..6).map(|z| fingerprint(&change(picture(scan, z)), 96, 96)).collect();
        AuditedCase {
            case_id: name.to_owned(),
            patient: name.to_owned(),
            set: 0,
            prints,
            places: vec![Some(place); 6],
        }
    }

    fn mirrored(pixels: Vec<u8>) -> Vec<u8> {
        pixels.chunks(96).rev().flat_map(|row| row.iter().map(|&v| v / 2 + 60)).collect()
    }

    #[test]
    fn one_scan_under_two_names_is_found_though_mirrored_and_in_another_window() {
        let cases = [
            case("a", 1, Place::Fold(0), |p| p),
            case("b", 1, Place::Fold(1), mirrored),
            case("c", 2, Place::Fold(1), |p| p),
        ];
        let found = near_duplicates(&cases, 0, 1, 0.75).unwrap();
        assert_eq!((found.slices, found.across, found.share), (6, 6, 1.0));
        assert_eq!((found.best.first, found.best.posture), (found.best.second, 2));
        assert_eq!(near_duplicates(&cases, 0, 2, 0.75), None);
        assert_eq!(near_duplicates(&cases, 1, 2, 0.75), None);
    }

    #[test]
    fn copies_in_one_place_do_not_leak() {
        let cases = [case("a", 1, Place::Fold(0), |p| p), case("b", 1, Place::Fold(0), |p| p)];
        let found = near_duplicates(&cases, 0, 1, 0.75).unwrap();
        assert_eq!((found.slices, found.across), (6, 0));
    }

    #[test]
    fn slices_of_one_case_leak_only_where_the_split_tears_it() {
        let mut cases = [case("a", 1, Place::Fold(0), |p| p)];
        assert_eq!(near_duplicates(&cases, 0, 0, 0.75), None);
        cases[0].prints[3] = cases[0].prints[2].clone();
        cases[0].places[3] = Some(Place::Fold(1));
        let found = near_duplicates(&cases, 0, 0, 0.75).unwrap();
        assert_eq!((found.slices, found.across), (2, 2));
        assert_eq!(torn_patients(&cases), BTreeMap::from([("a", 2)]));
    }

    #[test]
    fn a_slice_stands_where_the_split_says() {
        let cases: Vec<SplitCase> = (0..4)
            .map(|i| SplitCase {
                case: format!("c{i}"),
                patient: format!("p{}", i / 2),
                slices: Some(3),
                ..SplitCase::default()
            })
            .collect();
        let whole = Split::by_patient(&cases, 2, 1).unwrap();
        let of = |name: &str, patient: &str| places(&whole, name, patient, 3);
        assert_eq!(of("c0", "p0"), of("c1", "p0"));
        assert_ne!(of("c0", "p0"), of("c2", "p1"));
        assert_eq!(of("another scan", "p1"), of("c2", "p1"));
        assert_eq!(of("nobody", "nobody"), vec![None; 3]);
        let torn = Split::by_slice(&cases, 2, 1).unwrap();
        assert_eq!(places(&torn, "c0", "p0", 4)[3], None);
        assert!(places(&torn, "c0", "p0", 3).iter().all(Option::is_some));
    }
}
