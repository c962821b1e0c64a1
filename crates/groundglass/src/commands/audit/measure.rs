//! `--measure`: one recipe trained under a split by patient and under one by slice, and both networks on the same slices.
//!
//! Each split reports scores of slices of its own: whole patients here, a share of everybody's slices there. Patients are
//! not equally hard, so that two such scores differ without any leak. What the leak does is told by the slices that both
//! splits test: of patients whom one network never saw, and the other has seen other slices of.

use super::paired::{Common, Paired, auroc, dice};
use crate::args::{
    AuditArgs, BundleArgs, CacheArgs, EvaluateArgs, FoldArgs, OutArgs, PartName, PrecisionName, StoreName,
    TaskName, TrainArgs,
};
use crate::commands::crossval::headline;
use crate::commands::evaluate::evaluate;
use crate::commands::train::train;
use crate::commands::{Context, data};
use crate::failure::Usage;
use crate::output;
use crate::pipeline::{self, Findings, Models};
use crate::settings::Settings;
use anyhow::{Result, bail};
use gg_dataset::{Case, Dataset, Datasets, LoadedCase, Part, Parts, Split, Task};
use gg_eval::SegCounts;
use gg_volume::{AxisMap, LabelVolume};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// One recipe under both splits.
#[derive(Serialize)]
pub(super) struct Measured {
    pub(super) task: &'static str,
    pub(super) measure: &'static str,
    pub(super) fold: usize,
    pub(super) seed: u64,
    /// Share that validates of what may be tested and is not, under both splits; where cases are stated to validate,
    /// those do instead.
    pub(super) validation_share: f64,
    /// Both networks on the slices that both splits test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) same_slices: Option<Paired>,
    /// Why nothing can be said of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_comparable: Option<&'static str>,
    pub(super) as_reported: Reported,
}

/// What each split reports of its own test slices: their difference is no optimism, for the patients differ.
#[derive(Serialize)]
pub(super) struct Reported {
    /// Patients on both sides.
    pub(super) slice_split: Option<f64>,
    pub(super) patient_split: Option<f64>,
}

/// The split by patient that is compared with one by slice.
pub(super) fn patient_split(context: &Context, args: &AuditArgs, task: TaskName) -> Result<Split> {
    let (sets, _) = data::open(context, &args.dataset)?;
    let chosen = FoldArgs { split: args.split.clone(), fold: Some(args.fold) };
    let share = Settings::resolve(&args.settings)?.validation_share;
    let chosen = data::choose(context, &sets, &chosen, args.seed, share)?;
    if chosen.split.leaking() {
        bail!("--measure compares a split by patient with one by slice; the split given is by slice already");
    }
    let tested = |case: &Case| {
        case.can_teach(task.task())
            && chosen.parts.part_for(&case.case_id, &case.patient, 0) == Some(Part::Test)
    };
    if !data::cases(&sets).any(|(_, case)| tested(case)) {
        return Err(Usage(format!(
            "fold {} of the split tests no case of these data sets with a truth for {}, right would be a --fold that does",
            args.fold,
            task.task().name()
        ))
        .into());
    }
    Ok(chosen.split)
}

/// Trains and scores one recipe under a split by patient and under one by slice, and compares the two networks.
pub(super) fn measure(
    context: &Context,
    args: &AuditArgs,
    task: TaskName,
    by_patient: &Split,
) -> Result<Measured> {
    let (sets, _) = data::open(context, &args.dataset)?;
    let cases = data::with_slice_counts(&sets, &args.read.options())?;
    let by_slice = by_patient.by_slice_beside(&cases, args.seed)?;
    let (patient_bundle, patient_split) = train_and_score(context, args, task, "patient", by_patient)?;
    let (slice_bundle, slice_split) = train_and_score(context, args, task, "slice", &by_slice)?;

    let parts = [by_slice.parts(args.fold)?, by_patient.parts(args.fold)?];
    let common = common(context, args, task.task(), &sets, &parts, [slice_bundle, patient_bundle])?;
    let compared = match task {
        TaskName::Classify => auroc(&common, args.resamples),
        TaskName::Lung | TaskName::Infection => dice(&common, args.resamples),
    };
    let (same_slices, not_comparable) = match compared {
        Ok(paired) => (Some(paired), None),
        Err(why) => (None, Some(why)),
    };
    Ok(Measured {
        task: task.task().name(),
        measure: if task == TaskName::Classify { "AUROC of slices" } else { "Dice" },
        fold: args.fold,
        seed: args.seed,
        validation_share: by_patient.validation_share,
        same_slices,
        not_comparable,
        as_reported: Reported { slice_split, patient_split },
    })
}

/// The folder of prepared slices that all of it shares.
fn cache_dir(args: &AuditArgs) -> PathBuf {
    args.out.out.join("cache")
}

/// One network: its bundle, and the score that its split reports.
fn train_and_score(
    context: &Context,
    args: &AuditArgs,
    task: TaskName,
    name: &str,
    split: &Split,
) -> Result<(PathBuf, Option<f64>)> {
    let out = &args.out.out;
    let cache = CacheArgs { cache: Some(cache_dir(args)) };
    let file = out.join(format!("{name}-split.toml"));
    output::write_text(&file, &split.to_toml()?)?;
    let fold = FoldArgs { split: Some(file), fold: Some(args.fold) };
    let trained = train(
        context,
        &TrainArgs {
            task,
            dataset: args.dataset.clone(),
            out: OutArgs { out: out.join(format!("{name}-run")), force: false },
            resume: false,
            seed: Some(args.seed),
            name: None,
            bundle: BundleArgs {
                licence: "as the licence of the training data allows".to_owned(),
                store: StoreName::F32,
            },
            precision: PrecisionName::Fp32,
            init: None,
            teacher: Vec::new(),
            cache: cache.clone(),
            fold: fold.clone(),
            settings: args.settings.clone(),
            read: args.read.clone(),
        },
    )?;
    let scores = evaluate(
        context,
        &EvaluateArgs {
            dataset: args.dataset.clone(),
            model: vec![trained.bundle.clone()],
            pred: None,
            part: PartName::Test,
            out: OutArgs { out: out.join(format!("{name}-scores")), force: false },
            cache,
            fold,
            read: args.read.clone(),
            resamples: args.resamples,
            precision: None,
        },
    )?;
    Ok((trained.bundle, headline(&scores, task)))
}

/// What both networks say of the slices that both splits test, case by case; networks and parts are first those of the
/// split by slice.
fn common(
    context: &Context,
    args: &AuditArgs,
    task: Task,
    sets: &Datasets,
    [by_slice, by_patient]: &[Parts; 2],
    [of_slices, of_patients]: [PathBuf; 2],
) -> Result<Vec<Common>> {
    let torn: BTreeSet<&str> = by_slice.test().into_iter().collect();
    let tested: Vec<(&Dataset, &Case)> = data::cases(sets)
        .filter(|(_, case)| {
            torn.contains(case.case_id.as_str())
                && by_patient.part_for(&case.case_id, &case.patient, 0) == Some(Part::Test)
        })
        .collect();
    // As `evaluate` opens them, so that they compute alike.
    let open =
        |bundle: PathBuf| -> Result<Models> { Models::open(&[bundle], context.processor(None)?, true) };
    let (mut of_slices, mut of_patients) = (open(of_slices)?, open(of_patients)?);
    let mut slices = data::Slices::open(context, &cache_dir(args), args.read.options());
    let step = context.console.step("scoring the same slices", tested.len() as u64);
    let mut common = Vec::with_capacity(tested.len());
    for (set, case) in tested {
        context.interrupt.check()?;
        step.note(case.case_id.clone());
        let loaded = data::load(set, case, &args.read)?;
        let grid = &loaded.scan.ct.grid;
        let n = grid.axis_map().canonical_shape(grid.shape)[0];
        let zs: Vec<usize> =
            (0..n).filter(|&z| by_slice.part_of(&case.case_id, z) == Some(Part::Test)).collect();
        let found = [
            predict(context, &mut of_slices, &mut slices, case, &loaded)?,
            predict(context, &mut of_patients, &mut slices, case, &loaded)?,
        ];
        common.push(side_by_side(task, case, &loaded, &zs, &found));
        step.inc();
    }
    step.finish();
    slices.close(context);
    Ok(common)
}

/// What a network finds in one case.
fn predict(
    context: &Context,
    models: &mut Models,
    slices: &mut data::Slices,
    case: &Case,
    loaded: &LoadedCase,
) -> Result<Findings> {
    let ct = &loaded.scan.ct;
    let run = pipeline::Run {
        sides: ct.grid.affine.map(|_| ct.grid.axis_map()),
        prepare: &mut |config, sizes| Ok(slices.sizes(context, case, loaded, (config, sizes))),
        told: &|_, _| (),
        seen: None,
        every_slice: false,
        stop: &context.interrupt,
    };
    pipeline::run(models, ct, run)
}

/// Some slices of a case as both networks see them.
fn side_by_side(
    task: Task,
    case: &Case,
    loaded: &LoadedCase,
    zs: &[usize],
    [a, b]: &[Findings; 2],
) -> Common {
    let patient = case.patient.clone();
    let masks = |truth: &Option<LabelVolume>, found: [&Option<LabelVolume>; 2]| {
        let (Some(truth), [Some(a), Some(b)]) = (truth, found) else { return Common::default() };
        let map = loaded.scan.ct.grid.axis_map();
        Common {
            slices: zs.len(),
            voxels: [a, b].map(|found| count(found, truth, &map, zs)),
            ..Common::default()
        }
    };
    let common = match task {
        Task::Lung => masks(&loaded.lung, [&a.lung, &b.lung]),
        Task::Infection => masks(&loaded.infection, [&a.infection, &b.infection]),
        Task::Classify => {
            let truth = |z: usize| loaded.slice_infected.as_ref()?.get(z).copied().flatten();
            let says = |found: &Findings, z: usize| found.slices.get(z)?.probability;
            let one = |&z: &usize| Some(([says(a, z)?, says(b, z)?], truth(z)?));
            let classified: Vec<([f32; 2], bool)> = zs.iter().filter_map(one).collect();
            Common { slices: classified.len(), classified, ..Common::default() }
        }
    };
    Common { patient, ..common }
}

/// Voxels of some canonical slices of a mask against the truth.
fn count(pred: &LabelVolume, truth: &LabelVolume, map: &AxisMap, zs: &[usize]) -> SegCounts {
    let [_, h, w] = map.canonical_shape(truth.shape());
    let (mut called, mut real) = (vec![0u8; h * w], vec![0u8; h * w]);
    let mut counts = SegCounts::default();
    for &z in zs {
        map.read_slice(pred, z, &mut called);
        map.read_slice(truth, z, &mut real);
        for (&p, &t) in called.iter().zip(&real) {
            let of_kind = match (p != 0, t != 0) {
                (true, true) => &mut counts.tp,
                (true, false) => &mut counts.fp,
                (false, true) => &mut counts.fn_,
                (false, false) => &mut counts.tn,
            };
            *of_kind += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::Volume;

    #[test]
    fn only_the_chosen_slices_are_counted() {
        let truth = Volume::from_vec([3, 1, 4], vec![1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        let pred = Volume::from_vec([3, 1, 4], vec![0, 0, 0, 0, 2, 0, 1, 0, 1, 0, 0, 0]).unwrap();
        let of = |zs: &[usize]| count(&pred, &truth, &AxisMap::IDENTITY, zs);
        assert_eq!(of(&[1]), SegCounts { tp: 1, fp: 1, fn_: 1, tn: 1 });
        assert_eq!(of(&[1, 2]), SegCounts { tp: 1, fp: 2, fn_: 1, tn: 4 });
        assert_eq!(of(&[]), SegCounts::default());
    }
}
