//! Voxel counts of two masks and the ratios made from them.
//!
//! Foreground is every label other than 0. Dice = 2 TP / (2 TP + FP + FN), IoU = TP / (TP + FP + FN),
//! sensitivity = TP / (TP + FN), specificity = TN / (TN + FP), precision = TP / (TP + FP).
//! Both masks empty: no Dice, no IoU (the case is counted instead). One empty: Dice and IoU are 0, distances `None`.
//! Golden: the distances, see `surface.rs`; the counts are held by their definition.

use crate::surface::surface_distances;
use gg_volume::LabelVolume;
use serde::{Deserialize, Serialize};

/// How often prediction and truth agree, in voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SegCounts {
    /// Foreground in both.
    pub tp: u64,
    /// Foreground in the prediction alone.
    pub fp: u64,
    /// Foreground in the truth alone.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Background in both.
    pub tn: u64,
}

/// Which of the two masks hold any foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskState {
    /// Neither does: nothing to find, nothing found.
    BothEmpty,
    /// Only one does: a miss or a false alarm.
    OneEmpty,
    /// Both do.
    BothPresent,
    /// There is no prediction, where others of the same program or model exist.
    Missing,
}

/// Counts the agreement of two masks.
///
/// # Shape
/// Both `[z, y, x]` of one shape; the caller has checked it. Voxels beyond the shorter one are not counted.
pub(crate) fn seg_counts(pred: &LabelVolume, truth: &LabelVolume) -> SegCounts {
    debug_assert_eq!(pred.shape(), truth.shape());
    let mut table = [0u64; 4];
    for (&p, &t) in pred.data().iter().zip(truth.data()) {
        table[usize::from(p != 0) * 2 + usize::from(t != 0)] += 1;
    }
    SegCounts { tn: table[0], fn_: table[1], fp: table[2], tp: table[3] }
}

impl SegCounts {
    /// Counts of both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            tp: self.tp + other.tp,
            fp: self.fp + other.fp,
            fn_: self.fn_ + other.fn_,
            tn: self.tn + other.tn,
        }
    }

    /// Overlap of the two masks, 0 to 1; `None` where both are empty.
    pub fn dice(&self) -> Option<f64> {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    /// Intersection over union; `None` where both are empty.
    pub fn iou(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fp + self.fn_)
    }

    /// Share of the truth that was found (recall); `None` where the truth is empty.
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fn_)
    }

    /// Share of the background that was left alone; `None` where the truth fills the volume.
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.tn, self.tn + self.fp)
    }

    /// Share of the prediction that is right; `None` where nothing is predicted.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fp)
    }

    /// Which masks are empty.
    pub fn state(&self) -> MaskState {
        match (self.tp + self.fp > 0, self.tp + self.fn_ > 0) {
            (false, false) => MaskState::BothEmpty,
            (true, true) => MaskState::BothPresent,
            _ => MaskState::OneEmpty,
        }
    }
}

pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// All scores of one predicted mask against its truth.
///
/// # Units
/// With trusted spacing `hd95_mm` in mm and NSD at 2 mm; without it `hd95_vox` in voxels and `nsd_vox` at 2 voxels.
/// The other pair is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SegScores {
    /// Which masks are empty.
    pub state: MaskState,
    /// See [`SegCounts::dice`].
    pub dice: Option<f64>,
    /// See [`SegCounts::iou`].
    pub iou: Option<f64>,
    /// See [`SegCounts::sensitivity`].
    pub sensitivity: Option<f64>,
    /// See [`SegCounts::specificity`].
    pub specificity: Option<f64>,
    /// See [`SegCounts::precision`].
    pub precision: Option<f64>,
    /// 95th percentile of the distance between the surfaces, the larger of the two directions.
    pub hd95_mm: Option<f64>,
    /// The same without trusted spacing.
    pub hd95_vox: Option<f64>,
    /// Share of the two surfaces that lies within 2 mm of the other (normalised surface Dice).
    pub nsd_2mm: Option<f64>,
    /// The same within 2 voxels, without trusted spacing.
    pub nsd_vox: Option<f64>,
    /// The counts behind the ratios.
    pub counts: SegCounts,
}

/// Tolerance of the normalised surface Dice, in mm or, without spacing, in voxels.
const NSD_TOLERANCE: f64 = 2.0;
const HD_PERCENT: f64 = 95.0;

/// Scores one predicted mask against its truth, voxel by voxel and surface by surface.
///
/// # Units
/// `spacing` in mm `[z, y, x]` where it may be trusted.
pub fn seg_scores(pred: &LabelVolume, truth: &LabelVolume, spacing: Option<[f64; 3]>) -> SegScores {
    let counts = seg_counts(pred, truth);
    let state = counts.state();
    let surface = (state == MaskState::BothPresent)
        .then(|| surface_distances(pred, truth, spacing.unwrap_or([1.0; 3])))
        .flatten();
    let hd95 = surface.as_ref().map(|s| s.hausdorff(HD_PERCENT));
    let nsd = surface.as_ref().map(|s| s.surface_dice(NSD_TOLERANCE));
    let known = spacing.is_some();
    SegScores {
        state,
        dice: counts.dice(),
        iou: counts.iou(),
        sensitivity: counts.sensitivity(),
        specificity: counts.specificity(),
        precision: counts.precision(),
        hd95_mm: hd95.filter(|_| known),
        hd95_vox: hd95.filter(|_| !known),
        nsd_2mm: nsd.filter(|_| known),
        nsd_vox: nsd.filter(|_| !known),
        counts,
    }
}

/// Scores of a case without a prediction, where other cases have one: Dice and IoU 0, also where there is nothing to
/// find, so that a program gains nothing by failing; no distances. The counts are those of an empty mask: all is missed.
/// That nothing is found falsely says nothing either, and such a case stays out of means of what is.
pub fn missing_scores(truth: &LabelVolume) -> SegScores {
    let inside = truth.count_foreground() as u64;
    let counts = SegCounts { fn_: inside, tn: truth.len() as u64 - inside, ..SegCounts::default() };
    SegScores {
        state: MaskState::Missing,
        dice: Some(0.0),
        iou: Some(0.0),
        sensitivity: counts.sensitivity(),
        specificity: None,
        precision: None,
        hd95_mm: None,
        hd95_vox: None,
        nsd_2mm: None,
        nsd_vox: None,
        counts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::Volume;

    fn line(values: &[u8]) -> LabelVolume {
        Volume::from_vec([1, 1, values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn ratios_follow_from_the_four_counts() {
        let counts = seg_counts(&line(&[1, 1, 1, 0, 0, 0]), &line(&[2, 1, 0, 1, 0, 0]));
        assert_eq!(counts, SegCounts { tp: 2, fp: 1, fn_: 1, tn: 2 });
        assert_eq!(counts.dice(), Some(4.0 / 6.0));
        assert_eq!(counts.iou(), Some(0.5));
        assert_eq!(counts.sensitivity(), Some(2.0 / 3.0));
        assert_eq!(counts.specificity(), Some(2.0 / 3.0));
        assert_eq!(counts.precision(), Some(2.0 / 3.0));
    }

    #[test]
    fn two_empty_masks_have_no_dice_and_one_empty_mask_has_dice_zero() {
        let none = seg_scores(&line(&[0, 0]), &line(&[0, 0]), None);
        assert_eq!((none.state, none.dice, none.specificity), (MaskState::BothEmpty, None, Some(1.0)));
        for (pred, truth) in [([0, 0], [1, 0]), ([1, 0], [0, 0])] {
            let one = seg_scores(&line(&pred), &line(&truth), Some([1.0; 3]));
            assert_eq!((one.state, one.dice, one.iou), (MaskState::OneEmpty, Some(0.0), Some(0.0)));
            assert_eq!((one.hd95_mm, one.nsd_2mm, one.hd95_vox), (None, None, None));
        }
    }

    #[test]
    fn a_missing_prediction_has_dice_zero_even_where_there_is_nothing_to_find() {
        for (truth, sensitivity) in [([1, 0], Some(0.0)), ([0, 0], None)] {
            let s = missing_scores(&line(&truth));
            assert_eq!((s.state, s.dice, s.iou), (MaskState::Missing, Some(0.0), Some(0.0)));
            assert_eq!((s.sensitivity, s.specificity, s.precision), (sensitivity, None, None));
            assert_eq!((s.hd95_mm, s.hd95_vox, s.nsd_2mm, s.nsd_vox), (None, None, None, None));
        }
    }

    #[test]
    fn without_trusted_spacing_distances_are_in_voxels() {
        let a = Volume::filled([3, 4, 4], 1u8);
        let mm = seg_scores(&a, &a, Some([2.0, 1.0, 1.0]));
        assert_eq!((mm.hd95_mm, mm.nsd_2mm, mm.hd95_vox, mm.nsd_vox), (Some(0.0), Some(1.0), None, None));
        let vox = seg_scores(&a, &a, None);
        assert_eq!((vox.hd95_mm, vox.nsd_2mm, vox.hd95_vox, vox.nsd_vox), (None, None, Some(0.0), Some(1.0)));
    }

    #[test]
    fn scores_survive_json() {
        let scores = seg_scores(&line(&[1, 0, 1]), &line(&[1, 1, 0]), None);
        let text = serde_json::to_string(&scores).unwrap();
        assert!(text.contains("\"fn\":1") && text.contains("\"hd95_mm\":null"), "{text}");
        assert_eq!(serde_json::from_str::<SegScores>(&text).unwrap(), scores);
    }
}
