//! Pictures of an evaluation: prediction beside truth, and slices that were classified well and badly.

use super::Predicted;
use crate::args::EvaluateArgs;
use crate::commands::data;
use crate::pictures::Shown;
use crate::scoring::{CaseScores, Scores, SliceScore};
use anyhow::Result;
use gg_dataset::{Case, Dataset, LoadedCase, Structure};
use gg_eval::MaskState;
use gg_report::{Comparison, SlicePicture};
use gg_volume::LabelVolume;

/// Best, median and worst case by Dice, among those with something to show.
pub(super) fn pick(scores: &Scores, structure: Structure) -> Vec<(&'static str, usize)> {
    let mut known: Vec<(usize, f64)> = scores
        .cases
        .iter()
        .enumerate()
        .filter_map(|(i, c)| {
            let found = c.of(structure)?;
            let shown = !matches!(found.state, MaskState::BothEmpty | MaskState::Missing);
            shown.then_some((i, found.dice?))
        })
        .collect();
    known.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut picked = Vec::new();
    for (why, at) in [("Best", 0), ("Median", known.len() / 2), ("Worst", known.len().saturating_sub(1))] {
        if let Some(&(index, _)) = known.get(at)
            && !picked.iter().any(|&(_, i)| i == index)
        {
            picked.push((why, index));
        }
    }
    picked
}

/// Truth and prediction on the slice where both together are largest.
pub(super) fn compare(
    structure: Structure,
    why: &str,
    scores: &CaseScores,
    loaded: &LoadedCase,
    predicted: &Predicted,
) -> Result<Option<Comparison>> {
    let (pred, truth) = match structure {
        Structure::Lung => (&predicted.lung, &loaded.lung),
        Structure::Infection => (&predicted.infection, &loaded.infection),
    };
    let dice = scores.of(structure).and_then(|s| s.dice);
    let (Some(pred), Some(truth)) = (pred, truth) else { return Ok(None) };
    let ct = &loaded.scan.ct;
    let map = ct.grid.axis_map();
    let [n, h, w] = map.canonical_shape(ct.voxels.shape());
    let mut slice = vec![0u8; h * w];
    let mut area = |labels: &LabelVolume, z: usize| {
        map.read_slice(labels, z, &mut slice);
        slice.iter().filter(|&&v| v != 0).count()
    };
    let Some(z) = (0..n).rev().max_by_key(|&z| area(truth, z) + area(pred, z)) else { return Ok(None) };
    let picture = |labels: &LabelVolume| -> Result<SlicePicture> {
        let shown = Shown {
            ct,
            map,
            oriented: ct.grid.affine.is_some(),
            // The lung of the truth frames the picture of the infection.
            lung: if structure == Structure::Lung { Some(labels) } else { loaded.lung.as_ref() },
            infection: (structure == Structure::Infection).then_some(labels),
        };
        shown.axial(z, String::new())
    };
    let dice = dice.map_or(String::new(), |d| format!(" · Dice {d:.3}"));
    Ok(Some(Comparison {
        title: format!("{why} · {}{dice} · slice {z}", scores.case_id),
        truth: picture(truth)?,
        pred: picture(pred)?,
    }))
}

/// Slices of the four kinds of the confusion matrix, the surest of each first.
pub(super) fn examples(
    scores: &Scores,
    wanted: &[(&Dataset, &Case)],
    args: &EvaluateArgs,
) -> Result<Vec<SlicePicture>> {
    const OF_EACH: usize = 2;
    let section = scores.classification.as_ref().or(scores.images.as_ref());
    let Some(threshold) = section.and_then(|c| c.scores.threshold).map(|t| t as f32) else {
        return Ok(Vec::new());
    };
    let mut all: Vec<(usize, SliceScore, bool)> = Vec::new();
    for (i, case) in scores.cases.iter().enumerate() {
        all.extend(case.slice_scores.iter().filter_map(|s| Some((i, *s, s.truth?))));
    }
    let mut chosen: Vec<(usize, SliceScore, &str)> = Vec::new();
    for (truth, called, name) in [
        (true, true, "true positive"),
        (false, false, "true negative"),
        (false, true, "false positive"),
        (true, false, "false negative"),
    ] {
        let mut kind: Vec<_> =
            all.iter().filter(|(_, s, t)| *t == truth && (s.probability >= threshold) == called).collect();
        kind.sort_by(|a, b| {
            let sure = |s: &SliceScore| (s.probability - threshold).abs();
            sure(&b.1).total_cmp(&sure(&a.1)).then((a.0, a.1.slice).cmp(&(b.0, b.1.slice)))
        });
        chosen.extend(kind.into_iter().take(OF_EACH).map(|(i, s, _)| (*i, *s, name)));
    }
    let mut pictures = Vec::new();
    for (index, slice, name) in chosen {
        let (set, case) = wanted[index];
        let loaded = data::load(set, case, &args.read)?;
        let ct = &loaded.scan.ct;
        let shown = Shown {
            ct,
            map: ct.grid.axis_map(),
            oriented: ct.grid.affine.is_some(),
            lung: None,
            infection: loaded.infection.as_ref(),
        };
        let caption = format!("{name}: {:.2} · {}, slice {}", slice.probability, case.case_id, slice.slice);
        pictures.push(shown.axial(slice.slice, caption)?);
    }
    Ok(pictures)
}
