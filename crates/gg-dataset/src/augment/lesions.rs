//! Lesions of another slice, transplanted into the lungs of this one.
//!
//! Slices cropped to the lungs lie over one another, so that a lesion comes to lie where it lay. It shows a network the
//! same lesions in other lungs, and lesions in CT of kinds that nobody outlined any in.

use super::grey::blur;
use crate::random::{Purpose, Stream};

/// Fewer pixels of lesion are left where they are: they would be lost in the seam.
const FEWEST: usize = 12;
/// Standard deviation of the seam between a lesion and its new surroundings, in pixels.
const SEAM_PIXELS: f64 = 1.0;

/// Draws whether, and from which of `places` slices of the epoch; `seed` is (seed, epoch, place).
pub(crate) fn draw(probability: f64, places: usize, seed: [u64; 3]) -> Option<usize> {
    let mut stream = Stream::new(seed[0], Purpose::Lesions, seed[1], seed[2]);
    stream.chance(probability).then(|| stream.below(places))
}

/// Where lesions of another slice lie inside the lungs of this one; `None` where hardly any do.
pub(crate) fn region(lesions: &[u8], lung: &[u8]) -> Option<Vec<u8>> {
    let region: Vec<u8> = lesions.iter().zip(lung).map(|(&i, &l)| u8::from(i != 0 && l != 0)).collect();
    (region.iter().filter(|&&r| r != 0).count() >= FEWEST).then_some(region)
}

/// Lays `from` over `onto` inside the region, with a soft seam.
pub(crate) fn lay(from: &[u8], onto: &mut [u8], region: &[u8], size: usize) {
    let mut share: Vec<u8> = region.iter().map(|&r| 255 * r).collect();
    blur(&mut share, size, SEAM_PIXELS);
    for ((onto, &from), share) in onto.iter_mut().zip(from).zip(share) {
        let (share, own) = (u32::from(share), u32::from(*onto));
        *onto = ((share * u32::from(from) + (255 - share) * own + 127) / 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 24;

    fn square(from: usize, to: usize) -> Vec<u8> {
        let inside = |i: usize| (from..to).contains(&(i / SIZE)) && (from..to).contains(&(i % SIZE));
        (0..SIZE * SIZE).map(|i| u8::from(inside(i))).collect()
    }

    #[test]
    fn lesions_stay_inside_the_new_lungs_and_fade_into_them() {
        let region = region(&square(8, 20), &square(4, 16)).unwrap();
        assert_eq!(region, square(8, 16));
        let (from, mut onto) = (vec![200u8; SIZE * SIZE], vec![50u8; SIZE * SIZE]);
        lay(&from, &mut onto, &region, SIZE);
        assert_eq!(onto[12 * SIZE + 12], 200);
        assert_eq!(onto[2 * SIZE + 2], 50);
        // Half-way across the edge of a straight seam, a pixel inside and one outside add up to both.
        let edge = [onto[12 * SIZE + 8], onto[12 * SIZE + 7]].map(i32::from);
        assert!((edge[0] + edge[1] - 250).abs() <= 2 && edge[0] > 140 && edge[1] < 110, "{edge:?}");
    }

    #[test]
    fn lesions_that_hardly_meet_the_lungs_are_left() {
        assert_eq!(region(&square(0, 3), &square(0, 24)), None);
        assert_eq!(region(&square(8, 20), &square(0, 8)), None);
        assert!(region(&square(8, 12), &square(0, 24)).is_some());
    }

    #[test]
    fn a_probability_is_a_share_of_the_slices() {
        let drawn: Vec<usize> = (0..2000).filter_map(|i| draw(0.3, 5, [4, 0, i])).collect();
        assert!((540..660).contains(&drawn.len()), "{} of 2000", drawn.len());
        assert!((0..5).all(|place| drawn.contains(&place)));
        assert_eq!(draw(0.0, 5, [4, 0, 1]), None);
    }
}
