//! Smooth random fields in patient space, and the noise of a scanner.

use crate::random::{Purpose, Random};

/// Side of the periodic lattice; a power of two.
const SIDE: usize = 32;

/// A smooth field with mean 0 and standard deviation near 1: random values on a lattice, interpolated.
pub(crate) struct Texture {
    lattice: Vec<f32>,
}

impl Texture {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Random::new(seed, Purpose::Texture);
        Self { lattice: (0..SIDE * SIDE * SIDE).map(|_| rng.normal()).collect() }
    }

    /// The field at a position, with features of about `size_mm`. `layer` picks an unrelated field.
    pub(crate) fn at(&self, p: [f32; 3], size_mm: f32, layer: u32) -> f32 {
        /// Interpolation averages: this restores a standard deviation near 1.
        const GAIN: f32 = 1.6;
        let shift = layer as f32 * 7.37;
        let mut cell = [0usize; 3];
        let mut frac = [0f32; 3];
        for a in 0..3 {
            let u = p[a] / size_mm + shift * (1.0 + a as f32 * 0.61) + 4096.0;
            let floor = u.floor();
            cell[a] = floor as usize & (SIDE - 1);
            let t = u - floor;
            frac[a] = t * t * (3.0 - 2.0 * t);
        }
        let next = cell.map(|c| (c + 1) & (SIDE - 1));
        let value = |z: usize, y: usize, x: usize| self.lattice[(z * SIDE + y) * SIDE + x];
        let along_x = |z: usize, y: usize| lerp(value(z, y, cell[0]), value(z, y, next[0]), frac[0]);
        let along_y = |z: usize| lerp(along_x(z, cell[1]), along_x(z, next[1]), frac[1]);
        GAIN * lerp(along_y(cell[2]), along_y(next[2]), frac[2])
    }
}

/// Noise of one slice with standard deviation near 1: white noise through a short in-plane kernel, as a
/// reconstruction kernel leaves it. Slices are independent of each other.
pub(crate) fn scanner_noise(seed: u64, slice: usize, height: usize, width: usize) -> Vec<f32> {
    /// Binomial kernel; each pass keeps `sqrt(0.25^2 + 0.5^2 + 0.25^2)` of the standard deviation.
    const KEPT: f32 = 0.375; // of the variance, one direction; both: 0.375 again
    let mut rng = Random::with_offset(seed, Purpose::Noise, slice as u64);
    let mut noise: Vec<f32> = (0..height * width).map(|_| rng.normal()).collect();
    blur_plane(&mut noise, height, width, 0.25);
    noise.iter_mut().for_each(|v| *v /= KEPT);
    noise
}

/// Convolves rows and columns with `[side, 1 - 2 side, side]`, edges repeated.
pub(crate) fn blur_plane(plane: &mut [f32], height: usize, width: usize, side: f32) {
    let centre = 1.0 - 2.0 * side;
    let mut line = vec![0.0; width];
    for row in plane.chunks_exact_mut(width) {
        line.copy_from_slice(row);
        for x in 0..width {
            let left = line[x.saturating_sub(1)];
            let right = line[(x + 1).min(width - 1)];
            row[x] = centre * line[x] + side * (left + right);
        }
    }
    let mut above = plane[..width].to_vec();
    for y in 0..height {
        let here = plane[y * width..(y + 1) * width].to_vec();
        let below_at = (y + 1).min(height - 1) * width;
        for x in 0..width {
            plane[y * width + x] = centre * here[x] + side * (above[x] + plane[below_at + x]);
        }
        above = here;
    }
}

pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn smoothstep(low: f32, high: f32, v: f32) -> f32 {
    let t = ((v - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation(values: &[f32]) -> f32 {
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt()
    }

    #[test]
    fn noise_has_unit_deviation_and_neighbours_that_resemble_each_other() {
        let (h, w) = (128, 128);
        let noise = scanner_noise(5, 3, h, w);
        assert!((deviation(&noise) - 1.0).abs() < 0.05, "{}", deviation(&noise));
        let pairs: f32 = noise.windows(2).map(|p| p[0] * p[1]).sum::<f32>() / noise.len() as f32;
        assert!(pairs > 0.4, "{pairs}");
    }

    #[test]
    fn texture_is_centred_with_unit_deviation() {
        let texture = Texture::new(9);
        let values: Vec<f32> =
            (0..8000).map(|i| texture.at([i as f32 * 3.1, i as f32 * 1.7, i as f32 * 0.9], 8.0, 1)).collect();
        assert!((deviation(&values) - 1.0).abs() < 0.25, "{}", deviation(&values));
    }
}
