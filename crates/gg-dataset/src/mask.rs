//! Masks: what their labels mean, and how they lie on the grid of a CT.

use crate::case::MaskLabels;
use gg_volume::{Grid, LabelVolume, Volume};

/// Above this value a resampled 0..255 mask is inside.
pub(crate) const CUT: u8 = 127;

/// What a mask marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// The lungs, infected or not.
    Lung,
    /// Infection.
    Infection,
}

impl Structure {
    /// Both, in the order of all outputs.
    pub const BOTH: [Self; 2] = [Self::Lung, Self::Infection];

    /// Name for people and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lung => "lung",
            Self::Infection => "infection",
        }
    }
}

/// Labels that the meaning of a mask does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLabels {
    /// All labels that the mask holds, in order.
    pub found: Vec<u8>,
    /// The first of them that is not known.
    pub first: u8,
    /// Labels that would be right.
    pub right: Vec<u8>,
}

/// A mask as 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// 1 inside the structure.
    pub labels: LabelVolume,
    /// Whether its values are grey values of a resampled 0..255 mask, which were cut at 127.
    pub resampled: bool,
}

/// All labels that a mask holds, in order.
pub fn labels_present(labels: &LabelVolume) -> Vec<u8> {
    let mut present = [false; 256];
    labels.data().iter().for_each(|&v| present[usize::from(v)] = true);
    (0..=255u8).filter(|&v| present[usize::from(v)]).collect()
}

/// One structure of a mask as 0 and 1.
///
/// # Errors
/// [`UnknownLabels`] where the mask holds a label that `meaning` does not know.
pub fn binary(
    structure: Structure,
    labels: &LabelVolume,
    meaning: &MaskLabels,
) -> Result<Binary, UnknownLabels> {
    let values = labels_present(labels);
    let only = |allowed: &[u8]| values.iter().all(|v| allowed.contains(v));
    let of_lung = structure == Structure::Lung;
    let mut resampled = false;
    let (known, inside): (Vec<u8>, Vec<u8>) = match meaning {
        MaskLabels::Lung => (vec![0, 1, 2], vec![1, 2]),
        MaskLabels::Infection => (vec![0, 1], vec![1]),
        MaskLabels::Combined if of_lung => (vec![0, 1, 2, 3], vec![1, 2, 3]),
        MaskLabels::Combined => (vec![0, 1, 2, 3], vec![3]),
        MaskLabels::NonZero => ((0..=255).collect(), (1..=255).collect()),
        MaskLabels::Named { lung, infection, known } => {
            (known.clone(), if of_lung { lung.clone() } else { infection.clone() })
        }
        MaskLabels::Lenient if only(&[0, 255]) => (vec![0, 255], vec![255]),
        MaskLabels::Lenient if of_lung && only(&[0, 1, 2]) => (vec![0, 1, 2], vec![1, 2]),
        MaskLabels::Lenient if !of_lung && only(&[0, 1]) => (vec![0, 1], vec![1]),
        MaskLabels::Lenient if values.last().is_some_and(|&v| v > CUT) => {
            resampled = true;
            ((0..=255).collect(), (CUT + 1..=255).collect())
        }
        MaskLabels::Lenient if of_lung => (vec![0, 1, 2, 255], Vec::new()),
        MaskLabels::Lenient => (vec![0, 1, 255], Vec::new()),
    };
    if let Some(&first) = values.iter().find(|v| !known.contains(v)) {
        return Err(UnknownLabels { found: values, first, right: known });
    }
    let mut table = [0u8; 256];
    inside.iter().for_each(|&v| table[usize::from(v)] = 1);
    Ok(Binary { labels: labels.map(|v| table[usize::from(v)]), resampled })
}

impl MaskLabels {
    /// Whether the labels tell the structure.
    pub fn tell(&self, structure: Structure) -> bool {
        match (self, structure) {
            (Self::Lung, Structure::Infection) | (Self::Infection, Structure::Lung) => false,
            (Self::Named { lung, .. }, Structure::Lung) => !lung.is_empty(),
            (Self::Named { infection, .. }, Structure::Infection) => !infection.is_empty(),
            _ => true,
        }
    }
}

/// A mask on the stored grid of a CT.
#[derive(Debug, Clone, PartialEq)]
pub struct Laid {
    /// The labels; of the CT's shape unless that could not be reached by turning.
    pub labels: LabelVolume,
    /// Whether it was stored along other axes than the CT and was turned.
    pub turned: bool,
    /// How far the headers of mask and CT place the same corner apart, in the smallest spacing of the CT; `None` where
    /// one of them does not say, or where the shapes differ.
    pub apart_voxels: Option<f64>,
}

/// Stores a mask along the axes of its CT, as the two headers say; where one of them says nothing, as it is.
pub fn lay(labels: LabelVolume, grid: &Grid, ct: &Grid) -> Laid {
    let (from, to) = (grid.axis_map(), ct.axis_map());
    let (Some(mask_affine), Some(ct_affine)) = (&grid.affine, &ct.affine) else {
        return Laid { labels, turned: false, apart_voxels: None };
    };
    let stored = labels.shape();
    let canonical = from.canonical_shape(stored);
    let turned = from != to && canonical == to.canonical_shape(ct.shape);
    if !turned && stored != ct.shape {
        return Laid { labels, turned, apart_voxels: None };
    }
    let step = ct_affine.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    let position =
        |affine: &gg_volume::Affine, [z, y, x]: [usize; 3]| affine.apply([x, y, z].map(|i| i as f64));
    let mut apart_mm = 0f64;
    for corner in 0..8usize {
        let corner: [usize; 3] = std::array::from_fn(|c| {
            let n = if turned { canonical[c] } else { stored[c] };
            if corner >> c & 1 == 1 { n.saturating_sub(1) } else { 0 }
        });
        let [p, q] = if turned {
            [
                position(mask_affine, from.stored_index(stored, corner)),
                position(ct_affine, to.stored_index(ct.shape, corner)),
            ]
        } else {
            [position(mask_affine, corner), position(ct_affine, corner)]
        };
        apart_mm = apart_mm.max((0..3).map(|i| (p[i] - q[i]).powi(2)).sum::<f64>().sqrt());
    }
    let apart_voxels = Some(apart_mm / step);
    if !turned {
        return Laid { labels, turned, apart_voxels };
    }
    let mut out = Volume::filled(ct.shape, 0u8);
    let mut slice = vec![0; canonical[1] * canonical[2]];
    for z in 0..canonical[0] {
        from.read_slice(&labels, z, &mut slice);
        to.write_slice(&mut out, z, &slice);
    }
    Laid { labels: out, turned, apart_voxels }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use gg_volume::{Affine, SpacingTrust};

    pub(crate) fn grid(shape: [usize; 3], columns: [[f64; 3]; 3], origin: [f64; 3]) -> Grid {
        let affine = Affine::new(columns, origin).unwrap();
        Grid {
            shape,
            spacing_mm: Some(affine.spacing_mm()),
            affine: Some(affine),
            trust: SpacingTrust::Trusted,
        }
    }

    #[test]
    fn a_mask_stored_the_other_way_round_is_turned_and_lies_where_it_was() {
        let ct = grid([2, 2, 3], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], [5.0, 6.0, 7.0]);
        let right = Volume::from_vec([2, 2, 3], (0..12).collect()).unwrap();
        // columns run to the right: the first voxel lies where the last column of the CT does
        let turned = grid([2, 2, 3], [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], [7.0, 6.0, 7.0]);
        let flipped = Volume::from_vec([2, 2, 3], vec![2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9]).unwrap();
        let laid = lay(flipped.clone(), &turned, &ct);
        assert_eq!((laid.labels, laid.turned, laid.apart_voxels), (right, true, Some(0.0)));
        // the same header without the new origin says that the mask lies elsewhere
        let sloppy = grid([2, 2, 3], [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], [5.0, 6.0, 7.0]);
        assert_eq!(lay(flipped, &sloppy, &ct).apart_voxels, Some(2.0));
    }

    #[test]
    fn a_mask_without_a_header_stays_as_it_is() {
        let ct = grid([1, 1, 2], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], [0.0; 3]);
        let labels = Volume::from_vec([1, 1, 2], vec![0, 1]).unwrap();
        let laid = lay(labels.clone(), &Grid::unknown([1, 1, 2], "made for a test"), &ct);
        assert_eq!((laid.labels, laid.turned, laid.apart_voxels), (labels, false, None));
    }

    #[test]
    fn unknown_labels_are_told_with_all_that_were_found() {
        let labels = Volume::from_vec([1, 1, 4], vec![0, 4, 1, 7]).unwrap();
        let error = binary(Structure::Lung, &labels, &MaskLabels::Lung).unwrap_err();
        assert_eq!(error, UnknownLabels { found: vec![0, 1, 4, 7], first: 4, right: vec![0, 1, 2] });
    }
}
