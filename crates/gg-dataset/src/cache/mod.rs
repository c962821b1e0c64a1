//! The prepared cache: every slice of the data sets at the network's size, with its masks, its label and its way back.
//!
//! One file per case, named by a hash of program, settings and input bytes: what is there and valid is kept, so an
//! interrupted preparation goes on where it stopped; a damaged file is made again. Samples are read on demand, or held
//! in memory where all of them fit a limit.

mod build;
mod file;
mod key;
mod single;

use crate::CacheError;
use crate::case::Case;
use crate::sample::{Sample, SampleInfo, SampleSource, Task};
use crate::split::{Part, Parts};
use file::Header;
use gg_imaging::{DropReason, SliceWay};
use gg_io::ReadOptions;
use gg_volume::{IntensityKind, Warning};
use serde::Serialize;
pub use single::PreparedCases;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How a cache is made and used.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheOptions {
    /// How inputs are read.
    pub read: ReadOptions,
    /// Version and commit of the program: another one prepares anew.
    pub program: String,
    /// Cases prepared at the same time; each holds its volume in memory.
    pub cases_at_once: usize,
    /// Samples are held in memory up to this many bytes in total; those of further cases are read on demand.
    pub memory_bytes: u64,
}

impl Default for CacheOptions {
    /// Two cases at once, 512 MB of samples.
    fn default() -> Self {
        Self {
            read: ReadOptions::default(),
            program: String::new(),
            cases_at_once: 2,
            memory_bytes: 512 << 20,
        }
    }
}

/// How far a preparation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Cases done.
    pub finished: usize,
    /// Cases in all.
    pub total: usize,
    /// Of those done, cases that were found ready.
    pub reused: usize,
}

/// One case of a cache.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedCase {
    /// Name of the case.
    pub case_id: String,
    /// Name of its patient.
    pub patient: String,
    /// Fold stated by the table.
    pub fold: Option<usize>,
    /// Part stated by the table.
    pub part: Option<Part>,
    /// SHA-256 of the CT's files.
    pub scan: String,
    /// What the grey values of the input were.
    pub intensity: IntensityKind,
    /// Shape of the input as seen canonically, `[z, y, x]`.
    pub canonical_shape: [usize; 3],
    /// The way of each kept slice, by rising z.
    pub ways: Vec<SliceWay>,
    /// Whether each canonical slice shows infection, dropped ones included; `None` where no slice is labelled.
    pub slice_infected: Option<Vec<Option<bool>>>,
    /// Canonical slices that were left out, and why.
    pub dropped: Vec<(usize, DropReason)>,
    /// Remarks.
    pub warnings: Vec<Warning>,
    /// Hash of settings and input bytes: all that the case's samples follow from in one version of the program.
    pub content: String,
    /// Indices of the case's samples in the cache.
    pub samples: std::ops::Range<usize>,
}

/// Counts over a cache.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CacheSummary {
    /// Cases.
    pub cases: usize,
    /// Cases that were found ready; not written out, because the same data gives the same bytes.
    #[serde(skip)]
    pub reused: usize,
    /// Slices kept.
    pub slices: usize,
    /// Slices left out, by reason.
    pub dropped: BTreeMap<String, usize>,
    /// Kept slices in which no lung region was found, so that the whole slice is used.
    pub roi_failed: usize,
    /// Kept slices that show infection.
    pub positive: usize,
    /// Kept slices that show none.
    pub negative: usize,
    /// Kept slices of which it is not known.
    pub unlabelled: usize,
    /// Cases by kind of grey values.
    pub intensity: BTreeMap<String, usize>,
}

/// A prepared cache that is open for reading.
#[derive(Debug)]
pub struct Cache {
    size: usize,
    cases: Vec<CachedCase>,
    infos: Vec<SampleInfo>,
    stored: Vec<Stored>,
    reused: usize,
}

/// A case's file, and its records where they are held in memory.
#[derive(Debug)]
struct Stored {
    path: PathBuf,
    header: Header,
    payload: Option<Vec<u8>>,
    reused: bool,
}

impl Cache {
    fn assemble(cases: &[&Case], stored: Vec<Stored>, size: usize) -> Self {
        let mut infos = Vec::new();
        let mut cached = Vec::new();
        for (index, (case, s)) in cases.iter().zip(&stored).enumerate() {
            let header = &s.header;
            let first = infos.len();
            infos.extend((0..header.ways.len()).map(|slice| header.info(index, slice)));
            cached.push(CachedCase {
                case_id: case.case_id.clone(),
                patient: case.patient.clone(),
                fold: case.fold,
                part: case.part,
                scan: header.scan.clone(),
                intensity: header.intensity,
                canonical_shape: header.canonical_shape,
                ways: header.ways.clone(),
                slice_infected: header.slice_infected.clone(),
                dropped: header.dropped.clone(),
                warnings: header.warnings.clone(),
                content: header.content.clone(),
                samples: first..infos.len(),
            });
        }
        let reused = stored.iter().filter(|s| s.reused).count();
        Self { size, cases: cached, infos, stored, reused }
    }

    /// All cases, in the order of the data sets.
    pub fn cases(&self) -> &[CachedCase] {
        &self.cases
    }

    /// Samples of a part that have what a task learns from, in the cache's order.
    pub fn samples(&self, parts: &Parts, part: Part, task: Task) -> Vec<usize> {
        let wanted = |info: &SampleInfo| {
            let case = &self.cases[info.case];
            info.has_target(task) && parts.part_for(&case.case_id, &case.patient, info.z) == Some(part)
        };
        (0..self.infos.len()).filter(|&i| wanted(&self.infos[i])).collect()
    }

    /// Leaves out samples without an infected pixel (the paper trains infection on positive slices only).
    pub fn without_blank(&self, samples: &[usize]) -> Vec<usize> {
        samples.iter().copied().filter(|&i| self.infos[i].infection_pixels.is_some_and(|n| n > 0)).collect()
    }

    /// Keeps this share of the samples whose mask shows no infection, evenly spread over them, and all others.
    pub fn thin_blank(&self, samples: &[usize], share: f64) -> Vec<usize> {
        let mut blank = 0u32;
        let keep = |&i: &usize| {
            if self.infos[i].infection_pixels != Some(0) {
                return true;
            }
            let before = (f64::from(blank) * share).floor();
            blank += 1;
            (f64::from(blank) * share).floor() > before
        };
        samples.iter().copied().filter(keep).collect()
    }

    /// Counts.
    pub fn summary(&self) -> CacheSummary {
        let labelled = |wanted| self.infos.iter().filter(|i| i.infected == wanted).count();
        let mut summary = CacheSummary {
            cases: self.cases.len(),
            reused: self.reused,
            slices: self.infos.len(),
            positive: labelled(Some(true)),
            negative: labelled(Some(false)),
            unlabelled: labelled(None),
            ..CacheSummary::default()
        };
        for case in &self.cases {
            summary.roi_failed += case.ways.iter().filter(|w| !w.roi_found).count();
            *summary.intensity.entry(case.intensity.name().to_owned()).or_default() += 1;
            for (_, reason) in &case.dropped {
                let name = match reason {
                    DropReason::Trimmed => "trimmed",
                };
                *summary.dropped.entry(name.to_owned()).or_default() += 1;
            }
        }
        summary
    }

    /// The remarks of all cases, one for each kind, with the number of cases that have it; and one where the same scan
    /// stands under several patients, who would then leak between the parts of a split.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut patients_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for case in &self.cases {
            patients_of.entry(&case.scan).or_default().insert(&case.patient);
        }
        let twice = patients_of.values().filter(|patients| patients.len() > 1).count();
        let mut by_code: BTreeMap<&str, (usize, &Warning)> = BTreeMap::new();
        for case in &self.cases {
            let mut seen = BTreeSet::new();
            for warning in case.warnings.iter().filter(|w| seen.insert(w.code.as_str())) {
                by_code.entry(&warning.code).or_insert((0, warning)).0 += 1;
            }
        }
        let total = self.cases.len();
        let mut warnings: Vec<Warning> = by_code
            .into_values()
            .map(|(n, w)| match total {
                1 => w.clone(),
                _ if n == 1 => Warning::new(&w.code, format!("1 of {total} cases: {}", w.message)),
                _ => Warning::new(&w.code, format!("{n} of {total} cases; of one of them: {}", w.message)),
            })
            .collect();
        if twice > 0 {
            let message =
                format!("{twice} scans stand in the data under more than one patient, byte by byte the same");
            warnings.push(Warning::new("scan_of_two_patients", message));
        }
        warnings
    }
}

impl SampleSource for Cache {
    fn size(&self) -> usize {
        self.size
    }

    fn infos(&self) -> &[SampleInfo] {
        &self.infos
    }

    fn sample(&self, index: usize) -> Result<Sample, CacheError> {
        let info = self.infos[index];
        let stored = &self.stored[info.case];
        let slice = index - self.cases[info.case].samples.start;
        let stride = stored.header.stride();
        match &stored.payload {
            Some(payload) => {
                let record = &payload[slice * stride..(slice + 1) * stride];
                Ok(stored.header.sample(record, info.case, slice))
            }
            None => {
                let record = file::read_record(&stored.path, &stored.header, slice)?;
                Ok(stored.header.sample(&record, info.case, slice))
            }
        }
    }
}
