//! The convex hull of a mask, filled: Andrew's monotone chain on the ends of the rows.

/// 1 where a pixel lies within the convex hull of the mask's pixel centres.
pub(super) fn filled_hull(mask: &[u8], h: usize, w: usize) -> Vec<u8> {
    // Only the first and the last pixel of a row can be corners; each side of the hull is a chain down the rows.
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (y, row) in mask.chunks_exact(w.max(1)).enumerate() {
        if let (Some(first), Some(last)) =
            (row.iter().position(|&v| v != 0), row.iter().rposition(|&v| v != 0))
        {
            extend_chain(&mut left, (y as i64, first as i64), 1);
            extend_chain(&mut right, (y as i64, last as i64), -1);
        }
    }
    let mut out = vec![0; h * w];
    for (y, row) in out.chunks_exact_mut(w.max(1)).enumerate() {
        if let (Some(a), Some(b)) = (crossing(&left, y as i64), crossing(&right, y as i64)) {
            row[a.ceil() as usize..=b.floor() as usize].fill(1);
        }
    }
    out
}

/// Adds a point `(y, x)` further down; corners that it makes concave go. `sign` is 1 on the left, -1 on the right.
fn extend_chain(corners: &mut Vec<(i64, i64)>, p: (i64, i64), sign: i64) {
    while let [.., a, b] = corners[..]
        && sign * ((b.1 - a.1) * (p.0 - a.0) - (p.1 - a.1) * (b.0 - a.0)) >= 0
    {
        corners.pop();
    }
    corners.push(p);
}

/// Where a side of the hull crosses row `y`.
fn crossing(corners: &[(i64, i64)], y: i64) -> Option<f64> {
    let next = corners.iter().position(|c| c.0 >= y)?;
    let b = corners[next];
    if b.0 == y {
        return Some(b.1 as f64);
    }
    let a = corners[next.checked_sub(1)?];
    Some(a.1 as f64 + (b.1 - a.1) as f64 * (y - a.0) as f64 / (b.0 - a.0) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hull_fills_dents() {
        let mask = [1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0];
        let hull = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0];
        assert_eq!(filled_hull(&mask, 4, 5), hull);
        assert_eq!(filled_hull(&[0; 6], 2, 3), [0; 6]);
    }
}
