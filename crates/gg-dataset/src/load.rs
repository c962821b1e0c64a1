//! Reads a case: CT, masks on the CT's stored grid as 0 and 1, and what is known about each slice.

use crate::DatasetError;
use crate::case::{Case, CtSource, MaskLabels, MaskSource};
use gg_io::{ReadError, ReadOptions, Scan};
use gg_volume::{AxisMap, Grid, LabelVolume, Volume, Warned, Warning};
use std::collections::BTreeSet;

/// Where a resampled 0..255 mask is cut.
const CUT: f32 = 127.0;
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

/// Which part of a mask is wanted.
#[derive(Clone, Copy, PartialEq)]
enum Want {
    Lung,
    Infection,
}

impl Want {
    fn name(self) -> &'static str {
        match self {
            Self::Lung => "the lung mask",
            Self::Infection => "the infection mask",
        }
    }
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
    let both = [(Want::Lung, &case.lung), (Want::Infection, &case.infection)];
    let mut masks: [Option<LabelVolume>; 2] = [None, None];
    let mut combined: Option<LabelVolume> = None;
    for ((want, own), slot) in both.into_iter().zip(&mut masks) {
        let source = own.as_ref().or(case.combined.as_ref().filter(|m| m.labels.holds(want)));
        let Some(source) = source else { continue };
        let is_combined = own.is_none();
        let labels = match combined.take().filter(|_| is_combined) {
            Some(labels) => labels,
            None => read_mask(case, want.name(), source, options, grid, &mut warnings)?,
        };
        *slot = Some(binary(case, want, &labels, &source.labels, &mut warnings)?);
        combined = is_combined.then_some(labels);
    }
    let [lung, infection] = masks;
    let slice_infected = match &infection {
        Some(mask) => Some(slices_with_label(mask, &grid.axis_map())),
        None => slice_labels(case, &scan, &mut warnings),
    };
    Ok(LoadedCase { scan, lung, infection, slice_infected, warnings })
}

fn read_error(case: &Case, what: &'static str, source: ReadError) -> DatasetError {
    DatasetError::Read { case: case.case_id.clone(), what, source: Box::new(source) }
}

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
    let (labels, turned) = turn_to(labels, &grid, ct);
    if labels.shape() != ct.shape {
        return Err(DatasetError::MaskShape { case: case.case_id.clone(), what, found, wanted: ct.shape });
    }
    if turned {
        let message = "a mask is stored in another orientation than its CT; it was turned as the headers say";
        warnings.push(Warning::new("mask_turned", message));
    } else if apart(&grid, ct) {
        let message =
            "a mask's header places it elsewhere than its CT; the voxels were matched by their indices";
        warnings.push(Warning::new("mask_elsewhere", message));
    }
    Ok(labels)
}

/// A mask whose values are no labels: a 0..255 mask that was resampled.
fn grey_mask(
    path: &std::path::Path,
    options: &ReadOptions,
    warnings: &mut Vec<Warning>,
) -> Result<Warned<(LabelVolume, Grid)>, ReadError> {
    let ct = gg_io::read_ct(path, options)?.value.ct;
    warnings.push(resampled());
    Ok(Warned::clean((ct.voxels.map(|v| u8::from(v > CUT)), ct.grid)))
}

fn resampled() -> Warning {
    Warning::new("mask_resampled", "a mask holds grey values as after resampling; above 127 counts as inside")
}

/// Stores the mask along the axes of the CT where both orientations are known and differ.
fn turn_to(labels: LabelVolume, grid: &Grid, ct: &Grid) -> (LabelVolume, bool) {
    let (from, to) = (grid.axis_map(), ct.axis_map());
    let known = grid.affine.is_some() && ct.affine.is_some();
    let canonical = from.canonical_shape(labels.shape());
    if !known || from == to || canonical != to.canonical_shape(ct.shape) {
        return (labels, false);
    }
    let mut out = Volume::filled(ct.shape, 0u8);
    let mut slice = vec![0; canonical[1] * canonical[2]];
    for z in 0..canonical[0] {
        from.read_slice(&labels, z, &mut slice);
        to.write_slice(&mut out, z, &slice);
    }
    (out, true)
}

/// Whether the headers place the first voxels of mask and CT apart.
fn apart(grid: &Grid, ct: &Grid) -> bool {
    let (Some(a), Some(b)) = (&grid.affine, &ct.affine) else { return false };
    let step = b.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    let corner = |affine: &gg_volume::Affine, far: bool| {
        let [z, y, x] = ct.shape.map(|n| if far { n as f64 - 1.0 } else { 0.0 });
        affine.apply([x, y, z])
    };
    [false, true].into_iter().any(|far| {
        let (p, q) = (corner(a, far), corner(b, far));
        (0..3).map(|i| (p[i] - q[i]).powi(2)).sum::<f64>().sqrt() > APART_VOXELS * step
    })
}

impl MaskLabels {
    fn holds(&self, want: Want) -> bool {
        match (self, want) {
            (Self::Named { lung, .. }, Want::Lung) => !lung.is_empty(),
            (Self::Named { infection, .. }, Want::Infection) => !infection.is_empty(),
            _ => true,
        }
    }
}

/// 0 and 1 from the labels of a layout; labels that it does not know are refused.
fn binary(
    case: &Case,
    want: Want,
    labels: &LabelVolume,
    meaning: &MaskLabels,
    warnings: &mut Vec<Warning>,
) -> Result<LabelVolume, DatasetError> {
    let mut present = [false; 256];
    labels.data().iter().for_each(|&v| present[usize::from(v)] = true);
    let values: BTreeSet<u8> = (0..=255u8).filter(|&v| present[usize::from(v)]).collect();
    let only = |allowed: &[u8]| values.iter().all(|v| allowed.contains(v));
    let (known, inside): (Vec<u8>, Vec<u8>) = match meaning {
        MaskLabels::Lung => (vec![0, 1, 2], vec![1, 2]),
        MaskLabels::Infection => (vec![0, 1], vec![1]),
        MaskLabels::Combined if want == Want::Lung => (vec![0, 1, 2, 3], vec![1, 2, 3]),
        MaskLabels::Combined => (vec![0, 1, 2, 3], vec![3]),
        MaskLabels::NonZero => ((0..=255).collect(), (1..=255).collect()),
        MaskLabels::Named { lung, infection, known } => {
            (known.clone(), if want == Want::Lung { lung.clone() } else { infection.clone() })
        }
        MaskLabels::Lenient if only(&[0, 255]) => (vec![0, 255], vec![255]),
        MaskLabels::Lenient if want == Want::Lung && only(&[0, 1, 2]) => (vec![0, 1, 2], vec![1, 2]),
        MaskLabels::Lenient if want == Want::Infection && only(&[0, 1]) => (vec![0, 1], vec![1]),
        MaskLabels::Lenient if values.last().is_some_and(|&v| f32::from(v) > CUT) => {
            warnings.push(resampled());
            ((0..=255).collect(), (CUT as u8 + 1..=255).collect())
        }
        MaskLabels::Lenient if want == Want::Lung => (vec![0, 1, 2, 255], Vec::new()),
        MaskLabels::Lenient => (vec![0, 1, 255], Vec::new()),
    };
    if let Some(&found) = values.iter().find(|v| !known.contains(v)) {
        let right = known.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        return Err(DatasetError::UnknownLabel {
            case: case.case_id.clone(),
            what: want.name(),
            found,
            right,
        });
    }
    let mut table = [0u8; 256];
    inside.iter().for_each(|&v| table[usize::from(v)] = 1);
    Ok(labels.map(|v| table[usize::from(v)]))
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
