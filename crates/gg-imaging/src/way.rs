//! How one prepared picture came from its slice: all that the way back needs.

use serde::{Deserialize, Serialize};

/// A rectangle of pixels; may reach outside the picture it lies on, which then means padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rect {
    /// First row.
    pub y: i64,
    /// First column.
    pub x: i64,
    /// Number of rows.
    pub h: usize,
    /// Number of columns.
    pub w: usize,
}

impl Rect {
    /// The whole of a picture.
    pub fn whole(h: usize, w: usize) -> Self {
        Self { y: 0, x: 0, h, w }
    }

    /// From the first to the last row and column, both included.
    pub fn from_corners(y0: i64, x0: i64, y1: i64, x1: i64) -> Self {
        Self { y: y0, x: x0, h: (y1 - y0 + 1).max(0) as usize, w: (x1 - x0 + 1).max(0) as usize }
    }

    /// Widened by so many pixels on each side, but not beyond a picture of `h` x `w`.
    pub fn widened(self, pixels: i64, h: usize, w: usize) -> Self {
        let y0 = (self.y - pixels).max(0);
        let x0 = (self.x - pixels).max(0);
        let y1 = (self.y + self.h as i64 - 1 + pixels).min(h as i64 - 1);
        let x1 = (self.x + self.w as i64 - 1 + pixels).min(w as i64 - 1);
        Self::from_corners(y0, x0, y1, x1)
    }

    /// The smallest rectangle around it that is a square of pixels of this height and width; the odd pixel goes to the
    /// bottom or right.
    pub fn squared(self, pixel: [f64; 2]) -> Self {
        let side = (self.h as f64 * pixel[0]).max(self.w as f64 * pixel[1]);
        let h = ((side / pixel[0]).round() as usize).max(self.h);
        let w = ((side / pixel[1]).round() as usize).max(self.w);
        let y = self.y - ((h - self.h) / 2) as i64;
        let x = self.x - ((w - self.w) / 2) as i64;
        Self { y, x, h, w }
    }

    /// The smallest rectangle around both.
    pub fn union(self, other: Self) -> Self {
        let y1 = (self.y + self.h as i64).max(other.y + other.h as i64) - 1;
        let x1 = (self.x + self.w as i64).max(other.x + other.w as i64) - 1;
        Self::from_corners(self.y.min(other.y), self.x.min(other.x), y1, x1)
    }

    /// Copies the pixels under the rectangle; `fill` where it reaches outside.
    pub fn cut<T: Copy>(self, src: &[T], h: usize, w: usize, fill: T) -> Vec<T> {
        let mut out = vec![fill; self.h * self.w];
        self.overlap_rows(h, w, |inside, picture, len| {
            out[inside..inside + len].copy_from_slice(&src[picture..picture + len]);
        });
        out
    }

    /// The way back of [`Rect::cut`]: writes the pixels into a picture of `h` x `w`; those outside it are lost.
    pub fn paste<T: Copy>(self, pixels: &[T], out: &mut [T], h: usize, w: usize) {
        self.overlap_rows(h, w, |inside, picture, len| {
            out[picture..picture + len].copy_from_slice(&pixels[inside..inside + len]);
        });
    }

    /// Calls `f(offset in the rectangle, offset in the picture, length)` for each row that both share.
    pub(crate) fn overlap_rows(self, h: usize, w: usize, mut f: impl FnMut(usize, usize, usize)) {
        let x0 = self.x.clamp(0, w as i64);
        let x1 = (self.x + self.w as i64).clamp(0, w as i64);
        if x1 <= x0 {
            return;
        }
        for row in 0..self.h {
            let y = self.y + row as i64;
            if y >= 0 && y < h as i64 {
                let inside = row * self.w + (x0 - self.x) as usize;
                f(inside, y as usize * w + x0 as usize, (x1 - x0) as usize);
            }
        }
    }
}

/// The way of one slice: canonical slice, turned, cropped, resized to a square.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceWay {
    /// Index of the canonical slice, from feet to head.
    pub z: usize,
    /// Height and width of the canonical slice.
    pub canonical: [usize; 2],
    /// Counter-clockwise turns by 90 degrees before the crop.
    pub quarter_turns: u8,
    /// What was cut from the turned slice.
    pub crop: Rect,
    /// Side of the prepared picture.
    pub size: usize,
    /// Whether the lung region was found; where not, `crop` is the whole slice.
    pub roi_found: bool,
}

impl SliceWay {
    /// Height and width of the turned slice, on which `crop` lies.
    pub fn turned(&self) -> [usize; 2] {
        let [h, w] = self.canonical;
        if self.quarter_turns % 2 == 1 { [w, h] } else { [h, w] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_and_paste_invert_each_other_inside_the_picture() {
        let picture: Vec<u8> = (0..20).collect();
        for rect in [
            Rect { y: -1, x: -2, h: 7, w: 9 },
            Rect { y: 1, x: 1, h: 2, w: 3 },
            Rect { y: 3, x: 4, h: 4, w: 4 },
            Rect { y: 9, x: 9, h: 2, w: 2 },
            Rect { y: -9, x: -9, h: 2, w: 2 },
        ] {
            let cut = rect.cut(&picture, 4, 5, 99);
            let mut back = picture.clone();
            rect.paste(&cut, &mut back, 4, 5);
            assert_eq!(back, picture, "{rect:?}");
        }
        assert_eq!(Rect { y: 0, x: 4, h: 1, w: 2 }.cut(&picture, 4, 5, 99), [4, 99]);
    }

    #[test]
    fn a_square_keeps_the_rectangle_in_its_middle() {
        let rect = Rect { y: 10, x: 3, h: 4, w: 9 };
        assert_eq!(rect.squared([1.0, 1.0]), Rect { y: 8, x: 3, h: 9, w: 9 });
        assert_eq!(rect.squared([0.7, 0.7]), rect.squared([1.0, 1.0]));
        assert_eq!(rect.squared([3.0, 1.0]), Rect { y: 10, x: 2, h: 4, w: 12 });
        assert_eq!(rect.squared([1.0, 2.0]), Rect { y: 3, x: 3, h: 18, w: 9 });
    }
}
