//! What the truth says of single slices and of a whole CT, and what networks say of its voxels.

use super::Predicted;
use crate::pipeline::Seen;
use crate::scoring::SliceArea;
use gg_dataset::{Case, LoadedCase, Task};
use gg_eval::{FreeSlices, LogitCounts};
use gg_volume::{AxisMap, LabelVolume};

/// Counts the probabilities of networks against the truth, slice by slice.
pub(super) struct Against<'a> {
    loaded: &'a LoadedCase,
    map: AxisMap,
    slice: Vec<u8>,
    /// Of lung and infection; `None` where there is no truth or no network.
    pub(super) counts: [Option<LogitCounts>; 2],
}

impl<'a> Against<'a> {
    pub(super) fn new(loaded: &'a LoadedCase) -> Self {
        let grid = &loaded.scan.ct.grid;
        let map = grid.axis_map();
        let [_, h, w] = map.canonical_shape(grid.shape);
        Self { loaded, map, slice: vec![0; h * w], counts: [None, None] }
    }

    /// Takes in one slice. Where a probability is exactly 0, the network saw nothing: that is outside its crop.
    pub(super) fn add(&mut self, seen: &Seen<'_>) {
        let (truth, place) = match seen.task {
            Task::Lung => (&self.loaded.lung, 0),
            Task::Infection => (&self.loaded.infection, 1),
            Task::Classify => return,
        };
        let Some(truth) = truth else { return };
        self.map.read_slice(truth, seen.z, &mut self.slice);
        let counts = self.counts[place].get_or_insert_default();
        for (i, (&p, &label)) in seen.probabilities.iter().zip(&self.slice).enumerate() {
            if p > 0.0 && seen.inside.is_none_or(|inside| inside[i] != 0) {
                counts.add_probability(p, label != 0);
            }
        }
    }
}

/// Slices by their infected area, and what was found on those that show no infection, inside the lung or not.
#[derive(Default)]
pub(super) struct BySlice {
    pub(super) areas: Vec<SliceArea>,
    pub(super) free: Option<FreeSlices>,
}

/// Looks at the predicted infection of every slice, or of those of a part.
pub(super) fn by_slice(
    loaded: &LoadedCase,
    predicted: &Predicted,
    part: Option<&[usize]>,
    map: &AxisMap,
) -> BySlice {
    let Some(infection) = &predicted.infection else { return BySlice::default() };
    let [n, h, w] = map.canonical_shape(infection.shape());
    let lung = loaded.lung.as_ref().or(predicted.lung.as_ref());
    let ml = loaded.scan.ct.grid.voxel_ml().ok();
    let mut slice = vec![0u8; h * w];
    let mut count = |labels: &LabelVolume, z: usize| {
        map.read_slice(labels, z, &mut slice);
        slice.iter().filter(|&&v| v != 0).count() as u64
    };
    let lungs: Vec<u64> =
        predicted.lung.as_ref().map_or(Vec::new(), |lung| (0..n).map(|z| count(lung, z)).collect());
    let largest = lungs.iter().max().copied().unwrap_or(0) as f64;
    let of_largest_lung =
        |found: u64, z: usize| lungs.get(z).filter(|&&l| l > 0).map(|_| found as f64 / largest);
    let mut areas = Vec::new();
    let mut free =
        FreeSlices { slices: 0, slices_with_finds: 0, false_voxels: 0, lung_voxels: 0, false_ml: None };
    for z in (0..n).filter(|z| part.is_none_or(|p| p.contains(z))) {
        let truth = loaded.slice_infected.as_ref().and_then(|t| t.get(z).copied().flatten());
        let found = count(infection, z);
        areas.push(SliceArea {
            slice: z,
            infected_share: found as f32 / (h * w) as f32,
            of_largest_lung: of_largest_lung(found, z),
            truth,
        });
        if truth == Some(false) {
            free.slices += 1;
            free.slices_with_finds += usize::from(found > 0);
            free.false_voxels += found;
            free.lung_voxels += lung.map_or(0, |lung| count(lung, z));
        }
    }
    free.false_ml = ml.map(|ml| ml * free.false_voxels as f64);
    BySlice { areas, free: (free.slices > 0).then_some(free) }
}

/// Whether a CT shows infection: one of its slices does, or none of them, or its class says so.
pub(super) fn shows_infection(case: &Case, loaded: &LoadedCase) -> Option<bool> {
    let slices = loaded.slice_infected.as_deref().unwrap_or_default();
    if slices.contains(&Some(true)) {
        return Some(true);
    }
    let class = case.class.as_deref().map(str::to_lowercase);
    match class.as_deref() {
        Some("normal" | "healthy") => Some(false),
        Some(c) if c.starts_with("covid") || c.ends_with("pneumonia") || c == "cap" => Some(true),
        _ => (!slices.is_empty() && slices.iter().all(|s| *s == Some(false))).then_some(false),
    }
}
