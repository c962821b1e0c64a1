//! Building the cache: cases on a few threads, each written to its file as soon as it is finished.

use super::file::{self, Header, SliceInfo};
use super::key::{Hashes, Key};
use super::{Cache, CacheOptions, Progress, Stored};
use crate::CacheError;
use crate::case::Case;
use crate::dataset::Datasets;
use crate::load::{LoadedCase, load};
use gg_imaging::PrepareConfig;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

impl Cache {
    /// Prepares all cases into the folder `dir` (made where missing), keeping what is there and valid.
    /// `progress` is told after each case and may stop the work.
    ///
    /// # Errors
    /// The first case, in their order, that cannot be read; [`CacheError::Interrupted`] where `progress` says so.
    pub fn build(
        dir: &Path,
        datasets: &Datasets,
        prepare: &PrepareConfig,
        options: &CacheOptions,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Self, CacheError> {
        if let Some(fault) = prepare.fault() {
            return Err(CacheError::Prepare(fault));
        }
        std::fs::create_dir_all(dir).map_err(|e| CacheError::Io("written", e))?;
        let cases: Vec<&Case> = datasets.cases().collect();
        let hashes = Hashes::open(dir);
        let work = Work {
            dir,
            cases: &cases,
            prepare,
            options,
            hashes: &hashes,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            held: AtomicU64::new(0),
            results: Mutex::new((0..cases.len()).map(|_| None).collect()),
        };
        let interrupted = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..options.cases_at_once.clamp(1, cases.len().max(1)) {
                scope.spawn(|| {
                    work.run(&|p| {
                        if progress(p).is_break() {
                            interrupted.store(true, Ordering::Relaxed);
                            work.stop.store(true, Ordering::Relaxed);
                        }
                    });
                });
            }
        });
        let results = work.results.into_inner().unwrap_or_else(PoisonError::into_inner);
        hashes.save()?;
        let mut stored = Vec::with_capacity(cases.len());
        let mut missing = false;
        for result in results {
            match result {
                Some(result) => stored.push(result?),
                None => missing = true,
            }
        }
        if interrupted.into_inner() {
            return Err(CacheError::Interrupted);
        }
        if missing {
            return Err(CacheError::ThreadLost);
        }
        Ok(Self::assemble(&cases, stored, prepare.size))
    }
}

/// What the threads of a preparation share.
struct Work<'a> {
    dir: &'a Path,
    cases: &'a [&'a Case],
    prepare: &'a PrepareConfig,
    options: &'a CacheOptions,
    hashes: &'a Hashes,
    next: AtomicUsize,
    stop: AtomicBool,
    held: AtomicU64,
    results: Mutex<Vec<Option<Result<Stored, CacheError>>>>,
}

impl Work<'_> {
    fn run(&self, told: &dyn Fn(Progress)) {
        while !self.stop.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = self.cases.get(index) else { return };
            let result = self.one(case);
            if result.is_err() {
                self.stop.store(true, Ordering::Relaxed);
            }
            let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            results[index] = Some(result);
            let done = results.iter().flatten();
            let reused = done.clone().filter(|r| r.as_ref().is_ok_and(|s| s.reused)).count();
            told(Progress { finished: done.count(), total: self.cases.len(), reused });
        }
    }

    /// Finds or makes the file of one case.
    fn one(&self, case: &Case) -> Result<Stored, CacheError> {
        let key = self.hashes.key(case, self.prepare, self.options)?;
        let path = self.dir.join(format!("{}.ggcase", key.file));
        if let Some((header, payload)) = file::read(&path, &key.file) {
            return Ok(self.hold(path, header, payload, true));
        }
        let loaded = load(case, &self.options.read)?;
        let (header, payload) = prepare_loaded(&loaded, self.prepare, key);
        drop(loaded);
        file::write(&path, &header, &payload)?;
        Ok(self.hold(path, header, payload, false))
    }

    /// Keeps the records in memory while the limit is not reached.
    fn hold(&self, path: PathBuf, header: Header, payload: Vec<u8>, reused: bool) -> Stored {
        let bytes = payload.len() as u64;
        let fits = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.options.memory_bytes;
        if !fits {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        }
        Stored { path, header, payload: fits.then_some(payload), reused }
    }
}

/// Prepares a case that was read: what its file holds. The remarks of reading stand before those of the preparation.
pub(super) fn prepare_loaded(loaded: &LoadedCase, prepare: &PrepareConfig, key: Key) -> (Header, Vec<u8>) {
    let mut warnings = loaded.warnings.clone();
    let ct = &loaded.scan.ct;
    let map = ct.grid.axis_map();
    let prepared = gg_imaging::prepare(ct, &map, prepare).drain_into(&mut warnings);
    let to_size = |mask: &Option<gg_volume::LabelVolume>| {
        mask.as_ref().map(|m| gg_imaging::prepare_labels(m, &map, &prepared.ways))
    };
    let lung = to_size(&loaded.lung);
    let infection = to_size(&loaded.infection);
    let count = |mask: &[u8]| mask.iter().filter(|&&v| v != 0).count() as u32;
    let mut slices = Vec::with_capacity(prepared.ways.len());
    let mut payload = Vec::new();
    for (i, (way, image)) in prepared.ways.iter().zip(&prepared.images).enumerate() {
        let lung = lung.as_ref().map(|m| m[i].as_slice());
        let infection = infection.as_ref().map(|m| m[i].as_slice());
        file::push_record(&mut payload, image, &[lung, infection]);
        let infected = loaded.slice_infected.as_ref().and_then(|labels| labels.get(way.z).copied().flatten());
        slices.push(SliceInfo {
            infected,
            lung_pixels: lung.map(count),
            infection_pixels: infection.map(count),
        });
    }
    let header = Header {
        key: key.file,
        content: key.content,
        scan: loaded.scan.sha256.clone(),
        size: prepare.size,
        lung: lung.is_some(),
        infection: infection.is_some(),
        intensity: ct.intensity.kind,
        canonical_shape: prepared.canonical_shape,
        slices,
        slice_infected: loaded.slice_infected.clone(),
        dropped: prepared.dropped,
        ways: prepared.ways,
        warnings,
    };
    (header, payload)
}
