//! The slices that the networks see: made once for all models that were trained on the same preparation, and in one go
//! in all sizes where nothing but the size differs.

use super::{Findings, PrepareFn, drop_reason};
use anyhow::{Context as _, Result};
use gg_imaging::{PrepareConfig, Prepared};
use std::time::Instant;

/// Prepared slices, kept for the models to come.
pub(super) struct Shared<'a> {
    prepare: &'a mut PrepareFn<'a>,
    /// What will be asked for.
    wanted: Vec<PrepareConfig>,
    made: Vec<(PrepareConfig, Prepared)>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(prepare: &'a mut PrepareFn<'a>, wanted: Vec<PrepareConfig>) -> Self {
        Self { prepare, wanted, made: Vec::new() }
    }

    /// The slices as this configuration makes them; what is new about them is told to the findings.
    pub(super) fn get(&mut self, config: &PrepareConfig, found: &mut Findings) -> Result<&Prepared> {
        if self.at_hand(config).is_none() {
            self.made.clear(); // the old slices go before the new ones come
            let start = Instant::now();
            let mut sizes = vec![config.size];
            for other in self.wanted.iter().filter(|w| alike(w, config)) {
                if !sizes.contains(&other.size) {
                    sizes.push(other.size);
                }
            }
            let first = found.warnings.is_empty();
            let mut warnings = Vec::new();
            let prepared = (self.prepare)(config, &sizes)?.drain_into(&mut warnings);
            warnings.retain(|w| first || !found.warnings.contains(w));
            found.warnings.extend(warnings);
            for (z, reason) in prepared.iter().flat_map(|p| &p.dropped) {
                found.slices[*z].dropped = Some(drop_reason(*reason).to_owned());
            }
            for way in prepared.iter().flat_map(|p| &p.ways) {
                found.slices[way.z].roi_found &= way.roi_found;
            }
            let sized = |size| PrepareConfig { size, ..config.clone() };
            self.made = sizes.into_iter().map(sized).zip(prepared).collect();
            found.secs.prepare += start.elapsed().as_secs_f64();
        }
        self.at_hand(config).context("nothing was prepared")
    }

    /// The same, where they were made already.
    pub(super) fn at_hand(&self, config: &PrepareConfig) -> Option<&Prepared> {
        self.made.iter().find(|(made, _)| made == config).map(|(_, prepared)| prepared)
    }
}

/// Whether two configurations differ in nothing but the size.
fn alike(a: &PrepareConfig, b: &PrepareConfig) -> bool {
    PrepareConfig { size: b.size, ..a.clone() } == *b
}
