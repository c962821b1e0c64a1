//! How a stored array is walked so that it reads as an axial LPS volume, and the way back.
//!
//! Nothing is copied: a canonical slice is gathered from the stored array, a canonical mask scattered into it.

use crate::{Affine, Orientation, Volume};

/// For canonical axes `[z, y, x]` (z to the head, y to the posterior, x to the patient's left): which stored axis
/// of `[z, y, x]` they are and whether that axis is walked backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AxisMap {
    /// `axis[c]` is the stored axis (0 = z, 1 = y, 2 = x) that canonical axis `c` runs along.
    pub axis: [usize; 3],
    /// Whether the stored axis runs against the canonical one.
    pub flip: [bool; 3],
}

impl AxisMap {
    /// The stored order is the canonical one (also used where the orientation is unknown).
    pub const IDENTITY: Self = Self { axis: [0, 1, 2], flip: [false; 3] };

    /// The map for an array whose axes grow in these directions.
    pub fn from_orientation(orientation: Orientation) -> Self {
        let mut map = Self::IDENTITY;
        for (stored_xyz, (world, negative)) in orientation.axes().into_iter().enumerate() {
            map.axis[2 - world] = 2 - stored_xyz;
            map.flip[2 - world] = negative;
        }
        map
    }

    /// The map for an affine, or the identity where there is none.
    pub fn from_affine(affine: Option<&Affine>) -> Self {
        affine.map_or(Self::IDENTITY, |a| Self::from_orientation(a.orientation()))
    }

    /// Shape `[z, y, x]` as seen canonically.
    pub fn canonical_shape(&self, stored: [usize; 3]) -> [usize; 3] {
        self.axis.map(|a| stored[a])
    }

    /// Spacing or any other triple in array order, as seen canonically.
    pub fn canonical<T: Copy>(&self, stored: [T; 3]) -> [T; 3] {
        self.axis.map(|a| stored[a])
    }

    /// Stored index `[z, y, x]` of a canonical index `[z, y, x]`.
    pub fn stored_index(&self, stored_shape: [usize; 3], canonical: [usize; 3]) -> [usize; 3] {
        let mut out = [0; 3];
        for (c, index) in canonical.into_iter().enumerate() {
            let a = self.axis[c];
            out[a] = if self.flip[c] { stored_shape[a] - 1 - index } else { index };
        }
        out
    }

    /// Copies canonical slice `z` into `out` (`y * x` values of the canonical shape).
    pub fn read_slice<T: Copy>(&self, volume: &Volume<T>, z: usize, out: &mut [T]) {
        let (start, step_y, step_x) = self.slice_steps(volume.shape(), z);
        let [_, ny, nx] = self.canonical_shape(volume.shape());
        let data = volume.data();
        for (y, out) in out.chunks_exact_mut(nx.max(1)).take(ny).enumerate() {
            let first = start + step_y * y as isize;
            match step_x {
                1 => out.copy_from_slice(&data[first as usize..first as usize + nx]),
                -1 => {
                    let stored = data[(first + 1 - nx as isize) as usize..=first as usize].iter().rev();
                    out.iter_mut().zip(stored).for_each(|(o, &v)| *o = v);
                }
                _ => {
                    let at = |x: usize| (first + step_x * x as isize) as usize;
                    out.iter_mut().enumerate().for_each(|(x, o)| *o = data[at(x)]);
                }
            }
        }
    }

    /// Copies a canonical slice into its place in the stored volume.
    pub fn write_slice<T: Copy>(&self, volume: &mut Volume<T>, z: usize, slice: &[T]) {
        let (start, step_y, step_x) = self.slice_steps(volume.shape(), z);
        let [_, ny, nx] = self.canonical_shape(volume.shape());
        let data = volume.data_mut();
        for (y, row) in slice.chunks_exact(nx.max(1)).take(ny).enumerate() {
            let first = start + step_y * y as isize;
            match step_x {
                1 => data[first as usize..first as usize + nx].copy_from_slice(row),
                -1 => {
                    let stored = data[(first + 1 - nx as isize) as usize..=first as usize].iter_mut().rev();
                    stored.zip(row).for_each(|(o, &v)| *o = v);
                }
                _ => {
                    let at = |x: usize| (first + step_x * x as isize) as usize;
                    row.iter().enumerate().for_each(|(x, &v)| data[at(x)] = v);
                }
            }
        }
    }

    /// Offset of the slice's first voxel and the steps per canonical row and column, in stored elements.
    fn slice_steps(&self, stored: [usize; 3], z: usize) -> (isize, isize, isize) {
        let strides = [(stored[1] * stored[2]) as isize, stored[2] as isize, 1];
        let first = self.stored_index(stored, [z, 0, 0]);
        let start: isize = (0..3).map(|a| first[a] as isize * strides[a]).sum();
        let step = |c: usize| if self.flip[c] { -strides[self.axis[c]] } else { strides[self.axis[c]] };
        (start, step(1), step(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orientation_goes_there_and_back() {
        let shape = [2, 3, 4];
        let volume = Volume::from_vec(shape, (0..24u8).collect()).unwrap();
        for text in ["LPS", "RAS", "LAS", "SPL", "PIR", "AIL", "ILP", "RPI"] {
            let map = AxisMap::from_orientation(Orientation::parse(text).unwrap());
            let [nz, ny, nx] = map.canonical_shape(shape);
            let mut back = Volume::filled(shape, 255u8);
            let mut slice = vec![0; ny * nx];
            for z in 0..nz {
                map.read_slice(&volume, z, &mut slice);
                for y in 0..ny {
                    for x in 0..nx {
                        let [sz, sy, sx] = map.stored_index(shape, [z, y, x]);
                        assert_eq!(slice[y * nx + x], volume.at(sz, sy, sx), "{text}");
                    }
                }
                map.write_slice(&mut back, z, &slice);
            }
            assert_eq!(back, volume, "{text}");
        }
    }

    #[test]
    fn a_ras_array_is_walked_backwards_in_x_and_y() {
        let map = AxisMap::from_orientation(Orientation::parse("RAS").unwrap());
        assert_eq!(map, AxisMap { axis: [0, 1, 2], flip: [false, true, true] });
    }
}
