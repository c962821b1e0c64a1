//! `scores.csv`: one row per case and structure, then the mean of each patient's cases.

use crate::scoring::{CaseScores, Measured, Scores};
use gg_dataset::Structure;
use gg_eval::{FreeSlices, MaskState, SegScores, mean_known};
use serde::Serialize;
use std::collections::BTreeMap;

/// One row: a case, or the mean of a patient's cases.
#[derive(Serialize)]
struct Row<'a> {
    level: &'a str,
    case_id: &'a str,
    patient: &'a str,
    structure: &'a str,
    cases: usize,
    /// Which of the masks hold anything, or that there is no prediction; of a single case.
    state: Option<MaskState>,
    dice: Option<f64>,
    iou: Option<f64>,
    sensitivity: Option<f64>,
    specificity: Option<f64>,
    precision: Option<f64>,
    hd95_mm: Option<f64>,
    hd95_vox: Option<f64>,
    nsd_2mm: Option<f64>,
    nsd_vox: Option<f64>,
    /// Infected percentage of the lung; in rows of infection.
    truth_percent_of_lung: Option<f64>,
    pred_percent_of_lung: Option<f64>,
    /// Ends of the interval around the predicted percentage.
    percent_of_lung_low: Option<f64>,
    percent_of_lung_high: Option<f64>,
    /// Falsely found voxels on slices without infection, inside the lung or not, as a percentage of the lung's voxels on
    /// them; in rows of infection.
    false_percent_on_free_slices: Option<f64>,
    false_ml_on_free_slices: Option<f64>,
    /// Millilitres of the row's structure.
    truth_ml: Option<f64>,
    pred_ml: Option<f64>,
    /// Said in every row where patients stand in training and in test; else empty.
    leak: &'a str,
}

/// One structure of one case.
struct Found {
    scores: SegScores,
    percent: Option<Measured>,
    interval: Option<[f64; 2]>,
    free: Option<FreeSlices>,
    ml: Option<Measured>,
}

/// The table.
pub(crate) fn to_csv(scores: &Scores) -> anyhow::Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let leak = scores.leak.as_deref().unwrap_or_default();
    let mut patients: BTreeMap<(usize, &str), Vec<Found>> = BTreeMap::new();
    for case in &scores.cases {
        for (order, structure) in Structure::BOTH.into_iter().enumerate() {
            let Some(found) = found(case, structure) else { continue };
            let one = [found];
            table.serialize(Row { leak, ..row("case", &case.case_id, &case.patient, structure, &one) })?;
            patients.entry((order, &case.patient)).or_default().extend(one);
        }
    }
    for ((order, patient), found) in &patients {
        table.serialize(Row { leak, ..row("patient", "", patient, Structure::BOTH[*order], found) })?;
    }
    Ok(String::from_utf8(table.into_inner()?)?)
}

fn found(case: &CaseScores, structure: Structure) -> Option<Found> {
    let infection = structure == Structure::Infection;
    Some(Found {
        scores: case.of(structure)?,
        percent: case.percent_of_lung.filter(|_| infection),
        interval: case.percent_of_lung_interval.filter(|_| infection),
        free: case.infection_free.filter(|_| infection),
        ml: if infection { case.infection_ml } else { case.lung_ml },
    })
}

fn row<'a>(
    level: &'a str,
    case_id: &'a str,
    patient: &'a str,
    structure: Structure,
    found: &[Found],
) -> Row<'a> {
    let mean = |pick: &dyn Fn(&Found) -> Option<f64>| mean_known(found.iter().map(pick));
    let score = |pick: fn(&SegScores) -> Option<f64>| mean(&|f| pick(&f.scores));
    Row {
        level,
        case_id,
        patient,
        structure: structure.name(),
        cases: found.len(),
        state: found.first().filter(|_| level == "case").map(|f| f.scores.state),
        dice: score(|s| s.dice),
        iou: score(|s| s.iou),
        sensitivity: score(|s| s.sensitivity),
        specificity: score(|s| s.specificity),
        precision: score(|s| s.precision),
        hd95_mm: score(|s| s.hd95_mm),
        hd95_vox: score(|s| s.hd95_vox),
        nsd_2mm: score(|s| s.nsd_2mm),
        nsd_vox: score(|s| s.nsd_vox),
        truth_percent_of_lung: mean(&|f| f.percent.and_then(|p| p.truth)),
        pred_percent_of_lung: mean(&|f| f.percent.and_then(|p| p.pred)),
        percent_of_lung_low: mean(&|f| f.interval.map(|i| i[0])),
        percent_of_lung_high: mean(&|f| f.interval.map(|i| i[1])),
        false_percent_on_free_slices: mean(&|f| {
            let free = f.free.filter(|free| free.lung_voxels > 0)?;
            Some(100.0 * free.false_voxels as f64 / free.lung_voxels as f64)
        }),
        false_ml_on_free_slices: mean(&|f| f.free.and_then(|free| free.false_ml)),
        truth_ml: mean(&|f| f.ml.and_then(|m| m.truth)),
        pred_ml: mean(&|f| f.ml.and_then(|m| m.pred)),
        leak: "",
    }
}
