//! One mask of any program as 0 and 1 on the grid of its CT, or the sentence that says why not.

use anyhow::{Context as _, Result, anyhow, bail};
use gg_dataset::{MaskLabels, Misplaced, Structure, UnknownLabels};
use gg_io::ReadOptions;
use gg_volume::{Grid, LabelVolume, Warning};
use std::path::Path;

/// A mask whose header places it further than this from its CT is of another scan, or of a changed one.
const FURTHEST_VOXELS: f64 = 0.5;
/// A file with more different values than this is no mask.
const MOST_LABELS: usize = 8;
/// Code of the remark on masks that the header of mask or CT does not place.
pub(super) const UNPLACED: &str = "prediction_unplaced";
/// Code of the remark on masks of a part of their CT that begin where it does.
pub(super) const AT_CORNER: &str = "prediction_at_corner";

/// Reads one structure of a mask; `meaning` is `None` for a mask of this structure alone.
pub(super) fn read(
    path: &Path,
    structure: Structure,
    meaning: Option<&MaskLabels>,
    ct: &Grid,
    warnings: &mut Vec<Warning>,
) -> Result<LabelVolume> {
    let labels = laid(path, ct, warnings)?;
    match meaning {
        Some(meaning) => inside(path, structure, &labels, meaning),
        None => inside(path, structure, &labels, &own_labels(structure, &labels)),
    }
}

/// Reads a mask and lays it on the stored grid of its CT.
fn laid(path: &Path, ct: &Grid, warnings: &mut Vec<Warning>) -> Result<LabelVolume> {
    let named = || path.display().to_string();
    let unpacked = path.with_extension("");
    if path.extension().is_some_and(|e| e == "gz") && unpacked.is_file() {
        bail!(
            "{}: {} lies beside it, and either could be meant; right would be one of them",
            path.display(),
            unpacked.file_name().unwrap_or_default().display()
        );
    }
    let (labels, grid) = gg_io::read_labels(path, &ReadOptions::default()).with_context(named)?.value;
    let laid = gg_dataset::lay(labels, &grid, ct);
    if laid.labels.shape() != ct.shape {
        let part = gg_dataset::lay_part(&laid.labels, &grid, ct).map_err(|why| {
            anyhow!("{}: {}", path.display(), misplaced(why, laid.labels.shape(), ct.shape))
        })?;
        let message = "a predicted mask has another shape than its CT; it was laid where its header says, and what it does \
            not cover counts as outside";
        warnings.push(Warning::new("prediction_part", message));
        if begins_with(&grid, ct) {
            let message = "a predicted mask of another shape than its CT has the CT's own first voxel, at one corner of it, and was laid \
                there; one that was cropped elsewhere and kept the CT's header looks the same";
            warnings.push(Warning::new(AT_CORNER, message));
        }
        return Ok(part);
    }
    if let Some(apart) = laid.apart_voxels.filter(|&a| a > FURTHEST_VOXELS) {
        bail!(
            "{}: the header places the mask {apart:.1} voxels away from its CT; right would be the place of the CT, also \
             with its axes turned",
            path.display()
        );
    }
    if laid.turned {
        let message =
            "a predicted mask is stored in another orientation than its CT; it was turned as the headers say";
        warnings.push(Warning::new("prediction_turned", message));
    }
    if grid.affine.is_some() != ct.affine.is_some() {
        let message = "a predicted mask and its CT do not both say how they lie; the voxels were matched by their indices";
        warnings.push(Warning::new(UNPLACED, message));
    }
    Ok(laid.labels)
}

/// Whether the first voxel of a mask is that of its CT.
fn begins_with(mask: &Grid, ct: &Grid) -> bool {
    let first = mask.affine.zip(ct.affine).map(|(mask, ct)| ct.index_of(mask.origin()));
    first.is_some_and(|index| index.iter().all(|i| i.abs() < FURTHEST_VOXELS))
}

/// Why a mask of another shape than its CT cannot be laid on it.
fn misplaced(why: Misplaced, mask: [usize; 3], ct: [usize; 3]) -> String {
    let shape = |[z, y, x]: [usize; 3]| format!("{x} x {y} x {z}");
    let at = |offset: [f64; 3]| offset.map(|o| format!("{o:.2}")).join(", ");
    let (mask, ct) = (shape(mask), shape(ct));
    let shapes = format!(
        "the mask has the shape {mask}, right would be that of its CT, {ct} (columns x rows x slices)"
    );
    match why {
        Misplaced::OtherGrid => shapes,
        Misplaced::Between { offset } => format!(
            "{shapes}, or a part of it; the header places the mask's first voxel at {} of the CT (column, row, slice), and \
             right would be whole numbers",
            at(offset)
        ),
        Misplaced::Outside { voxels, offset } => format!(
            "{shapes}, or a part of it; the header places the mask's first voxel at {} of the CT (column, row, slice), by \
             which {}",
            at(offset),
            match voxels {
                0 => "it lies beside the CT".to_owned(),
                n => format!("{n} of its marked voxels lie outside of the CT"),
            }
        ),
    }
}

/// What the labels of a mask of one structure mean: 0/1 (lungs also 0/1/2), or 0/255.
fn own_labels(structure: Structure, labels: &LabelVolume) -> MaskLabels {
    match structure {
        _ if gg_dataset::labels_present(labels).iter().all(|v| matches!(*v, 0 | u8::MAX)) => {
            MaskLabels::Lenient
        }
        Structure::Lung => MaskLabels::Lung,
        Structure::Infection => MaskLabels::Infection,
    }
}

/// 1 where the labels mean the structure.
fn inside(
    path: &Path,
    structure: Structure,
    labels: &LabelVolume,
    meaning: &MaskLabels,
) -> Result<LabelVolume> {
    match gg_dataset::binary(structure, labels, meaning) {
        Ok(found) => Ok(found.labels),
        Err(UnknownLabels { found, .. }) if found.len() > MOST_LABELS => bail!(
            "{}: {} different values from {} to {} were found, as in a CT; right would be a mask",
            path.display(),
            found.len(),
            found[0],
            found[found.len() - 1]
        ),
        Err(UnknownLabels { found, right, .. }) => bail!(
            "{}: the labels of the {} mask are {}, right would be {}",
            path.display(),
            structure.name(),
            label_list(&found),
            label_list(&right)
        ),
    }
}

/// Labels for people.
pub(super) fn label_list(labels: &[u8]) -> String {
    labels.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}
