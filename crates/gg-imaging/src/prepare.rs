//! From a CT to the square 8-bit pictures that the networks see, and the way each of them came.
//!
//! Per canonical slice: grey by what the values mean, quarter turns, CLAHE, lung region, crop (padded to a square with
//! 0 = air where wanted), resize. Slices are read one by one from the stored volume: no copy of it is made.

use crate::clahe::clahe_within;
use crate::grey::{GreyRule, grey_rule, grey_slice};
use crate::roi::{lung_candidate, volume_box};
use crate::{
    PrepareConfig, Rect, RoiMode, SliceWay, clahe, find_lung_box, resize_labels_majority_u8, resize_u8,
    turn_quarters,
};
use gg_volume::{AxisMap, CtVolume, LabelVolume, SpacingTrust, Warned, Warning};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Prepared pictures of one CT.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// How each picture came, by rising canonical z.
    pub ways: Vec<SliceWay>,
    /// `size * size` pixels each, row-major.
    pub images: Vec<Vec<u8>>,
    /// Canonical z of the slices that have no picture, and why.
    pub dropped: Vec<(usize, DropReason)>,
    /// Shape `[z, y, x]` of the CT as walked canonically.
    pub canonical_shape: [usize; 3],
}

/// Pixels that are longer than this many times their width are not believed.
const LONGEST_PIXEL: f64 = 16.0;
/// A crop is not made square where that would take more than this many times its pixels, for no body is so flat, or more
/// pixels than this, for no CT is so fine.
const LARGEST_SQUARE: (usize, usize) = (32, 1 << 25);

/// Why a slice has no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// It lies in the share that is trimmed from both ends.
    Trimmed,
}

/// The pictures and the ways back.
pub fn prepare(ct: &CtVolume, map: &AxisMap, config: &PrepareConfig) -> Warned<Prepared> {
    let Warned { value: mut prepared, warnings } = prepare_sizes(ct, map, config, &[config.size]);
    Warned::new(prepared.swap_remove(0), warnings)
}

/// The same in several sizes at once, whatever the configuration's own: networks that differ in nothing else share all
/// steps but the last.
pub fn prepare_sizes(
    ct: &CtVolume,
    map: &AxisMap,
    config: &PrepareConfig,
    sizes: &[usize],
) -> Warned<Vec<Prepared>> {
    let (recipe, mut warnings) = Recipe::new(ct, map, config);
    let (boxes, images) = if config.roi.mode == RoiMode::Slice {
        // The box of a slice comes from its finished contrast: both in one go.
        let pairs: Vec<(Option<Rect>, Vec<Vec<u8>>)> = recipe.per_slice(|z, values| {
            let contrast = recipe.contrast(z, values);
            let found = find_lung_box(&contrast, recipe.turned[0], recipe.turned[1], &config.roi);
            let cut = recipe.crop(found).cut(&contrast, recipe.turned[0], recipe.turned[1], 0);
            (found, recipe.resized(&cut, found, sizes))
        });
        let (boxes, images): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        warn_of_missing_boxes(&boxes, &mut warnings);
        (boxes, images)
    } else {
        let boxes = recipe.boxes(&mut warnings);
        let one = boxes.first().copied().flatten();
        let images = recipe.per_slice(|z, values| {
            let cut = recipe.enhanced_within(&recipe.grey(z, values), recipe.crop(one));
            recipe.resized(&cut, one, sizes)
        });
        (boxes, images)
    };
    let mut of_size: Vec<Vec<Vec<u8>>> = sizes.iter().map(|_| Vec::with_capacity(images.len())).collect();
    for pictures in images {
        of_size.iter_mut().zip(pictures).for_each(|(all, picture)| all.push(picture));
    }
    let prepared = |(images, &size): (Vec<Vec<u8>>, &usize)| Prepared {
        ways: recipe.ways(&boxes, size),
        images,
        dropped: recipe.dropped(),
        canonical_shape: recipe.shape,
    };
    Warned::new(of_size.into_iter().zip(sizes).map(prepared).collect(), warnings)
}

/// The same with the lung box of each slice stated instead of found: what a crop by the true lungs, which nobody has of a
/// new patient, would show a network. `None` from `box_of` takes the whole slice.
///
/// # Shape
/// `box_of` gets a canonical slice; its box lies on the slice after the configuration's quarter turns.
pub fn prepare_in_boxes(
    ct: &CtVolume,
    map: &AxisMap,
    config: &PrepareConfig,
    box_of: &(dyn Fn(usize) -> Option<Rect> + Sync),
) -> Warned<Prepared> {
    let (recipe, warnings) = Recipe::new(ct, map, config);
    let images = recipe.per_slice(|z, values| recipe.picture(&recipe.contrast(z, values), box_of(z)));
    let boxes: Vec<Option<Rect>> = recipe.kept.clone().map(box_of).collect();
    let ways = recipe.ways(&boxes, config.size);
    let dropped = recipe.dropped();
    Warned::new(Prepared { ways, images, dropped, canonical_shape: recipe.shape }, warnings)
}

/// Label pictures along the same ways; labels stay labels.
///
/// # Shape
/// `labels` has the shape of the CT that the ways belong to. Padding is 0.
pub fn prepare_labels(labels: &LabelVolume, map: &AxisMap, ways: &[SliceWay]) -> Vec<Vec<u8>> {
    let one = |slice: &mut Vec<u8>, way: &SliceWay| {
        let [h, w] = way.canonical;
        slice.resize(h * w, 0);
        map.read_slice(labels, way.z, slice);
        let [turned_h, turned_w] = way.turned();
        let turned = turn_quarters(slice, h, w, way.quarter_turns);
        let cut = way.crop.cut(&turned, turned_h, turned_w, 0);
        resize_labels_majority_u8(&cut, way.crop.h, way.crop.w, way.size, way.size)
    };
    ways.par_iter().map_init(Vec::new, one).collect()
}

/// All that is decided once per volume.
pub(crate) struct Recipe<'a> {
    ct: &'a CtVolume,
    map: &'a AxisMap,
    config: &'a PrepareConfig,
    rule: GreyRule,
    equalise: bool,
    /// Canonical shape.
    pub(crate) shape: [usize; 3],
    /// Height and width after the quarter turns.
    pub(crate) turned: [usize; 2],
    /// Height and width of a pixel of the turned slice, in any unit.
    pixel: [f64; 2],
    /// Canonical z of the slices that are kept.
    kept: std::ops::Range<usize>,
}

impl<'a> Recipe<'a> {
    pub(crate) fn new(ct: &'a CtVolume, map: &'a AxisMap, config: &'a PrepareConfig) -> (Self, Vec<Warning>) {
        let mut warnings = Vec::new();
        let (rule, equalise) = grey_rule(ct, config, &mut warnings);
        let shape = map.canonical_shape(ct.voxels.shape());
        let [n, h, w] = shape;
        let turned = if config.rotate_quarter_turns % 2 == 1 { [w, h] } else { [h, w] };
        let mut pixel = pixel(ct, map);
        if config.rotate_quarter_turns % 2 == 1 {
            pixel.reverse();
        }
        let kept = kept_slices(n, config.trim_fraction);
        (Self { ct, map, config, rule, equalise, shape, turned, pixel, kept }, warnings)
    }

    /// Runs `f` for each kept slice, in parallel, with the results in order.
    fn per_slice<T: Send>(&self, f: impl Fn(usize, &mut Vec<f32>) -> T + Sync) -> Vec<T> {
        self.kept.clone().into_par_iter().map_init(Vec::new, |values, z| f(z, values)).collect()
    }

    /// The turned slice as grey, before CLAHE.
    pub(crate) fn grey(&self, z: usize, values: &mut Vec<f32>) -> Vec<u8> {
        let grey = grey_slice(self.ct, self.map, z, self.rule, values);
        match self.config.rotate_quarter_turns % 4 {
            0 => grey,
            turns => turn_quarters(&grey, self.shape[1], self.shape[2], turns),
        }
    }

    /// The turned slice after CLAHE.
    fn contrast(&self, z: usize, values: &mut Vec<f32>) -> Vec<u8> {
        self.enhanced(self.grey(z, values))
    }

    pub(crate) fn enhanced(&self, grey: Vec<u8>) -> Vec<u8> {
        let ([h, w], [tiles_y, tiles_x]) = (self.turned, self.config.clahe_tiles);
        match self.clip() {
            Some(clip) => clahe(&grey, h, w, clip, tiles_y, tiles_x),
            None => grey,
        }
    }

    /// What [`Rect::cut`] leaves of [`Recipe::enhanced`], padded with 0 = air.
    fn enhanced_within(&self, grey: &[u8], part: Rect) -> Vec<u8> {
        match self.clip() {
            Some(clip) => clahe_within(grey, self.turned, clip, self.config.clahe_tiles, part),
            None => part.cut(grey, self.turned[0], self.turned[1], 0),
        }
    }

    /// The clip limit of CLAHE, where CLAHE is wanted and the picture has not been through it already.
    pub(crate) fn clip(&self) -> Option<f64> {
        self.config.clahe_clip.filter(|_| self.equalise)
    }

    /// The lung box of each kept slice.
    pub(crate) fn boxes(&self, warnings: &mut Vec<Warning>) -> Vec<Option<Rect>> {
        let roi = &self.config.roi;
        let [h, w] = self.turned;
        let boxes = match roi.mode {
            RoiMode::None => return vec![None; self.kept.len()],
            RoiMode::Slice => self.per_slice(|z, values| find_lung_box(&self.contrast(z, values), h, w, roi)),
            RoiMode::Volume => {
                let candidates = self.per_slice(|z, values| lung_candidate(&self.grey(z, values), h, w));
                vec![volume_box(&candidates, h, w, roi); self.kept.len()]
            }
        };
        warn_of_missing_boxes(&boxes, warnings);
        boxes
    }

    /// What is cut where this box was found; the whole slice where none was.
    pub(crate) fn crop(&self, found: Option<Rect>) -> Rect {
        let crop = found.unwrap_or(Rect::whole(self.turned[0], self.turned[1]));
        if self.config.keep_aspect { square(crop, self.pixel) } else { crop }
    }

    pub(crate) fn picture(&self, contrast: &[u8], found: Option<Rect>) -> Vec<u8> {
        let crop = self.crop(found);
        let cut = crop.cut(contrast, self.turned[0], self.turned[1], 0);
        resize_u8(&cut, crop.h, crop.w, self.config.size, self.config.size)
    }

    /// The crop in each size.
    fn resized(&self, cut: &[u8], found: Option<Rect>, sizes: &[usize]) -> Vec<Vec<u8>> {
        let crop = self.crop(found);
        sizes.iter().map(|&size| resize_u8(cut, crop.h, crop.w, size, size)).collect()
    }

    fn dropped(&self) -> Vec<(usize, DropReason)> {
        (0..self.shape[0]).filter(|z| !self.kept.contains(z)).map(|z| (z, DropReason::Trimmed)).collect()
    }

    fn ways(&self, boxes: &[Option<Rect>], size: usize) -> Vec<SliceWay> {
        let way = |(z, &found): (usize, &Option<Rect>)| SliceWay {
            z,
            canonical: [self.shape[1], self.shape[2]],
            quarter_turns: self.config.rotate_quarter_turns % 4,
            crop: self.crop(found),
            size,
            roi_found: found.is_some(),
        };
        self.kept.clone().zip(boxes).map(way).collect()
    }
}

/// The square around a crop; the crop itself where that would be too large.
fn square(crop: Rect, pixel: [f64; 2]) -> Rect {
    let square = crop.squared(pixel);
    let (times, most) = LARGEST_SQUARE;
    let allowed = (times * crop.h * crop.w).min(most.max(crop.h * crop.w));
    if square.h as u128 * square.w as u128 <= allowed as u128 { square } else { crop }
}

/// Height and width of a pixel of a canonical slice: equal where the spacing is not known for certain, or absurd.
fn pixel(ct: &CtVolume, map: &AxisMap) -> [f64; 2] {
    let known = ct.grid.spacing_mm.filter(|_| ct.grid.trust == SpacingTrust::Trusted);
    let Some([_, height, width]) = known.map(|mm| map.canonical(mm)) else { return [1.0; 2] };
    let ratio = height / width;
    if (1.0 / LONGEST_PIXEL..=LONGEST_PIXEL).contains(&ratio) { [height, width] } else { [1.0; 2] }
}

/// Python's `round(f n) .. round((1 - f) n)` (half to even), but never empty.
fn kept_slices(n: usize, trim: f64) -> std::ops::Range<usize> {
    let at = |share: f64| (share * n as f64).round_ties_even() as usize;
    let first = at(trim).min(n.saturating_sub(1));
    first..at(1.0 - trim).clamp(first + 1, n.max(first + 1)).min(n)
}

fn warn_of_missing_boxes(boxes: &[Option<Rect>], warnings: &mut Vec<Warning>) {
    let missing = boxes.iter().filter(|b| b.is_none()).count();
    if missing > 0 {
        warnings.push(Warning::new(
            "roi_not_found",
            format!(
                "the lung region was not found in {missing} of {} slices: the whole slice is used there",
                boxes.len()
            ),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_becomes_a_square_unless_that_is_far_larger_than_any_slice() {
        let crop = |h, w| Rect { y: 0, x: 0, h, w };
        let side = |h, w, pixel| {
            let found = square(crop(h, w), pixel);
            (found.h, found.w)
        };
        assert_eq!(side(300, 512, [1.0, 1.0]), (512, 512));
        assert_eq!(side(60, 400, [5.0, 0.7]), (60, 429));
        assert_eq!(side(4, 16_000, [1.0, 1.0]), (4, 16_000), "4000 times its pixels");
        assert_eq!(side(1024, 32_000, [1.0, 1.0]), (1024, 32_000), "a thousand million pixels");
        assert_eq!(side(8192, 8192, [1.0, 1.0]), (8192, 8192), "as it is");
    }
}
