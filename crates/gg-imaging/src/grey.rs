//! From a CT's values to the 8-bit grey that the networks see, by what the values mean.

use crate::{PrepareConfig, min_max_to_u8, window_to_u8};
use gg_volume::{AxisMap, CtVolume, IntensityKind, Volume, Warning};

/// Shares of the voxels below and above the grey range of input of unknown kind.
const UNKNOWN_TAILS: [f64; 2] = [0.005, 0.995];
/// Bins of the histogram in which those shares are found.
const UNKNOWN_BINS: usize = 4096;

/// How values become grey, decided once per volume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum GreyRule {
    /// One window for all slices, in the unit of the stored values.
    Window([f32; 2]),
    /// Each slice from its own minimum to its maximum.
    MinMax,
}

/// The rule for this CT, and whether CLAHE may follow.
pub(crate) fn grey_rule(
    ct: &CtVolume,
    config: &PrepareConfig,
    warnings: &mut Vec<Warning>,
) -> (GreyRule, bool) {
    let kind = ct.intensity.kind;
    let equalise = kind != IntensityKind::Contrast8bit;
    let Some([low, high]) = config.window_hu else {
        return (GreyRule::MinMax, equalise);
    };
    if let Some(offset) = kind.hu_offset() {
        return (GreyRule::Window([low - offset, high - offset]), equalise);
    }
    let (range, how) = match kind {
        IntensityKind::UnitRange => ([0.0, 1.0], "stretched from 0..1"),
        IntensityKind::Unknown => {
            (robust_range(&ct.voxels), "stretched between the 0.5 and 99.5 percentiles")
        }
        _ => ([0.0, 255.0], "kept as they are"),
    };
    warnings.push(Warning::new(
        "not_hu",
        format!(
            "the grey values are not Hounsfield units ({}): no lung window, grey values {how}",
            kind.name()
        ),
    ));
    (GreyRule::Window(range), equalise)
}

/// Canonical slice `z` as 8-bit grey. `values` is scratch memory.
pub(crate) fn grey_slice(
    ct: &CtVolume,
    map: &AxisMap,
    z: usize,
    rule: GreyRule,
    values: &mut Vec<f32>,
) -> Vec<u8> {
    let [_, h, w] = map.canonical_shape(ct.voxels.shape());
    let mut grey = vec![0; h * w];
    if let (GreyRule::Window([low, high]), true) = (rule, rows_are_stored(map)) {
        for (y, out) in grey.chunks_exact_mut(w.max(1)).enumerate() {
            window_to_u8(stored_row(&ct.voxels, map, z, y), low, high, out);
        }
        return grey;
    }
    values.resize(h * w, 0.0);
    map.read_slice(&ct.voxels, z, values);
    match rule {
        GreyRule::Window([low, high]) => window_to_u8(values, low, high, &mut grey),
        GreyRule::MinMax => min_max_to_u8(values, &mut grey),
    }
    grey
}

/// Row `y` of canonical slice `z` in one window for all slices.
pub(crate) fn grey_row(ct: &CtVolume, map: &AxisMap, [z, y]: [usize; 2], [low, high]: [f32; 2]) -> Vec<u8> {
    let shape = ct.voxels.shape();
    let [_, _, w] = map.canonical_shape(shape);
    let mut grey = vec![0; w];
    if rows_are_stored(map) {
        window_to_u8(stored_row(&ct.voxels, map, z, y), low, high, &mut grey);
        return grey;
    }
    let value = |x: usize| {
        let [z, y, x] = map.stored_index(shape, [z, y, x]);
        ct.voxels.at(z, y, x)
    };
    let values: Vec<f32> = (0..w).map(value).collect();
    window_to_u8(&values, low, high, &mut grey);
    grey
}

/// Whether canonical rows lie in the stored array as they are.
fn rows_are_stored(map: &AxisMap) -> bool {
    map.axis[2] == 2 && !map.flip[2]
}

fn stored_row<'a>(voxels: &'a Volume<f32>, map: &AxisMap, z: usize, y: usize) -> &'a [f32] {
    let [z, y, x] = map.stored_index(voxels.shape(), [z, y, 0]);
    let first = voxels.index(z, y, x);
    &voxels.data()[first..first + voxels.shape()[2]]
}

/// The values between which nearly all voxels lie, found in a histogram, so without a copy of the volume.
fn robust_range(volume: &Volume<f32>) -> [f32; 2] {
    let finite = || volume.data().iter().copied().filter(|v| v.is_finite());
    let (min, max) = finite().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if max <= min {
        return [0.0, 1.0];
    }
    let (low, range) = (f64::from(min), f64::from(max) - f64::from(min));
    let mut counts = vec![0u64; UNKNOWN_BINS];
    for v in finite() {
        let bin = ((f64::from(v) - low) / range * UNKNOWN_BINS as f64) as usize;
        counts[bin.min(UNKNOWN_BINS - 1)] += 1;
    }
    let total: u64 = counts.iter().sum();
    let edge = |share: f64| {
        let wanted = share * total as f64;
        let mut below = 0;
        let bin = counts.iter().position(|&c| {
            below += c;
            below as f64 >= wanted
        });
        bin.unwrap_or(UNKNOWN_BINS - 1)
    };
    let at = |bin: usize| (low + range * bin as f64 / UNKNOWN_BINS as f64) as f32;
    let (first, last) = (edge(UNKNOWN_TAILS[0]), edge(UNKNOWN_TAILS[1]) + 1);
    if at(first) < at(last) { [at(first), at(last)] } else { [min, max] }
}
