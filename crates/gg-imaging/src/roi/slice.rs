//! The lung region of one slice, as the paper finds it.
//!
//! Z-score, k-means with two centres on the pixels of the central square, threshold at the mean of the centres, below
//! it is air; erosion, dilation (SciPy's, even element included); label; drop the regions that cannot be lung by
//! size and place; bounding box of the rest. A z-score moves grey values and centres alike, so threshold and air are
//! the same without it; it is computed for the figures only. Quirks: regions touch across corners too (as in
//! scikit-image's `label`, the lineage's); "top" is the top of the turned picture. Golden set: `imaging/roi`.

use crate::{Connectivity, Rect, RoiConfig, binary_dilation, binary_erosion, kmeans_two_histogram, label_2d};

/// The box around all regions of an 8-bit picture that may be lung; `None` where there is none.
pub fn find_lung_box(picture: &[u8], h: usize, w: usize, roi: &RoiConfig) -> Option<Rect> {
    let threshold = air_threshold(picture, h, w, roi.centre_fraction)?;
    let air = air_mask(picture, threshold);
    let [_, dilated] = morphed(&air, h, w, roi);
    let regions = label_2d(&dilated, h, w, Connectivity::Corners);
    let boxes = regions.list.iter().map(|c| {
        let [_, y0, x0] = c.low.map(|v| v as i64);
        let [_, y1, x1] = c.high.map(|v| v as i64);
        Rect::from_corners(y0, x0, y1, x1)
    });
    let whole = boxes.filter(|&b| could_be_lung(b, h, w, roi)).reduce(Rect::union)?;
    let margin = (roi.margin * whole.h.max(whole.w) as f64).round() as i64;
    Some(whole.widened(margin, h, w))
}

/// The mean of the two k-means centres of the central square; `None` where that is flat.
pub(crate) fn air_threshold(picture: &[u8], h: usize, w: usize, centre_fraction: f64) -> Option<f64> {
    let edge = (1.0 - centre_fraction) / 2.0;
    // Truncated at both ends, as `int(n / 5) .. int(n / 5 * 4)` in the lineage.
    let span = |n: usize| ((n as f64 * edge) as usize)..(((n as f64) * (1.0 - edge)) as usize).min(n);
    let mut counts = [0u32; 256];
    for y in span(h) {
        for &v in &picture[y * w..(y + 1) * w][span(w)] {
            counts[usize::from(v)] += 1;
        }
    }
    kmeans_two_histogram(&counts).map(|[a, b]| (a + b) / 2.0)
}

/// 1 where the picture is below the threshold.
pub(crate) fn air_mask(picture: &[u8], threshold: f64) -> Vec<u8> {
    picture.iter().map(|&v| u8::from(f64::from(v) < threshold)).collect()
}

/// The air mask after the erosion, and after the dilation that follows it.
pub(crate) fn morphed(air: &[u8], h: usize, w: usize, roi: &RoiConfig) -> [Vec<u8>; 2] {
    let eroded = binary_erosion(air, h, w, roi.erosion, roi.erosion);
    let dilated = binary_dilation(&eroded, h, w, roi.dilation, roi.dilation);
    [eroded, dilated]
}

/// Whether a region of this extent can be lung by size and place.
pub(crate) fn could_be_lung(region: Rect, h: usize, w: usize, roi: &RoiConfig) -> bool {
    let (height, width) = (h as f64, w as f64);
    let top = region.y as f64;
    let bottom = (region.y + region.h as i64) as f64;
    region.h as f64 <= roi.max_extent * height
        && region.w as f64 <= roi.max_extent * width
        && top >= roi.top_band * height
        && bottom <= (1.0 - roi.bottom_band) * height
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body with two lungs in air: 100 x 120.
    fn chest() -> Vec<u8> {
        let inside = |y: f64, x: f64, cy: f64, cx: f64, ry: f64, rx: f64| {
            ((y - cy) / ry).powi(2) + ((x - cx) / rx).powi(2) <= 1.0
        };
        let pixel = |i: usize| {
            let (y, x) = ((i / 120) as f64, (i % 120) as f64);
            let lung = inside(y, x, 50.0, 38.0, 25.0, 15.0) || inside(y, x, 50.0, 82.0, 25.0, 15.0);
            if lung || !inside(y, x, 50.0, 60.0, 42.0, 55.0) { 30 } else { 200 }
        };
        (0..12_000).map(pixel).collect()
    }

    #[test]
    fn the_box_holds_both_lungs_and_not_the_air_around() {
        let roi = RoiConfig { margin: 0.0, ..RoiConfig::default() };
        let found = find_lung_box(&chest(), 100, 120, &roi).unwrap();
        assert!((19..=25).contains(&found.y) && (17..=23).contains(&found.x), "{found:?}");
        assert!((51..=62).contains(&found.h) && (75..=86).contains(&found.w), "{found:?}");
    }

    #[test]
    fn flat_pictures_have_no_lungs() {
        assert_eq!(find_lung_box(&[7; 400], 20, 20, &RoiConfig::default()), None);
        assert_eq!(find_lung_box(&[], 0, 0, &RoiConfig::default()), None);
    }
}
