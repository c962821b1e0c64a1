//! What the preparation can be told: one struct that travels with a model, so that nobody repeats it by hand.

use serde::{Deserialize, Serialize};

/// Every setting of [`crate::prepare`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrepareConfig {
    /// Side of the square pictures that come out, in pixels.
    pub size: usize,
    /// Share of the slices dropped at each end along z: 0 for none, 0.2 as the paper.
    pub trim_fraction: f64,
    /// Lower and upper end of the grey window, for input in HU; `None` stretches each slice from its own minimum
    /// to its maximum, whatever its values mean (as the paper, which destroys HU).
    ///
    /// # Units
    /// HU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // missing means none, whatever the default is
    pub window_hu: Option<[f32; 2]>,
    /// Clip limit of CLAHE; `None` for no CLAHE. Pictures that went through CLAHE already never get a second one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // missing means none, whatever the default is
    pub clahe_clip: Option<f64>,
    /// Tiles of CLAHE along y and x.
    pub clahe_tiles: [usize; 2],
    /// Turns by 90 degrees, counter-clockwise, of the canonical slice (whose top is the patient's front).
    pub rotate_quarter_turns: u8,
    /// How the lung region is found.
    pub roi: RoiConfig,
    /// Pad the crop to a square, in mm where the spacing is known for certain, instead of stretching it.
    pub keep_aspect: bool,
}

/// Whether and how the slices are cropped to the lung region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoiMode {
    /// Whole slices.
    None,
    /// Each slice has its own box (as the paper).
    Slice,
    /// One box for all slices of a volume.
    Volume,
}

/// Settings of the lung region; all are shares of the slice's height or width, or pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoiConfig {
    /// Whether and how.
    pub mode: RoiMode,
    /// Side of the central square in which k-means looks for two kinds of tissue, as a share of the slice.
    pub centre_fraction: f64,
    /// Side of the square element of the erosion that cuts thin bridges, in pixels.
    pub erosion: usize,
    /// Side of the square element of the dilation that closes vessels, in pixels.
    pub dilation: usize,
    /// A region wider or higher than this share of the slice cannot be lung.
    pub max_extent: f64,
    /// A region that touches this share of the slice at its top cannot be lung.
    pub top_band: f64,
    /// A region that touches this share of the slice at its bottom cannot be lung.
    pub bottom_band: f64,
    /// What the box is widened by on each side, as a share of its longer side.
    pub margin: f64,
}

impl Default for PrepareConfig {
    /// The settings of `profile = "groundglass"`.
    fn default() -> Self {
        Self {
            size: 256,
            trim_fraction: 0.0,
            window_hu: Some([-1350.0, 150.0]),
            clahe_clip: Some(3.0),
            clahe_tiles: [8, 8],
            rotate_quarter_turns: 0,
            roi: RoiConfig::default(),
            keep_aspect: true,
        }
    }
}

impl PrepareConfig {
    /// The settings of `profile = "paper"`.
    ///
    /// The paper's turn by 90 degrees sets upright what nibabel shows lying, as `[x, y]`; canonical slices stand
    /// upright already, so it is no turn here.
    pub fn paper() -> Self {
        Self {
            size: 128,
            trim_fraction: 0.2,
            window_hu: None,
            roi: RoiConfig { mode: RoiMode::Slice, margin: 0.0, ..RoiConfig::default() },
            keep_aspect: false,
            ..Self::default()
        }
    }

    /// What is wrong with the settings, as one sentence; `None` where they can be used.
    pub fn fault(&self) -> Option<String> {
        let share = |name: &str, v: f64, max: f64| {
            (!(0.0..=max).contains(&v)).then(|| format!("{name} is {v}; right would be 0 to {max}"))
        };
        if self.size == 0 || self.size > MAX_SIZE {
            return Some(format!("size is {}; right would be 1 to {MAX_SIZE} pixels", self.size));
        }
        if let Some([low, high]) = self.window_hu
            && !(low < high && low.is_finite() && high.is_finite())
        {
            return Some(format!(
                "window_hu is {low}..{high}; right would be a lower and a higher value in HU"
            ));
        }
        if let Some(clip) = self.clahe_clip
            && !(clip > 0.0 && clip.is_finite())
        {
            return Some(format!("clahe_clip is {clip}; right would be above 0, or left out for no CLAHE"));
        }
        if self.clahe_tiles.iter().any(|&t| t == 0 || t > MAX_TILES) {
            return Some(format!(
                "clahe_tiles is {:?}; right would be 1 to {MAX_TILES} each",
                self.clahe_tiles
            ));
        }
        if self.roi.erosion == 0 || self.roi.dilation == 0 {
            return Some(
                "roi.erosion and roi.dilation are sides in pixels; right would be 1 or more".to_owned(),
            );
        }
        if self.roi.centre_fraction <= 0.0 {
            return Some("roi.centre_fraction is not above 0; right would be 0.6 or so".to_owned());
        }
        share("trim_fraction", self.trim_fraction, MAX_TRIM)
            .or_else(|| share("roi.centre_fraction", self.roi.centre_fraction, 1.0))
            .or_else(|| share("roi.max_extent", self.roi.max_extent, 1.0))
            .or_else(|| share("roi.top_band", self.roi.top_band, 1.0))
            .or_else(|| share("roi.bottom_band", self.roi.bottom_band, 1.0))
            .or_else(|| share("roi.margin", self.roi.margin, 1.0))
    }
}

/// Larger pictures than this are a slip of the pen.
const MAX_SIZE: usize = 4096;
/// More tiles per axis than this are a slip of the pen.
const MAX_TILES: usize = 256;
/// Trimming half of the slices at each end would leave none.
const MAX_TRIM: f64 = 0.49;

impl Default for RoiConfig {
    /// One box per volume; the numbers are those of the paper and its lineage.
    fn default() -> Self {
        Self {
            mode: RoiMode::Volume,
            centre_fraction: 0.6,
            erosion: 3,
            dilation: 8,
            max_extent: 0.9,
            top_band: 0.05,
            bottom_band: 0.01,
            margin: 0.03,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_are_without_fault() {
        assert_eq!(PrepareConfig::default().fault(), None);
        assert_eq!(PrepareConfig::paper().fault(), None);
    }

    #[test]
    fn faults_are_named() {
        let check = |change: fn(&mut PrepareConfig), word: &str| {
            let mut config = PrepareConfig::default();
            change(&mut config);
            assert!(config.fault().is_some_and(|f| f.contains(word)), "{word}");
        };
        check(|c| c.size = 0, "size");
        check(|c| c.window_hu = Some([5.0, 5.0]), "window_hu");
        check(|c| c.clahe_clip = Some(f64::NAN), "clahe_clip");
        check(|c| c.clahe_tiles = [8, 0], "clahe_tiles");
        check(|c| c.trim_fraction = 0.5, "trim_fraction");
        check(|c| c.roi.margin = -0.1, "roi.margin");
    }
}
