//! Whether masks would fit better if they were stored otherwise, as programs do that lose an axis' direction on the way.
//!
//! Tried on the voxels of the CT's stored grid: mirrored along one axis or two, rows and columns exchanged, turned by a
//! quarter, 0 and 1 exchanged, the masks of lung and infection exchanged. The Dice of each is counted without a copy of
//! a mask: 2 h / (p + t) of h marked voxels of the truth that are hit, p marked in the mask and t in the truth.
//!
//! What a change gains tells, not how badly the mask fits as it is: of the lungs of `medseg` and `covid20` a mirror image
//! has a Dice of up to 0.87 with the truth, of infection of up to 0.86 (along z) and often 0.5. A mask that lies as its CT
//! has nothing to gain: its mirror images are no nearer to the truth than the truth's own.

use super::{Predicted, remarks};
use crate::scoring::CaseScores;
use gg_dataset::{LoadedCase, Structure};
use gg_volume::{LabelVolume, Warning};

/// The Dice that a change must reach: of lungs, which every network finds, and of infection, about which two readers
/// agree with 0.7.
const GOOD_DICE: [f64; 2] = [0.85, 0.5];
/// A gain in Dice that is enough by itself.
const BETTER_BY: f64 = 0.2;
/// The least gain that tells something: two good masks of one CT differ by as much.
const LEAST_GAIN: f64 = 0.05;
/// The share of what is missing to a Dice of 1 that such a gain must take away.
const MENDED: f64 = 0.5;
const INVERTED: &str = "with 0 and 1 exchanged";
const SWAPPED: &str = "with the masks of lung and infection exchanged";

/// A way in which a volume may be stored.
struct Posture {
    words: &'static str,
    /// Whether rows and columns are exchanged.
    transposed: bool,
    /// Whether z, y and x run backwards.
    mirrored: [bool; 3],
}

const fn posture(words: &'static str, transposed: bool, mirrored: [bool; 3]) -> Posture {
    Posture { words, transposed, mirrored }
}

const POSTURES: [Posture; 9] = [
    posture("mirrored along x (columns in reverse order)", false, [false, false, true]),
    posture("mirrored along y (rows in reverse order)", false, [false, true, false]),
    posture("mirrored along z (slices in reverse order)", false, [true, false, false]),
    posture("mirrored along x and y (columns and rows in reverse order)", false, [false, true, true]),
    posture("mirrored along x and z (columns and slices in reverse order)", false, [true, false, true]),
    posture("mirrored along y and z (rows and slices in reverse order)", false, [true, true, false]),
    posture("with rows and columns exchanged", true, [false; 3]),
    posture("with each slice turned by a quarter against the clock", true, [false, false, true]),
    posture("with each slice turned by a quarter with the clock", true, [false, true, false]),
];

/// A mask that would fit better, and what would make it do so.
pub(super) struct Otherwise {
    structure: Structure,
    given: f64,
    /// Changes with the Dice that each would give.
    changes: Vec<(&'static str, f64)>,
}

/// Looks at the lungs of a case, then at its infection; `None` where nothing helps.
pub(super) fn look(case: &CaseScores, loaded: &LoadedCase, predicted: &Predicted) -> Option<Otherwise> {
    Structure::BOTH.into_iter().find_map(|structure| look_at(structure, case, loaded, predicted))
}

fn look_at(
    structure: Structure,
    case: &CaseScores,
    loaded: &LoadedCase,
    predicted: &Predicted,
) -> Option<Otherwise> {
    if case.of(structure)?.dice? > 1.0 - LEAST_GAIN {
        return None;
    }
    let (pred, other, truth) = match structure {
        Structure::Lung => (&predicted.lung, &predicted.infection, &loaded.lung),
        Structure::Infection => (&predicted.infection, &predicted.lung, &loaded.infection),
    };
    let (given, mut changes) = dices(pred.as_ref()?, other.as_ref(), truth.as_ref()?)?;
    changes.retain(|&(_, changed)| helps(structure, given, changed));
    (!changes.is_empty()).then_some(Otherwise { structure, given, changes })
}

/// Whether a Dice after a change says that the mask is stored so.
fn helps(structure: Structure, given: f64, changed: f64) -> bool {
    let gain = changed - given;
    let mends = gain >= LEAST_GAIN && gain >= MENDED * (1.0 - given);
    changed >= GOOD_DICE[structure as usize] && (gain >= BETTER_BY || mends)
}

/// Dice of a mask as it is, and after each change; `None` where the truth marks nothing.
fn dices(
    pred: &LabelVolume,
    other: Option<&LabelVolume>,
    truth: &LabelVolume,
) -> Option<(f64, Vec<(&'static str, f64)>)> {
    let [nz, ny, nx] = truth.shape();
    let tried: Vec<&Posture> = POSTURES.iter().filter(|p| !p.transposed || ny == nx).collect();
    let mut hits = vec![0u64; tried.len()];
    let (mut marked, mut hit, mut hit_by_other) = (0u64, 0u64, 0u64);
    for (i, _) in truth.data().iter().enumerate().filter(|(_, v)| **v != 0) {
        let index = [i / nx / ny, i / nx % ny, i % nx];
        marked += 1;
        hit += u64::from(pred.data()[i] != 0);
        hit_by_other += other.map_or(0, |other| u64::from(other.data()[i] != 0));
        for (posture, hits) in tried.iter().zip(&mut hits) {
            let [z, y, x] = posture.source([nz, ny, nx], index);
            *hits += u64::from(pred.at(z, y, x) != 0);
        }
    }
    let found = pred.count_foreground() as u64;
    if marked == 0 {
        return None;
    }
    let dice = |hits: u64, found: u64| 2.0 * hits as f64 / (found + marked) as f64;
    let mut changes: Vec<(&'static str, f64)> =
        tried.iter().zip(hits).map(|(posture, hits)| (posture.words, dice(hits, found))).collect();
    changes.push((INVERTED, dice(marked - hit, pred.len() as u64 - found)));
    changes.extend(other.map(|other| (SWAPPED, dice(hit_by_other, other.count_foreground() as u64))));
    Some((dice(hit, found), changes))
}

impl Posture {
    /// Where the voxel at `[z, y, x]` of the changed volume stands in the one that is stored.
    fn source(&self, shape: [usize; 3], [z, y, x]: [usize; 3]) -> [usize; 3] {
        let index = if self.transposed { [z, x, y] } else { [z, y, x] };
        std::array::from_fn(|a| if self.mirrored[a] { shape[a] - 1 - index[a] } else { index[a] })
    }
}

/// One remark on all cases that were looked at: the change that helps most of them, then what helps the rest.
pub(super) fn remark(found: &[(&str, &Otherwise)], of: usize) -> Option<Warning> {
    let mut rest: Vec<&Otherwise> = found.iter().map(|(_, otherwise)| *otherwise).collect();
    let mut parts = Vec::new();
    while let Some(best) = most_helpful(&rest) {
        let n = best.cases as f64;
        parts.push(format!(
            "{}, the {} Dice of {} would be {:.3} in the mean and not {:.3}",
            best.words,
            best.structure,
            best.cases,
            best.changed / n,
            best.given / n
        ));
        rest.retain(|o| o.structure.name() != best.structure || o.changes.iter().all(|c| c.0 != best.words));
    }
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| {
        Warning::new(
            "masks_lie_otherwise",
            format!(
                "the masks of {} of {of} cases ({}) seem to be stored otherwise than their CT: {}; nothing was changed, all \
                 scores are of the masks as they are",
                names.len(),
                remarks::some(&names),
                parts.join("; ")
            ),
        )
    })
}

/// The cases that one change helps, with sums of their Dice.
struct Helped {
    structure: &'static str,
    words: &'static str,
    cases: usize,
    given: f64,
    changed: f64,
}

/// The change that helps most cases; of several the one that helps them most, then the one that is tried first.
fn most_helpful(found: &[&Otherwise]) -> Option<Helped> {
    let mut all: Vec<Helped> = Vec::new();
    for otherwise in found {
        let structure = otherwise.structure.name();
        for &(words, dice) in &otherwise.changes {
            let place = all.iter().position(|h| h.structure == structure && h.words == words);
            let place = place.unwrap_or_else(|| {
                all.push(Helped { structure, words, cases: 0, given: 0.0, changed: 0.0 });
                all.len() - 1
            });
            let helped = &mut all[place];
            helped.cases += 1;
            helped.given += otherwise.given;
            helped.changed += dice;
        }
    }
    let better = |a: &Helped, b: &Helped| (b.cases, b.changed) > (a.cases, a.changed);
    all.into_iter().reduce(|a, b| if better(&a, &b) { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::Volume;

    /// A corner of 2 x 3 x 4 voxels of a volume of 4 x 8 x 8, like no mirror image of itself.
    fn truth() -> LabelVolume {
        at(|z, y, x| z < 2 && y < 3 && x < 4)
    }

    fn at(marked: impl Fn(usize, usize, usize) -> bool) -> LabelVolume {
        let index = |i: usize| (i / 64, i / 8 % 8, i % 8);
        let value = |i| {
            let (z, y, x) = index(i);
            u8::from(marked(z, y, x))
        };
        Volume::from_vec([4, 8, 8], (0..256).map(value).collect()).unwrap()
    }

    /// The only change that makes a mask equal to the truth.
    #[track_caller]
    fn check(pred: &LabelVolume, other: Option<&LabelVolume>, words: &str) {
        let (given, changes) = dices(pred, other, &truth()).unwrap();
        let right: Vec<&str> = changes.iter().filter(|c| c.1 == 1.0).map(|c| c.0).collect();
        assert!(given < 1.0 && right.len() == 1 && right[0].starts_with(words), "{given} {changes:?}");
    }

    #[test]
    fn every_change_is_found_by_the_mask_that_it_was_done_to() {
        check(&at(|z, y, x| z < 2 && y < 3 && x >= 4), None, "mirrored along x (");
        check(&at(|z, y, x| z < 2 && y >= 5 && x < 4), None, "mirrored along y (");
        check(&at(|z, y, x| z >= 2 && y < 3 && x < 4), None, "mirrored along z (");
        check(&at(|z, y, x| z < 2 && y >= 5 && x >= 4), None, "mirrored along x and y (");
        check(&at(|z, y, x| z >= 2 && y < 3 && x >= 4), None, "mirrored along x and z (");
        check(&at(|z, y, x| z >= 2 && y >= 5 && x < 4), None, "mirrored along y and z (");
        check(&at(|z, y, x| z < 2 && y < 4 && x < 3), None, "with rows and columns exchanged");
        // in the upper right corner, standing: against the clock it comes to lie in the upper left one
        check(
            &at(|z, y, x| z < 2 && y < 4 && x >= 5),
            None,
            "with each slice turned by a quarter against the clock",
        );
        check(
            &at(|z, y, x| z < 2 && y >= 4 && x < 3),
            None,
            "with each slice turned by a quarter with the clock",
        );
        check(&at(|z, y, x| !(z < 2 && y < 3 && x < 4)), None, INVERTED);
        check(&at(|z, _, _| z == 3), Some(&truth()), SWAPPED);
    }

    #[test]
    fn a_change_tells_by_what_it_gains_however_well_the_mask_fits() {
        let check = |structure, given, changed, told| {
            assert_eq!(helps(structure, given, changed), told, "{structure:?} {given} {changed}");
        };
        // Infection that is nearly its own mirror image, and lungs, which all are.
        check(Structure::Infection, 0.53, 1.0, true);
        check(Structure::Infection, 0.86, 0.95, true);
        check(Structure::Lung, 0.87, 0.96, true);
        // What a network finds, mirrored.
        check(Structure::Infection, 0.3, 0.55, true);
        check(Structure::Infection, 0.45, 0.62, false);
        // A mask that fits, a bad one that nothing helps, and a change that makes no good one.
        check(Structure::Lung, 0.94, 0.98, false);
        check(Structure::Lung, 0.87, 0.9, false);
        check(Structure::Lung, 0.3, 0.7, false);
        check(Structure::Infection, 0.1, 0.45, false);
        check(Structure::Infection, 0.7, 0.5, false);
    }

    #[test]
    fn rows_and_columns_of_other_lengths_are_not_exchanged() {
        let oblong = Volume::from_vec([1, 2, 3], vec![1, 1, 0, 0, 0, 0]).unwrap();
        let (given, changes) = dices(&oblong, None, &oblong).unwrap();
        assert_eq!(given, 1.0);
        assert_eq!(changes.len(), 7, "six mirror images and 0 and 1 exchanged: {changes:?}");
    }

    #[test]
    fn a_change_that_helps_all_is_told_before_one_that_helps_some_more() {
        let [x, y] = [POSTURES[0].words, POSTURES[1].words];
        let of = |structure, given, changes: &[(&'static str, f64)]| Otherwise {
            structure,
            given,
            changes: changes.to_vec(),
        };
        let first = of(Structure::Lung, 0.25, &[(x, 0.9), (y, 0.875)]);
        let second = of(Structure::Lung, 0.5, &[(y, 0.75)]);
        let third = of(Structure::Infection, 0.0, &[(y, 1.0)]);
        let message = remark(&[("a", &first), ("b", &second), ("c", &third)], 4).unwrap().message;
        let right = "the masks of 3 of 4 cases (a, b, c) seem to be stored otherwise than their CT: mirrored along y (rows in \
            reverse order), the lung Dice of 2 would be 0.812 in the mean and not 0.375; mirrored along y (rows in reverse order), \
            the infection Dice of 1 would be 1.000 in the mean and not 0.000; nothing was changed, all scores are of the masks as \
            they are";
        assert_eq!(message, right);
        assert_eq!(remark(&[], 4), None);
    }
}
