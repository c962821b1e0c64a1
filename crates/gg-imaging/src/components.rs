//! Connected components in two and three dimensions, on runs of voxels.
//!
//! A mask is read as runs along x; touching runs of neighbouring rows are joined by union-find. Memory goes with the
//! number of runs, not of voxels. Components are numbered from 1 by their first voxel in array order, as SciPy's
//! `ndimage.label`. Golden set: `imaging/label`.

use gg_volume::{LabelVolume, Volume};

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
        inside: impl Fn(u8) -> bool,
    ) -> Self {
        let [nz, ny, nx] = shape;
        let mut runs: Vec<Run> = Vec::new();
        let mut first_of_row = Vec::with_capacity(nz * ny + 1);
        let mut parents: Vec<u32> = Vec::new();
        for row in 0..nz * ny {
            first_of_row.push(runs.len());
            push_runs(&data[row * nx..(row + 1) * nx], row, &inside, &mut runs);
            parents.extend(parents.len() as u32..runs.len() as u32);
            let (z, y) = (row / ny, row % ny);
            let reach = match connectivity {
                Connectivity::Faces => [0, 0, 0, 0],
                Connectivity::Edges => [1, 1, 0, 0],
                Connectivity::Corners => [1, 1, 1, 1],
            };
            let here = first_of_row[row]..runs.len();
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

    /// Like [`Components::paint`], as a volume.
    pub fn paint_volume(&self, value: impl Fn(usize) -> u8) -> LabelVolume {
        let mut volume = Volume::filled(self.shape, 0);
        self.paint_onto(volume.data_mut(), value);
        volume
    }

    /// Like [`Components::paint`], over what is there; what belongs to no component stays as it is.
    pub(crate) fn paint_onto(&self, out: &mut [u8], value: impl Fn(usize) -> u8) {
        let values: Vec<u8> = (0..self.list.len()).map(value).collect();
        for run in &self.runs {
            let row = run.row * self.shape[2];
            out[row + run.start..row + run.end].fill(values[run.label as usize - 1]);
        }
    }

    /// Indices into `list`, largest first; of equals, the one found first.
    pub fn by_size(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        order.sort_by_key(|&k| std::cmp::Reverse(self.list[k].voxels));
        order
    }
}

fn push_runs(row: &[u8], index: usize, inside: &impl Fn(u8) -> bool, runs: &mut Vec<Run>) {
    let mut x = 0;
    while let Some(skip) = row[x..].iter().position(|&v| inside(v)) {
        let start = x + skip;
        let end = row[start..].iter().position(|&v| !inside(v)).map_or(row.len(), |n| start + n);
        runs.push(Run { row: index, start, end, label: 0 });
        x = end;
    }
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
