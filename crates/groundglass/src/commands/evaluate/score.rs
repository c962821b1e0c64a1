//! The scores of one case.

use super::part::Chosen;
use super::{Predicted, Scored, truth};
use crate::scoring::{CaseScores, Measured, Question, SliceScore};
use anyhow::Result;
use gg_dataset::{Case, LoadedCase};
use gg_eval::{SegScores, missing_scores, patient_score, seg_scores};
use gg_volume::{AxisMap, LabelVolume, Volume};

/// Scores one case, or the slices of it that belong to the part.
pub(super) fn score(
    case: &Case,
    (data_set, question): (usize, Question),
    loaded: &LoadedCase,
    predicted: &Predicted,
    chosen: &Chosen,
) -> Result<Scored> {
    let ct = &loaded.scan.ct;
    let map = ct.grid.axis_map();
    let n = map.canonical_shape(ct.voxels.shape())[0];
    let part = chosen.slices(&case.case_id, n);
    let cut = |labels: &LabelVolume| match &part {
        Some(slices) => keep_slices(labels, &map, slices),
        None => Ok(labels.clone()),
    };
    let spacing = ct.grid.trusted_spacing_mm();
    let segmentation = |pred: &Option<LabelVolume>,
                        truth: &Option<LabelVolume>|
     -> Result<Option<SegScores>> {
        let (Some(pred), Some(truth)) = (pred, truth) else { return Ok(None) };
        match &part {
            None => Ok(Some(seg_scores(pred, truth, spacing))),
            Some(_) => {
                // The stored axes may be turned; a canonical copy has canonical spacing.
                let spacing = spacing.map(|s| map.canonical(s));
                let scores = seg_scores(&cut(pred)?, &cut(truth)?, spacing);
                // Slices that are no neighbours have no surface in common: no distances.
                Ok(Some(SegScores { hd95_mm: None, hd95_vox: None, nsd_2mm: None, nsd_vox: None, ..scores }))
            }
        }
    };
    let missing = |pred: &Option<LabelVolume>, truth: &Option<LabelVolume>| -> Result<Option<SegScores>> {
        match (pred, truth) {
            (None, Some(truth)) => Ok(Some(missing_scores(&cut(truth)?))),
            _ => Ok(None),
        }
    };
    let ml = ct.grid.voxel_ml().ok();
    let measure = |lung: &Option<LabelVolume>, infection: &Option<LabelVolume>| -> Result<[Option<f64>; 3]> {
        let Some(lung) = lung else { return Ok([None; 3]) };
        let lung = cut(lung)?;
        let lungs = lung.count_foreground();
        let infected = infection.as_ref().map(cut).transpose()?.map(|infection| {
            lung.data().iter().zip(infection.data()).filter(|&(&l, &i)| l != 0 && i != 0).count()
        });
        let percent = infected.filter(|_| lungs > 0).map(|i| 100.0 * i as f64 / lungs as f64);
        Ok([percent, ml.map(|ml| ml * lungs as f64), ml.zip(infected).map(|(ml, i)| ml * i as f64)])
    };
    let truth = measure(&loaded.lung, &loaded.infection)?;
    let pred = measure(&predicted.lung, &predicted.infection)?;
    let [percent_of_lung, lung_ml, infection_ml] = std::array::from_fn(|i| Measured::of(truth[i], pred[i]));
    let true_lung_voxels =
        loaded.lung.as_ref().map(cut).transpose()?.map(|lung| lung.count_foreground() as u64);
    let slice_scores = predicted
        .probabilities
        .iter()
        .enumerate()
        .filter(|(z, _)| part.as_ref().is_none_or(|p| p.contains(z)))
        .filter_map(|(z, probability)| {
            let truth = loaded.slice_infected.as_ref().and_then(|t| t.get(z).copied().flatten());
            Some(SliceScore { slice: z, probability: (*probability)?, truth })
        })
        .collect();
    // Probabilities of voxels and of the CT are those of the whole scan: they say nothing of a part of it.
    let whole = part.is_none();
    // Nor is anything said of a CT in which no lung was found, as by `analyze`.
    let lung_seen = predicted.lung.as_ref().is_none_or(|lung| lung.count_foreground() > 0);
    let found_percent = percent_of_lung.and_then(|p| p.pred);
    let interval = found_percent.zip(predicted.interval.as_ref());
    let probabilities: Vec<f32> = predicted.probabilities.iter().copied().flatten().collect();
    let by_slice = truth::by_slice(loaded, predicted, part.as_deref(), &map);
    let mut warnings = loaded.warnings.clone();
    warnings.extend(predicted.warnings.iter().filter(|w| !loaded.warnings.contains(w)).cloned());
    Ok(Scored {
        otherwise: None,
        missing: [missing(&predicted.lung, &loaded.lung)?, missing(&predicted.infection, &loaded.infection)?],
        case: CaseScores {
            case_id: case.case_id.clone(),
            patient: case.patient.clone(),
            data_set,
            sha256: loaded.scan.sha256.clone(),
            intensity: ct.intensity.clone(),
            question,
            slices: part.as_ref().map_or(n, Vec::len),
            lung: segmentation(&predicted.lung, &loaded.lung)?,
            infection: segmentation(&predicted.infection, &loaded.infection)?,
            percent_of_lung,
            percent_of_lung_interval: interval.map(|(percent, fit)| fit.around(percent)),
            infection_free: by_slice.free,
            voxels: if whole { predicted.voxels.clone() } else { [None, None] },
            true_lung_voxels,
            lung_ml,
            infection_ml,
            classify_threshold: predicted.classifier.map(|c| c.threshold),
            classify_temperature: predicted.classifier.and_then(|c| c.temperature),
            area_weighed: predicted.area_weighed,
            patient_score: patient_score(&probabilities, found_percent).filter(|_| whole && lung_seen),
            shows_infection: truth::shows_infection(case, loaded),
            slice_areas: by_slice.areas,
            slice_scores,
            warnings,
        },
    })
}

/// The chosen canonical slices alone, as a canonical volume.
fn keep_slices(labels: &LabelVolume, map: &AxisMap, slices: &[usize]) -> Result<LabelVolume> {
    let [_, h, w] = map.canonical_shape(labels.shape());
    let mut values = vec![0u8; slices.len() * h * w];
    for (&z, out) in slices.iter().zip(values.chunks_exact_mut(h * w)) {
        map.read_slice(labels, z, out);
    }
    Ok(Volume::from_vec([slices.len(), h, w], values)?)
}
