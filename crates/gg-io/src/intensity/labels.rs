//! Whether a volume holds labels instead of grey values: a mask, or a map of many organs, given in the place of a CT.
//!
//! A report on a mask means nothing, so the readers of a CT refuse one unless the user states what its grey values
//! are. Two rules, each on whole numbers from 0 up alone, so that a CT in HU is told after its first voxels:
//!
//! * a mask: 2 to 8 different values up to 255, and 0 is the most frequent. A volume of one value is no mask: it is
//!   an empty CT, in which no lung is found;
//! * a map of labels: at most 256 different values in flat regions. Of the pairs of neighbours that touch a value
//!   between the lowest and the highest (which windows saturate), most are equal; noise leaves hardly any equal.

use super::sample;
use gg_volume::Volume;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Most values of a mask.
const MASK_VALUES: usize = 8;
/// Most labels of a map; the largest sets of organs have about 200.
const MAP_VALUES: usize = 256;
/// Voxels that one thread counts at once.
const PART: usize = 1 << 20;
/// Share of equal neighbours from which regions count as flat.
const FLAT: f64 = 0.75;

/// The labels of a volume that holds labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels {
    /// All values, ascending.
    pub(crate) values: Vec<u16>,
    /// Few values on a background of 0, else many in flat regions.
    pub(crate) mask: bool,
}

impl Labels {
    /// What was found, as a clause about "it".
    pub(crate) fn words(&self) -> String {
        let n = self.values.len();
        if self.mask {
            let values: Vec<String> = self.values.iter().map(u16::to_string).collect();
            return format!("it holds only the values {}, mostly 0, as a mask does", values.join(", "));
        }
        format!("it holds {n} different whole numbers in flat regions, as a map of labels does")
    }
}

/// The labels, where the volume certainly holds labels.
pub(crate) fn labels(voxels: &Volume<f32>) -> Option<Labels> {
    let values = whole_values(voxels.data())?;
    if values.len() < 2 {
        return None;
    }
    let most = values.iter().map(|(_, n)| *n).max()?;
    let background = values[0].0 == 0 && values[0].1 == most;
    let values: Vec<u16> = values.into_iter().map(|(v, _)| v).collect();
    let small = values.len() <= MASK_VALUES && values.iter().all(|v| *v <= u16::from(u8::MAX));
    let mask = small && background;
    (mask || is_flat(voxels, &values)).then_some(Labels { values, mask })
}

/// All values with their counts, ascending; `None` where one is no label or there are too many.
fn whole_values(data: &[f32]) -> Option<Vec<(u16, u64)>> {
    // Grey values are told by the first part, mostly by its first voxel.
    let (first, rest) = data.split_at(data.len().min(PART));
    let first = count_part(first)?;
    let rest: Vec<Vec<(u16, u64)>> = rest.par_chunks(PART).map(count_part).collect::<Option<_>>()?;
    let mut all = BTreeMap::new();
    for (value, n) in std::iter::once(first).chain(rest).flatten() {
        *all.entry(value).or_insert(0) += n;
    }
    (all.len() <= MAP_VALUES).then(|| all.into_iter().collect())
}

/// The same for a part.
fn count_part(part: &[f32]) -> Option<Vec<(u16, u64)>> {
    let mut counts = vec![0u32; usize::from(u16::MAX) + 1];
    for &v in part {
        let whole = v as u16; // saturates; NaN becomes 0
        if f32::from(whole) != v {
            return None;
        }
        counts[usize::from(whole)] += 1;
    }
    let found = (0..=u16::MAX).zip(counts).filter(|(_, n)| *n > 0).map(|(v, n)| (v, u64::from(n)));
    let found: Vec<(u16, u64)> = found.collect();
    (found.len() <= MAP_VALUES).then_some(found)
}

/// Whether most neighbours along rows and columns are equal.
fn is_flat(voxels: &Volume<f32>, values: &[u16]) -> bool {
    let (Some(&low), Some(&high)) = (values.first(), values.last()) else { return false };
    let (low, high) = (f32::from(low), f32::from(high));
    let between = |v: f32| values.len() == 2 || (v != low && v != high);
    let columns = voxels.shape()[2].max(1);
    let (mut pairs, mut equal) = (0u64, 0u64);
    let mut look = |a: f32, b: f32| {
        if between(a) || between(b) {
            pairs += 1;
            equal += u64::from(a == b);
        }
    };
    for z in sample(voxels) {
        let slice = voxels.slice(z);
        for row in slice.chunks_exact(columns) {
            row.windows(2).for_each(|w| look(w[0], w[1]));
        }
        slice.iter().zip(slice.iter().skip(columns)).for_each(|(a, b)| look(*a, *b));
    }
    pairs > 0 && equal as f64 >= FLAT * pairs as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 24;

    fn volume(value: impl Fn(usize, usize) -> f32) -> Volume<f32> {
        let data = (0..2 * SIDE * SIDE).map(|i| value(i / SIDE % SIDE, i % SIDE)).collect();
        Volume::from_vec([2, SIDE, SIDE], data).unwrap()
    }

    #[test]
    fn few_values_on_a_background_are_a_mask() {
        let found = labels(&volume(|y, x| if y > 15 { (x % 3) as f32 } else { 0.0 })).unwrap();
        assert_eq!((found.values, found.mask), (vec![0, 1, 2], true));
        let found = labels(&volume(|y, _| if y > 20 { 255.0 } else { 0.0 })).unwrap();
        assert_eq!((found.values, found.mask), (vec![0, 255], true));
    }

    #[test]
    fn many_values_in_flat_regions_are_a_map_of_labels() {
        let found = labels(&volume(|y, x| (y / 8 * 3 + x / 8) as f32)).unwrap();
        assert_eq!((found.values.len(), found.mask), (9, false));
        let found = labels(&volume(|y, _| if y > 1 { 1.0 } else { 0.0 })).unwrap();
        assert_eq!((found.values, found.mask), (vec![0, 1], false));
    }

    #[test]
    fn a_large_volume_is_counted_as_a_whole() {
        let n = 2 * PART + 77;
        let mut data: Vec<f32> = (0..n).map(|i| (i % 5) as f32).collect();
        data[n - 1] = 65535.0;
        let found = whole_values(&data).unwrap();
        assert_eq!(found.iter().map(|(v, _)| *v).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 65535]);
        assert_eq!(found.iter().map(|(_, n)| *n).sum::<u64>(), n as u64);
        for (at, bad) in [(0, -1.0), (PART, 0.5), (n - 1, 65536.0), (n - 1, f32::NAN)] {
            let before = std::mem::replace(&mut data[at], bad);
            assert_eq!(whole_values(&data), None, "{bad}");
            data[at] = before;
        }
        // too many values, though few in each part
        let many: Vec<f32> = (0..n).map(|i| (i % 200 + i / PART * 200) as f32).collect();
        assert_eq!(whole_values(&many), None);
    }

    #[test]
    fn one_value_and_grey_values_are_none() {
        assert_eq!(labels(&volume(|_, _| 0.0)), None);
        assert_eq!(labels(&volume(|_, _| 7.0)), None);
        assert_eq!(labels(&volume(|y, x| -((y + x) as f32))), None);
        assert_eq!(labels(&volume(|y, x| (y + x) as f32 / 10.0)), None);
        // 8-bit grey of a narrow window: air is black, tissue white, and the lung between them is noisy.
        let window = volume(|y, x| match y {
            0..6 => 0.0,
            6..14 => 255.0,
            _ => ((y * 31 + x * 17) % 97) as f32 + 60.0,
        });
        assert_eq!(labels(&window), None);
    }
}
