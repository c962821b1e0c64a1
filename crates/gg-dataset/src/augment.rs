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

use crate::random::{Purpose, Stream};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Fractional bits of a source coordinate.
const FRACTION: u32 = 16;
/// Standard deviation of the sum of four random bytes, sqrt(4 * (256^2 - 1) / 12).
const FOUR_BYTES_SD: f64 = 147.800_992_779_883_9;
/// Mean of the sum of four random bytes.
const FOUR_BYTES_MEAN: f64 = 510.0;

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

/// From output pixels back to input coordinates, `source = matrix * (x, y) + start`, in 2^-16 pixels.
struct Warp {
    matrix: [[i64; 2]; 2],
    start: [i64; 2],
}

impl Warp {
    /// Draws the geometry; `None` where nothing moves. Takes the same count of numbers for every config.
    fn draw(config: &AugmentConfig, size: usize, stream: &mut Stream) -> Option<Self> {
        let mirror = |flip: bool| if flip { -1.0 } else { 1.0 };
        let flip =
            [mirror(stream.chance(config.flip_left_right)), mirror(stream.chance(config.flip_up_down))];
        let affine = stream.chance(config.affine);
        let scale: [f64; 2] = std::array::from_fn(|_| draw_between(config.scale, stream));
        let shift: [f64; 2] =
            std::array::from_fn(|_| stream.range(-config.shift, config.shift) * size as f64);
        let angle = stream.range(-config.rotate_degrees, config.rotate_degrees).to_radians();
        let shear = stream.range(-config.shear_degrees, config.shear_degrees).to_radians().tan();
        let (scale, shift, angle, shear) =
            if affine { (scale, shift, angle, shear) } else { ([1.0; 2], [0.0; 2], 0.0, 0.0) };
        if flip == [1.0; 2] && scale == [1.0; 2] && shift == [0.0; 2] && angle == 0.0 && shear == 0.0 {
            return None;
        }
        let (sin, cos) = angle.sin_cos();
        let forward = [
            [cos * scale[0] * flip[0], (-cos * shear - sin) * scale[1] * flip[1]],
            [sin * scale[0] * flip[0], (-sin * shear + cos) * scale[1] * flip[1]],
        ];
        Some(Self::inverse_of(forward, shift, size))
    }

    fn inverse_of(m: [[f64; 2]; 2], shift: [f64; 2], size: usize) -> Self {
        let det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        let inverse = [[m[1][1] / det, -m[0][1] / det], [-m[1][0] / det, m[0][0] / det]];
        let centre = (size as f64 - 1.0) / 2.0;
        let from = [-centre - shift[0], -centre - shift[1]];
        let start: [f64; 2] =
            std::array::from_fn(|r| inverse[r][0] * from[0] + inverse[r][1] * from[1] + centre);
        let fixed = |v: f64| (v * f64::from(1u32 << FRACTION)).round() as i64;
        Self { matrix: inverse.map(|row| row.map(fixed)), start: start.map(fixed) }
    }

    /// Calls `f` with the source coordinates of every output pixel, row by row.
    fn each(&self, size: usize, mut f: impl FnMut(i64, i64)) {
        for y in 0..size as i64 {
            let mut sx = self.start[0] + self.matrix[0][1] * y;
            let mut sy = self.start[1] + self.matrix[1][1] * y;
            for _ in 0..size {
                f(sx, sy);
                sx += self.matrix[0][0];
                sy += self.matrix[1][0];
            }
        }
    }

    /// Bilinear, with weights in 1/256.
    fn linear(&self, image: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(size * size);
        let n = size as i64;
        let at = |x: i64, y: i64| -> u32 {
            if (0..n).contains(&x) && (0..n).contains(&y) {
                u32::from(image[(y * n + x) as usize])
            } else {
                0
            }
        };
        self.each(size, |sx, sy| {
            let (x, y) = (sx >> FRACTION, sy >> FRACTION);
            let (fx, fy) = (((sx >> 8) & 255) as u32, ((sy >> 8) & 255) as u32);
            let inside = (0..n - 1).contains(&x) && (0..n - 1).contains(&y);
            let [a, b, c, d] = if inside {
                let i = (y * n + x) as usize;
                [image[i], image[i + 1], image[i + size], image[i + size + 1]].map(u32::from)
            } else {
                [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)]
            };
            let top = a * (256 - fx) + b * fx;
            let bottom = c * (256 - fx) + d * fx;
            out.push(((top * (256 - fy) + bottom * fy + (1 << 15)) >> 16) as u8);
        });
        out
    }

    /// The nearest pixel.
    fn nearest(&self, mask: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(size * size);
        let n = size as i64;
        let half = 1 << (FRACTION - 1);
        self.each(size, |sx, sy| {
            let (x, y) = ((sx + half) >> FRACTION, (sy + half) >> FRACTION);
            let inside = (0..n).contains(&x) && (0..n).contains(&y);
            out.push(if inside { mask[(y * n + x) as usize] } else { 0 });
        });
        out
    }
}

fn draw_between([low, high]: [f64; 2], stream: &mut Stream) -> f64 {
    stream.range(low, high)
}

/// Gamma, contrast, brightness and window ends as one table; `None` where nothing changes.
fn draw_table(config: &AugmentConfig, stream: &mut Stream) -> Option<[u8; 256]> {
    let happens = stream.chance(config.intensity);
    let gamma = stream.range(config.gamma[0].ln(), config.gamma[1].ln()).exp();
    let contrast = draw_between(config.contrast, stream);
    let brightness = stream.range(-config.brightness, config.brightness);
    let low = stream.range(-config.window, config.window);
    let high = 1.0 + stream.range(-config.window, config.window);
    happens.then(|| {
        std::array::from_fn(|v| {
            let windowed = ((v as f64 / 255.0 - low) / (high - low)).clamp(0.0, 1.0);
            let grey = (windowed.powf(gamma) - 0.5) * contrast + 0.5 + brightness;
            (grey.clamp(0.0, 1.0) * 255.0).round() as u8
        })
    })
}

/// CLAHE with 8 x 8 tiles, as the contrast step of the preparation.
fn equalise(image: &[u8], size: usize, clip: f64) -> Vec<u8> {
    const TILES: usize = 8;
    gg_imaging::clahe(image, size, size, clip, TILES, TILES)
}

/// Gaussian blur with mirrored edges, rows then columns, cut at three standard deviations.
fn blur(pixels: &mut [u8], size: usize, sigma: f64) {
    const NOTHING: f64 = 0.05;
    if sigma < NOTHING || size < 2 {
        return;
    }
    let reach = (3.0 * sigma).ceil() as usize;
    let weight = |d: usize| (-((d * d) as f64) / (2.0 * sigma * sigma)).exp();
    let total = 1.0 + 2.0 * (1..=reach).map(weight).sum::<f64>();
    let kernel: Vec<f32> = (0..=reach).map(|d| (weight(d) / total) as f32).collect();
    let mirror = |i: isize| -> usize {
        let n = size as isize;
        let folded = i.rem_euclid(2 * n);
        (if folded < n { folded } else { 2 * n - 1 - folded }) as usize
    };
    let mut rows = vec![0f32; size * size];
    for (row, out) in pixels.chunks_exact(size).zip(rows.chunks_exact_mut(size)) {
        for (x, value) in out.iter_mut().enumerate() {
            *value = kernel[0] * f32::from(row[x]);
            for (d, w) in kernel.iter().enumerate().skip(1) {
                let (left, right) = (mirror(x as isize - d as isize), mirror((x + d) as isize));
                *value += w * (f32::from(row[left]) + f32::from(row[right]));
            }
        }
    }
    let mut sum = vec![0f32; size];
    for (y, out) in pixels.chunks_exact_mut(size).enumerate() {
        let row = |i: usize| &rows[i * size..(i + 1) * size];
        sum.iter_mut().zip(row(y)).for_each(|(s, v)| *s = kernel[0] * v);
        for (d, w) in kernel.iter().enumerate().skip(1) {
            let (up, down) = (row(mirror(y as isize - d as isize)), row(mirror((y + d) as isize)));
            sum.iter_mut().zip(up.iter().zip(down)).for_each(|(s, (u, v))| *s += w * (u + v));
        }
        out.iter_mut().zip(&sum).for_each(|(o, s)| *o = (s + 0.5) as u8);
    }
}

/// Adds nearly Gaussian noise: the sum of four random bytes, scaled.
fn add_noise(pixels: &mut [u8], share: f64, stream: &mut Stream) {
    let factor = (share * 255.0 / FOUR_BYTES_SD) as f32;
    let mut random = vec![0u8; pixels.len() * 4];
    stream.bytes(&mut random);
    for (v, four) in pixels.iter_mut().zip(random.as_chunks::<4>().0) {
        let sum: u32 = four.iter().map(|&b| u32::from(b)).sum();
        let noisy = f32::from(*v) + (sum as f32 - FOUR_BYTES_MEAN as f32) * factor;
        *v = noisy.round() as u8;
    }
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn disc(size: usize, cx: f64, cy: f64, r: f64) -> Vec<u8> {
        (0..size * size)
            .map(|i| {
                let (x, y) = ((i % size) as f64 - cx, (i / size) as f64 - cy);
                u8::from(x * x + y * y <= r * r)
            })
            .collect()
    }

    #[test]
    fn the_identity_gives_the_same_bytes() {
        let image: Vec<u8> = (0..33 * 33).map(|i| (i * 7 % 256) as u8).collect();
        let mask = disc(33, 12.0, 15.0, 6.0);
        let config = AugmentConfig { affine: 1.0, intensity: 1.0, ..AugmentConfig::identity() };
        let out = augment(&[&image], &[&mask], 33, &config, [1, 2, 3]);
        assert_eq!(out.images, [image]);
        assert_eq!(out.masks, [mask]);
    }

    #[test]
    fn a_flip_is_exact_and_its_own_inverse() {
        for size in [16, 17] {
            let image: Vec<u8> = (0..size * size).map(|i| (i * 13 % 256) as u8).collect();
            let config = AugmentConfig { flip_left_right: 1.0, ..AugmentConfig::identity() };
            let once = augment(&[&image], &[&image], size, &config, [0, 0, 0]);
            let mirrored: Vec<u8> =
                image.chunks(size).flat_map(|row| row.iter().rev().copied().collect::<Vec<_>>()).collect();
            assert_eq!(once.images[0], mirrored);
            assert_eq!(once.masks[0], mirrored);
        }
    }

    #[test]
    fn a_rotation_by_ninety_degrees_is_exact() {
        let size = 5;
        let image: Vec<u8> = (0..25).collect();
        let quarter = Warp::inverse_of([[0.0, -1.0], [1.0, 0.0]], [0.0; 2], size);
        let out = quarter.linear(&image, size);
        // (x, y) goes to (-y, x) about the centre: the first row becomes the last column.
        assert_eq!((0..5).map(|y| out[y * 5 + 4]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn noise_has_the_standard_deviation_that_was_asked_for() {
        let mut pixels = vec![128u8; 65536];
        add_noise(&mut pixels, 0.04, &mut Stream::new(1, Purpose::Augment, 0, 0));
        let n = pixels.len() as f64;
        let mean = pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = pixels.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        assert!((mean - 128.0).abs() < 0.2, "mean {mean}");
        assert!((var.sqrt() - 10.2).abs() < 0.2, "sd {}", var.sqrt());
    }

    #[test]
    fn blur_keeps_a_flat_picture_and_the_sum_of_a_point() {
        let mut flat = vec![77u8; 20 * 20];
        blur(&mut flat, 20, 1.3);
        assert!(flat.iter().all(|&v| v == 77));
        let mut point = vec![0u8; 21 * 21];
        point[10 * 21 + 10] = 255;
        blur(&mut point, 21, 1.0);
        assert_eq!(point[10 * 21 + 10], (255.0 / (2.0 * std::f64::consts::PI)).round() as u8);
    }

    #[test]
    fn settings_out_of_range_and_unknown_keys_are_refused() {
        let bad = AugmentConfig { scale: [0.0, 1.0], ..AugmentConfig::identity() };
        assert_eq!(bad.validate().unwrap_err().name, "scale");
        let bad = AugmentConfig { noise: f64::NAN, ..AugmentConfig::identity() };
        assert!(bad.validate().is_err());
        assert!(toml::from_str::<AugmentConfig>("flip = 0.5").is_err());
        for config in [AugmentConfig::identity(), all_changes()] {
            config.validate().unwrap();
            let text = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<AugmentConfig>(&text).unwrap(), config);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn masks_keep_their_labels(seed: u64, draw: u64) {
            let mask: Vec<u8> = (0..40 * 40).map(|i| [0, 1, 3][(i / 7 + i / 320) % 3]).collect();
            let out = augment(&[], &[&mask], 40, &all_changes(), [seed, 0, draw]);
            prop_assert!(out.masks[0].iter().all(|v| [0, 1, 3].contains(v)));
        }

        #[test]
        fn picture_and_mask_move_together(seed: u64) {
            let mask = disc(64, 28.0, 34.0, 14.0);
            let image: Vec<u8> = mask.iter().map(|&v| v * 255).collect();
            // Grey values that change by themselves say nothing about the place of the edge.
            let geometry = AugmentConfig { intensity: 0.0, equalise: 0.0, blur: 0.0, noise: 0.0, ..all_changes() };
            let out = augment(&[&image], &[&mask], 64, &geometry, [seed, 1, 2]);
            // Only pixels that the disc's edge crosses may differ.
            let differ = out.images[0].iter().zip(&out.masks[0]).filter(|&(&i, &m)| (i >= 128) != (m == 1)).count();
            prop_assert!(differ <= 24, "{differ} pixels differ");
            let clear = out.images[0].iter().zip(&out.masks[0]);
            prop_assert!(clear.filter(|&(&i, _)| i == 255).all(|(_, &m)| m == 1));
        }

        #[test]
        fn the_same_seed_gives_the_same_bytes(seed: u64) {
            let image: Vec<u8> = (0..32 * 32).map(|i| (i % 251) as u8).collect();
            let mask = disc(32, 16.0, 16.0, 7.0);
            let config = AugmentConfig { equalise: 1.0, blur: 1.0, noise: 1.0, ..all_changes() };
            let once = augment(&[&image, &image], &[&mask], 32, &config, [seed, 3, 4]);
            prop_assert_eq!(&once, &augment(&[&image, &image], &[&mask], 32, &config, [seed, 3, 4]));
            prop_assert_ne!(once, augment(&[&image, &image], &[&mask], 32, &config, [seed, 3, 5]));
        }
    }
}
