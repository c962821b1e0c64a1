//! Length of the outline that passes between four neighbouring pixels, for each of the 16 ways to mark them: marching
//! squares with its vertices in the middle of the edges. For volumes of one slice.
//!
//! # Source
//! As the two-dimensional table of the surface-distance package: one corner cut off has half a diagonal, two corners
//! across have two halves.

/// Lengths of all 16 codes at a spacing `[y, x]`; corner `c` (`y = c >> 1`, `x = c & 1`) is marked by bit `3 - c`.
pub(crate) fn lengths(spacing: [f64; 2]) -> [f64; 16] {
    let [y, x] = spacing;
    let half = 0.5 * y.hypot(x);
    std::array::from_fn(|code| match code {
        0b0000 | 0b1111 => 0.0,
        0b1100 | 0b0011 => x,
        0b1010 | 0b0101 => y,
        0b1001 | 0b0110 => 2.0 * half,
        _ => half,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_outline_is_as_long_as_a_pixel() {
        let table = lengths([2.0, 3.0]);
        assert_eq!((table[0b1100], table[0b1010]), (3.0, 2.0));
        assert_eq!(table[0b0001] * 2.0, table[0b0110]);
    }
}
