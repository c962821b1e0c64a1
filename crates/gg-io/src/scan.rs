//! What every reader does at the end: the kind of the grey values, the trust in the spacing, remarks on the slices.

use crate::intensity::{LIKE_ATTENUATION, LIKE_NEGATIVE, LIKE_WIDE, Labels, contradiction, detect, labels};
use crate::{ReadError, ReadOptions, Scan};
use gg_volume::{CtVolume, Grid, Intensity, IntensityKind, LabelVolume, SpacingTrust, Volume, Warning};
use rayon::prelude::*;

/// Why the spacing of a mask is not used.
pub(crate) const MASK_SPACING: &str = "a mask does not say where its spacing comes from; its CT does";

/// Distances between voxels, in mm, that a chest CT can have.
const SPACING_MM: std::ops::RangeInclusive<f64> = 0.05..=50.0;

/// Below this confidence in HU, tissues lie where HU has none.
const SURE: f32 = 0.9;

/// Most voxels along an axis: what NIfTI-1, in which masks are written, has room for.
pub(crate) const LONGEST_AXIS: usize = i16::MAX as usize;

/// Voxels that one thread looks at at once.
const PART: usize = 1 << 18;

/// A volume as a reader found it.
pub(crate) struct Found {
    /// Values after slope and intercept; they may still hold NaN.
    pub(crate) voxels: Volume<f32>,
    /// Where they lie; its `trust` is set here.
    pub(crate) grid: Grid,
    /// Why the spacing cannot be trusted whatever the grey values are.
    pub(crate) doubt: Option<String>,
}

/// A volume that is read.
pub(crate) struct Finished {
    pub(crate) ct: CtVolume,
    /// The labels, where the volume holds labels and no grey values: the search for them looks at every voxel and is
    /// done once.
    pub(crate) labels: Option<Labels>,
    /// Where it held no finite numbers.
    pub(crate) holes: Option<Holes>,
}

/// The voxels of a volume that held no finite number: one bit a voxel, in stored order.
#[derive(Debug, Clone, PartialEq)]
pub struct Holes(Vec<u64>);

impl Holes {
    fn none(voxels: usize) -> Self {
        Self(vec![0; voxels.div_ceil(u64::BITS as usize)])
    }

    fn add(&mut self, voxel: usize) {
        self.0[voxel / 64] |= 1 << (voxel % 64);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Makes them NaN again in the volume that they were filled in.
    pub fn reopen(&self, voxels: &mut Volume<f32>) {
        let of_word = |(part, word): (&mut [f32], &u64)| {
            (0..part.len()).filter(|&i| word >> i & 1 == 1).for_each(|i| part[i] = f32::NAN);
        };
        voxels.data_mut().chunks_mut(64).zip(&self.0).filter(|(_, word)| **word != 0).for_each(of_word);
    }

    /// Whether a voxel is one of them.
    pub fn at(&self, voxel: usize) -> bool {
        self.0.get(voxel / 64).is_some_and(|word| word >> (voxel % 64) & 1 == 1)
    }

    /// How many of them lie where the mask of the volume is not 0.
    pub fn count_in(&self, mask: &LabelVolume) -> usize {
        let of_word = |(word, mask): (&u64, &[u8])| {
            (0..mask.len()).filter(|&i| word >> i & 1 == 1 && mask[i] != 0).count()
        };
        self.0.iter().zip(mask.data().chunks(64)).filter(|(word, _)| **word != 0).map(of_word).sum()
    }
}

/// Refuses a volume whose masks could not be written in the end.
pub(crate) fn check_axes(shape: [usize; 3]) -> Result<(), ReadError> {
    if shape.iter().any(|&n| n > LONGEST_AXIS) { Err(ReadError::TooLong(shape)) } else { Ok(()) }
}

/// Decides what the grey values are and whether the spacing may be used, and remarks on what is odd.
pub(crate) fn finish(
    found: Found,
    options: &ReadOptions,
    warnings: &mut Vec<Warning>,
) -> Result<Finished, ReadError> {
    let Found { mut voxels, mut grid, doubt } = found;
    check_axes(voxels.shape())?;
    let holes = fill_non_finite(&mut voxels, warnings)?;
    let labels = labels(&voxels);
    let intensity = match options.intensity {
        Some(stated) => {
            let against = contradiction(&voxels, stated, labels.as_ref());
            warnings.extend(against.map(|words| Warning::new("intensity_contradicted", words)));
            Intensity::stated(stated)
        }
        None => detect(&voxels, labels.as_ref()),
    };
    let absurd = absurd_spacing(&grid);
    warnings.extend(absurd.iter().map(|words| Warning::new("absurd_spacing", words)));
    let doubt = doubt.or(absurd).or_else(|| labels.as_ref().map(|_| MASK_SPACING.to_owned()));
    grid.trust = trust(&grid, doubt, intensity.kind, options);
    let ct = CtVolume { voxels, grid, intensity };
    remark(&ct, labels.as_ref(), warnings);
    Ok(Finished { ct, labels, holes })
}

/// Adds the remarks that hold for every format, unless the reader made them already.
fn remark(ct: &CtVolume, labels: Option<&Labels>, warnings: &mut Vec<Warning>) {
    let mut add = |code: &str, message: String| {
        if !warnings.iter().any(|w| w.code == code) {
            warnings.push(Warning::new(code, message));
        }
    };
    if ct.intensity.kind == IntensityKind::Unknown {
        let like = |reason: &str| ct.intensity.reasons.iter().any(|r| r == reason);
        let message = if like(LIKE_ATTENUATION) {
            "the values are neither HU nor grey: they may be attenuation in 1/cm; right would be HU (air -1000, water 0), or \
             --intensity where you know what they are"
        } else if like(LIKE_WIDE) {
            LIKE_WIDE
        } else if like(LIKE_NEGATIVE) {
            "black and white are exchanged: the negatives of the values would be HU; right would be HU (air -1000, water 0): nothing \
             that is found in this picture means anything"
        } else {
            "the kind of the grey values could not be told; state it with --intensity if you know it"
        };
        add("unknown_intensity", message.to_owned());
    }
    if ct.intensity.kind == IntensityKind::Hu && ct.intensity.confidence < SURE {
        let reasons = ct.intensity.reasons.iter().skip(1).map(String::as_str).collect::<Vec<_>>().join("; ");
        let message = format!(
            "the values are taken for HU, but air, lung and soft tissue do not all lie where HU has them ({reasons}): look at the \
             rescale slope and intercept before any number is used"
        );
        add("hu_doubtful", message);
    }
    if let Some(labels) = labels {
        add("looks_like_mask", format!("the input may be no CT: {}", labels.words()));
    }
    if ct.voxels.shape()[0] == 1 {
        add("one_slice", "the scan holds one slice only".to_owned());
    }
    let twice = repeated_slices(ct);
    match &twice[..] {
        [] => {}
        [one] => add("same_slice_twice", format!("slice {one} (counted from 0) repeats its neighbour")),
        [first, ..] => add(
            "same_slice_twice",
            format!("{} slices repeat a neighbour (the first is slice {first}, counted from 0)", twice.len()),
        ),
    }
}

/// Refuses labels in the place of a CT, unless the user states what its grey values are.
pub(crate) fn refuse_labels(scan: &Scan, options: &ReadOptions) -> Result<(), ReadError> {
    match &scan.labels {
        Some(found) if options.intensity.is_none() => Err(ReadError::Labels { found: found.words() }),
        _ => Ok(()),
    }
}

/// A label as a mask stores it.
pub(crate) fn label(value: f32) -> Result<u8, ReadError> {
    let whole = value as u8; // saturates; NaN becomes 0
    if f32::from(whole) == value { Ok(whole) } else { Err(ReadError::BadLabel(f64::from(value))) }
}

/// Why stated distances cannot be those of a chest CT, as a clause.
pub(crate) fn absurd_spacing(grid: &Grid) -> Option<String> {
    let stated = grid.spacing_mm?.into_iter().zip(["slices", "rows", "columns"]);
    let (mm, between) = stated.into_iter().find(|(mm, _)| !SPACING_MM.contains(mm))?;
    let (least, most) = (SPACING_MM.start(), SPACING_MM.end());
    Some(format!(
        "the stated distance between {between}, {mm} mm, cannot be that of a chest CT ({least} to {most} mm)"
    ))
}

fn trust(grid: &Grid, doubt: Option<String>, kind: IntensityKind, options: &ReadOptions) -> SpacingTrust {
    match doubt {
        _ if grid.spacing_mm.is_none() => SpacingTrust::Untrusted("the file states no spacing".to_owned()),
        _ if options.trust_spacing => SpacingTrust::Trusted,
        Some(reason) => SpacingTrust::Untrusted(reason),
        None if kind.hu_offset().is_none() => SpacingTrust::Untrusted(
            "the grey values are not in Hounsfield units, so the scan was converted and its spacing may be a guess"
                .to_owned(),
        ),
        None => SpacingTrust::Trusted,
    }
}

/// Padding as NaN or infinity becomes the lowest value there is. Gives its places.
fn fill_non_finite(
    voxels: &mut Volume<f32>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Holes>, ReadError> {
    let bad: usize =
        voxels.data().par_chunks(PART).map(|part| part.iter().filter(|v| !v.is_finite()).count()).sum();
    if bad == 0 {
        return Ok(None);
    }
    let lowest = voxels.data().iter().copied().filter(|v| v.is_finite()).fold(f32::INFINITY, f32::min);
    if !lowest.is_finite() {
        return Err(ReadError::NoFiniteValue);
    }
    let mut holes = Holes::none(voxels.len());
    for (i, v) in voxels.data_mut().iter_mut().enumerate().filter(|(_, v)| !v.is_finite()) {
        *v = lowest;
        holes.add(i);
    }
    let message = format!("{bad} voxels are not finite numbers; they were set to the lowest value, {lowest}");
    warnings.push(Warning::new("non_finite_values", message));
    Ok(Some(holes))
}

/// Slices equal to the one stored before, counted from 0 at the feet where that is known; a slice of one value
/// (nothing but padding) may repeat.
fn repeated_slices(ct: &CtVolume) -> Vec<usize> {
    let voxels = &ct.voxels;
    let uniform = |slice: &[f32]| slice.iter().all(|v| *v == slice[0]);
    let slices = voxels.shape()[0];
    let repeats = |z: &usize| voxels.slice(*z) == voxels.slice(z - 1) && !uniform(voxels.slice(*z));
    let mut found: Vec<usize> = (1..slices).filter(repeats).collect();
    let map = ct.grid.axis_map();
    if map.axis[0] == 0 && map.flip[0] {
        found.iter_mut().for_each(|z| *z = slices - 1 - *z);
        found.reverse();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_counted_where_the_mask_is() {
        let mut mask = LabelVolume::filled([1, 2, 65], 0);
        let mut holes = Holes::none(mask.len());
        assert_eq!(holes.0.len(), 3);
        for i in [0, 63, 64, 129] {
            holes.add(i);
        }
        mask.data_mut()[60..70].fill(2);
        assert_eq!(holes.count_in(&mask), 2);
        mask.data_mut()[129] = 1;
        assert_eq!(holes.count_in(&mask), 3);
    }

    #[test]
    fn labels_are_whole_numbers_of_one_byte() {
        assert_eq!(label(0.0).unwrap(), 0);
        assert_eq!(label(255.0).unwrap(), 255);
        for bad in [-1.0, 0.5, 256.0, f32::NAN, f32::INFINITY] {
            assert!(matches!(label(bad), Err(ReadError::BadLabel(_))), "{bad}");
        }
    }
}
