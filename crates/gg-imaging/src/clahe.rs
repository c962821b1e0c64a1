//! Contrast-limited adaptive histogram equalisation (CLAHE) of 8-bit pictures, bit-exact with OpenCV.
//!
//! Each tile has its histogram, clipped at `max(1, trunc(clip * pixels / 256))`; what was clipped is spread evenly
//! over all bins, the rest one by one at a fixed step; the running sum, scaled to 255, is the tile's grey map. A
//! pixel takes the bilinear mean of the maps of the four tiles around it.
//!
//! Source: Zuiderveld, Graphics Gems IV (1994), in the form of OpenCV's `createCLAHE`. Quirks kept: where either
//! axis is not a multiple of its tiles, *both* are padded (reflected without the edge pixel), an axis that is a
//! multiple by one whole pixel per tile; all weights are `f32`, multiplied in OpenCV's order; rounding is half to
//! even. Golden set: `imaging/clahe`.

use crate::Rect;

/// Number of grey levels.
const BINS: usize = 256;

/// Adding this to an `f32` from 0 to 255 leaves the nearest whole number (half to even) in the lowest bits.
pub(crate) const ROUND_HALF_EVEN: f32 = 12_582_912.0; // 1.5 * 2^23

/// Equalises a picture of `h` x `w`. A `clip_limit` of 0 clips nothing (plain adaptive equalisation).
///
/// # Shape
/// The result has the shape of `src`.
pub fn clahe(src: &[u8], h: usize, w: usize, clip_limit: f64, tiles_y: usize, tiles_x: usize) -> Vec<u8> {
    clahe_within(src, [h, w], clip_limit, [tiles_y, tiles_x], Rect::whole(h, w))
}

/// What [`Rect::cut`] leaves of the equalised picture of `shape` `[h, w]`, padded with 0: the histograms of the whole are
/// needed, not its pixels.
pub(crate) fn clahe_within(
    src: &[u8],
    [h, w]: [usize; 2],
    clip_limit: f64,
    [tiles_y, tiles_x]: [usize; 2],
    part: Rect,
) -> Vec<u8> {
    let mut out = vec![0; part.h * part.w];
    if h == 0 || w == 0 || tiles_y == 0 || tiles_x == 0 {
        return out;
    }
    let tiling = Tiling::new([h, w], clip_limit, [tiles_y, tiles_x]);
    let (tile_h, tile_w) = (tiling.tile_h, tiling.tile_w);
    let luts = tiling.grey_maps(src);
    let columns = neighbours(w, tile_w, tiles_x);
    let rows = neighbours(h, tile_h, tiles_y);
    // Columns between the same two tiles share their maps: they are done in one go.
    let [x0, x1] = [part.x, part.x + part.w as i64].map(|x| x.clamp(0, w as i64) as usize);
    let columns = &columns[x0..x1.max(x0)];
    let spans: Vec<&[Neighbour]> = columns.chunk_by(|a, b| (a.low, a.high) == (b.low, b.high)).collect();
    part.overlap_rows(h, w, |to, from, len| {
        let row = &rows[from / w];
        let (mut src_row, mut out_row) = (&src[from..from + len], &mut out[to..to + len]);
        let (upper, lower) = (&luts[row.low * tiles_x..], &luts[row.high * tiles_x..]);
        for span in &spans {
            let (src_part, src_rest) = src_row.split_at(span.len());
            let (out_part, out_rest) = out_row.split_at_mut(span.len());
            let (low, high) = (span[0].low, span[0].high);
            let maps = [&upper[low], &upper[high], &lower[low], &lower[high]];
            blend(src_part, out_part, span, row, maps);
            (src_row, out_row) = (src_rest, out_rest);
        }
    });
    out
}

/// The bilinear mean of four grey maps along one stretch of a row.
fn blend(src: &[u8], out: &mut [u8], columns: &[Neighbour], row: &Neighbour, maps: [&[f32; BINS]; 4]) {
    let [upper_low, upper_high, lower_low, lower_high] = maps;
    for ((o, &v), c) in out.iter_mut().zip(src).zip(columns) {
        let v = usize::from(v);
        let mean = (upper_low[v] * c.weight_low + upper_high[v] * c.weight_high) * row.weight_low
            + (lower_low[v] * c.weight_low + lower_high[v] * c.weight_high) * row.weight_high;
        *o = (mean + ROUND_HALF_EVEN).to_bits() as u8;
    }
}

/// The two tiles between whose centres a row or column lies, and how much each counts.
struct Neighbour {
    low: usize,
    high: usize,
    weight_low: f32,
    weight_high: f32,
}

fn neighbours(n: usize, tile: usize, tiles: usize) -> Vec<Neighbour> {
    let inverse = 1.0 / tile as f32;
    let neighbour = |i: usize| {
        let position = i as f32 * inverse - 0.5;
        let floor = position.floor();
        let weight_high = position - floor;
        let low = floor as i64;
        Neighbour {
            low: low.max(0) as usize,
            high: ((low + 1) as usize).min(tiles - 1),
            weight_low: 1.0 - weight_high,
            weight_high,
        }
    };
    (0..n).map(neighbour).collect()
}

/// What happens in one tile, for a figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaheTile {
    /// How often each grey value occurs.
    pub histogram: Vec<u32>,
    /// The same after clipping and spreading.
    pub clipped: Vec<u32>,
    /// The height at which the histogram is clipped; `None` where it is not.
    pub limit: Option<u32>,
    /// The grey value that each grey value becomes.
    pub map: Vec<u8>,
}

/// Histogram, clipped histogram and grey map of tile `[y, x]` of a picture of `shape` `[h, w]`.
pub fn clahe_tile(
    src: &[u8],
    shape: [usize; 2],
    clip_limit: f64,
    tiles: [usize; 2],
    tile: [usize; 2],
) -> ClaheTile {
    let tiling = Tiling::new(shape, clip_limit, tiles);
    let counts = tiling.histogram(src, tile);
    let mut clipped = counts;
    clip(&mut clipped, tiling.limit);
    ClaheTile {
        histogram: counts.to_vec(),
        limit: (tiling.limit < u32::MAX).then_some(tiling.limit),
        map: running_sum(&clipped, tiling.scale).iter().map(|&v| v as u8).collect(),
        clipped: clipped.to_vec(),
    }
}

/// How a picture is laid out in tiles.
struct Tiling {
    w: usize,
    tiles: [usize; 2],
    tile_h: usize,
    tile_w: usize,
    limit: u32,
    scale: f32,
    /// Row of the picture for each row of the padded one.
    source_row: Vec<usize>,
    /// Column of the picture for each column that was added.
    added_column: Vec<usize>,
}

impl Tiling {
    fn new([h, w]: [usize; 2], clip_limit: f64, tiles: [usize; 2]) -> Self {
        let divides = h.is_multiple_of(tiles[0]) && w.is_multiple_of(tiles[1]);
        let padded = |n: usize, tiles: usize| if divides { n } else { n + tiles - n % tiles };
        let (tile_h, tile_w) = (padded(h, tiles[0]) / tiles[0], padded(w, tiles[1]) / tiles[1]);
        let pixels = tile_h * tile_w;
        let clips = clip_limit > 0.0;
        Self {
            w,
            tiles,
            tile_h,
            tile_w,
            limit: if clips { ((clip_limit * pixels as f64 / BINS as f64) as u32).max(1) } else { u32::MAX },
            scale: (BINS - 1) as f32 / pixels as f32,
            source_row: (0..tiles[0] * tile_h).map(|y| reflect(y, h)).collect(),
            added_column: (w..tiles[1] * tile_w).map(|x| reflect(x, w)).collect(),
        }
    }

    /// The grey map of each tile, row by row of tiles. Values are whole numbers, kept as `f32` for the blending.
    fn grey_maps(&self, src: &[u8]) -> Vec<[f32; BINS]> {
        let mut maps = Vec::with_capacity(self.tiles[0] * self.tiles[1]);
        for ty in 0..self.tiles[0] {
            for tx in 0..self.tiles[1] {
                let mut counts = self.histogram(src, [ty, tx]);
                clip(&mut counts, self.limit);
                maps.push(running_sum(&counts, self.scale));
            }
        }
        maps
    }

    fn histogram(&self, src: &[u8], [ty, tx]: [usize; 2]) -> [u32; BINS] {
        // Two histograms in turn: equal neighbours then need not wait for each other's count.
        let (mut counts, mut more) = ([0u32; BINS], [0u32; BINS]);
        let (w, x0, x1) = (self.w, tx * self.tile_w, (tx + 1) * self.tile_w);
        for &y in &self.source_row[ty * self.tile_h..(ty + 1) * self.tile_h] {
            let row = &src[y * w..(y + 1) * w];
            let (pairs, rest) = row[x0.min(w)..x1.min(w)].as_chunks::<2>();
            for &[a, b] in pairs {
                counts[usize::from(a)] += 1;
                more[usize::from(b)] += 1;
            }
            rest.iter().for_each(|&v| counts[usize::from(v)] += 1);
            let added = x0.max(w) - w..x1.max(w) - w;
            self.added_column[added].iter().for_each(|&x| counts[usize::from(row[x])] += 1);
        }
        counts.iter_mut().zip(&more).for_each(|(c, m)| *c += m);
        counts
    }
}

/// Cuts the histogram at `limit` and spreads what was cut off over all bins.
fn clip(counts: &mut [u32; BINS], limit: u32) {
    let mut clipped = 0;
    for c in counts.iter_mut() {
        clipped += c.saturating_sub(limit);
        *c = (*c).min(limit);
    }
    let (each, rest) = (clipped / BINS as u32, clipped as usize % BINS);
    counts.iter_mut().for_each(|c| *c += each);
    if let Some(step) = BINS.checked_div(rest) {
        counts.iter_mut().step_by(step.max(1)).take(rest).for_each(|c| *c += 1);
    }
}

fn running_sum(counts: &[u32; BINS], scale: f32) -> [f32; BINS] {
    let mut sum = 0;
    counts.map(|c| {
        sum += c;
        (sum as f32 * scale).round_ties_even().min((BINS - 1) as f32)
    })
}

/// Position `i` beyond the end of an axis of `n` pixels, mirrored at the edge pixel, as often as needed.
fn reflect(i: usize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n - 1);
    let i = i % period;
    i.min(period - i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_leaves_out_the_edge_pixel() {
        let found: Vec<usize> = (0..9).map(|i| reflect(i, 4)).collect();
        assert_eq!(found, [0, 1, 2, 3, 2, 1, 0, 1, 2]);
    }

    #[test]
    fn a_part_is_cut_from_the_whole() {
        let (h, w) = (61, 47);
        let picture: Vec<u8> = (0..h * w).map(|i| (i * 31 % 255) as u8).collect();
        let whole = clahe(&picture, h, w, 3.0, 8, 5);
        for part in [
            Rect { y: 11, x: 9, h: 30, w: 20 },
            Rect { y: -5, x: -8, h: 80, w: 30 },
            Rect { y: 40, x: 30, h: 30, w: 30 },
            Rect { y: 70, x: 3, h: 4, w: 4 },
            Rect { y: 3, x: 60, h: 4, w: 4 },
        ] {
            let found = clahe_within(&picture, [h, w], 3.0, [8, 5], part);
            assert_eq!(found, part.cut(&whole, h, w, 0), "{part:?}");
        }
    }

    #[test]
    fn tiny_and_empty_pictures_are_no_trouble() {
        for (h, w) in [(0, 0), (0, 3), (1, 1), (1, 9), (3, 2), (7, 7)] {
            assert_eq!(clahe(&vec![5; h * w], h, w, 3.0, 8, 8).len(), h * w);
        }
    }
}
