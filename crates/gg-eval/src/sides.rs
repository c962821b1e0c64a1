//! Which voxels of a lung mask are the right lung and which the left.
//!
//! Sides come from geometry: a label only tells the two lungs apart, which one lies to the patient's right follows from
//! the axes. A mask with one label for both lungs is split by its shape. Lungs that lie one in front of the other have
//! no sides: the picture is turned by a quarter, whatever the axes are said to be.

use gg_imaging::{Connectivity, label_2d};
use gg_volume::{AxisMap, LabelVolume, Warning};
use rayon::prelude::*;

/// Voxels that one thread looks at at once.
const PART: usize = 1 << 18;

/// The middle of each lung is further than this share of the picture's width from the picture's middle.
const BESIDE_THE_MIDDLE: f64 = 0.15;
/// Fewer slices, and a smaller share of those with lung, do not tell that a picture is turned.
const FEWEST_TURNED: usize = 3;
const TURNED: f64 = 0.1;
/// Two parts of a slice are the two lungs where the smaller has at least this share of the larger one's area.
const ALIKE: f64 = 0.3;

/// How the labels of a lung mask tell the lungs apart.
pub(crate) struct Lungs {
    /// A mask made anew where one label stood for both lungs.
    made: Option<LabelVolume>,
    /// 1 or 2 for each label.
    pub(crate) kinds: [u8; 256],
    /// Columns of a canonical slice.
    width: usize,
    /// Mean canonical x of the kinds 1 and 2; none where the sides cannot be told, with the reason.
    x: Result<[Option<f64>; 2], String>,
    /// How many slices show lung, two lungs, and one lung in front of the other.
    seen: [usize; 3],
}

impl Lungs {
    pub(crate) fn new(lung: &LabelVolume, map: Option<&AxisMap>) -> Self {
        let Some(map) = map else {
            let x = Err("the orientation is unknown".to_owned());
            return Self { made: None, kinds: [1; 256], width: 0, x, seen: [0; 3] };
        };
        let present = |part: &[u8]| {
            let mut present = [false; 256];
            part.iter().for_each(|v| present[usize::from(*v)] = true);
            present
        };
        let either = |a: [bool; 256], b: [bool; 256]| std::array::from_fn(|l| a[l] | b[l]);
        let present = lung.data().par_chunks(PART).map(present).reduce(|| [false; 256], either);
        let found: Vec<usize> = (1..256).filter(|&l| present[l]).collect();
        let mut kinds = [1u8; 256];
        let made = match found[..] {
            [] => None,
            [_, second] => {
                kinds[second] = 2;
                None
            }
            _ => {
                kinds[2] = 2;
                Some(gg_imaging::split_lungs(lung.clone(), map))
            }
        };
        let x = mean_x(made.as_ref().unwrap_or(lung), map, &kinds);
        let seen = one_in_front_of_the_other(lung, map);
        Self { made, kinds, width: map.canonical_shape(lung.shape())[2], x: Ok(x), seen }
    }

    pub(crate) fn mask<'a>(&'a self, given: &'a LabelVolume) -> &'a LabelVolume {
        self.made.as_ref().unwrap_or(given)
    }

    /// A remark (`lungs_not_side_by_side`) where the picture is turned by a quarter.
    pub(crate) fn turned(&self) -> Option<Warning> {
        let [with_lung, two, turned] = self.seen;
        // Lungs lie side by side in every slice, and in a turned picture one in front of the other in nearly every
        // slice. A few slices with pieces of a lone lung are no such picture.
        let many = turned >= FEWEST_TURNED.min(with_lung) && turned as f64 >= TURNED * with_lung as f64;
        (many && 2 * turned > two).then(|| {
            Warning::new(
                "lungs_not_side_by_side",
                format!(
                    "one lung lies in front of the other in {turned} of the {two} slices that show two: the picture is probably turned by \
                     a quarter, whatever its header says; right would be rows that run from front to back and columns from side to side"
                ),
            )
        })
    }

    /// A remark (`lone_lung`) where one lung alone was found near the middle of several slices: the picture shows half
    /// a chest, or its slices run along another plane of the body than its header says.
    pub(crate) fn alone(&self) -> Option<Warning> {
        let [with_lung, two, _] = self.seen;
        let lone = self.made.is_some() && with_lung >= FEWEST_TURNED && 2 * two < with_lung;
        (lone && self.in_the_middle()).then(|| {
            Warning::new(
                "lone_lung",
                "one lung alone was found, near the middle of the picture: it shows one half of the chest, or its slices are no axial ones, \
                 whatever its header says: look at the CT before any number is used",
            )
        })
    }

    /// Whether there is one lung alone, and not well beside the middle, as it lies in a picture of the whole chest.
    fn in_the_middle(&self) -> bool {
        match self.x {
            Ok([Some(x), None] | [None, Some(x)]) => (x / self.width as f64 - 0.5).abs() < BESIDE_THE_MIDDLE,
            _ => false,
        }
    }

    /// Which kind is the right lung and which the left: low x is the patient's right.
    pub(crate) fn order(&self, lung_voxels: u64) -> Result<[usize; 2], String> {
        let x = self.x.clone()?;
        if lung_voxels == 0 {
            return Err("no lung was found".to_owned());
        }
        if self.turned().is_some() {
            return Err("one lung lies in front of the other, so that neither is known to be the right one"
                .to_owned());
        }
        match x {
            [Some(a), Some(b)] if a > b => Ok([2, 1]),
            // A lone lung that a picture of the whole chest shows lies well beside its middle.
            _ if self.made.is_some() && self.in_the_middle() => {
                Err("one lung alone was found, near the middle of the picture, which may show no other"
                    .to_owned())
            }
            // a mask made by `split_lungs` has 1 right and 2 left, also where one of them is missing
            _ => Ok([1, 2]),
        }
    }
}

/// How many canonical slices show lung, two lungs that do not touch, and one of those in front of the other.
fn one_in_front_of_the_other(lung: &LabelVolume, map: &AxisMap) -> [usize; 3] {
    let [nz, ny, nx] = map.canonical_shape(lung.shape());
    let of_slice = |slice: &mut Vec<u8>, z: usize| {
        slice.resize(ny * nx, 0);
        map.read_slice(lung, z, slice);
        let found = label_2d(slice, ny, nx, Connectivity::Corners);
        let with_lung = usize::from(!found.is_empty());
        let [first, second, ..] = found.by_size()[..] else { return [with_lung, 0, 0] };
        let [first, second] = [first, second].map(|k| &found.list[k]);
        if (second.voxels as f64) < ALIKE * first.voxels as f64 {
            return [with_lung, 0, 0];
        }
        let apart = |axis: usize| (first.centroid[axis] - second.centroid[axis]).abs();
        [with_lung, 1, usize::from(apart(1) > apart(2))]
    };
    let sum = |a: [usize; 3], b: [usize; 3]| std::array::from_fn(|i| a[i] + b[i]);
    (0..nz).into_par_iter().map_init(Vec::new, of_slice).reduce(|| [0; 3], sum)
}

/// Mean canonical x of the voxels of each kind.
fn mean_x(lung: &LabelVolume, map: &AxisMap, kinds: &[u8; 256]) -> [Option<f64>; 2] {
    let [nz, ny, nx] = map.canonical_shape(lung.shape());
    let sums: Vec<[[u64; 2]; 2]> = (0..nz)
        .into_par_iter()
        .map(|z| {
            let mut slice = vec![0u8; ny * nx];
            map.read_slice(lung, z, &mut slice);
            let mut sums = [[0u64; 2]; 2];
            for (i, &l) in slice.iter().enumerate().filter(|(_, l)| **l != 0) {
                let kind = usize::from(kinds[usize::from(l)]) - 1;
                sums[kind][0] += (i % nx) as u64;
                sums[kind][1] += 1;
            }
            sums
        })
        .collect();
    [0, 1].map(|kind| {
        let sum = |what: usize| sums.iter().map(|s| s[kind][what]).sum::<u64>();
        (sum(1) > 0).then(|| sum(0) as f64 / sum(1) as f64)
    })
}
