//! What the grey values of a CT in HU say beside the masks: noise and streaks, blur, and on which side the spine lies.

mod blur;
mod noise;
mod spine;

pub use blur::check_blur;
pub use noise::check_noise;
pub use spine::check_spine;

/// In pictures of fewer pixels across, anatomy is as fine as noise.
const FEWEST_PIXELS: usize = 200;
/// Slices looked at, at most, evenly spread over those with lung.
const SLICES: usize = 48;

/// The slices with lung that are looked at, out of the lung voxels of each.
fn looked_at(lung_voxels: &[usize]) -> Vec<usize> {
    let with_lung: Vec<usize> = (0..lung_voxels.len()).filter(|&z| lung_voxels[z] > 0).collect();
    let n = with_lung.len().min(SLICES);
    (0..n).map(|i| with_lung[(2 * i + 1) * with_lung.len() / (2 * n)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_with_lung_are_looked_at_evenly() {
        assert_eq!(looked_at(&[0, 3, 0, 1, 2]), [1, 3, 4]);
        assert!(looked_at(&[0; 9]).is_empty() && looked_at(&[]).is_empty());
        let which = looked_at(&[1; 480]);
        assert_eq!((which.len(), which[0], which[47]), (SLICES, 5, 475));
        assert!(which.windows(2).all(|pair| pair[1] - pair[0] == 10));
    }
}
