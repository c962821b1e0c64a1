//! Resizing by pixel centres: area means when shrinking, straight lines when enlarging.
//!
//! * [`resize_area_u8`]: OpenCV's `INTER_AREA` where no axis grows, bit-exact: whole factors sum integers (2 x 2 as
//!   `(sum + 2) >> 2`, others times an `f32`), fractional ones `f32` products in OpenCV's order, rows after columns,
//!   rounded half to even. An axis that grows is interpolated linearly (OpenCV does other things there).
//! * [`resize_linear_u8`]: OpenCV's `INTER_LINEAR` for 8 bit: weights of 11 bits.
//! * [`resize_linear_f32`]: the same positions with `f32` weights.
//! * [`resize_u8`] takes the right one of the first two: area where an axis shrinks, else linear.
//!
//! Source: OpenCV 5.0 `imgproc/resize`. Golden set: `imaging/resize`.

use crate::clahe::ROUND_HALF_EVEN;

/// Fixed-point bits of the weights of [`resize_linear_u8`].
const WEIGHT_BITS: u32 = 11;

/// Source shares below this are left out, as OpenCV does.
const SLIVER: f64 = 1e-3;

/// Resizes a picture of `h` x `w` to `out_h` x `out_w`: area means where an axis shrinks, else linear.
pub fn resize_u8(src: &[u8], h: usize, w: usize, out_h: usize, out_w: usize) -> Vec<u8> {
    if (out_h, out_w) == (h, w) {
        src.to_vec()
    } else if out_h < h || out_w < w {
        resize_area_u8(src, h, w, out_h, out_w)
    } else {
        resize_linear_u8(src, h, w, out_h, out_w)
    }
}

/// Resizes by area means; see the module's header.
pub fn resize_area_u8(src: &[u8], h: usize, w: usize, out_h: usize, out_w: usize) -> Vec<u8> {
    if src.is_empty() || out_h == 0 || out_w == 0 {
        return vec![0; out_h * out_w];
    }
    if h.is_multiple_of(out_h) && w.is_multiple_of(out_w) {
        return block_means(src, w, out_h, out_w, h / out_h, w / out_w);
    }
    let rows = AxisWeights::new(h, out_h);
    let columns = AxisWeights::new(w, out_w);
    let mut out = Vec::with_capacity(out_h * out_w);
    rows.combine_rows(
        &columns,
        |y| &src[y * w..(y + 1) * w],
        f32::from,
        |sums| {
            out.extend(sums.iter().map(|&v| (v + ROUND_HALF_EVEN).to_bits() as u8));
        },
    );
    out
}

/// Whole factors: exact integer sums.
fn block_means(src: &[u8], w: usize, out_h: usize, out_w: usize, by_y: usize, by_x: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(out_h * out_w);
    let scale = 1.0 / (by_y * by_x) as f32;
    let mut sums = vec![0u32; out_w];
    for rows in src.chunks_exact(by_y * w) {
        sums.fill(0);
        for row in rows.chunks_exact(w) {
            for (sum, block) in sums.iter_mut().zip(row.chunks_exact(by_x)) {
                *sum += block.iter().map(|&v| u32::from(v)).sum::<u32>();
            }
        }
        if (by_y, by_x) == (2, 2) {
            out.extend(sums.iter().map(|&s| ((s + 2) >> 2) as u8));
        } else {
            out.extend(sums.iter().map(|&s| (s as f32 * scale + ROUND_HALF_EVEN).to_bits() as u8));
        }
    }
    out
}

/// For each position of the result: which source positions count, and how much.
pub(crate) struct AxisWeights {
    /// `(first source position, first weight)` of each position, and one more at the end.
    starts: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

impl AxisWeights {
    /// Area shares where the axis shrinks, linear weights where it grows, one whole pixel where it stays.
    pub(crate) fn new(n: usize, out_n: usize) -> Self {
        let mut axis = Self { starts: Vec::with_capacity(out_n + 1), weights: Vec::new() };
        for i in 0..out_n {
            if out_n > n { axis.push_linear(n, out_n, i) } else { axis.push_area(n, out_n, i) }
        }
        axis.starts.push((n, axis.weights.len()));
        axis
    }

    fn push_linear(&mut self, n: usize, out_n: usize, i: usize) {
        let (low, weight) = linear_position(n, out_n, i);
        self.starts.push((low, self.weights.len()));
        if weight > 0.0 {
            self.weights.extend([1.0 - weight, weight]);
        } else {
            self.weights.push(1.0);
        }
    }

    fn push_area(&mut self, n: usize, out_n: usize, i: usize) {
        let scale = 1.0 / (out_n as f64 / n as f64);
        let from = i as f64 * scale;
        let to = from + scale;
        let cell = scale.min(n as f64 - from);
        let last = (to.floor() as usize).min(n - 1);
        let first = (from.ceil() as usize).min(last);
        let leads = first as f64 - from > SLIVER && first > 0;
        self.starts.push((if leads { first - 1 } else { first }, self.weights.len()));
        if leads {
            self.weights.push(((first as f64 - from) / cell) as f32);
        }
        self.weights.extend((first..last).map(|_| (1.0 / cell) as f32));
        if to - last as f64 > SLIVER {
            self.weights.push(((to - last as f64).min(1.0).min(cell) / cell) as f32);
        }
    }

    /// First source position and weights of position `i`.
    fn at(&self, i: usize) -> (usize, &[f32]) {
        let (first, start) = self.starts[i];
        (first, &self.weights[start..self.starts[i + 1].1])
    }

    /// Weighs the columns of each source row, then the rows, and hands over each finished row.
    ///
    /// Sums run from the lowest source position up, so that they are the same everywhere.
    pub(crate) fn combine_rows<'a, T: Copy + 'a>(
        &self,
        columns: &AxisWeights,
        row_of: impl Fn(usize) -> &'a [T],
        value: impl Fn(T) -> f32,
        mut finished: impl FnMut(&[f32]),
    ) {
        let (out_h, out_w) = (self.starts.len() - 1, columns.starts.len() - 1);
        let columns = Taps::of(columns);
        let mut values = Vec::new();
        let mut sums = vec![0.0f32; out_w];
        // Rows that two results share are weighed once: the last two are kept.
        let mut kept: [(usize, Vec<f32>); 2] =
            [(usize::MAX, vec![0.0; out_w]), (usize::MAX, vec![0.0; out_w])];
        for i in 0..out_h {
            let (first, weights) = self.at(i);
            for (k, &weight) in weights.iter().enumerate() {
                let y = first + k;
                if kept[y % 2].0 != y {
                    kept[y % 2].0 = y;
                    values.clear();
                    values.extend(row_of(y).iter().map(|&v| value(v)));
                    columns.weigh(&mut values, &mut kept[y % 2].1);
                }
                let row = &kept[y % 2].1;
                if k == 0 {
                    sums.iter_mut().zip(row).for_each(|(s, &v)| *s = weight * v);
                } else {
                    sums.iter_mut().zip(row).for_each(|(s, &v)| *s += weight * v);
                }
            }
            finished(&sums);
        }
    }
}

/// The weights of one axis as lists of one length, the shorter ones filled up with 0: adding 0 changes no sum, and a
/// fixed number of steps is what the compiler makes fast code of.
struct Taps {
    first: Vec<usize>,
    /// `many` weights of each position.
    weights: Vec<f32>,
    many: usize,
}

impl Taps {
    fn of(axis: &AxisWeights) -> Self {
        let positions = axis.starts.len() - 1;
        let many = (0..positions).map(|i| axis.at(i).1.len()).max().unwrap_or(0).max(1);
        let mut taps = Self { first: Vec::new(), weights: Vec::new(), many };
        for i in 0..positions {
            let (first, weights) = axis.at(i);
            taps.first.push(first);
            taps.weights.extend_from_slice(weights);
            taps.weights.resize(taps.first.len() * many, 0.0);
        }
        taps
    }

    /// Weighs a row, which is filled up with 0 for that.
    fn weigh(&self, row: &mut Vec<f32>, out: &mut [f32]) {
        row.resize(row.len() + self.many, 0.0);
        match self.many {
            1 => self.weigh_by::<1>(row, out),
            2 => self.weigh_by::<2>(row, out),
            3 => self.weigh_by::<3>(row, out),
            4 => self.weigh_by::<4>(row, out),
            _ => {
                let each = self.first.iter().zip(self.weights.chunks_exact(self.many));
                for (o, (&first, weights)) in out.iter_mut().zip(each) {
                    let values = &row[first..first + self.many];
                    *o = values.iter().zip(weights).fold(0.0, |sum, (v, weight)| sum + v * weight);
                }
            }
        }
    }

    fn weigh_by<const N: usize>(&self, row: &[f32], out: &mut [f32]) {
        let weights = self.weights.as_chunks::<N>().0;
        for (o, (&first, weights)) in out.iter_mut().zip(self.first.iter().zip(weights)) {
            let Some(values) = row[first..].first_chunk::<N>() else { continue };
            *o = values.iter().zip(weights).fold(0.0, |sum, (v, weight)| sum + v * weight);
        }
    }
}

/// The source position at or before the centre of pixel `i` of the result, and the weight of the one after it.
fn linear_position(n: usize, out_n: usize, i: usize) -> (usize, f32) {
    let centre = linear_centre(n, out_n, i);
    let floor = centre.floor();
    if floor < 0.0 {
        (0, 0.0)
    } else if floor as usize >= n - 1 {
        (n - 1, 0.0)
    } else {
        (floor as usize, centre - floor)
    }
}

/// Where the centre of pixel `i` of the result lies on the source, in pixels from the centre of its first one.
fn linear_centre(n: usize, out_n: usize, i: usize) -> f32 {
    let scale = 1.0 / (out_n as f64 / n as f64);
    ((i as f64 + 0.5) * scale - 0.5) as f32
}

/// Resizes by straight lines between pixel centres, edge pixels held beyond the edge; see the module's header.
pub fn resize_linear_u8(src: &[u8], h: usize, w: usize, out_h: usize, out_w: usize) -> Vec<u8> {
    if src.is_empty() || out_h == 0 || out_w == 0 {
        return vec![0; out_h * out_w];
    }
    if h == 2 * out_h && w == 2 * out_w {
        return block_means(src, w, out_h, out_w, 2, 2); // OpenCV's shortcut: the same weights, one rounding
    }
    let one = (1u32 << WEIGHT_BITS) as f32;
    let fixed = |weight: f32| (weight * one).round_ties_even() as i32;
    let columns: Vec<_> = (0..out_w)
        .map(|x| {
            let (low, weight) = linear_position(w, out_w, x);
            (low, (low + 1).min(w - 1), fixed(1.0 - weight), fixed(weight))
        })
        .collect();
    // Beyond the first and last row OpenCV blends that row with itself, which rounds differently from taking it.
    let rows = (0..out_h).map(|y| {
        let centre = linear_centre(h, out_h, y);
        let row = |y: f32| y.clamp(0.0, (h - 1) as f32) as usize;
        let weight = centre - centre.floor();
        (row(centre.floor()), row(centre.floor() + 1.0), fixed(1.0 - weight), fixed(weight))
    });
    let line = |y: usize, out: &mut Vec<i32>| {
        let row = &src[y * w..(y + 1) * w];
        out.clear();
        out.extend(columns.iter().map(|&(a, b, wa, wb)| i32::from(row[a]) * wa + i32::from(row[b]) * wb));
    };
    let mut kept: [(usize, Vec<i32>); 2] = [(usize::MAX, Vec::new()), (usize::MAX, Vec::new())];
    let mut out = Vec::with_capacity(out_h * out_w);
    for (a, b, weight_a, weight_b) in rows {
        for y in [a, b] {
            if kept[y % 2].0 != y {
                kept[y % 2].0 = y;
                line(y, &mut kept[y % 2].1);
            }
        }
        let (upper, lower) = (&kept[a % 2].1, &kept[b % 2].1);
        // The shifts are OpenCV's: 11 + 11 bits of weight leave in steps of 4, 16 and 2.
        let blend = |u: i32, l: i32| ((((u >> 4) * weight_a) >> 16) + (((l >> 4) * weight_b) >> 16) + 2) >> 2;
        out.extend(upper.iter().zip(lower).map(|(&u, &l)| blend(u, l).clamp(0, 255) as u8));
    }
    out
}

/// Resizes by straight lines between pixel centres, edge pixels held beyond the edge.
pub fn resize_linear_f32(src: &[f32], h: usize, w: usize, out_h: usize, out_w: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(out_h * out_w);
    linear_rows_f32(src, [h, w], [out_h, out_w], |row| out.extend_from_slice(row));
    out
}

/// [`resize_linear_f32`], which hands over one finished row after the other.
pub(crate) fn linear_rows_f32(
    src: &[f32],
    [h, w]: [usize; 2],
    [out_h, out_w]: [usize; 2],
    mut finished: impl FnMut(&[f32]),
) {
    let mut row = vec![0.0; out_w];
    if src.is_empty() || out_w == 0 {
        (0..out_h).for_each(|_| finished(&row));
        return;
    }
    let columns: Vec<(usize, usize, f32)> = (0..out_w)
        .map(|x| linear_position(w, out_w, x))
        .map(|(a, weight)| (a, (a + 1).min(w - 1), weight))
        .collect();
    let line = |y: usize, out: &mut [f32]| {
        let row = &src[y * w..(y + 1) * w];
        let blend = |&(a, b, weight): &(usize, usize, f32)| row[a] * (1.0 - weight) + row[b] * weight;
        out.iter_mut().zip(&columns).for_each(|(o, column)| *o = blend(column));
    };
    let mut kept = [(usize::MAX, vec![0.0; out_w]), (usize::MAX, vec![0.0; out_w])];
    for y in 0..out_h {
        let (a, weight) = linear_position(h, out_h, y);
        let b = (a + 1).min(h - 1);
        for y in [a, b] {
            if kept[y % 2].0 != y {
                kept[y % 2].0 = y;
                line(y, &mut kept[y % 2].1);
            }
        }
        let (upper, lower) = (&kept[a % 2].1, &kept[b % 2].1);
        let pairs = row.iter_mut().zip(upper.iter().zip(lower));
        pairs.for_each(|(o, (u, l))| *o = u * (1.0 - weight) + l * weight);
        finished(&row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_gives_the_same_bytes() {
        let picture: Vec<u8> = (0..60).map(|i| (i * 37 % 251) as u8).collect();
        for resize in [resize_u8, resize_area_u8, resize_linear_u8] {
            assert_eq!(resize(&picture, 6, 10, 6, 10), picture);
        }
    }

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        for (h, w, out_h, out_w) in
            [(5, 7, 3, 11), (9, 4, 2, 2), (1, 1, 6, 5), (4, 4, 9, 2), (100, 30, 37, 64)]
        {
            let picture = vec![201u8; h * w];
            assert!(resize_area_u8(&picture, h, w, out_h, out_w).iter().all(|&v| v == 201));
            assert!(resize_linear_u8(&picture, h, w, out_h, out_w).iter().all(|&v| v.abs_diff(201) <= 1));
            assert!(resize_linear_f32(&vec![0.5; h * w], h, w, out_h, out_w).iter().all(|&v| v == 0.5));
        }
    }

    #[test]
    fn linear_positions_are_pixel_centres() {
        assert_eq!(resize_linear_f32(&[0.0, 1.0], 1, 2, 1, 4), [0.0, 0.25, 0.75, 1.0]);
    }
}
