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
            let mut warnings = Vec::new();
            let prepared = (self.prepare)(config, &sizes)?.drain_into(&mut warnings);
            // Every size says the same.
            for warning in warnings {
                if !found.warnings.contains(&warning) {
                    found.warnings.push(warning);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::RunSecs;
    use gg_volume::{Warned, Warning};

    #[test]
    fn what_every_size_remarks_on_is_said_once() {
        let empty = |_: &usize| Prepared {
            ways: Vec::new(),
            images: Vec::new(),
            dropped: Vec::new(),
            canonical_shape: [0; 3],
        };
        let remark = || Warning::new("roi_not_found", "the same of every size");
        let mut prepare = |_: &PrepareConfig, sizes: &[usize]| {
            let warnings = sizes.iter().map(|_| remark()).collect();
            Ok(Warned::new(sizes.iter().map(empty).collect(), warnings))
        };
        let [small, large] = [160, 256].map(|size| PrepareConfig { size, ..PrepareConfig::default() });
        let mut shared = Shared::new(&mut prepare, vec![small.clone(), large.clone()]);
        let mut found = Findings {
            lung: None,
            infection: None,
            slices: Vec::new(),
            warnings: Vec::new(),
            secs: RunSecs::default(),
        };
        shared.get(&small, &mut found).unwrap();
        shared.get(&large, &mut found).unwrap();
        assert_eq!(found.warnings, [remark()]);
    }
}
