//! Which cases are scored: all, or a part of a split.

use super::super::{Context, data};
use crate::args::{EvaluateArgs, PartName};
use crate::manifest::Training;
use crate::pipeline::Models;
use anyhow::Result;
use gg_dataset::{Case, Datasets, Part, Parts};
use gg_volume::Warning;

/// Seed and validation share of the split where neither a split file nor a model tells them.
const DEFAULT_SEED: u64 = 1;
const DEFAULT_SHARE: f64 = 0.2;

/// The cases to score.
pub(super) struct Chosen {
    pub(super) name: &'static str,
    pub(super) fold: Option<usize>,
    pub(super) parts: Option<Parts>,
    pub(super) warnings: Vec<Warning>,
    part: Option<Part>,
}

impl Chosen {
    /// Whether a case is scored, or a slice of it.
    pub(super) fn holds(&self, case: &Case) -> bool {
        match (&self.parts, self.part) {
            (Some(parts), Some(part)) if parts.leaking => parts.cases(part).contains(&case.case_id.as_str()),
            (Some(parts), Some(part)) => parts.part_for(&case.case_id, &case.patient, 0) == Some(part),
            _ => true,
        }
    }

    /// Canonical slices of a case that belong to the part; `None` for all of them.
    pub(super) fn slices(&self, case_id: &str, n: usize) -> Option<Vec<usize>> {
        let (Some(parts), Some(part)) = (&self.parts, self.part) else { return None };
        if !parts.leaking {
            return None;
        }
        Some((0..n).filter(|&z| parts.part_of(case_id, z) == Some(part)).collect())
    }
}

/// The part that was asked for; without a split file, of the split that the models were trained with.
pub(super) fn choose(
    context: &Context,
    args: &EvaluateArgs,
    sets: &Datasets,
    models: &Models,
) -> Result<Chosen> {
    let split_given = args.fold.split.is_some() || args.fold.fold.is_some();
    let (part, name) = match args.part {
        PartName::Auto if split_given => (Part::Test, "test"),
        PartName::Auto | PartName::All => {
            return Ok(Chosen { name: "all", fold: None, part: None, parts: None, warnings: Vec::new() });
        }
        PartName::Test => (Part::Test, "test"),
        PartName::Val => (Part::Val, "val"),
        PartName::Train => (Part::Train, "train"),
    };
    let trained = models.all().find_map(|m| Training::of(&m.bundle));
    let (seed, validation_share) =
        trained.map_or((DEFAULT_SEED, DEFAULT_SHARE), |t| (t.seed, t.settings.validation_share));
    let chosen = data::choose(context, sets, &args.fold, seed, validation_share)?;
    Ok(Chosen {
        name,
        fold: Some(chosen.fold),
        part: Some(part),
        warnings: chosen.parts.warnings.clone(),
        parts: Some(chosen.parts),
    })
}
