//! Changes of grey values: a table, local equalisation, blur and noise.

use super::AugmentConfig;
use crate::random::Stream;

/// Standard deviation of the sum of four random bytes, sqrt(4 * (256^2 - 1) / 12).
const FOUR_BYTES_SD: f64 = 147.800_992_779_883_9;
/// Mean of the sum of four random bytes.
const FOUR_BYTES_MEAN: f64 = 510.0;

pub(super) fn draw_between([low, high]: [f64; 2], stream: &mut Stream) -> f64 {
    stream.range(low, high)
}

/// Gamma, contrast, brightness and window ends as one table; `None` where nothing changes.
pub(super) fn draw_table(config: &AugmentConfig, stream: &mut Stream) -> Option<[u8; 256]> {
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
pub(super) fn equalise(image: &[u8], size: usize, clip: f64) -> Vec<u8> {
    const TILES: usize = 8;
    gg_imaging::clahe(image, size, size, clip, TILES, TILES)
}

/// Gaussian blur with mirrored edges, rows then columns, cut at three standard deviations.
pub(super) fn blur(pixels: &mut [u8], size: usize, sigma: f64) {
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
pub(super) fn add_noise(pixels: &mut [u8], share: f64, stream: &mut Stream) {
    let factor = (share * 255.0 / FOUR_BYTES_SD) as f32;
    let mut random = vec![0u8; pixels.len() * 4];
    stream.bytes(&mut random);
    for (v, four) in pixels.iter_mut().zip(random.as_chunks::<4>().0) {
        let sum: u32 = four.iter().map(|&b| u32::from(b)).sum();
        let noisy = f32::from(*v) + (sum as f32 - FOUR_BYTES_MEAN as f32) * factor;
        *v = noisy.round() as u8;
    }
}
