//! The geometry of a change: one warp for pictures and masks.

use super::AugmentConfig;
use super::grey::draw_between;
use crate::random::Stream;

/// Fractional bits of a source coordinate.
const FRACTION: u32 = 16;

/// From output pixels back to input coordinates, `source = matrix * (x, y) + start`, in 2^-16 pixels.
pub(super) struct Warp {
    matrix: [[i64; 2]; 2],
    start: [i64; 2],
}

impl Warp {
    /// Draws the geometry; `None` where nothing moves. Takes the same count of numbers for every config.
    pub(super) fn draw(config: &AugmentConfig, size: usize, stream: &mut Stream) -> Option<Self> {
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

    pub(super) fn inverse_of(m: [[f64; 2]; 2], shift: [f64; 2], size: usize) -> Self {
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
    pub(super) fn linear(&self, image: &[u8], size: usize) -> Vec<u8> {
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
    pub(super) fn nearest(&self, mask: &[u8], size: usize) -> Vec<u8> {
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
