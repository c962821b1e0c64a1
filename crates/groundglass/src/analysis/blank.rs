//! Slices that were not measured: they hold one value alone. At the ends they are padding; amid the lungs something was
//! lost.

use anyhow::{Result, bail};
use gg_volume::{AxisMap, CtVolume, IntensityKind};
use rayon::prelude::*;

/// A smaller share of a slice may differ from the one value that it holds.
const MARKED: f64 = 1e-3;

/// Which canonical slices are blank.
pub(super) struct Blank(Vec<bool>);

impl Blank {
    pub(super) fn of(ct: &CtVolume, map: &AxisMap) -> Self {
        let [n, h, w] = map.canonical_shape(ct.voxels.shape());
        let blur = match ct.intensity.kind {
            IntensityKind::Unknown => 0.0,
            IntensityKind::UnitRange => 0.01,
            _ => 2.0,
        };
        let blank = |slice: &mut Vec<f32>, z: usize| {
            slice.resize(h * w, 0.0);
            map.read_slice(&ct.voxels, z, slice);
            // One value but for a mark that was burned in, or what lossy compression made of it.
            let mut three = [slice[0], slice[slice.len() / 2], slice[slice.len() - 1]];
            three.sort_by(f32::total_cmp);
            let odd = slice.iter().filter(|v| (**v - three[1]).abs() > blur).count();
            (odd as f64) < MARKED * slice.len() as f64 || odd == 0
        };
        Self((0..n).into_par_iter().map_init(Vec::new, blank).collect())
    }

    /// How many there are at the feet and at the head; in a CT of nothing else, all are at the feet.
    pub(super) fn at_ends(&self) -> [usize; 2] {
        let feet = self.0.iter().take_while(|blank| **blank).count();
        let head = self.0[feet..].iter().rev().take_while(|blank| **blank).count();
        [feet, head]
    }

    /// An error where some lie amid the lungs: no network finds lung there, and what it finds beyond them may be taken
    /// for no lung. `lung_voxels` are those of each canonical slice.
    ///
    /// # Errors
    /// Such slices.
    pub(super) fn refuse_amid(&self, lung_voxels: &[usize]) -> Result<()> {
        let Self(blank) = self;
        // Runs of them with a measured slice on either side, one of which holds lung.
        let lung = |z: usize| lung_voxels.get(z).is_some_and(|&voxels| voxels > 0);
        let mut first = None;
        for z in 1..blank.len() {
            match (blank[z - 1], blank[z]) {
                (false, true) => first = Some(z),
                (true, false) => {
                    if let Some(first) = first.filter(|&first| lung(first - 1) || lung(z)) {
                        let which = match z - first {
                            1 => format!("slice {first} holds"),
                            _ => format!("slices {first} to {} hold", z - 1),
                        };
                        bail!(
                            "{which} one value alone amid or beside the lungs (of {} slices, counted from 0 at the feet where the \
                             orientation is known); what is not there cannot be measured, right would be a CT with every slice",
                            blank.len()
                        );
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::{Grid, Volume};

    fn blank(which: &[usize]) -> Blank {
        let shape = [9, 2, 2];
        let value = |i: usize| if which.contains(&(i / 4)) { -1024.0 } else { 10.0 * i as f32 };
        let voxels = Volume::from_vec(shape, (0..36).map(value).collect()).unwrap();
        let grid = Grid::unknown(shape, "made by a test");
        let ct = CtVolume { voxels, grid, intensity: gg_volume::Intensity::stated(IntensityKind::Hu) };
        Blank::of(&ct, &AxisMap::IDENTITY)
    }

    #[test]
    fn slices_of_one_value_are_refused_amid_lungs_alone() {
        let found = |which: &[usize], lung: &[usize]| {
            let voxels: Vec<usize> = (0..9).map(|z| usize::from(lung.contains(&z))).collect();
            blank(which).refuse_amid(&voxels).err().map(|e| e.to_string())
        };
        assert_eq!(found(&[], &[3, 4, 5]), None);
        assert_eq!(found(&[0, 1, 8], &[2, 3, 7]), None, "padding at the ends");
        assert_eq!(found(&[6], &[2, 3]), None, "outside the lungs");
        assert!(found(&[4], &[2, 3, 5]).unwrap().starts_with("slice 4 holds one value alone"));
        // Lung beyond them was taken for none.
        assert!(found(&[4, 5], &[6, 7]).unwrap().starts_with("slices 4 to 5 hold"));
    }

    #[test]
    fn padding_is_counted_at_either_end() {
        assert_eq!(blank(&[]).at_ends(), [0, 0]);
        assert_eq!(blank(&[0, 1, 4, 8]).at_ends(), [2, 1]);
        assert_eq!(blank(&[0, 1, 2, 3, 4, 5, 6, 7, 8]).at_ends(), [9, 0]);
    }
}
