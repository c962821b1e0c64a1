//! Exact Euclidean distance to the nearest background voxel, for any spacing.
//!
//! Per axis the lower envelope of parabolas (Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled
//! Functions", 2012), on squared distances in `f64`. Same values as SciPy's `ndimage.distance_transform_edt`, but where
//! there is no background at all the distance is infinite (SciPy's is to a voxel outside). Golden set: `imaging/edt`.

use gg_volume::{LabelVolume, Volume};
use rayon::prelude::*;

/// Distance from each voxel inside (non-zero) to the nearest voxel outside (0 there).
///
/// Takes 8 bytes a voxel: cut out the bounding box first.
///
/// # Units
/// Those of `spacing`, which is `[z, y, x]`; voxels where it is `[1.0; 3]`.
pub fn distance_edt(mask: &LabelVolume, spacing: [f64; 3]) -> Volume<f64> {
    let [nz, ny, nx] = mask.shape();
    let mut squared = mask.map(|v| if v == 0 { 0.0 } else { f64::INFINITY });
    if squared.is_empty() {
        return squared;
    }
    let plane = ny * nx;
    // Along x and y within each slice.
    squared.data_mut().par_chunks_mut(plane).for_each(|slice| {
        let mut scratch = Envelope::new(nx.max(ny));
        for row in slice.chunks_exact_mut(nx) {
            scratch.pass(row, 0, 1, nx, spacing[2]);
        }
        for x in 0..nx {
            scratch.pass(slice, x, nx, ny, spacing[1]);
        }
    });
    // Along z, one row of columns at a time, gathered so that rows can be done in parallel.
    if nz > 1 {
        let rows: Vec<Vec<f64>> = (0..ny)
            .into_par_iter()
            .map(|y| {
                let mut scratch = Envelope::new(nz);
                let gather = |z: usize| squared.data()[z * plane + y * nx..][..nx].iter().copied();
                let mut row: Vec<f64> = (0..nz).flat_map(gather).collect();
                (0..nx).for_each(|x| scratch.pass(&mut row, x, nx, nz, spacing[0]));
                row
            })
            .collect();
        for (y, row) in rows.iter().enumerate() {
            for z in 0..nz {
                squared.data_mut()[z * plane + y * nx..][..nx].copy_from_slice(&row[z * nx..(z + 1) * nx]);
            }
        }
    }
    squared.data_mut().par_chunks_mut(plane).for_each(|s| s.iter_mut().for_each(|v| *v = v.sqrt()));
    squared
}

/// The lower envelope of the parabolas over one line, with its scratch memory.
struct Envelope {
    line: Vec<f64>,
    /// Position of each parabola of the envelope.
    position: Vec<usize>,
    /// From where on it is the lowest.
    from: Vec<f64>,
}

impl Envelope {
    fn new(n: usize) -> Self {
        Self { line: vec![0.0; n], position: vec![0; n], from: vec![0.0; n + 1] }
    }

    /// Replaces `data[start], data[start + step], ..` (`n` values) by `min_j data[j] + (spacing (i - j))^2`.
    fn pass(&mut self, data: &mut [f64], start: usize, step: usize, n: usize, spacing: f64) {
        let unit = spacing * spacing;
        let mut any = false;
        for i in 0..n {
            self.line[i] = data[start + i * step];
            any |= self.line[i] != 0.0;
        }
        if !any {
            return; // all background
        }
        let mut count = 0;
        for q in (0..n).filter(|&q| self.line[q].is_finite()) {
            // Where the parabola of q begins to lie below the last one, in voxels.
            let mut from = f64::NEG_INFINITY;
            while count > 0 {
                let p = self.position[count - 1];
                let (fq, fp) = (self.line[q] / unit, self.line[p] / unit);
                let (qf, pf) = (q as f64, p as f64);
                from = ((fq + qf * qf) - (fp + pf * pf)) / (2.0 * (qf - pf));
                if from > self.from[count - 1] {
                    break;
                }
                count -= 1;
                from = f64::NEG_INFINITY;
            }
            self.position[count] = q;
            self.from[count] = from;
            count += 1;
        }
        if count == 0 {
            return; // no background on this line yet
        }
        let mut k = 0;
        for i in 0..n {
            while k + 1 < count && self.from[k + 1] < i as f64 {
                k += 1;
            }
            let p = self.position[k];
            let offset = (i.abs_diff(p)) as f64 * spacing;
            data[start + i * step] = self.line[p] + offset * offset;
        }
    }
}
