//! A dense three-dimensional array, indexed `[z, y, x]`.

use thiserror::Error;

/// The number of values does not fit the shape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found} values cannot fill a volume of shape {shape:?} (z, y, x)")]
pub struct ShapeError {
    /// Wanted shape, `[z, y, x]`.
    pub shape: [usize; 3],
    /// Number of values that were given.
    pub found: usize,
}

/// A dense volume of values, row-major in `[z, y, x]` (`x` fastest).
///
/// # Shape
/// `shape[0]` slices of `shape[1]` rows and `shape[2]` columns. The invariant `data.len() == z * y * x` is why
/// the fields are private.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume<T> {
    shape: [usize; 3],
    data: Vec<T>,
}

/// Whole-number labels on a grid; 0 is background. Dice of two label volumes cannot exceed 1.
pub type LabelVolume = Volume<u8>;

impl<T: Copy> Volume<T> {
    /// A volume in which every voxel has the same value.
    pub fn filled(shape: [usize; 3], value: T) -> Self {
        Self { shape, data: vec![value; shape[0] * shape[1] * shape[2]] }
    }

    /// Takes ownership of values in `[z, y, x]` order.
    ///
    /// # Errors
    /// [`ShapeError`] where `data` does not hold exactly `z * y * x` values.
    pub fn from_vec(shape: [usize; 3], data: Vec<T>) -> Result<Self, ShapeError> {
        if shape[0].checked_mul(shape[1]).and_then(|n| n.checked_mul(shape[2])) != Some(data.len()) {
            return Err(ShapeError { shape, found: data.len() });
        }
        Ok(Self { shape, data })
    }

    /// `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no voxel at all.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// All values, `x` fastest.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All values, `x` fastest.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Position of a voxel in [`Volume::data`].
    pub fn index(&self, z: usize, y: usize, x: usize) -> usize {
        (z * self.shape[1] + y) * self.shape[2] + x
    }

    /// The value at a voxel. Panics outside the volume, like slice indexing.
    pub fn at(&self, z: usize, y: usize, x: usize) -> T {
        self.data[self.index(z, y, x)]
    }

    /// One stored slice, `y * x` values.
    pub fn slice(&self, z: usize) -> &[T] {
        let n = self.shape[1] * self.shape[2];
        &self.data[z * n..(z + 1) * n]
    }

    /// One stored slice, `y * x` values.
    pub fn slice_mut(&mut self, z: usize) -> &mut [T] {
        let n = self.shape[1] * self.shape[2];
        &mut self.data[z * n..(z + 1) * n]
    }

    /// A volume of the same shape whose voxels are `f` of ours.
    pub fn map<U: Copy>(&self, f: impl Fn(T) -> U) -> Volume<U> {
        Volume { shape: self.shape, data: self.data.iter().map(|&v| f(v)).collect() }
    }
}

impl LabelVolume {
    /// Number of voxels with a label other than background.
    pub fn count_foreground(&self) -> usize {
        self.data.iter().filter(|&&v| v != 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_runs_fastest_and_z_slowest() {
        let v = Volume::from_vec([2, 3, 4], (0..24).collect()).unwrap();
        assert_eq!(v.at(1, 2, 3), 23);
        assert_eq!(v.at(0, 0, 1), 1);
        assert_eq!(v.slice(1)[0], 12);
    }

    #[test]
    fn a_wrong_number_of_values_is_refused() {
        assert!(Volume::from_vec([2, 2, 2], vec![0u8; 7]).is_err());
        assert!(Volume::from_vec([usize::MAX, 2, 2], vec![0u8; 7]).is_err());
    }
}
