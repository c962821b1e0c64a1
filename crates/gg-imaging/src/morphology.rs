//! Binary erosion and dilation with a rectangle, as SciPy's `binary_erosion` and `binary_dilation`.
//!
//! Outside the picture is background. An element of `n` pixels reaches `n / 2` back and `n - 1 - n / 2` on in an
//! erosion; in a dilation, which mirrors it, `n - 1 - n / 2` back and `n / 2` on. For even sides the two differ by
//! one pixel, as in SciPy. Both axes are done one after the other with running counts. Golden set: `imaging/morphology`.

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

/// Counts inside a window that reaches so far back and on, along rows, then along columns.
fn filter(mask: &[u8], h: usize, w: usize, reach: [(usize, usize); 2], all: bool) -> Vec<u8> {
    let mut out = vec![0u8; h * w];
    if h == 0 || w == 0 {
        return out;
    }
    let wanted = |(back, on): (usize, usize)| if all { (back + on + 1) as u32 } else { 1 };
    let (back, on) = reach[1];
    let need = wanted(reach[1]);
    for (row, out) in mask.chunks_exact(w).zip(out.chunks_exact_mut(w)) {
        let mut count: u32 = row.iter().take(on).map(|&v| u32::from(v != 0)).sum();
        for x in 0..w {
            if x + on < w {
                count += u32::from(row[x + on] != 0);
            }
            if x > back {
                count -= u32::from(row[x - back - 1] != 0);
            }
            out[x] = u8::from(count >= need);
        }
    }
    let (back, on) = reach[0];
    let need = wanted(reach[0]);
    let rows = out;
    let mut out = vec![0u8; h * w];
    let mut counts = vec![0u32; w];
    let add = |counts: &mut [u32], y: usize| {
        counts.iter_mut().zip(&rows[y * w..(y + 1) * w]).for_each(|(c, &v)| *c += u32::from(v));
    };
    (0..on.min(h)).for_each(|y| add(&mut counts, y));
    for y in 0..h {
        if y + on < h {
            add(&mut counts, y + on);
        }
        if y > back {
            let gone = (y - back - 1) * w;
            counts.iter_mut().zip(&rows[gone..gone + w]).for_each(|(c, &v)| *c -= u32::from(v));
        }
        out[y * w..(y + 1) * w].iter_mut().zip(&counts).for_each(|(o, &c)| *o = u8::from(c >= need));
    }
    out
}
