//! What an analysis says: the record of `analysis.json`, the rows of `slices.csv`, and how both are made of what was found.

use crate::manifest::{Compute, ModelUsed, Program};
use crate::pipeline::{Findings, Models};
use gg_eval::{Burden, Infected, IntervalFit, Part, PatientScore, patient_score};
use gg_io::{Format, Scan};
use gg_volume::{AxisMap, Intensity, Orientation, Warning};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `analysis.json`. Timings stand elsewhere, so that the same input gives the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Analysis {
    pub(crate) schema_version: u32,
    pub(crate) case_id: String,
    pub(crate) research_use_only: bool,
    pub(crate) input: Input,
    pub(crate) lung: Lung,
    pub(crate) infection: Infection,
    /// HU statistics and texture; null where the grey values are not HU.
    pub(crate) attenuation: Option<gg_eval::Attenuation>,
    pub(crate) severity: gg_eval::Severity,
    pub(crate) classification: Option<Classification>,
    pub(crate) patient: Option<Patient>,
    pub(crate) slices: Slices,
    pub(crate) warnings: Vec<Warning>,
    /// Codes of those warnings that put the numbers in doubt.
    pub(crate) doubts: Vec<String>,
    pub(crate) models: Vec<ModelUsed>,
    /// SHA-256 of the files beside this one, by their names.
    #[serde(default)]
    pub(crate) outputs: BTreeMap<String, String>,
    /// SHA-256 of this file as compact JSON, with this value empty.
    #[serde(default)]
    pub(crate) numbers_sha256: String,
    /// How the infection model's interval was fitted, for the page.
    #[serde(skip)]
    pub(crate) interval_fit: Option<IntervalFit>,
    pub(crate) program: Program,
    pub(crate) compute: Compute,
}

/// What was analysed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) format: Format,
    /// `[z, y, x]`, as stored.
    pub(crate) shape: [usize; 3],
    /// `[z, y, x]`, as the file states it.
    pub(crate) spacing_mm: Option<[f64; 3]>,
    pub(crate) spacing: gg_volume::SpacingTrust,
    pub(crate) orientation: Option<Orientation>,
    /// Whether the orientation was stated by the user instead of the file.
    pub(crate) orientation_stated_by_user: bool,
    pub(crate) intensity: Intensity,
    pub(crate) sha256: String,
}

impl Input {
    pub(super) fn of(scan: &Scan, stated: Option<Orientation>) -> Self {
        let ct = &scan.ct;
        Self {
            format: scan.format,
            shape: ct.grid.shape,
            spacing_mm: ct.grid.spacing_mm,
            spacing: ct.grid.trust.clone(),
            orientation: stated.or(ct.grid.orientation()),
            orientation_stated_by_user: stated.is_some(),
            intensity: ct.intensity.clone(),
            sha256: scan.sha256.clone(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lung {
    #[serde(flatten)]
    pub(crate) whole: gg_eval::Amount,
    pub(crate) right: Option<gg_eval::Amount>,
    pub(crate) left: Option<gg_eval::Amount>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Infection {
    #[serde(flatten)]
    pub(crate) whole: Infected,
    /// Lower and upper end of the interval around `percent_of_lung`; null where the model carries no fit.
    pub(crate) percent_of_lung_interval: Option<[f64; 2]>,
    /// Share of patients like those of the fit whose truth the interval is made to hold; measured, not guaranteed.
    pub(crate) percent_of_lung_interval_level: Option<f64>,
    pub(crate) right: Option<Infected>,
    pub(crate) left: Option<Infected>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sides_reason: Option<String>,
    /// Thirds of each lung's height: right upper, middle, lower, then left.
    pub(crate) zones: Option<Vec<gg_eval::Zone>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zones_reason: Option<String>,
}

/// Does a slice show infection? Never mixed with what the masks say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Classification {
    pub(crate) threshold: f32,
    /// Per canonical slice, feet first; null where the slice was dropped.
    pub(crate) probability_per_slice: Vec<Option<f32>>,
    pub(crate) positive_slices: usize,
    pub(crate) classified_slices: usize,
}

/// Does this CT show infection? From its slices and its masks together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Patient {
    #[serde(flatten)]
    pub(crate) found: PatientScore,
    /// Score from which on the answer is yes: the classifier's threshold for slices.
    pub(crate) threshold: f64,
    pub(crate) shows_infection: bool,
    pub(crate) shows_infection_at_half: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Slices {
    pub(crate) kept: usize,
    pub(crate) dropped: Vec<Dropped>,
    /// Slices in which no lung region was found; they were used whole.
    pub(crate) without_lung_region: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) slice: usize,
    pub(crate) reason: String,
}

/// One row of `slices.csv`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SliceRow {
    /// Counted from 0 at the feet where the orientation is known, else in stored order.
    pub(crate) slice: usize,
    /// Index along the stored axis that the slices run along.
    pub(crate) stored_index: usize,
    pub(crate) kept: bool,
    pub(crate) reason: String,
    pub(crate) lung_region_found: bool,
    pub(crate) lung_voxels: usize,
    pub(crate) infected_voxels: usize,
    pub(crate) percent_of_lung: Option<f64>,
    pub(crate) probability: Option<f32>,
    pub(crate) positive: Option<bool>,
}

pub(super) fn rows(
    found: &Findings,
    models: &Models,
    sides: Option<AxisMap>,
    stored: [usize; 3],
) -> Vec<SliceRow> {
    let map = sides.unwrap_or(AxisMap::IDENTITY);
    let threshold = models.classify.as_ref().map(|m| m.bundle.info.threshold);
    found
        .slices
        .iter()
        .enumerate()
        .map(|(z, s)| SliceRow {
            slice: z,
            stored_index: map.stored_index(stored, [z, 0, 0])[map.axis[0]],
            kept: s.dropped.is_none(),
            reason: s.dropped.clone().unwrap_or_default(),
            lung_region_found: s.roi_found,
            lung_voxels: s.lung_voxels,
            infected_voxels: s.infected_voxels,
            percent_of_lung: (s.lung_voxels > 0)
                .then(|| 100.0 * s.infected_voxels as f64 / s.lung_voxels as f64),
            probability: s.probability,
            positive: s.probability.zip(threshold).map(|(p, t)| p >= t),
        })
        .collect()
}

pub(super) fn classification(found: &Findings, models: &Models) -> Option<Classification> {
    let threshold = models.classify.as_ref()?.bundle.info.threshold;
    let probability_per_slice: Vec<Option<f32>> = found.slices.iter().map(|s| s.probability).collect();
    let known = probability_per_slice.iter().flatten();
    Some(Classification {
        threshold,
        positive_slices: known.clone().filter(|&&p| p >= threshold).count(),
        classified_slices: known.count(),
        probability_per_slice,
    })
}

pub(super) fn slices_part(rows: &[SliceRow]) -> Slices {
    let dropped = rows.iter().filter(|r| !r.kept);
    Slices {
        kept: rows.iter().filter(|r| r.kept).count(),
        dropped: dropped.map(|r| Dropped { slice: r.slice, reason: r.reason.clone() }).collect(),
        without_lung_region: rows.iter().filter(|r| r.kept && !r.lung_region_found).count(),
    }
}

pub(super) fn lung_part(burden: &Burden) -> Lung {
    let side = |pick: fn(&gg_eval::Sides) -> &Part| burden.sides.as_ref().map(|s| pick(s).lung.clone());
    Lung { whole: burden.lung.clone(), right: side(|s| &s.right), left: side(|s| &s.left) }
}

/// The interval around the percentage with its level, where the infection model carries a fit.
pub(super) fn interval(models: &Models, burden: &Burden) -> Option<([f64; 2], f64)> {
    let fit = models.infection.as_ref()?.bundle.info.interval.as_ref()?;
    let percent = burden.infection.percent_of_lung?;
    Some((fit.around(percent), fit.level))
}

pub(super) fn patient(found: &Findings, models: &Models, burden: &Burden) -> Option<Patient> {
    let threshold = f64::from(models.classify.as_ref()?.bundle.info.threshold);
    let probabilities: Vec<f32> = found.slices.iter().filter_map(|s| s.probability).collect();
    if burden.lung.voxels == 0 {
        return None; // nothing that could show infection was seen
    }
    let found = patient_score(&probabilities, burden.infection.percent_of_lung)?;
    Some(Patient {
        found,
        threshold,
        shows_infection: found.score >= threshold,
        shows_infection_at_half: found.score >= 0.5,
    })
}

pub(super) fn infection_part(burden: Burden, interval: Option<([f64; 2], f64)>) -> Infection {
    let (right, left) = match burden.sides {
        Some(sides) => (Some(sides.right.infection), Some(sides.left.infection)),
        None => (None, None),
    };
    Infection {
        whole: burden.infection,
        percent_of_lung_interval: interval.map(|(ends, _)| ends),
        percent_of_lung_interval_level: interval.map(|(_, level)| level),
        right,
        left,
        sides_reason: burden.sides_reason,
        zones: burden.zones,
        zones_reason: burden.zones_reason,
    }
}
