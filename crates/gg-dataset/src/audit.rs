//! Leakage: slices that stand, in another dress, in two places of a split.
//!
//! Slices are compared by the correlation of their [`Fingerprint`]s in all eight postures (mirrors and quarter turns).
//! Pairs of cases are independent of each other, so the order of the cases changes nothing; nor does the order of the two
//! in a pair.
//!
//! The perceptual hash comes first, with a limit that loses nothing: measured on 600 real slices of 4 sets, copies of them
//! (other grey values, blur, noise, small shifts and turns, JPEG) that correlate by 0.8 or more differ in at most 67 of the
//! 256 bits, but fine textures that do in up to 151, and slices of different patients in 114 on average, so that it spares
//! little of the work. A limit of 130 bits would spare 18 % and lose 2 % of such textures, one of 90 bits 92 % and 70 %.

use crate::split::{Part, Split};
use gg_imaging::Fingerprint;
use serde::Serialize;
use std::collections::BTreeMap;

/// Slices whose hashes differ in more bits are not compared further, where so high a correlation is asked for.
const MOST_BITS: u32 = 152;
const ASKED: f64 = 0.8;

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
    /// Slices of the smaller case that are found again in the other, each counted once; of two cases with as many slices
    /// each, those of the one with fewer found again.
    pub slices: usize,
    /// Share of that case's slices that this is, 0 to 1.
    pub share: f64,
    /// Of them, slices with a likeness in another place, which makes them leak.
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
/// only likenesses across places count: that neighbouring slices of one scan are alike is no news. Swapping the two
/// changes no number.
pub fn near_duplicates(cases: &[AuditedCase], first: usize, second: usize, least: f64) -> Option<Duplicate> {
    let (a, b) = (&cases[first], &cases[second]);
    let itself = first == second;
    let most_bits = if least >= ASKED { MOST_BITS } else { u32::MAX };
    if itself && a.places.windows(2).all(|p| p[0] == p[1]) {
        return None;
    }
    // Of each slice: whether it has a likeness, and whether one of those stands in another place.
    let (mut of_a, mut of_b) = (vec![None; a.prints.len()], vec![None; b.prints.len()]);
    let mut best: Option<(bool, Match)> = None;
    for (i, print) in a.prints.iter().enumerate() {
        for posture in 0..if itself { 1 } else { 8 } {
            let seen = print.posture(posture);
            for (j, other) in b.prints.iter().enumerate().filter(|&(j, _)| !(itself && j == i)) {
                let apart = matches!((a.places[i], b.places[j]), (Some(p), Some(q)) if p != q);
                if (itself && !apart) || seen.distance(other) > most_bits {
                    continue;
                }
                let correlation = seen.correlation(other);
                if correlation >= least {
                    of_a[i] = of_a[i].max(Some(apart));
                    of_b[j] = of_b[j].max(Some(apart));
                    best = surer(best, (apart, Match { first: i, second: j, correlation, posture }));
                }
            }
        }
    }
    let (_, best) = best?;
    let [all, slices, across] = counted(&of_a).min(counted(&of_b));
    Some(Duplicate { first, second, slices, share: slices as f64 / all as f64, across, best })
}

/// A case's slices, those with a likeness, and those with one in another place.
fn counted(slices: &[Option<bool>]) -> [usize; 3] {
    let across = slices.iter().filter(|apart| **apart == Some(true)).count();
    [slices.len(), slices.iter().flatten().count(), across]
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

    /// The same of slices that are at hand.
    fn of_prints(name: &str, prints: Vec<Fingerprint>, place: Place) -> AuditedCase {
        let places = vec![Some(place); prints.len()];
        AuditedCase { case_id: name.to_owned(), patient: name.to_owned(), set: 0, prints, places }
    }

    /// What is said of two cases, whichever of them comes first.
    fn both_orders(a: &AuditedCase, b: &AuditedCase) -> (usize, usize, f64) {
        let [there, back] = [[a, b], [b, a]]
            .map(|[first, second]| near_duplicates(&[first.clone(), second.clone()], 0, 1, 0.8).unwrap());
        assert_eq!((there.slices, there.across, there.share), (back.slices, back.across, back.share));
        assert_eq!(there.best.correlation, back.best.correlation);
        (there.slices, there.across, there.share)
    }

    #[test]
    fn slices_of_the_smaller_case_are_counted_once_whichever_comes_first() {
        // Thin slices around one place are alike; the other scan shares that place alone.
        let of = |scan: usize, z: usize| fingerprint(&picture(scan, z), 96, 96);
        let faded = |k: usize| {
            let pixels = picture(1, 0).iter().map(|&v| v / 2 + 5 * k as u8).collect::<Vec<u8>>();
            fingerprint(&pixels, 96, 96)
        };
        let thin: Vec<Fingerprint> = (0..10).map(faded).chain((1..11).map(|z| of(1, z))).collect();
        let thick: Vec<Fingerprint> = std::iter::once(of(1, 0)).chain((1..5).map(|z| of(2, z))).collect();
        let (thin, thick) =
            (of_prints("thin", thin, Place::Fold(0)), of_prints("thick", thick, Place::Fold(1)));
        assert_eq!(both_orders(&thin, &thick), (1, 1, 0.2));
    }

    #[test]
    fn of_two_cases_of_one_size_the_one_with_fewer_found_again_counts() {
        let of = |scan: usize, z: usize| fingerprint(&picture(scan, z), 96, 96);
        let one = of_prints("one", vec![of(1, 0), of(1, 0), of(1, 0), of(1, 1)], Place::Fold(0));
        let other = of_prints("other", vec![of(1, 0), of(2, 1), of(2, 2), of(2, 3)], Place::Fold(0));
        assert_eq!(both_orders(&one, &other), (1, 0, 0.25));
    }

    #[test]
    fn fine_textures_are_found_though_their_hashes_differ() {
        // A chequered pattern that both share has no say in the means behind the hash; waves of their own decide it.
        let texture = |phase: f32| {
            let pixel = |i: usize| {
                let (y, x) = (i / 64, i % 64);
                let wave = (x as f32 * 0.7 + phase).sin() * (y as f32 * 0.5 + 2.0 * phase).cos();
                let chequer = if (x + y).is_multiple_of(2) { 40.0 } else { -40.0 };
                (127.0 + chequer + 25.0 * wave) as u8
            };
            fingerprint(&(0..64 * 64).map(pixel).collect::<Vec<u8>>(), 64, 64)
        };
        let (a, b) = (texture(0.0), texture(1.5));
        assert!(a.correlation(&b) >= 0.8 && a.distance(&b) > 90, "{} {}", a.correlation(&b), a.distance(&b));
        let cases = [of_prints("a", vec![a], Place::Fold(0)), of_prints("b", vec![b], Place::Fold(1))];
        assert_eq!(near_duplicates(&cases, 0, 1, 0.8).map(|d| (d.slices, d.across)), Some((1, 1)));
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
