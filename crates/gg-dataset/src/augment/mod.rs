//! Random changes of a slice and its masks, moving together.
//!
//! Geometry: flips, scale, shift, rotation and shear about the picture's centre, all in ONE warp; pictures linear,
//! masks by the nearest pixel, so that masks keep their labels; what lies outside is 0. With
//! `A = rotation * shear * scale * flip`, an output pixel `o` shows the input at `A^-1 (o - centre - shift) + centre`,
//! in steps of 2^-16 pixel; a warp that moves by whole pixels only is exact.
//! Grey values: gamma, contrast, brightness and window ends as one table of 256 values, local equalisation (CLAHE)
//! before the warp; blur and noise after it.
//!
//! One seed `(seed, epoch, draw)` gives one result, whatever thread asks.

mod grey;
pub(crate) mod lesions;
#[cfg(test)]
mod tests;
mod warp;

use crate::random::{Purpose, Stream};
use grey::{add_noise, blur, draw_between, draw_table, equalise};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use warp::Warp;

/// How strongly slices are changed. All ranges are drawn uniformly; the default changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Probability of a mirror image left to right.
    pub flip_left_right: f64,
    /// Probability of a mirror image upside down.
    pub flip_up_down: f64,
    /// Probability that scale, shift, rotation and shear happen at all.
    pub affine: f64,
    /// Smallest and largest factor of size, drawn for each axis.
    pub scale: [f64; 2],
    /// Largest shift along each axis, as a share of the side.
    pub shift: f64,
    /// Largest rotation to either side, in degrees.
    pub rotate_degrees: f64,
    /// Largest shear to either side, in degrees.
    pub shear_degrees: f64,
    /// Probability that gamma, contrast, brightness and window ends change.
    pub intensity: f64,
    /// Smallest and largest exponent of grey values (0..1), drawn evenly on a logarithmic scale.
    pub gamma: [f64; 2],
    /// Smallest and largest factor about middle grey.
    pub contrast: [f64; 2],
    /// Largest addition or subtraction, as a share of the grey range.
    pub brightness: f64,
    /// How far each end of the grey range may move in or out, as a share of it: another window of the same CT.
    pub window: f64,
    /// Probability of local equalisation (CLAHE), so that pictures with and without it look alike to a network.
    pub equalise: f64,
    /// Smallest and largest clip limit of the equalisation.
    pub equalise_clip: [f64; 2],
    /// Probability of a Gaussian blur.
    pub blur: f64,
    /// Largest standard deviation of the blur, in pixels.
    pub blur_pixels: f64,
    /// Probability of noise.
    pub noise: f64,
    /// Largest standard deviation of the noise, as a share of the grey range.
    pub noise_share: f64,
    /// Probability that another training slice is drawn, whose lesions, if it has any, are laid into the lungs of this one,
    /// which then shows infection; the lungs stay what they are, so that a lung network sees consolidation in many. Slices
    /// without a lung mask stay as they are. Left out where it changes nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub lesion_mix: f64,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self::identity()
    }
}

impl AugmentConfig {
    /// Changes nothing.
    pub fn identity() -> Self {
        Self {
            flip_left_right: 0.0,
            flip_up_down: 0.0,
            affine: 0.0,
            scale: [1.0, 1.0],
            shift: 0.0,
            rotate_degrees: 0.0,
            shear_degrees: 0.0,
            intensity: 0.0,
            gamma: [1.0, 1.0],
            contrast: [1.0, 1.0],
            brightness: 0.0,
            window: 0.0,
            equalise: 0.0,
            equalise_clip: [1.0, 4.0],
            blur: 0.0,
            blur_pixels: 0.0,
            noise: 0.0,
            noise_share: 0.0,
            lesion_mix: 0.0,
        }
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`AugmentError`] with the first setting out of range.
    pub fn validate(&self) -> Result<(), AugmentError> {
        let probabilities = [
            ("flip_left_right", self.flip_left_right),
            ("flip_up_down", self.flip_up_down),
            ("affine", self.affine),
            ("intensity", self.intensity),
            ("equalise", self.equalise),
            ("blur", self.blur),
            ("noise", self.noise),
            ("lesion_mix", self.lesion_mix),
            ("shift", self.shift),
            ("brightness", self.brightness),
            ("noise_share", self.noise_share),
        ];
        for (name, value) in probabilities {
            within(name, value, 0.0, 1.0)?;
        }
        within("window", self.window, 0.0, 0.45)?;
        within("rotate_degrees", self.rotate_degrees, 0.0, 180.0)?;
        within("shear_degrees", self.shear_degrees, 0.0, 60.0)?;
        within("blur_pixels", self.blur_pixels, 0.0, 10.0)?;
        for (name, [low, high], least, most) in [
            ("scale", self.scale, 0.1, 10.0),
            ("gamma", self.gamma, 0.1, 10.0),
            ("contrast", self.contrast, 0.0, 10.0),
            ("equalise_clip", self.equalise_clip, 0.1, 100.0),
        ] {
            within(name, low, least, most)?;
            within(name, high, low, most)?;
        }
        Ok(())
    }
}

/// A setting of the augmentation out of its range.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("augmentation setting `{name}` is {found}; right would be from {least} to {most}")]
pub struct AugmentError {
    /// Name of the setting.
    pub name: &'static str,
    /// Its value.
    pub found: f64,
    /// Smallest allowed value.
    pub least: f64,
    /// Largest allowed value.
    pub most: f64,
}

fn within(name: &'static str, found: f64, least: f64, most: f64) -> Result<(), AugmentError> {
    if (least..=most).contains(&found) { Ok(()) } else { Err(AugmentError { name, found, least, most }) }
}

/// A changed slice: pictures and masks in the order in which they were given.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmented {
    /// Pictures (channels), `size * size` each.
    pub images: Vec<Vec<u8>>,
    /// Masks, `size * size` each, with no label that was not there before but 0.
    pub masks: Vec<Vec<u8>>,
}

/// Changes pictures (the channels of one sample) and their masks alike; `seed` is (seed, epoch, draw).
///
/// # Shape
/// Each picture and mask holds `size * size` pixels, row-major.
pub fn augment(
    images: &[&[u8]],
    masks: &[&[u8]],
    size: usize,
    config: &AugmentConfig,
    seed: [u64; 3],
) -> Augmented {
    // The two streams keep the geometry the same whatever the grey values draw.
    let draw = seed[2].wrapping_mul(2);
    let mut geometry = Stream::new(seed[0], Purpose::Augment, seed[1], draw);
    let mut grey = Stream::new(seed[0], Purpose::Augment, seed[1], draw.wrapping_add(1));
    let way = Warp::draw(config, size, &mut geometry);
    let table = draw_table(config, &mut grey);
    let clip = grey.chance(config.equalise).then(|| draw_between(config.equalise_clip, &mut grey));
    let sigma = grey.chance(config.blur).then(|| grey.range(0.0, config.blur_pixels));
    let noise = grey.chance(config.noise).then(|| grey.range(0.0, config.noise_share));

    let images = images
        .iter()
        .map(|&image| {
            let mut pixels = image.to_vec();
            if let Some(clip) = clip {
                pixels = equalise(&pixels, size, clip);
            }
            if let Some(table) = &table {
                pixels.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
            }
            if let Some(way) = &way {
                pixels = way.linear(&pixels, size);
            }
            if let Some(sigma) = sigma {
                blur(&mut pixels, size, sigma);
            }
            if let Some(share) = noise {
                add_noise(&mut pixels, share, &mut grey);
            }
            pixels
        })
        .collect();
    let masks =
        masks.iter().map(|&m| way.as_ref().map_or_else(|| m.to_vec(), |w| w.nearest(m, size))).collect();
    Augmented { images, masks }
}

/// Every change at once, for tests.
#[cfg(test)]
pub(crate) fn all_changes() -> AugmentConfig {
    AugmentConfig {
        flip_left_right: 0.5,
        flip_up_down: 0.5,
        affine: 0.9,
        scale: [0.8, 1.2],
        shift: 0.1,
        rotate_degrees: 15.0,
        shear_degrees: 6.0,
        intensity: 0.7,
        gamma: [0.7, 1.4],
        contrast: [0.8, 1.25],
        brightness: 0.1,
        window: 0.1,
        equalise: 0.2,
        equalise_clip: [1.0, 4.0],
        blur: 0.15,
        blur_pixels: 1.0,
        noise: 0.25,
        noise_share: 0.04,
        lesion_mix: 0.4,
    }
}
