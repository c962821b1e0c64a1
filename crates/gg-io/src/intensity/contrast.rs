//! The traces that contrast-limited histogram equalisation (CLAHE) leaves in 8-bit grey.
//!
//! CLAHE stretches each of its tiles by itself. It leaves three traces, each of which other pictures may show too,
//! but hardly two at once:
//!
//! * no level is saturated: the windows of viewers push air to 0 or bone to 255, CLAHE keeps hardly a voxel there;
//! * the histogram of every small part of the picture is broad (median entropy of 8 x 8 tiles);
//! * flat parts are rough: noise is stretched by up to the clip limit (mean step between neighbours in the
//!   calmest quarter of 8 x 8 pixel blocks).

use gg_volume::Volume;
use rayon::prelude::*;

/// Share of the voxels at exactly 0 or 255 up to which nothing counts as saturated.
const SATURATED: (f64, f64) = (0.002, 0.003);
/// Median entropy in bits of 64 tiles; the medseg volumes reach 6.0, the CLAHE'd covid20 volumes begin at 6.39.
const BROAD_BITS: f64 = 6.3;
/// Grey levels between neighbours; smooth 8-bit pictures of the tests have 0.7 to 5.2, CLAHE'd ones 5.6 to 37.
const ROUGH_STEP: f64 = 5.5;
/// Tiles along each side of a slice.
const TILES: usize = 8;
/// Side of a block in pixels.
const BLOCK: usize = 8;
/// Share of saturated pixels above which a block says nothing about noise.
const BLOCK_SATURATED: usize = BLOCK * BLOCK / 10;
const LEVELS: usize = 256;

/// Medians over the slices.
pub(super) struct Traces {
    pub(super) black: f64,
    white: f64,
    tile_bits: f64,
    calm_step: f64,
}

impl Traces {
    pub(super) fn of(voxels: &Volume<f32>, slices: &[usize]) -> Self {
        let [_, ny, nx] = voxels.shape();
        let of_slice = |&z: &usize| {
            let grey: Vec<u8> = voxels.slice(z).iter().map(|v| v.round() as u8).collect();
            if grey.iter().all(|g| *g == grey[0]) {
                return None; // padding
            }
            let share = |level: u8| grey.iter().filter(|g| **g == level).count() as f64 / grey.len() as f64;
            Some(([share(0), share(255), tile_entropy(&grey, ny, nx)], calm_step(&grey, ny, nx)))
        };
        let found: Vec<([f64; 3], Option<f64>)> = slices.par_iter().filter_map(of_slice).collect();
        let every = |which: usize| found.iter().map(|(f, _)| f[which]).collect::<Vec<f64>>();
        let [mut black, mut white, mut bits] = [0, 1, 2].map(every);
        let mut steps: Vec<f64> = found.iter().filter_map(|(_, step)| *step).collect();
        Self {
            black: quantile(&mut black, 0.5),
            white: quantile(&mut white, 0.5),
            tile_bits: quantile(&mut bits, 0.5),
            calm_step: quantile(&mut steps, 0.5),
        }
    }

    fn found(&self) -> [bool; 3] {
        [
            self.black <= SATURATED.0 && self.white <= SATURATED.1,
            self.tile_bits >= BROAD_BITS,
            self.calm_step >= ROUGH_STEP,
        ]
    }

    /// How many of the three traces are there.
    pub(super) fn count(&self) -> usize {
        self.found().into_iter().filter(|f| *f).count()
    }

    pub(super) fn reasons(&self) -> [String; 3] {
        let [clean, broad, rough] = self.found();
        let saturated = 100.0 * (self.black + self.white);
        [
            format!(
                "{saturated:.1} % saturated ({})",
                if clean { "as after CLAHE" } else { "as after a window" }
            ),
            format!(
                "{:.1} bits of entropy in small parts ({})",
                self.tile_bits,
                if broad { "broad, as after CLAHE" } else { "not equalised" }
            ),
            format!(
                "neighbours in calm parts differ by {:.1} levels ({})",
                self.calm_step,
                if rough { "noise stretched, as by CLAHE" } else { "noise not stretched" }
            ),
        ]
    }
}

/// Median over tiles of the entropy of a tile's histogram, in bits.
fn tile_entropy(grey: &[u8], ny: usize, nx: usize) -> f64 {
    let mut entropies = Vec::with_capacity(TILES * TILES);
    for ty in 0..TILES {
        for tx in 0..TILES {
            let (y0, y1) = (ty * ny / TILES, (ty + 1) * ny / TILES);
            let (x0, x1) = (tx * nx / TILES, (tx + 1) * nx / TILES);
            if y0 == y1 || x0 == x1 {
                continue;
            }
            let mut counts = [0u32; LEVELS];
            for y in y0..y1 {
                for &g in &grey[y * nx + x0..y * nx + x1] {
                    counts[usize::from(g)] += 1;
                }
            }
            let n = ((y1 - y0) * (x1 - x0)) as f64;
            let bits: f64 =
                counts.iter().filter(|c| **c > 0).map(|&c| f64::from(c) / n).map(|p| -p * p.log2()).sum();
            entropies.push(bits);
        }
    }
    quantile(&mut entropies, 0.5)
}

/// Lower quartile over blocks of the mean step between horizontal neighbours. `None` where no block is whole.
fn calm_step(grey: &[u8], ny: usize, nx: usize) -> Option<f64> {
    let mut steps = Vec::new();
    for by in 0..ny / BLOCK {
        for bx in 0..nx.saturating_sub(1) / BLOCK {
            let (mut sum, mut saturated) = (0u32, 0);
            for y in by * BLOCK..(by + 1) * BLOCK {
                let row = &grey[y * nx + bx * BLOCK..=y * nx + (bx + 1) * BLOCK];
                for pair in row.windows(2) {
                    sum += u32::from(pair[0].abs_diff(pair[1]));
                    saturated += usize::from(pair[0] == 0 || pair[0] == 255);
                }
            }
            if saturated < BLOCK_SATURATED {
                steps.push(f64::from(sum) / (BLOCK * BLOCK) as f64);
            }
        }
    }
    (!steps.is_empty()).then(|| quantile(&mut steps, 0.25))
}

/// A value of the list (no interpolation); 0 for an empty list.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 - 1.0).max(0.0) * q).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}
