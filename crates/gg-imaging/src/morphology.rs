//! Binary erosion and dilation with a rectangle, as SciPy's `binary_erosion` and `binary_dilation`.
//!
//! Outside the picture is background. An element of `n` pixels reaches `n / 2` back and `n - 1 - n / 2` on in an
//! erosion; in a dilation, which mirrors it, `n - 1 - n / 2` back and `n / 2` on. For even sides the two differ by
//! one pixel, as in SciPy. Both axes are done one after the other. Golden set: `imaging/morphology`.

/// Pixels whose whole `eh` x `ew` surrounding is inside.
///
/// # Shape
/// The result has the shape of `mask` and holds 0 and 1.
pub fn binary_erosion(mask: &[u8], h: usize, w: usize, eh: usize, ew: usize) -> Vec<u8> {
    let reach = |n: usize| (n / 2, n.saturating_sub(1) - n.saturating_sub(1).min(n / 2));
    filter(mask, h, w, [reach(eh), reach(ew)], true)
}

/// Pixels with anything inside in their mirrored `eh` x `ew` surrounding.
///
/// # Shape
/// The result has the shape of `mask` and holds 0 and 1.
pub fn binary_dilation(mask: &[u8], h: usize, w: usize, eh: usize, ew: usize) -> Vec<u8> {
    let reach = |n: usize| (n.saturating_sub(1) - n.saturating_sub(1).min(n / 2), n / 2);
    filter(mask, h, w, [reach(eh), reach(ew)], false)
}

/// And (`all`) or or of the pixels in a window that reaches so far back and on, along rows, then along columns.
///
/// A window of `n` pixels is made of two of `n / 2`, so that a few steps on whole rows do, whatever its size.
fn filter(mask: &[u8], h: usize, w: usize, reach: [(usize, usize); 2], all: bool) -> Vec<u8> {
    if h == 0 || w == 0 {
        return vec![0u8; h * w];
    }
    let [(up, down), (left, right)] = reach;
    let (wide, high) = (w + left + right, h + up + down);
    // Background around the picture, as far as the window reaches.
    let mut rows = vec![0u8; h * wide];
    for (row, out) in mask.chunks_exact(w).zip(rows.chunks_exact_mut(wide)) {
        out[left..left + w].iter_mut().zip(row).for_each(|(o, &v)| *o = u8::from(v != 0));
    }
    let rows = windows(rows, 1, left + right + 1, all);
    let mut columns = vec![0u8; high * w];
    for (row, out) in rows.chunks_exact(wide).zip(columns[up * w..].chunks_exact_mut(w)) {
        out.copy_from_slice(&row[..w]);
    }
    let mut out = windows(columns, w, down + up + 1, all);
    out.truncate(h * w);
    out
}

/// For each place, `n` values from there on, `step` apart, joined; what lies beyond the end counts as nothing.
fn windows(values: Vec<u8>, step: usize, n: usize, all: bool) -> Vec<u8> {
    let mut joined = values;
    let mut next = joined.clone();
    let mut done = 1;
    while done < n {
        let more = done.min(n - done);
        let pairs = next.iter_mut().zip(joined.iter().zip(&joined[(more * step).min(joined.len())..]));
        match all {
            true => pairs.for_each(|(o, (a, b))| *o = a & b),
            false => pairs.for_each(|(o, (a, b))| *o = a | b),
        }
        std::mem::swap(&mut joined, &mut next);
        done += more;
    }
    joined
}
