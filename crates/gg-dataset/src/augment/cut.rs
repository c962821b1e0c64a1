//! CutMix: a rectangle of another slice, with its mask, laid over this one at the same place.
//!
//! Source: Yun et al., CutMix, ICCV 2019; for masks French et al., BMVC 2020. Slices cropped to the lungs lie over one
//! another, so that the rectangle shows about the same anatomy.

use crate::random::{Purpose, Stream};

/// Smallest and largest share of the picture that a rectangle covers.
const AREA: [f64; 2] = [0.1, 0.5];
/// Largest ratio of its sides.
const ASPECT: f64 = 2.0;

/// A rectangle, and the place in the epoch of the slice that it is cut from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Place in the epoch of the other slice.
    pub(crate) place: usize,
    size: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

impl Cut {
    /// Draws whether, from which of `places` slices and where; `seed` is (seed, epoch, place).
    pub(crate) fn draw(probability: f64, size: usize, places: usize, seed: [u64; 3]) -> Option<Self> {
        let mut stream = Stream::new(seed[0], Purpose::Cut, seed[1], seed[2]);
        if !stream.chance(probability) {
            return None;
        }
        let place = stream.below(places);
        let area = stream.range(AREA[0], AREA[1]);
        let aspect = stream.range(-ASPECT.ln(), ASPECT.ln()).exp();
        let side = |ratio: f64| (((area * ratio).sqrt() * size as f64).round() as usize).clamp(1, size);
        let (height, width) = (side(aspect), side(1.0 / aspect));
        let top = stream.below(size - height + 1);
        let left = stream.below(size - width + 1);
        Some(Self { place, size, rows: top..top + height, columns: left..left + width })
    }

    /// Lays the rectangle of one picture or mask over another.
    pub(crate) fn lay(&self, from: &[u8], onto: &mut [u8]) {
        for row in self.rows.clone() {
            let line = row * self.size + self.columns.start..row * self.size + self.columns.end;
            onto[line.clone()].copy_from_slice(&from[line]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_one_rectangle_of_a_tenth_to_half_of_the_picture() {
        const SIZE: usize = 40;
        let from: Vec<u8> = (0..SIZE * SIZE).map(|i| 1 + (i % 200) as u8).collect();
        let mut shares = Vec::new();
        for draw in 0..200 {
            let cut = Cut::draw(1.0, SIZE, 7, [1, 2, draw]).expect("a probability of 1");
            assert!(cut.place < 7);
            let mut onto = vec![0u8; SIZE * SIZE];
            cut.lay(&from, &mut onto);
            let laid: Vec<usize> = (0..onto.len()).filter(|&i| onto[i] != 0).collect();
            assert!(laid.iter().all(|&i| onto[i] == from[i]));
            let bounds = |of: fn(usize) -> usize| {
                let at = || laid.iter().map(|&i| of(i));
                at().max().unwrap_or(0) - at().min().unwrap_or(0) + 1
            };
            assert_eq!(laid.len(), bounds(|i| i / SIZE) * bounds(|i| i % SIZE));
            shares.push(laid.len() as f64 / (SIZE * SIZE) as f64);
        }
        let (least, most) = shares.iter().fold((1f64, 0f64), |(a, b), &s| (a.min(s), b.max(s)));
        assert!(least > 0.08 && least < 0.15 && most > 0.4 && most < 0.55, "{least} to {most}");
    }

    #[test]
    fn a_probability_is_a_share_of_the_slices() {
        let cut = (0..2000).filter(|&i| Cut::draw(0.3, 16, 5, [4, 0, i]).is_some()).count();
        assert!((540..660).contains(&cut), "{cut} of 2000");
        assert_eq!(Cut::draw(0.0, 16, 5, [4, 0, 1]), None);
    }
}
