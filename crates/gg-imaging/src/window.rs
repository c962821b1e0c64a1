//! Grey values to 8 bit: a fixed window, or each slice's own minimum to maximum.
//!
//! `window`: `255 (v - low) / (high - low)`, clamped, rounded to the nearest (half up); NaN becomes 0.
//! `min_max`: `trunc(255 (v - min) / (max - min))` in `f64`, as numpy's `(x * 255).astype(uint8)` in the lineage of
//! the paper, which truncates. Golden set: `imaging/window`.

/// The white end of an 8-bit picture.
const WHITE: f32 = 255.0;

/// Maps `low..high` to 0..255; values outside are clamped.
///
/// # Shape
/// `out` has the length of `src`.
pub fn window_to_u8(src: &[f32], low: f32, high: f32, out: &mut [u8]) {
    let scale = WHITE / (high - low);
    for (o, &v) in out.iter_mut().zip(src) {
        // The cast makes 0 of NaN.
        *o = (((v - low) * scale).clamp(0.0, WHITE) + 0.5) as u8;
    }
}

/// Maps the smallest to the largest finite value of `src` to 0..255; a flat picture becomes 0.
///
/// # Shape
/// `out` has the length of `src`.
pub fn min_max_to_u8(src: &[f32], out: &mut [u8]) {
    let finite = src.iter().copied().filter(|v| v.is_finite());
    let (min, max) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if max <= min {
        out.fill(0);
        return;
    }
    let (min, range) = (f64::from(min), f64::from(max) - f64::from(min));
    for (o, &v) in out.iter_mut().zip(src) {
        *o = ((f64::from(v) - min) / range * f64::from(WHITE)) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_clamps_and_rounds() {
        let mut out = [9; 6];
        window_to_u8(&[-2000.0, -1350.0, 150.0, 3000.0, f32::NAN, -600.0], -1350.0, 150.0, &mut out);
        assert_eq!(out, [0, 0, 255, 255, 0, 128]);
    }

    #[test]
    fn min_max_truncates_and_survives_flat_and_odd_values() {
        let mut out = [9; 4];
        min_max_to_u8(&[0.0, 1.0, 2.0, 3.0], &mut out);
        assert_eq!(out, [0, 85, 170, 255]);
        min_max_to_u8(&[7.0; 4], &mut out);
        assert_eq!(out, [0; 4]);
        min_max_to_u8(&[f32::NAN, f32::INFINITY, 0.0, 1.0], &mut out);
        assert_eq!(out, [0, 255, 0, 255]);
    }
}
