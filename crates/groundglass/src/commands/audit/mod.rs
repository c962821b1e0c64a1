//! `audit`: does anything stand on both sides of a split? Patients, near-duplicate slices, one scan in two data sets;
//! and, on request, how much better a network scores that a leaking split has trained.

mod measure;
mod paired;
mod words;

use super::{Context, data};
use crate::args::{AuditArgs, FoldArgs};
use crate::manifest::Program;
use crate::model_file::BUNDLE;
use crate::output::{self, Staged};
use anyhow::{Result, bail};
use gg_dataset::{AuditedCase, Duplicate, Place, near_duplicates, places, torn_patients};
use gg_imaging::Display;
use gg_report::{Grey, SlicePicture};
use measure::{Measured, measure, patient_split};
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

/// From this share of the smaller case's slices on, two cases are taken for one scan.
const SAME_SCAN: f64 = 0.5;
/// Pairs of slices that the page shows.
const SHOWN: usize = 12;

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
    measured: Option<Measured>,
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

pub(super) fn run(context: &Context, args: AuditArgs) -> Result<()> {
    if let Some(task) = args.measure {
        let out = args.out.out.clone();
        let by_patient = patient_split(context, &args, task)?;
        let _held =
            output::claim(&out, args.out.force, &FILES, &[("*-run", BUNDLE), ("*-scores", "scores.json")])?;
        let context = &context.begun_anew_in(&out);
        let measured = measure(context, &args, task, &by_patient)?;
        let audit = audit(context, &args, &out, Some(measured))?;
        return answer(context, &audit, &out);
    }
    let staged = Staged::begin(&args.out.out, args.out.force, "audit.json")?;
    let audit = audit(context, &args, staged.path(), None)?;
    staged.commit()?;
    answer(context, &audit, &args.out.out)
}

fn answer(context: &Context, audit: &Audit, out: &Path) -> Result<()> {
    context.answer(audit, || words::text(audit, out))?;
    if audit.leaking {
        bail!("the split leaks; see {}", out.join("report.html").display());
    }
    Ok(())
}

fn audit(context: &Context, args: &AuditArgs, dir: &Path, measured: Option<Measured>) -> Result<Audit> {
    output::check_apart(&args.out.out, &args.dataset)?;
    let (sets, warnings) = data::open(context, &args.dataset)?;
    let fold = FoldArgs { split: args.split.clone(), fold: Some(args.fold) };
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
        measured,
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
    output::write_text(&dir.join("report.html"), &words::page(&audit, &pictures, warnings))?;
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
