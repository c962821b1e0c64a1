//! Which cases are scored: all, or a part of a split.

use super::super::{Context, data};
use crate::args::{EvaluateArgs, FoldArgs, PartName};
use crate::failure::Usage;
use crate::manifest::Training;
use crate::pipeline::Models;
use crate::seen;
use anyhow::Result;
use gg_dataset::{Case, Datasets, Part, Parts, VALIDATION_SHARE};
use gg_volume::Warning;
use std::collections::BTreeSet;

/// Seed of the split where neither a split file nor a model tells it.
const DEFAULT_SEED: u64 = 1;

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
    let of_models = seen::trainings(models);
    let silent = models
        .all()
        .zip(&of_models)
        .find(|(m, (_, networks))| networks.len() < m.bundle.info.members.len().max(1));
    if !split_given && let Some((_, (task, _))) = silent {
        return Err(Usage(format!(
            "the {} model does not say under which split it was trained, so that its `{name}` part is not known; give \
             the split with --split, or a fold with --fold",
            task.name()
        ))
        .into());
    }
    let trained: Vec<Training> = of_models.into_iter().flat_map(|(_, networks)| networks).collect();
    let (seed, validation_share) =
        trained.first().map_or((DEFAULT_SEED, VALIDATION_SHARE), |t| (t.seed, t.settings.validation_share));
    let held_out: BTreeSet<usize> = trained.iter().map(|t| t.fold).collect();
    let fold = match (args.fold.fold, held_out.len()) {
        (None, 2..) => {
            return Err(Usage(format!(
                "the models hold out different folds ({}); say with --fold which one is scored",
                held_out.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
            ))
            .into());
        }
        (given, _) => given.or(held_out.first().copied()),
    };
    let chosen =
        data::choose(context, sets, &FoldArgs { fold, ..args.fold.clone() }, seed, validation_share)?;
    // Asked for by the part's name alone, it must be the very split that the models were trained under.
    if !split_given {
        let drawn = crate::manifest::sha256(chosen.split.to_toml()?.as_bytes());
        if trained.iter().any(|t| t.split_sha256 != drawn) {
            return Err(Usage(format!(
                "the `{name}` part of the models' training cannot be drawn again from these data sets alone; give the \
                 split.toml of their run folder with --split, or a fold with --fold"
            ))
            .into());
        }
    }
    Ok(Chosen {
        name,
        fold: Some(chosen.fold),
        part: Some(part),
        warnings: chosen.parts.warnings.clone(),
        parts: Some(chosen.parts),
    })
}
