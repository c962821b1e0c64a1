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

/// Number of grey levels.
const BINS: usize = 256;

/// Adding this to an `f32` from 0 to 255 leaves the nearest whole number (half to even) in the lowest bits.
const ROUND_HALF_EVEN: f32 = 12_582_912.0; // 1.5 * 2^23

/// Equalises a picture of `h` x `w`. A `clip_limit` of 0 clips nothing (plain adaptive equalisation).
///
/// # Shape
/// The result has the shape of `src`.
pub fn clahe(src: &[u8], h: usize, w: usize, clip_limit: f64, tiles_y: usize, tiles_x: usize) -> Vec<u8> {
    let mut out = vec![0; h * w];
    if h == 0 || w == 0 || tiles_y == 0 || tiles_x == 0 {
        return out;
    }
    let divides = h.is_multiple_of(tiles_y) && w.is_multiple_of(tiles_x);
    let padded = |n: usize, tiles: usize| if divides { n } else { n + tiles - n % tiles };
    let (tile_h, tile_w) = (padded(h, tiles_y) / tiles_y, padded(w, tiles_x) / tiles_x);
    let luts = grey_maps(src, h, w, clip_limit, [tiles_y, tiles_x], [tile_h, tile_w]);
    let columns = neighbours(w, tile_w, tiles_x);
    let rows = neighbours(h, tile_h, tiles_y);
    // Columns between the same two tiles share their maps: they are done in one go.
    let spans: Vec<&[Neighbour]> = columns.chunk_by(|a, b| (a.low, a.high) == (b.low, b.high)).collect();
    for (y, row) in rows.iter().enumerate() {
        let (mut src_row, mut out_row) = (&src[y * w..(y + 1) * w], &mut out[y * w..(y + 1) * w]);
        let (upper, lower) = (&luts[row.low * tiles_x..], &luts[row.high * tiles_x..]);
        for span in &spans {
            let (src_part, src_rest) = src_row.split_at(span.len());
            let (out_part, out_rest) = out_row.split_at_mut(span.len());
            let (low, high) = (span[0].low, span[0].high);
            let maps = [&upper[low], &upper[high], &lower[low], &lower[high]];
            blend(src_part, out_part, span, row, maps);
            (src_row, out_row) = (src_rest, out_rest);
        }
    }
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

/// The grey map of each tile, row by row of tiles. Values are whole numbers, kept as `f32` for the blending.
fn grey_maps(
    src: &[u8],
    h: usize,
    w: usize,
    clip_limit: f64,
    tiles: [usize; 2],
    [tile_h, tile_w]: [usize; 2],
) -> Vec<[f32; BINS]> {
    let pixels = tile_h * tile_w;
    let limit =
        if clip_limit > 0.0 { ((clip_limit * pixels as f64 / BINS as f64) as u32).max(1) } else { u32::MAX };
    let scale = (BINS - 1) as f32 / pixels as f32;
    let source_row: Vec<usize> = (0..tiles[0] * tile_h).map(|y| reflect(y, h)).collect();
    let source_column: Vec<usize> = (w..(tiles[1] * tile_w).max(w)).map(|x| reflect(x, w)).collect();
    let mut maps = Vec::with_capacity(tiles[0] * tiles[1]);
    for ty in 0..tiles[0] {
        for tx in 0..tiles[1] {
            let mut histogram = [[0u32; BINS]; 2];
            let (x0, x1) = (tx * tile_w, (tx + 1) * tile_w);
            for &y in &source_row[ty * tile_h..(ty + 1) * tile_h] {
                let row = &src[y * w..(y + 1) * w];
                // Two histograms in turn: equal neighbours then need not wait for each other's count.
                let (pairs, rest) = row[x0.min(w)..x1.min(w)].as_chunks::<2>();
                for &[a, b] in pairs {
                    histogram[0][usize::from(a)] += 1;
                    histogram[1][usize::from(b)] += 1;
                }
                for &v in rest {
                    histogram[0][usize::from(v)] += 1;
                }
                for x in x0.max(w)..x1 {
                    histogram[0][usize::from(row[source_column[x - w]])] += 1;
                }
            }
            let [mut counts, more] = histogram;
            counts.iter_mut().zip(&more).for_each(|(c, m)| *c += m);
            clip(&mut counts, limit);
            maps.push(running_sum(&counts, scale));
        }
    }
    maps
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
    if rest > 0 {
        counts.iter_mut().step_by((BINS / rest).max(1)).take(rest).for_each(|c| *c += 1);
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
    fn tiny_and_empty_pictures_are_no_trouble() {
        for (h, w) in [(0, 0), (0, 3), (1, 1), (1, 9), (3, 2), (7, 7)] {
            assert_eq!(clahe(&vec![5; h * w], h, w, 3.0, 8, 8).len(), h * w);
        }
    }
}
