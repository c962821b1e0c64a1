//! What the lungs and the infection look like in Hounsfield units: mean, spread, percentiles, and texture.
//!
//! * Only of CT in HU: grey values of a window have another meaning in every file.
//! * Mean, standard deviation (divisor n) and skewness from values rounded to 1/16 HU; percentiles to 1 HU (the lowest
//!   value that at least so many voxels do not exceed). Sums are whole numbers, so that the number of threads cannot
//!   matter.
//! * Texture from the grey-level co-occurrence matrix of neighbouring voxels in axial slices: bins of 25 HU from -1000 to
//!   400 (values beyond stand in the end bins), distance of one voxel, four directions, symmetric, all pairs of the volume
//!   in one matrix; both voxels must lie in the tissue. Source: Haralick et al. 1973; names and formulas as in the Image
//!   Biomarker Standardisation Initiative (contrast, inverse difference moment, angular second moment, joint entropy in
//!   bits, correlation). A voxel's width is not made equal between scans: texture compares scans of like spacing.

use gg_volume::{AxisMap, LabelVolume, Volume};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Attenuation of the lungs, infected or not, and of the infection in them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attenuation {
    /// All of the lungs; `None` where there are none.
    pub lung: Option<Tissue>,
    /// The infection inside the lungs; `None` where there is none.
    pub infection: Option<Tissue>,
}

/// HU statistics of one tissue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tissue {
    /// Voxels measured.
    pub voxels: u64,
    /// Mean.
    pub mean_hu: f64,
    /// Standard deviation.
    pub sd_hu: f64,
    /// Third moment over the cube of the standard deviation; `None` where nothing varies.
    pub skewness: Option<f64>,
    /// 5th percentile.
    pub p05_hu: f64,
    /// 25th percentile.
    pub p25_hu: f64,
    /// Median.
    pub median_hu: f64,
    /// 75th percentile.
    pub p75_hu: f64,
    /// 95th percentile.
    pub p95_hu: f64,
    /// `None` where no two voxels are neighbours in a slice.
    pub texture: Option<Texture>,
}

/// Features of the co-occurrence matrix.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Texture {
    /// Mean squared difference of neighbours, in bins.
    pub contrast: f64,
    /// Inverse difference moment: 1 where all neighbours are alike.
    pub homogeneity: f64,
    /// Angular second moment: 1 where all pairs are the same.
    pub energy: f64,
    /// Joint entropy in bits.
    pub entropy: f64,
    /// Correlation of neighbours; `None` where nothing varies.
    pub correlation: Option<f64>,
}

/// Ends of the histogram; HU beyond stand in its end bins.
const LOWEST_HU: i32 = -1024;
const HIGHEST_HU: i32 = 3071;
/// Parts of one HU in which sums are kept.
const FINE: f64 = 16.0;
/// Lower end, upper end and width of the bins of the co-occurrence matrix.
const TEXTURE_FROM: f64 = -1000.0;
const TEXTURE_TO: f64 = 400.0;
const TEXTURE_BIN: f64 = 25.0;
const LEVELS: usize = ((TEXTURE_TO - TEXTURE_FROM) / TEXTURE_BIN) as usize;
/// The level of a voxel that is not of the tissue.
const OUTSIDE: u8 = u8::MAX;
/// Half of the eight neighbours in a slice as rows and columns; the matrix is symmetric.
const DIRECTIONS: [(usize, isize); 4] = [(0, 1), (1, 0), (1, 1), (1, -1)];

/// Measures the attenuation of a CT in HU.
///
/// # Shape
/// All as stored; any label but 0 is inside. Infection outside the lungs does not count.
pub fn attenuation(
    hu: &Volume<f32>,
    lung: &LabelVolume,
    infection: &LabelVolume,
    map: &AxisMap,
) -> Attenuation {
    let [n, h, w] = map.canonical_shape(hu.shape());
    let one = |mut sums: Sums, z: usize| {
        let mut values = vec![0.0f32; h * w];
        let (mut inside, mut infected) = (vec![0u8; h * w], vec![0u8; h * w]);
        map.read_slice(lung, z, &mut inside);
        if inside.iter().any(|&l| l != 0) {
            map.read_slice(hu, z, &mut values);
            map.read_slice(infection, z, &mut infected);
            infected.iter_mut().zip(&inside).for_each(|(i, &l)| *i &= u8::from(l != 0).wrapping_neg());
            sums.lung.add(&values, &inside, w);
            sums.infection.add(&values, &infected, w);
        }
        sums
    };
    let sums = (0..n).into_par_iter().fold(Sums::default, one).reduce(Sums::default, Sums::merged);
    Attenuation { lung: sums.lung.tissue(), infection: sums.infection.tissue() }
}

/// HU beyond what a scanner's 16 bits can hold, which no scanner wrote, as the nearest that they can.
pub fn plausible_hu(hu: f32) -> f32 {
    hu.clamp(f32::from(i16::MIN), f32::from(i16::MAX))
}

#[derive(Default)]
struct Sums {
    lung: Counts,
    infection: Counts,
}

impl Sums {
    fn merged(mut self, other: Self) -> Self {
        self.lung.merge(&other.lung);
        self.infection.merge(&other.infection);
        self
    }
}

/// Whole-number sums of one tissue; empty lists where nothing was counted yet.
#[derive(Default)]
struct Counts {
    voxels: u64,
    /// First to third power of the values in parts of one HU.
    powers: [i128; 3],
    histogram: Vec<u64>,
    pairs: Vec<u64>,
}

impl Counts {
    fn add(&mut self, values: &[f32], inside: &[u8], width: usize) {
        if inside.iter().all(|&i| i == 0) {
            return;
        }
        self.histogram.resize((HIGHEST_HU - LOWEST_HU + 1) as usize, 0);
        self.pairs.resize(LEVELS * LEVELS, 0);
        // The cast cuts off towards 0, which below 0 comes to the same: the lowest bin takes what is beyond it.
        let level = |v: f32| (((f64::from(v) - TEXTURE_FROM) / TEXTURE_BIN) as usize).min(LEVELS - 1) as u8;
        let mut levels = vec![OUTSIDE; values.len()];
        for ((&v, _), to) in
            values.iter().zip(inside).zip(&mut levels).filter(|((v, i), _)| **i != 0 && v.is_finite())
        {
            let v = plausible_hu(v);
            *to = level(v);
            self.voxels += 1;
            let fine = i128::from(rounded(f64::from(v) * FINE));
            self.powers[0] += fine;
            self.powers[1] += fine * fine;
            self.powers[2] += fine * fine * fine;
            let hu = rounded(f64::from(v)).clamp(i64::from(LOWEST_HU), i64::from(HIGHEST_HU));
            self.histogram[(hu - i64::from(LOWEST_HU)) as usize] += 1;
        }
        let rows: Vec<&[u8]> = levels.chunks_exact(width.max(1)).collect();
        for (y, row) in rows.iter().enumerate() {
            for (dy, dx) in DIRECTIONS {
                let Some(other) = rows.get(y + dy) else { continue };
                // The pairs of columns that lie `dx` apart.
                let (from, to) = (dx.min(0).unsigned_abs(), dx.max(0).unsigned_abs());
                for (&a, &b) in row[from.min(width)..].iter().zip(&other[to.min(width)..]) {
                    if a != OUTSIDE && b != OUTSIDE {
                        self.pairs[usize::from(a) * LEVELS + usize::from(b)] += 1;
                        self.pairs[usize::from(b) * LEVELS + usize::from(a)] += 1;
                    }
                }
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        if other.voxels == 0 {
            return;
        }
        self.voxels += other.voxels;
        self.powers.iter_mut().zip(other.powers).for_each(|(a, b)| *a += b);
        for (mine, theirs) in [(&mut self.histogram, &other.histogram), (&mut self.pairs, &other.pairs)] {
            mine.resize(theirs.len(), 0);
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
    }

    fn tissue(&self) -> Option<Tissue> {
        if self.voxels == 0 {
            return None;
        }
        let n = self.voxels as f64;
        let [first, second, third] = self.powers.map(|p| p as f64 / n);
        let variance = (second - first * first).max(0.0);
        let third_central = third - 3.0 * first * second + 2.0 * first.powi(3);
        let percentile = |percent: f64| {
            let wanted = (percent / 100.0 * n).ceil().max(1.0) as u64;
            let mut seen = 0;
            let at = self.histogram.iter().position(|&count| {
                seen += count;
                seen >= wanted
            });
            f64::from(LOWEST_HU) + at.unwrap_or(0) as f64
        };
        Some(Tissue {
            voxels: self.voxels,
            mean_hu: first / FINE,
            sd_hu: variance.sqrt() / FINE,
            skewness: (variance > 0.0).then(|| third_central / variance.powf(1.5)),
            p05_hu: percentile(5.0),
            p25_hu: percentile(25.0),
            median_hu: percentile(50.0),
            p75_hu: percentile(75.0),
            p95_hu: percentile(95.0),
            texture: texture(&self.pairs, LEVELS),
        })
    }
}

/// The nearest whole number, halves away from 0, without a call into the system's library.
fn rounded(v: f64) -> i64 {
    let whole = v as i64;
    whole + i64::from(v - whole as f64 >= 0.5) - i64::from(v - whole as f64 <= -0.5)
}

/// Features of a symmetric matrix of counts.
fn texture(pairs: &[u64], levels: usize) -> Option<Texture> {
    let total = pairs.iter().sum::<u64>() as f64;
    if total == 0.0 {
        return None;
    }
    let mut t = Texture { contrast: 0.0, homogeneity: 0.0, energy: 0.0, entropy: 0.0, correlation: None };
    let (mut mean, mut square, mut product) = (0.0, 0.0, 0.0);
    for (at, _) in pairs.iter().enumerate().filter(|(_, n)| **n > 0) {
        let p = pairs[at] as f64 / total;
        let (i, j) = ((at / levels) as f64, (at % levels) as f64);
        let apart = (i - j).powi(2);
        t.contrast += p * apart;
        t.homogeneity += p / (1.0 + apart);
        t.energy += p * p;
        t.entropy -= p * p.log2();
        mean += p * i;
        square += p * i * i;
        product += p * i * j;
    }
    let variance = square - mean * mean;
    t.correlation = (variance > 0.0).then(|| (product - mean * mean) / variance);
    Some(t)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(values: &[f32], w: usize) -> Volume<f32> {
        Volume::from_vec([1, values.len() / w, w], values.to_vec()).unwrap()
    }

    #[test]
    fn rounding_is_that_of_the_standard_library() {
        let values =
            (-4000..4000).map(|i| f64::from(i) * 0.125).chain([0.49999999999999994, 2.5, -2.5, 1e12 + 0.5]);
        values.for_each(|v| assert_eq!(rounded(v), v.round() as i64, "{v}"));
    }

    /// Haralick's own example (1973, Fig. 3): the 4 x 4 picture 0011 0011 0222 2233 with its matrices in four directions.
    #[test]
    fn the_matrix_of_haralicks_example_gives_his_counts() {
        let picture = [0, 0, 1, 1, 0, 0, 1, 1, 0, 2, 2, 2, 2, 2, 3, 3];
        let values: Vec<f32> = picture.iter().map(|v| -1000.0 + 25.0 * *v as f32 + 3.0).collect();
        let mut counts = Counts::default();
        counts.add(&values, &[1; 16], 4);
        // P(0) + P(90) + P(45) + P(135) of the paper.
        let horizontal = [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]];
        let vertical = [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]];
        let falling = [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]];
        let rising = [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]];
        let all = [horizontal, vertical, falling, rising].map(|m| m.concat());
        for at in 0..16 {
            let right: u64 = all.iter().map(|m| m[at]).sum();
            assert_eq!(counts.pairs[at / 4 * LEVELS + at % 4], right, "{}, {}", at / 4, at % 4);
        }
        let t = texture(&counts.pairs, LEVELS).unwrap();
        let total: u64 = counts.pairs.iter().sum();
        assert_eq!(total, 2 * (12 + 12 + 9 + 9));
        assert!(t.energy > 0.0 && t.entropy > 1.0 && t.correlation.unwrap() > 0.0);
    }

    #[test]
    fn features_of_a_matrix_that_can_be_computed_by_hand() {
        // two levels: 0-0 four times, 0-1 and 1-0 twice each, 1-1 never
        let t = texture(&[4, 2, 2, 0], 2).unwrap();
        assert_eq!((t.contrast, t.homogeneity, t.energy), (0.5, 0.75, 0.375));
        assert!((t.entropy - 1.5).abs() < 1e-12);
        // mean 1/4, variance 3/16, covariance 0 - 1/16
        assert!((t.correlation.unwrap() + 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(texture(&[0; 4], 2), None);
    }

    #[test]
    fn hu_that_no_scanner_wrote_count_as_the_end_of_16_bits() {
        let mut hu = volume(&[-800.0; 8], 4);
        hu.data_mut()[3] = 3e38;
        let all = LabelVolume::from_vec([1, 2, 4], vec![1; 8]).unwrap();
        let lung = attenuation(&hu, &all, &all, &AxisMap::IDENTITY).lung.unwrap();
        assert_eq!(lung.mean_hu, (7.0 * -800.0 + 32_767.0) / 8.0);
    }

    #[test]
    fn statistics_are_those_of_the_tissue_alone() {
        let hu = volume(&[-800.0, -700.0, -600.0, -500.0, 40.0, -900.0, 1000.0, -650.5], 4);
        let mask = |v: [u8; 8]| LabelVolume::from_vec([1, 2, 4], v.to_vec()).unwrap();
        let lung = mask([1, 1, 2, 2, 0, 1, 0, 1]);
        let infection = mask([0, 0, 1, 1, 1, 0, 0, 0]);
        let found = attenuation(&hu, &lung, &infection, &AxisMap::IDENTITY);
        let (l, i) = (found.lung.unwrap(), found.infection.unwrap());
        assert_eq!((l.voxels, i.voxels), (6, 2));
        let values = [-800.0, -700.0, -600.0, -500.0, -900.0, -650.5];
        let mean = values.iter().sum::<f64>() / 6.0;
        let moment = |k: i32| values.iter().map(|v: &f64| (v - mean).powi(k)).sum::<f64>() / 6.0;
        assert!((l.mean_hu - mean).abs() < 1e-9 && (l.sd_hu - moment(2).sqrt()).abs() < 1e-9);
        assert!((l.skewness.unwrap() - moment(3) / moment(2).powf(1.5)).abs() < 1e-9);
        assert_eq!((l.p05_hu, l.median_hu, l.p95_hu), (-900.0, -700.0, -500.0));
        assert_eq!((i.mean_hu, i.sd_hu, i.skewness), (-550.0, 50.0, Some(0.0)));
        assert_eq!(i.texture.unwrap().contrast, 16.0); // 100 HU are four bins
        let none = mask([0; 8]);
        let empty = attenuation(&hu, &lung, &none, &AxisMap::IDENTITY);
        assert_eq!((empty.lung.is_some(), empty.infection), (true, None));
    }
}
