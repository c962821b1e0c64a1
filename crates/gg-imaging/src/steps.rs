//! All intermediate pictures of one slice, for the figures that show how it was prepared.

use crate::grey::{GreyRule, grey_slice};
use crate::prepare::Recipe;
use crate::roi::{air_mask, air_threshold, could_be_lung, morphed};
use crate::{
    ClaheTile, Connectivity, PrepareConfig, Rect, RoiMode, SliceWay, clahe_tile, find_lung_box, label_2d,
};
use gg_volume::{AxisMap, CtVolume};

/// The white end of an 8-bit picture.
const WHITE: u8 = 255;
/// Darkest grey of a region in the picture of all regions.
const REGION_GREY: u8 = 70;

/// One intermediate picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepPicture {
    /// Stable name: `original`, `grey`, `contrast`, `z_score`, `air`, `eroded`, `dilated`, `regions`,
    /// `lung_regions`, `cropped` or `prepared`.
    pub name: &'static str,
    /// What it shows, for people.
    pub title: &'static str,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 8-bit grey, row-major.
    pub pixels: Vec<u8>,
}

/// One slice on its way from the CT to the network.
#[derive(Debug, Clone, PartialEq)]
pub struct PrepareSteps {
    /// The pictures in the order of the steps. Those of the lung region follow the paper, slice by slice, whatever
    /// the mode; none of them where the mode is none or the slice is flat.
    pub pictures: Vec<StepPicture>,
    /// The way of this slice, as [`crate::prepare`] takes it.
    pub way: SliceWay,
    /// The box that was found on the turned slice (before squaring), if any.
    pub lung_box: Option<Rect>,
    /// Histogram, clipped histogram and grey map of one tile near the middle; `None` without CLAHE.
    pub clahe_tile: Option<ClaheTile>,
}

impl PrepareSteps {
    /// The picture of this name.
    pub fn picture(&self, name: &str) -> Option<&StepPicture> {
        self.pictures.iter().find(|p| p.name == name)
    }
}

/// The intermediate pictures of canonical slice `z` (the last one where there are fewer).
pub fn prepare_steps(ct: &CtVolume, map: &AxisMap, config: &PrepareConfig, z: usize) -> PrepareSteps {
    let (recipe, mut unused) = Recipe::new(ct, map, config);
    let [n, canonical_h, canonical_w] = recipe.shape;
    let z = z.min(n.saturating_sub(1));
    let [h, w] = recipe.turned;
    let mut values = Vec::new();
    let original = grey_slice(ct, map, z, GreyRule::MinMax, &mut values);
    let grey = recipe.grey(z, &mut values);
    let contrast = recipe.enhanced(grey.clone());
    let mut pictures = vec![
        step(
            "original",
            "The slice, from its smallest to its largest value",
            canonical_h,
            canonical_w,
            original,
        ),
        step("grey", "Grey after the window", h, w, grey.clone()),
        step("contrast", "Contrast after CLAHE", h, w, contrast.clone()),
    ];
    if config.roi.mode != RoiMode::None {
        pictures.extend(region_pictures(&contrast, h, w, config));
    }
    let lung_box = match config.roi.mode {
        RoiMode::None => None,
        RoiMode::Slice => find_lung_box(&contrast, h, w, &config.roi),
        RoiMode::Volume => recipe.boxes(&mut unused).first().copied().flatten(),
    };
    let crop = recipe.crop(lung_box);
    pictures.push(step(
        "cropped",
        "Cropped to the lung region",
        crop.h,
        crop.w,
        crop.cut(&contrast, h, w, 0),
    ));
    let prepared = recipe.picture(&contrast, lung_box);
    pictures.push(step("prepared", "As the network sees it", config.size, config.size, prepared));
    let [tiles_y, tiles_x] = config.clahe_tiles;
    let clahe_tile = recipe
        .clip()
        .map(|clip| clahe_tile(&grey, [h, w], clip, [tiles_y, tiles_x], [tiles_y / 2, tiles_x / 2]));
    let way = SliceWay {
        z,
        canonical: [canonical_h, canonical_w],
        quarter_turns: config.rotate_quarter_turns % 4,
        crop,
        size: config.size,
        roi_found: lung_box.is_some(),
    };
    PrepareSteps { pictures, way, lung_box, clahe_tile }
}

fn step(
    name: &'static str,
    title: &'static str,
    height: usize,
    width: usize,
    pixels: Vec<u8>,
) -> StepPicture {
    StepPicture { name, title, height, width, pixels }
}

/// The paper's steps towards the lung region.
fn region_pictures(contrast: &[u8], h: usize, w: usize, config: &PrepareConfig) -> Vec<StepPicture> {
    let roi = &config.roi;
    let Some(threshold) = air_threshold(contrast, h, w, roi.centre_fraction) else {
        return Vec::new();
    };
    let air = air_mask(contrast, threshold);
    let [eroded, dilated] = morphed(&air, h, w, roi);
    let regions = label_2d(&dilated, h, w, Connectivity::Corners);
    let shades = (regions.len() as u8).clamp(1, WHITE - REGION_GREY);
    let shade = |k: usize| WHITE - (k % usize::from(shades)) as u8 * ((WHITE - REGION_GREY) / shades);
    let lung = |k: usize| {
        let ([_, y0, x0], [_, y1, x1]) = (regions.list[k].low, regions.list[k].high);
        could_be_lung(Rect { y: y0 as i64, x: x0 as i64, h: y1 - y0 + 1, w: x1 - x0 + 1 }, h, w, roi)
    };
    let white = |mask: Vec<u8>| mask.into_iter().map(|v| v * WHITE).collect::<Vec<u8>>();
    let lungs = regions.paint(|k| if lung(k) { WHITE } else { 0 });
    let all = regions.paint(shade);
    vec![
        step("z_score", "Z-score of the slice, -2.5 to 2.5", h, w, z_score_picture(contrast)),
        step("air", "Darker than the mean of the two k-means centres", h, w, white(air)),
        step("eroded", "After the erosion", h, w, white(eroded)),
        step("dilated", "After the dilation", h, w, white(dilated)),
        step("regions", "Connected regions", h, w, all),
        step("lung_regions", "Regions that can be lung", h, w, lungs),
    ]
}

/// The z-score as grey: -2.5 black, 2.5 white.
fn z_score_picture(picture: &[u8]) -> Vec<u8> {
    const REACH: f64 = 2.5;
    let n = picture.len().max(1) as f64;
    let sum: u64 = picture.iter().map(|&v| u64::from(v)).sum();
    let squares: u64 = picture.iter().map(|&v| u64::from(v) * u64::from(v)).sum();
    let mean = sum as f64 / n;
    let deviation = (squares as f64 / n - mean * mean).max(0.0).sqrt();
    let scale = if deviation > 0.0 { f64::from(WHITE) / (2.0 * REACH * deviation) } else { 0.0 };
    picture.iter().map(|&v| ((f64::from(v) - mean) * scale + f64::from(WHITE) / 2.0).round() as u8).collect()
}
