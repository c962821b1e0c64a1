//! Reads a case: CT, masks on the CT's stored grid as 0 and 1, and what is known about each slice.

use crate::DatasetError;
use crate::case::{Case, CtSource, MaskLabels, MaskSource};
use crate::mask::{self, CUT, Structure};
use gg_io::{ReadError, ReadOptions, Scan};
use gg_volume::{AxisMap, Grid, IntensityKind, LabelVolume, Warned, Warning};

/// A mask whose header places it further away than this many voxels is remarked on.
const APART_VOXELS: f64 = 1.0;

/// A case as read.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedCase {
    /// The CT.
    pub scan: Scan,
    /// 1 inside the lungs, else 0, on the CT's stored grid.
    pub lung: Option<LabelVolume>,
    /// 1 where infected, else 0, on the CT's stored grid.
    pub infection: Option<LabelVolume>,
    /// Whether each *canonical* slice shows infection, from the infection mask or the slice labels.
    pub slice_infected: Option<Vec<Option<bool>>>,
    /// Remarks of reading and of the comparison of CT and masks.
    pub warnings: Vec<Warning>,
}

impl LoadedCase {
    /// Code of the remark on a lung mask that is empty although there is infection.
    pub const LUNGS_EMPTY: &str = "true_lungs_empty";
}

/// Reads all of a case.
pub(crate) fn load(case: &Case, options: &ReadOptions) -> Result<LoadedCase, DatasetError> {
    let mut warnings = Vec::new();
    let read = match &case.ct {
        CtSource::File(path) => gg_io::read_ct(path, options),
        CtSource::Slices(paths) => gg_io::read_ct_files(paths, options),
    };
    let scan = read.map_err(|e| read_error(case, "the CT", e))?.drain_into(&mut warnings);
    let grid = &scan.ct.grid;
    let both = [(Structure::Lung, &case.lung), (Structure::Infection, &case.infection)];
    let mut masks: [Option<LabelVolume>; 2] = [None, None];
    let mut combined: Option<LabelVolume> = None;
    for ((structure, own), slot) in both.into_iter().zip(&mut masks) {
        let source = own.as_ref().or(case.combined.as_ref().filter(|m| m.labels.tell(structure)));
        let Some(source) = source else { continue };
        let is_combined = own.is_none();
        let labels = match combined.take().filter(|_| is_combined) {
            Some(labels) => labels,
            None => read_mask(case, what(structure), source, options, grid, &mut warnings)?,
        };
        *slot = Some(known(case, structure, &labels, &source.labels, &mut warnings)?);
        combined = is_combined.then_some(labels);
    }
    let [lung, infection] = masks;
    warnings.extend(lungs_empty(lung.as_ref(), infection.as_ref()));
    let slice_infected = match &infection {
        Some(mask) => Some(slices_with_label(mask, &grid.axis_map())),
        None => slice_labels(case, &scan, &mut warnings),
    };
    Ok(LoadedCase { scan, lung, infection, slice_infected, warnings })
}

fn what(structure: Structure) -> &'static str {
    match structure {
        Structure::Lung => "the lung mask",
        Structure::Infection => "the infection mask",
    }
}

fn read_error(case: &Case, what: &'static str, source: ReadError) -> DatasetError {
    DatasetError::Read { case: case.case_id.clone(), what, source: Box::new(source) }
}

/// Code of the remark on a mask whose header does not place it where its CT lies.
pub const MASK_ELSEWHERE: &str = "mask_elsewhere";

/// Reads a mask and lays it on the CT's stored grid.
fn read_mask(
    case: &Case,
    what: &'static str,
    source: &MaskSource,
    options: &ReadOptions,
    ct: &Grid,
    warnings: &mut Vec<Warning>,
) -> Result<LabelVolume, DatasetError> {
    let options = ReadOptions { series: None, intensity: None, ..options.clone() };
    let read = match &source.files {
        CtSource::File(path) => match gg_io::read_labels(path, &options) {
            Err(ReadError::BadLabel(_)) if source.labels == MaskLabels::Lenient => {
                grey_mask(path, &options, warnings)
            }
            other => other,
        },
        CtSource::Slices(paths) => gg_io::read_labels_files(paths, &options),
    };
    // The mask's own remarks on its grid repeat those of the CT.
    let (labels, grid) = read.map_err(|e| read_error(case, what, e))?.value;
    let found = labels.shape();
    let laid = mask::lay(labels, &grid, ct);
    if laid.labels.shape() != ct.shape {
        return Err(DatasetError::MaskShape { case: case.case_id.clone(), what, found, wanted: ct.shape });
    }
    if laid.turned {
        let message = "a mask is stored in another orientation than its CT; it was turned as the headers say";
        warnings.push(Warning::new("mask_turned", message));
    }
    if laid.apart_voxels.is_some_and(|apart| apart > APART_VOXELS) {
        let message =
            "a mask's header places it elsewhere than its CT; the voxels were matched by their indices";
        warnings.push(Warning::new(MASK_ELSEWHERE, message));
    }
    Ok(laid.labels)
}

/// A mask whose values are no labels: a 0..255 mask that was resampled.
fn grey_mask(
    path: &std::path::Path,
    options: &ReadOptions,
    warnings: &mut Vec<Warning>,
) -> Result<Warned<(LabelVolume, Grid)>, ReadError> {
    // Stated, so that a mask is not refused for being one.
    let grey = ReadOptions { intensity: Some(IntensityKind::Unknown), ..options.clone() };
    let ct = gg_io::read_ct(path, &grey)?.value.ct;
    warnings.push(resampled());
    Ok(Warned::clean((ct.voxels.map(|v| u8::from(v > f32::from(CUT))), ct.grid)))
}

fn resampled() -> Warning {
    Warning::new("mask_resampled", "a mask holds grey values as after resampling; above 127 counts as inside")
}

/// 0 and 1 from the labels of a layout; labels that it does not know are refused.
fn known(
    case: &Case,
    structure: Structure,
    labels: &LabelVolume,
    meaning: &MaskLabels,
    warnings: &mut Vec<Warning>,
) -> Result<LabelVolume, DatasetError> {
    let found = mask::binary(structure, labels, meaning).map_err(|e| DatasetError::UnknownLabel {
        case: case.case_id.clone(),
        what: what(structure),
        found: e.first,
        right: e.right.iter().map(u8::to_string).collect::<Vec<_>>().join(", "),
    })?;
    if found.resampled {
        warnings.push(resampled());
    }
    Ok(found.labels)
}

/// The remark on lungs that are empty although they are infected.
fn lungs_empty(lung: Option<&LabelVolume>, infection: Option<&LabelVolume>) -> Option<Warning> {
    let marks = |mask: &LabelVolume| mask.data().iter().any(|v| *v != 0);
    let message = "the lung mask is empty, but there is infection: nothing counts as lung there, so that lung Dice and infected \
        percentage mean nothing; right would be a mask of the lungs, or none";
    (!marks(lung?) && marks(infection?)).then(|| Warning::new(LoadedCase::LUNGS_EMPTY, message))
}

/// For each canonical slice whether the mask has anything in it.
fn slices_with_label(mask: &LabelVolume, map: &AxisMap) -> Vec<Option<bool>> {
    let [nz, ny, nx] = map.canonical_shape(mask.shape());
    let mut slice = vec![0; ny * nx];
    let mut any = |z: usize| {
        map.read_slice(mask, z, &mut slice);
        Some(slice.iter().any(|&v| v != 0))
    };
    (0..nz).map(&mut any).collect()
}

/// The labels of a table, file by file, laid on canonical slices.
fn slice_labels(case: &Case, scan: &Scan, warnings: &mut Vec<Warning>) -> Option<Vec<Option<bool>>> {
    let labels = case.slice_labels.as_ref()?;
    let shape = scan.ct.voxels.shape();
    let map = scan.ct.grid.axis_map();
    if map.axis[0] != 0 || scan.slice_files.len() != shape[0] {
        let message =
            "the labels of slices cannot be laid on axial slices of this scan; they count as unknown";
        warnings.push(Warning::new("slice_labels_lost", message));
        return None;
    }
    let of_stored = |z: usize| scan.slice_files.get(z).and_then(|&file| labels.get(file).copied().flatten());
    let stored = |z: usize| if map.flip[0] { shape[0] - 1 - z } else { z };
    Some((0..shape[0]).map(|z| of_stored(stored(z))).collect())
}
