//! `audit`: does anything stand on both sides of a split? Patients, near-duplicate slices, one scan in two data sets;
//! and, on request, how much better a leaking split looks.

use super::crossval::headline;
use super::evaluate::evaluate;
use super::train::train;
use super::{Context, data};
use crate::args::{
    AuditArgs, BundleArgs, CacheArgs, EvaluateArgs, FoldArgs, OutArgs, PartName, PrecisionName, StoreName,
    TaskName, TrainArgs,
};
use crate::manifest::Program;
use crate::model_file::BUNDLE;
use crate::output::{self, Staged};
use anyhow::{Result, bail};
use gg_dataset::{
    AuditedCase, Duplicate, LEAK, Place, Split, SplitCase, near_duplicates, places, torn_patients,
};
use gg_imaging::Display;
use gg_report::{AuditReport, Fact, Figure, Grey, Provenance, SlicePicture};
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

/// From this share of the smaller case's slices on, two cases are taken for one scan.
const SAME_SCAN: f64 = 0.5;
/// Pairs of slices that the page shows.
const SHOWN: usize = 12;
/// Side of a picture on the page, in pixels.
const TILE: f64 = 220.0;

/// `audit.json`.
#[derive(Serialize)]
struct Audit {
    program: Program,
    cases: usize,
    slices: usize,
    patients: usize,
    /// Correlation from which on two slices are taken for one picture.
    similarity: f64,
    /// Whether anything stands on both sides.
    leaking: bool,
    /// Patients with slices in several places of the split, with the number of places.
    patients_in_several_places: Vec<(String, usize)>,
    duplicates: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    optimism: Option<Optimism>,
}

/// Two cases that share slices.
#[derive(Serialize)]
struct Finding {
    first: String,
    second: String,
    same_patient: bool,
    same_data_set: bool,
    /// Whether half of the smaller case's slices, or more, are found in the other.
    same_scan: bool,
    /// Whether slices stand in different places of the split.
    leaks: bool,
    first_place: Option<Place>,
    second_place: Option<Place>,
    #[serde(flatten)]
    found: Duplicate,
}

/// All files of an audit that trains, besides those of its runs and scores.
const FILES: [&str; 6] = [
    "audit.json",
    "report.html",
    "patient-split.toml",
    "slice-split.toml",
    "cache/*.ggcase",
    "cache/inputs.json",
];

/// One recipe under both splits.
#[derive(Serialize)]
struct Optimism {
    task: &'static str,
    measure: &'static str,
    /// Patients on both sides: means nothing.
    slice_split: Option<f64>,
    patient_split: Option<f64>,
    /// Slice split less patient split.
    optimism: Option<f64>,
    fold: usize,
    seed: u64,
}

pub(super) fn run(context: &Context, args: AuditArgs) -> Result<()> {
    if let Some(task) = args.measure {
        let out = args.out.out.clone();
        let by_patient = patient_split(context, &args)?;
        output::claim(&out, args.out.force, &FILES, &[("*-run", BUNDLE), ("*-scores", "scores.json")])?;
        let context = &context.begun_anew_in(&out);
        let optimism = measure(context, &args, task, &by_patient)?;
        let audit = audit(context, &args, &out, Some(optimism))?;
        return answer(context, &audit, &out);
    }
    let staged = Staged::begin(&args.out.out, args.out.force, "audit.json")?;
    let audit = audit(context, &args, staged.path(), None)?;
    staged.commit()?;
    answer(context, &audit, &args.out.out)
}

fn answer(context: &Context, audit: &Audit, out: &Path) -> Result<()> {
    context.answer(audit, || text(audit, out))?;
    if audit.leaking {
        bail!("the split leaks; see {}", out.join("report.html").display());
    }
    Ok(())
}

fn audit(context: &Context, args: &AuditArgs, dir: &Path, optimism: Option<Optimism>) -> Result<Audit> {
    output::check_apart(&args.out.out, &args.dataset)?;
    let (sets, warnings) = data::open(context, &args.dataset)?;
    let fold = FoldArgs { split: args.split.clone(), fold: None };
    // One that tears patients apart is told with the rest.
    let split = data::choose_any(context, &sets, &fold, args.seed, 0.0)?.split;
    let all: Vec<_> = data::cases(&sets).collect();
    let step = context.console.step("reading slices", all.len() as u64);
    let mut cases = Vec::with_capacity(all.len());
    for &(set, case) in &all {
        context.interrupt.check()?;
        let loaded = data::load(set, case, &args.read)?;
        let ct = &loaded.scan.ct;
        let display = Display::new(ct, ct.grid.axis_map());
        let [n, h, w] = display.shape();
        let prints =
            (0..n).into_par_iter().map(|z| gg_imaging::fingerprint(&display.slice(z), h, w)).collect();
        cases.push(AuditedCase {
            case_id: case.case_id.clone(),
            patient: case.patient.clone(),
            set: sets.sets.iter().position(|s| std::ptr::eq(s, set)).unwrap_or(0),
            prints,
            places: places(&split, &case.case_id, &case.patient, n),
        });
        step.inc();
    }
    step.finish();

    let pairs: Vec<(usize, usize)> =
        (0..cases.len()).flat_map(|i| (i..cases.len()).map(move |j| (i, j))).collect();
    let step = context.console.step("comparing cases", pairs.len() as u64);
    let found: Vec<Option<Duplicate>> = pairs
        .par_iter()
        .map(|&(i, j)| {
            context.interrupt.check()?;
            let found = near_duplicates(&cases, i, j, args.similarity);
            step.inc();
            Ok(found)
        })
        .collect::<Result<_>>()?;
    step.finish();

    let mut duplicates: Vec<Finding> = found.into_iter().flatten().map(|d| finding(&cases, d)).collect();
    duplicates.sort_by(|a, b| {
        let weight = |f: &Finding| (f.leaks, f.found.across, f.found.slices);
        weight(b).cmp(&weight(a)).then((a.found.first, a.found.second).cmp(&(b.found.first, b.found.second)))
    });
    let patients_in_several_places: Vec<(String, usize)> =
        torn_patients(&cases).into_iter().map(|(p, n)| (p.to_owned(), n)).collect();
    let patients: std::collections::BTreeSet<&str> = cases.iter().map(|c| c.patient.as_str()).collect();
    let audit = Audit {
        program: Program::this(),
        cases: cases.len(),
        slices: cases.iter().map(|c| c.prints.len()).sum(),
        patients: patients.len(),
        similarity: args.similarity,
        leaking: !patients_in_several_places.is_empty() || duplicates.iter().any(|d| d.leaks),
        patients_in_several_places,
        duplicates,
        optimism,
    };
    let mut pictures = Vec::new();
    for found in audit.duplicates.iter().take(SHOWN) {
        let show = |index: usize, z: usize| -> Result<SlicePicture> {
            let (set, case) = all[index];
            let loaded = data::load(set, case, &args.read)?;
            let ct = &loaded.scan.ct;
            let display = Display::new(ct, ct.grid.axis_map());
            let [_, h, w] = display.shape();
            let mut picture = SlicePicture::plain(Grey::new(w, h, display.slice(z))?);
            picture.caption = format!("{}, slice {z}", case.case_id);
            Ok(picture)
        };
        let d = &found.found;
        let mut pair = [show(d.first, d.best.first)?, show(d.second, d.best.second)?];
        let leak = if found.leaks { ", leaks" } else { "" };
        pair[1].caption += &format!(" · {:.2}{leak}", d.best.correlation);
        pictures.extend(pair);
    }
    output::write_json(&dir.join("audit.json"), &audit)?;
    let warnings: Vec<String> = warnings.into_iter().map(|w| w.message).collect();
    output::write_text(&dir.join("report.html"), &page(&audit, &pictures, warnings))?;
    Ok(audit)
}

fn finding(cases: &[AuditedCase], found: Duplicate) -> Finding {
    let (a, b) = (&cases[found.first], &cases[found.second]);
    Finding {
        first: a.case_id.clone(),
        second: b.case_id.clone(),
        same_patient: a.patient == b.patient,
        same_data_set: a.set == b.set,
        same_scan: found.first != found.second && found.share >= SAME_SCAN,
        leaks: found.across > 0,
        first_place: a.places.get(found.best.first).copied().flatten(),
        second_place: b.places.get(found.best.second).copied().flatten(),
        found,
    }
}

/// The split by patient that is compared with one by slice.
fn patient_split(context: &Context, args: &AuditArgs) -> Result<Split> {
    let (sets, _) = data::open(context, &args.dataset)?;
    let chosen = FoldArgs { split: args.split.clone(), fold: None };
    let split = data::choose(context, &sets, &chosen, args.seed, gg_dataset::VALIDATION_SHARE)?.split;
    if split.leaking() {
        bail!("--measure compares a split by patient with one by slice; the split given is by slice already");
    }
    Ok(split)
}

/// Trains and scores one recipe under a split by patient and under one by slice.
fn measure(context: &Context, args: &AuditArgs, task: TaskName, by_patient: &Split) -> Result<Optimism> {
    let out = &args.out.out;
    let (sets, _) = data::open(context, &args.dataset)?;
    let cases: Vec<SplitCase> = data::with_slice_counts(&sets, &args.read.options())?;
    let by_slice = Split::by_slice(&cases, by_patient.folds, args.seed)?;
    let cache = CacheArgs { cache: Some(out.join("cache")) };
    let mut values = Vec::new();
    for (name, split) in [("patient", by_patient), ("slice", &by_slice)] {
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
                model: vec![trained.bundle],
                pred: None,
                part: PartName::Test,
                out: OutArgs { out: out.join(format!("{name}-scores")), force: false },
                cache: cache.clone(),
                fold,
                read: args.read.clone(),
                resamples: args.resamples,
                precision: None,
            },
        )?;
        values.push(headline(&scores, task));
    }
    let (patient_split, slice_split) = (values[0], values[1]);
    Ok(Optimism {
        task: task.task().name(),
        measure: if task == TaskName::Classify { "AUROC of slices" } else { "Dice" },
        slice_split,
        patient_split,
        optimism: slice_split.zip(patient_split).map(|(s, p)| s - p),
        fold: args.fold,
        seed: args.seed,
    })
}

fn sentence(audit: &Audit) -> String {
    let leaks = audit.duplicates.iter().filter(|d| d.leaks).count();
    if !audit.leaking {
        return format!(
            "No patient and no slice stands on both sides: {} slices of {} cases compared.",
            audit.slices, audit.cases
        );
    }
    format!(
        "The split leaks: {} of {} patients have slices in several places; pairs of cases with slices across places that look \
         alike: {leaks}.",
        audit.patients_in_several_places.len(),
        audit.patients
    )
}

fn line(d: &Finding) -> String {
    let what = match (d.found.first == d.found.second, d.same_scan, d.same_patient) {
        (true, ..) => format!("{}: {} slices with a likeness in another place", d.first, d.found.slices),
        (_, true, true) => format!("{} and {}: one patient's pictures twice", d.first, d.second),
        (_, true, false) => {
            format!("{} and {}: look like one scan under two patients' names", d.first, d.second)
        }
        _ => format!("{} and {}: {} slices look alike", d.first, d.second, d.found.slices),
    };
    let leak = if d.leaks { format!("; {} slices leak", d.found.across) } else { String::new() };
    format!("{what} (correlation up to {:.2}){leak}", d.found.best.correlation)
}

fn text(audit: &Audit, out: &Path) -> String {
    let mut lines = vec![sentence(audit)];
    lines.extend(audit.patients_in_several_places.iter().map(|(p, n)| format!("patient {p}: in {n} places")));
    lines.extend(audit.duplicates.iter().map(line));
    if let Some(o) = &audit.optimism {
        let number = |v: Option<f64>| v.map_or("none".to_owned(), |v| format!("{v:.3}"));
        lines.push(format!(
            "{} {}: slice split {} ({}), patient split {}; optimism {}",
            o.task,
            o.measure,
            number(o.slice_split),
            LEAK,
            number(o.patient_split),
            number(o.optimism)
        ));
    }
    lines.push(format!("report: {}", out.join("report.html").display()));
    lines.join("\n")
}

fn page(audit: &Audit, pictures: &[SlicePicture], mut warnings: Vec<String>) -> String {
    warnings.extend(audit.duplicates.iter().filter(|d| d.leaks).map(line));
    let mut facts = vec![
        Fact::new(
            "Compared",
            format!("{} slices of {} cases, {} patients", audit.slices, audit.cases, audit.patients),
        ),
        Fact::new("Taken for one picture", format!("from a correlation of {:.2} on", audit.similarity)),
    ];
    if let Some(o) = &audit.optimism {
        let number = |v: Option<f64>| v.map_or("none".to_owned(), |v| format!("{v:.3}"));
        facts.push(Fact::new(
            "Optimism",
            format!(
                "{} {}: {} by slice, {} by patient: {} too good",
                o.task,
                o.measure,
                number(o.slice_split),
                number(o.patient_split),
                number(o.optimism)
            ),
        ));
    }
    let figures = if pictures.is_empty() {
        Vec::new()
    } else {
        vec![Figure {
            title: "Slices that are one picture".to_owned(),
            caption: "The surest pair of each pair of cases, each slice as its data set shows it, with their correlation.".to_owned(),
            scene: gg_report::montage(pictures, 4, TILE),
        }]
    };
    gg_report::audit_report(&AuditReport {
        summary: sentence(audit),
        findings: audit.duplicates.iter().filter(|d| !d.leaks).map(line).collect(),
        figures,
        provenance: Provenance {
            leaking: !audit.patients_in_several_places.is_empty(),
            warnings,
            facts,
            models: Vec::new(),
            program: Program::this().to_string(),
        },
    })
}
