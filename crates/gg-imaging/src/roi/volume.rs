//! One lung box for all slices of a volume, from its grey values alone.
//!
//! Each slice is shrunk to at most 128 pixels a side and thresholded by k-means on its centre, as the paper does. The
//! largest piece of tissue is the body. The air beside it falls into pieces (the body being widened by a pixel first,
//! so that thin walls do not leak); those that lie within the body's convex hull are lung, airway or bowel, the others
//! are outside or belong to the table. For the hull the body is opened, which wipes out shells of tables and tubes.
//! Where tissue reaches all four sides of most slices, they were cropped into the chest already and stay whole. The
//! enclosed air of all slices is joined in three dimensions; the largest piece and those that are not much smaller are
//! the lungs. The box spans all but a thousandth of their voxels on each side, mirrored at the body's middle, so that a
//! lung that is white with disease is not cut off, plus a margin.
//!
//! Nothing here depends on which way is up, so prone, flipped and turned pictures do as well.

use super::hull::filled_hull;
use crate::{Connectivity, Rect, RoiConfig, binary_dilation, binary_erosion, label_2d, label_3d, resize_u8};
use gg_volume::Volume;

/// Slices are looked at with at most so many pixels a side.
const SIDE: usize = 128;
/// Side of the opening that wipes out shells of tables, in pixels of the small picture.
const OPENING: usize = 3;
/// Side of the square by which the body is widened against leaks, in pixels of the small picture.
const WIDENING: usize = 3;
/// A piece of air is enclosed where at least this share of it lies within the body's hull.
const WITHIN_HULL: f64 = 0.8;
/// A piece of air counts as lung from this share of the largest piece on.
const MUCH_SMALLER: f64 = 0.05;
/// Enclosed air below this share of the body is no lung.
const LEAST_AIR: f64 = 0.04;
/// Tissue reaches a side where it fills this share of it.
const REACHES: f64 = 0.1;
/// Share of the lung voxels that may lie beyond each side of the box.
const OUTLIERS: f64 = 0.001;

/// What one slice says.
pub(crate) struct Candidate {
    /// Height and width of the small picture.
    shape: [usize; 2],
    /// Enclosed air on the small picture.
    air: Vec<u8>,
    /// Sum of x over the body's pixels, and their number.
    body: [u64; 2],
    /// Pixels within the body's hull.
    hull: u64,
    /// Whether tissue reaches all four sides of the picture, which then was cropped into the chest.
    cropped: bool,
}

/// Enclosed air and body of one slice.
pub(crate) fn lung_candidate(grey: &[u8], h: usize, w: usize) -> Candidate {
    let shrink = (h.max(w) as f64 / SIDE as f64).max(1.0);
    let small = |n: usize| ((n as f64 / shrink).round() as usize).max(1);
    let (sh, sw) = (small(h), small(w));
    let mut candidate =
        Candidate { shape: [sh, sw], air: vec![0; sh * sw], body: [0; 2], hull: 0, cropped: false };
    let picture = resize_u8(grey, h, w, sh, sw);
    let centre = RoiConfig::default().centre_fraction;
    let Some(threshold) = super::air_threshold(&picture, sh, sw, centre) else {
        return candidate;
    };
    let tissue: Vec<u8> = picture.iter().map(|&v| u8::from(f64::from(v) >= threshold)).collect();
    candidate.cropped = reaches_all_sides(&tissue, sh, sw);
    let Some(body) = largest_piece(&tissue, sh, sw) else {
        return candidate;
    };
    let opened = binary_dilation(&binary_erosion(&body, sh, sw, OPENING, OPENING), sh, sw, OPENING, OPENING);
    let solid = largest_piece(&opened, sh, sw).unwrap_or_else(|| body.clone());
    for (i, _) in solid.iter().enumerate().filter(|&(_, &b)| b != 0) {
        candidate.body[0] += (i % sw) as u64;
        candidate.body[1] += 1;
    }
    let hull = filled_hull(&solid, sh, sw);
    candidate.hull = hull.iter().map(|&v| u64::from(v)).sum();
    let beside: Vec<u8> =
        binary_dilation(&body, sh, sw, WIDENING, WIDENING).into_iter().map(|body| 1 - body).collect();
    let pieces = label_2d(&beside, sh, sw, Connectivity::Faces);
    let mut within = vec![0usize; pieces.len() + 1];
    for (&label, _) in pieces.labels().iter().zip(&hull).filter(|&(_, &h)| h != 0) {
        within[label as usize] += 1;
    }
    let enclosed =
        pieces.paint(|k| u8::from(within[k + 1] as f64 >= WITHIN_HULL * pieces.list[k].voxels as f64));
    // Back to the walls from which the widening kept away.
    let enclosed = binary_dilation(&enclosed, sh, sw, WIDENING, WIDENING);
    for ((air, &hole), &t) in candidate.air.iter_mut().zip(&enclosed).zip(&tissue) {
        *air = u8::from(hole != 0 && t == 0);
    }
    candidate
}

fn reaches_all_sides(tissue: &[u8], h: usize, w: usize) -> bool {
    let row = |y: usize| tissue[y * w..(y + 1) * w].iter().filter(|&&v| v != 0).count();
    let column = |x: usize| (0..h).filter(|y| tissue[y * w + x] != 0).count();
    [row(0), row(h - 1)].into_iter().all(|n| n as f64 >= REACHES * w as f64)
        && [column(0), column(w - 1)].into_iter().all(|n| n as f64 >= REACHES * h as f64)
}

/// Only the largest piece of a mask.
fn largest_piece(mask: &[u8], h: usize, w: usize) -> Option<Vec<u8>> {
    let pieces = label_2d(mask, h, w, Connectivity::Faces);
    let largest = *pieces.by_size().first()?;
    Some(pieces.paint(|k| u8::from(k == largest)))
}

/// The box around the lungs of all slices, on the full-sized slice; `None` where there is no lung.
pub(crate) fn volume_box(candidates: &[Candidate], h: usize, w: usize, roi: &RoiConfig) -> Option<Rect> {
    let [sh, sw] = candidates.first()?.shape;
    if 2 * candidates.iter().filter(|c| c.cropped).count() > candidates.len() {
        return Some(Rect::whole(h, w));
    }
    let shape = [candidates.len(), sh, sw];
    let air: Vec<u8> = candidates.iter().flat_map(|c| c.air.iter().copied()).collect();
    let air = Volume::from_vec(shape, air).ok()?;
    let pieces = label_3d(&air, Connectivity::Faces);
    let largest = pieces.list[*pieces.by_size().first()?].voxels as f64;
    let lungs = pieces.paint(|k| u8::from(pieces.list[k].voxels as f64 >= MUCH_SMALLER * largest));
    let (mut rows, mut columns) = (vec![0u64; sh], vec![0u64; sw]);
    for (i, _) in lungs.iter().enumerate().filter(|&(_, &v)| v != 0) {
        rows[i / sw % sh] += 1;
        columns[i % sw] += 1;
    }
    let hull: u64 = candidates.iter().map(|c| c.hull).sum();
    if (rows.iter().sum::<u64>() as f64) < LEAST_AIR * hull as f64 {
        return None;
    }
    let body = candidates.iter().fold([0u64; 2], |sum, c| std::array::from_fn(|i| sum[i] + c.body[i]));
    let middle = body[0] as f64 / body[1] as f64;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A round body of tissue with two lungs; `zoom` above 1 crops towards the lungs.
    fn chest(h: usize, w: usize, zoom: f64, table: bool, mirrored: bool) -> Vec<u8> {
        let inside = |y: f64, x: f64, cy: f64, cx: f64, ry: f64, rx: f64| {
            ((y - cy) / ry).powi(2) + ((x - cx) / rx).powi(2) <= 1.0
        };
        let pixel = |i: usize| {
            let (y, x) = ((i / w) as f64 / h as f64, (i % w) as f64 / w as f64);
            let y = if mirrored { 1.0 - y } else { y };
            let (y, x) = (0.5 + (y - 0.5) / zoom, 0.5 + (x - 0.5) / zoom);
            let lung = inside(y, x, 0.48, 0.3, 0.25, 0.13) || inside(y, x, 0.48, 0.7, 0.25, 0.13);
            let shell =
                table && (inside(y, x, 0.92, 0.5, 0.07, 0.45) && !inside(y, x, 0.92, 0.5, 0.06, 0.44));
            let body = inside(y, x, 0.48, 0.5, 0.36, 0.46) && !lung;
            if body || shell { 200 } else { 20 + (i * 7 % 5) as u8 }
        };
        (0..h * w).map(pixel).collect()
    }

    fn check(picture: &[u8], h: usize, w: usize) -> Rect {
        let candidates: Vec<Candidate> = (0..3).map(|_| lung_candidate(picture, h, w)).collect();
        volume_box(&candidates, h, w, &RoiConfig { margin: 0.0, ..RoiConfig::default() }).unwrap()
    }

    #[test]
    fn the_box_is_that_of_the_lungs_with_and_without_table_either_way_up() {
        for (table, mirrored) in [(false, false), (true, false), (true, true)] {
            let found = check(&chest(200, 240, 1.0, table, mirrored), 200, 240);
            let middle = if mirrored { 104 } else { 96 };
            let expected = Rect::from_corners(middle - 50, 41, middle + 49, 199);
            let near = |a: i64, b: i64| (a - b).abs() <= 4;
            assert!(near(found.y, expected.y) && near(found.x, expected.x), "{found:?} for {expected:?}");
            assert!(
                near(found.h as i64, expected.h as i64) && near(found.w as i64, expected.w as i64),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_picture_cropped_into_the_lungs_is_kept_whole_where_they_lie() {
        for zoom in [1.5, 1.9] {
            let found = check(&chest(160, 200, zoom, false, false), 160, 200);
            assert!(
                found.h as f64 >= 76.0 * zoom && found.w as f64 >= (128.0 * zoom).min(195.0),
                "{found:?}"
            );
        }
    }

    #[test]
    fn flat_and_empty_slices_have_no_lungs() {
        let roi = RoiConfig::default();
        assert!(volume_box(&[lung_candidate(&[9; 64], 8, 8)], 8, 8, &roi).is_none());
        assert!(volume_box(&[], 8, 8, &roi).is_none());
    }
}
