//! One lung box for all slices of a volume, from its grey values alone.
//!
//! Each slice is shrunk to at most 128 pixels a side and thresholded by k-means on its centre, as the paper does. An
//! opening wipes out table shells and tubes; the largest piece of tissue that is left is the body, and air that it
//! encloses is lung, airway or bowel. Air that reaches the picture's edge is outside, unless it keeps clear of all
//! corners and is as solid as a lung: so pictures that were cropped to the lungs keep them. The enclosed air of all
//! slices is joined in three dimensions; the largest piece and those that are not much smaller are the lungs. The box
//! spans all but a thousandth of their voxels on each side, mirrored at the body's middle, so that a lung that
//! is white with disease is not cut off, plus a margin.
//!
//! Nothing here depends on which way is up, so prone, flipped and turned pictures do as well.

use crate::{Connectivity, Rect, RoiConfig, binary_dilation, binary_erosion, label_2d, label_3d, resize_u8};
use gg_volume::Volume;

/// Slices are looked at with at most so many pixels a side.
const SIDE: usize = 128;
/// Side of the opening that wipes out shells of tables, in pixels of the small picture.
const OPENING: usize = 3;
/// Air at the picture's edge counts as lung where it fills at least this share of its box...
const SOLID: f64 = 0.4;
/// ...and this share of the picture.
const LARGE: f64 = 0.02;
/// A piece of air counts as lung from this share of the largest piece on.
const MUCH_SMALLER: f64 = 0.05;
/// Enclosed air below this share of the volume is no lung.
const LEAST_AIR: f64 = 0.004;
/// Share of the lung voxels that may lie beyond each side of the box.
const OUTLIERS: f64 = 0.001;

/// What one slice says.
pub(crate) struct Candidate {
    /// Height and width of the small picture.
    shape: [usize; 2],
    /// Enclosed air on the small picture.
    air: Vec<u8>,
    /// Sum of x and of y over the body's pixels, and their number.
    body: [u64; 3],
}

/// Enclosed air and body of one slice.
pub(crate) fn lung_candidate(grey: &[u8], h: usize, w: usize) -> Candidate {
    let shrink = (h.max(w) as f64 / SIDE as f64).max(1.0);
    let small = |n: usize| ((n as f64 / shrink).round() as usize).max(1);
    let (sh, sw) = (small(h), small(w));
    let mut candidate = Candidate { shape: [sh, sw], air: vec![0; sh * sw], body: [0; 3] };
    let picture = resize_u8(grey, h, w, sh, sw);
    let centre = RoiConfig::default().centre_fraction;
    let Some(threshold) = super::air_threshold(&picture, sh, sw, centre) else {
        return candidate;
    };
    let tissue: Vec<u8> = picture.iter().map(|&v| u8::from(f64::from(v) >= threshold)).collect();
    let opened =
        binary_dilation(&binary_erosion(&tissue, sh, sw, OPENING, OPENING), sh, sw, OPENING, OPENING);
    let pieces = label_2d(&opened, sh, sw, Connectivity::Faces);
    let Some(&largest) = pieces.by_size().first() else {
        return candidate;
    };
    let body = pieces.paint(|k| u8::from(k == largest));
    for (i, _) in body.iter().enumerate().filter(|&(_, &b)| b != 0) {
        candidate.body[0] += (i % sw) as u64;
        candidate.body[1] += (i / sw) as u64;
        candidate.body[2] += 1;
    }
    // Everything beside the body: what it encloses is a hole.
    let beside: Vec<u8> = body.iter().map(|&b| 1 - b).collect();
    let holes = label_2d(&beside, sh, sw, Connectivity::Faces);
    let labels = holes.labels();
    let corners = [0, sw - 1, (sh - 1) * sw, sh * sw - 1].map(|i| labels[i]);
    let enclosed = holes.paint(|k| {
        let hole = &holes.list[k];
        let edge = hole.low[1] == 0 || hole.low[2] == 0 || hole.high[1] == sh - 1 || hole.high[2] == sw - 1;
        let extent = (hole.high[1] - hole.low[1] + 1) * (hole.high[2] - hole.low[2] + 1);
        let solid =
            hole.voxels as f64 >= SOLID * extent as f64 && hole.voxels as f64 >= LARGE * (sh * sw) as f64;
        u8::from(!edge || (solid && !corners.contains(&(k as u32 + 1))))
    });
    for ((air, &hole), &t) in candidate.air.iter_mut().zip(&enclosed).zip(&tissue) {
        *air = u8::from(hole != 0 && t == 0);
    }
    candidate
}

/// The box around the lungs of all slices, on the full-sized slice; `None` where there is no lung.
pub(crate) fn volume_box(candidates: &[Candidate], h: usize, w: usize, roi: &RoiConfig) -> Option<Rect> {
    let [sh, sw] = candidates.first()?.shape;
    let shape = [candidates.len(), sh, sw];
    let air: Vec<u8> = candidates.iter().flat_map(|c| c.air.iter().copied()).collect();
    let total = air.len();
    let air = Volume::from_vec(shape, air).ok()?;
    let pieces = label_3d(&air, Connectivity::Faces);
    let largest = pieces.list[*pieces.by_size().first()?].voxels as f64;
    let lungs = pieces.paint(|k| u8::from(pieces.list[k].voxels as f64 >= MUCH_SMALLER * largest));
    let (mut rows, mut columns) = (vec![0u64; sh], vec![0u64; sw]);
    for (i, _) in lungs.iter().enumerate().filter(|&(_, &v)| v != 0) {
        rows[i / sw % sh] += 1;
        columns[i % sw] += 1;
    }
    if (rows.iter().sum::<u64>() as f64) < LEAST_AIR * total as f64 {
        return None;
    }
    let body = candidates.iter().fold([0u64; 3], |sum, c| std::array::from_fn(|i| sum[i] + c.body[i]));
    let middle = body[0] as f64 / body[2] as f64;
    let (x0, x1) = inner_range(&columns);
    let (y0, y1) = inner_range(&rows);
    // Mirrored at the body's middle.
    let half = (middle - x0).max(x1 - middle);
    let (x0, x1) = (x0.min(middle - half), x1.max(middle + half));
    let margin = roi.margin * ((x1 - x0) * w as f64 / sw as f64).max((y1 - y0) * h as f64 / sh as f64);
    let low = |v: f64, n: usize, small: usize| ((v * n as f64 / small as f64 - margin).floor() as i64).max(0);
    let high =
        |v: f64, n: usize, small: usize| ((v * n as f64 / small as f64 + margin).ceil() as i64).min(n as i64);
    Some(Rect::from_corners(low(y0, h, sh), low(x0, w, sw), high(y1, h, sh) - 1, high(x1, w, sw) - 1))
}

/// Where the counts begin and end, but for the outliers; edges, so `0.0 ..= counts.len()`.
fn inner_range(counts: &[u64]) -> (f64, f64) {
    let allowed = OUTLIERS * counts.iter().sum::<u64>() as f64;
    let skipped = |counts: &mut dyn Iterator<Item = &u64>| {
        let mut sum = 0;
        counts
            .take_while(|&&c| {
                sum += c;
                sum as f64 <= allowed
            })
            .count()
    };
    let first = skipped(&mut counts.iter());
    let last = counts.len() - skipped(&mut counts.iter().rev());
    (first as f64, last.max(first + 1) as f64)
}
