//! Connected components in two and three dimensions, on runs of voxels.
//!
//! A mask is read as runs along x, slice by slice on all threads; touching runs of neighbouring rows are joined by
//! union-find, on one. Memory goes with the number of runs, not of voxels. Components are numbered from 1 by their
//! first voxel in array order, as SciPy's `ndimage.label`. Golden set: `imaging/label`.

use gg_volume::LabelVolume;
use rayon::prelude::*;

/// Which neighbours count as touching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// Neighbours across a face: 4 in a picture, 6 in a volume. SciPy's default.
    Faces,
    /// Across a face or an edge: 8 in a picture, 18 in a volume.
    Edges,
    /// Across a face, an edge or a corner: 8 in a picture, 26 in a volume.
    Corners,
}

/// One connected component.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Number of voxels.
    pub voxels: usize,
    /// First voxel `[z, y, x]` of the bounding box.
    pub low: [usize; 3],
    /// Last voxel `[z, y, x]` of the bounding box, included.
    pub high: [usize; 3],
    /// Mean position `[z, y, x]`, in voxels.
    pub centroid: [f64; 3],
}

/// The components of a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    shape: [usize; 3],
    runs: Vec<Run>,
    /// Component `k` of this list has the label `k + 1`.
    pub list: Vec<Component>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    row: usize,
    start: usize,
    end: usize,
    label: u32,
}

/// Components of a picture of `h` x `w`.
pub fn label_2d(mask: &[u8], h: usize, w: usize, connectivity: Connectivity) -> Components {
    Components::find(mask, [1, h, w], connectivity, |v| v != 0)
}

/// Components of a volume.
pub fn label_3d(mask: &LabelVolume, connectivity: Connectivity) -> Components {
    Components::find(mask.data(), mask.shape(), connectivity, |v| v != 0)
}

impl Components {
    /// Components of the voxels that `inside` accepts.
    pub fn find(
        data: &[u8],
        shape: [usize; 3],
        connectivity: Connectivity,
        inside: impl Fn(u8) -> bool + Sync,
    ) -> Self {
        let [nz, ny, _] = shape;
        let (mut runs, first_of_row) = all_runs(data, shape, &inside);
        let mut parents: Vec<u32> = (0..runs.len() as u32).collect();
        for row in 0..nz * ny {
            let (z, y) = (row / ny, row % ny);
            let reach = match connectivity {
                Connectivity::Faces => [0, 0, 0, 0],
                Connectivity::Edges => [1, 1, 0, 0],
                Connectivity::Corners => [1, 1, 1, 1],
            };
            let here = first_of_row[row]..first_of_row[row + 1];
            let mut join = |other_row: usize, reach: usize| {
                let other = first_of_row[other_row]..first_of_row[other_row + 1];
                join_rows(&runs, here.clone(), other, reach, &mut parents);
            };
            if y > 0 {
                join(row - 1, reach[0]);
            }
            if z > 0 {
                join(row - ny, reach[1]);
                if connectivity != Connectivity::Faces {
                    if y > 0 {
                        join(row - ny - 1, reach[2]);
                    }
                    if y + 1 < ny {
                        join(row - ny + 1, reach[3]);
                    }
                }
            }
        }
        let list = number(&mut runs, &mut parents, ny);
        Self { shape, runs, list }
    }

    /// Number of components.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Labels (1, 2, ...; 0 outside) in array order, 4 bytes a voxel.
    pub fn labels(&self) -> Vec<u32> {
        let mut out = vec![0; self.shape.iter().product()];
        for run in &self.runs {
            out[run.row * self.shape[2] + run.start..run.row * self.shape[2] + run.end].fill(run.label);
        }
        out
    }

    /// Each component as the value that `value` gives for its index in `list` (0 leaves it out).
    pub fn paint(&self, value: impl Fn(usize) -> u8) -> Vec<u8> {
        let mut out = vec![0; self.shape.iter().product()];
        self.paint_onto(&mut out, value);
        out
    }

    /// Like [`Components::paint`], over what is there; what belongs to no component stays as it is.
    pub(crate) fn paint_onto(&self, out: &mut [u8], value: impl Fn(usize) -> u8) {
        self.paint_some(out, |k| Some(value(k)));
    }

    /// Like [`Components::paint_onto`]; components without a value stay as they are too.
    pub(crate) fn paint_some(&self, out: &mut [u8], value: impl Fn(usize) -> Option<u8>) {
        let values: Vec<Option<u8>> = (0..self.list.len()).map(value).collect();
        for run in &self.runs {
            if let Some(value) = values[run.label as usize - 1] {
                let row = run.row * self.shape[2];
                out[row + run.start..row + run.end].fill(value);
            }
        }
    }

    /// Indices into `list`, largest first; of equals, the one found first.
    pub fn by_size(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        order.sort_by_key(|&k| std::cmp::Reverse(self.list[k].voxels));
        order
    }
}

/// The runs of all rows in array order, and the index of each row's first one, with one more at the end.
fn all_runs(
    data: &[u8],
    [nz, ny, nx]: [usize; 3],
    inside: &(impl Fn(u8) -> bool + Sync),
) -> (Vec<Run>, Vec<usize>) {
    let of_slice = |z: usize| {
        let (mut runs, mut ends) = (Vec::new(), Vec::with_capacity(ny));
        for row in z * ny..(z + 1) * ny {
            push_runs(&data[row * nx..(row + 1) * nx], row, inside, &mut runs);
            ends.push(runs.len());
        }
        (runs, ends)
    };
    let slices: Vec<(Vec<Run>, Vec<usize>)> = (0..nz).into_par_iter().map(of_slice).collect();
    let mut runs = Vec::with_capacity(slices.iter().map(|(runs, _)| runs.len()).sum());
    let mut first_of_row = Vec::with_capacity(nz * ny + 1);
    first_of_row.push(0);
    for (of_slice, ends) in slices {
        first_of_row.extend(ends.into_iter().map(|end| runs.len() + end));
        runs.extend(of_slice);
    }
    (runs, first_of_row)
}

fn push_runs(row: &[u8], index: usize, inside: &impl Fn(u8) -> bool, runs: &mut Vec<Run>) {
    let mut x = 0;
    loop {
        let start = stretch(row, x, |v| !inside(v));
        if start == row.len() {
            return;
        }
        x = stretch(row, start, inside);
        runs.push(Run { row: index, start, end: x, label: 0 });
    }
}

/// The end of the stretch of a row, from `from` on, that `is` holds for. Long stretches are of one value: they are passed
/// over by blocks.
fn stretch(row: &[u8], from: usize, is: impl Fn(u8) -> bool) -> usize {
    const BLOCK: usize = 16;
    let mut x = from;
    while let Some(block) = row[x..].first_chunk::<BLOCK>() {
        let first = block[0];
        if block.iter().fold(0, |differs, v| differs | (v ^ first)) != 0 || !is(first) {
            break;
        }
        x += BLOCK;
    }
    row[x..].iter().position(|&v| !is(v)).map_or(row.len(), |n| x + n)
}

/// Joins the runs of two rows that overlap, or that come within `reach` pixels.
fn join_rows(
    runs: &[Run],
    here: std::ops::Range<usize>,
    there: std::ops::Range<usize>,
    reach: usize,
    parents: &mut [u32],
) {
    let (mut a, mut b) = (here.start, there.start);
    while a < here.end && b < there.end {
        if runs[a].start < runs[b].end + reach && runs[b].start < runs[a].end + reach {
            unite(parents, a as u32, b as u32);
        }
        if runs[a].end < runs[b].end { a += 1 } else { b += 1 }
    }
}

fn root(parents: &mut [u32], mut i: u32) -> u32 {
    while parents[i as usize] != i {
        parents[i as usize] = parents[parents[i as usize] as usize];
        i = parents[i as usize];
    }
    i
}

/// The lower index becomes the root, so that a root is always its component's first run.
fn unite(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b) as usize] = a.min(b);
}

/// Numbers the roots in order and sums up what belongs to each.
fn number(runs: &mut [Run], parents: &mut [u32], ny: usize) -> Vec<Component> {
    let mut list: Vec<Component> = Vec::new();
    let mut sums: Vec<[f64; 3]> = Vec::new();
    for i in 0..runs.len() {
        let first = root(parents, i as u32) as usize;
        if first == i {
            list.push(Component { voxels: 0, low: [usize::MAX; 3], high: [0; 3], centroid: [0.0; 3] });
            sums.push([0.0; 3]);
            runs[i].label = list.len() as u32;
        } else {
            runs[i].label = runs[first].label;
        }
        let run = runs[i];
        let (z, y, n) = (run.row / ny, run.row % ny, run.end - run.start);
        let component = &mut list[run.label as usize - 1];
        component.voxels += n;
        for (axis, (low, high)) in [(z, z), (y, y), (run.start, run.end - 1)].into_iter().enumerate() {
            component.low[axis] = component.low[axis].min(low);
            component.high[axis] = component.high[axis].max(high);
        }
        let sum = &mut sums[run.label as usize - 1];
        sum[0] += (z * n) as f64;
        sum[1] += (y * n) as f64;
        sum[2] += (n * (run.start + run.end - 1)) as f64 / 2.0;
    }
    for (component, sum) in list.iter_mut().zip(sums) {
        component.centroid = sum.map(|s| s / component.voxels as f64);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_stretches_end_where_plain_ones_do() {
        // Stretches of all lengths and values, inside and outside.
        let row: Vec<u8> = (0..90usize).flat_map(|n| vec![(n * n % 4) as u8; n % 37]).collect();
        for inside in [|v: u8| v != 0, |v: u8| v == 0, |v: u8| v == 2] {
            let mut runs = Vec::new();
            push_runs(&row, 0, &inside, &mut runs);
            let mut painted = vec![false; row.len()];
            runs.iter().for_each(|run| painted[run.start..run.end].fill(true));
            assert_eq!(painted, row.iter().map(|&v| inside(v)).collect::<Vec<_>>());
            assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start), "runs do not touch");
        }
    }
}
