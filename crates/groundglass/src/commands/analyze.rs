//! `analyze`: the main job, for one CT or many. Weights are loaded once; one CT that fails does not stop the others.

use super::{Context, data};
use crate::analysis::{self, ANALYSIS, Analysis, Said};
use crate::args::AnalyzeArgs;
use crate::builtin;
use crate::failure::{self, Interrupted, Usage};
use crate::model_file;
use crate::output::{self, Staged};
use crate::pipeline::{Models, RunSecs};
use crate::seen::{self, Asked};
use crate::summary::{self, Row, SUMMARY};
use anyhow::{Context as _, Result, bail};
use gg_io::Scan;
use gg_volume::Warned;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Longer names make folders that some systems refuse.
const LONGEST_CASE_ID: usize = 64;

/// `timings.json`: the only output that differs from run to run. The parts follow each other; their sum is the total.
#[derive(Serialize)]
struct Timings {
    /// Files to a CT, and what its grey values are; the models of the first CT are loaded beside it.
    read_secs: f64,
    /// The slices that the networks see.
    prepare_secs: f64,
    /// The networks, and their masks back on the grid of the input.
    predict_secs: f64,
    /// Cleaning the masks up; the classifier runs beside that where it can.
    clean_secs: f64,
    /// Burden, attenuation, texture, and the pictures of the page.
    measure_secs: f64,
    /// Masks, tables and the page.
    write_secs: f64,
    total_secs: f64,
}

/// What became of one CT; `--json` prints them in the order in which the CTs were named.
#[derive(Serialize)]
#[serde(untagged)]
enum Case {
    Analysed(Box<Analysis>),
    Failed(Failed),
}

/// A CT that could not be analysed.
#[derive(Serialize)]
struct Failed {
    case_id: String,
    /// Why, without a path or a name.
    error: String,
    /// Whether another result lies in its place and was left there.
    #[serde(skip)]
    left: bool,
}

/// Another result lies where `--resume` would go on.
#[derive(Debug)]
struct Taken;

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "another result lies in its place (of other files, another program, other models or settings, or not whole); right would be \
             another --out, or --force beside --resume to replace it",
        )
    }
}

impl std::error::Error for Taken {}

pub(super) fn run(context: &Context, args: AnalyzeArgs) -> Result<()> {
    let out = &args.out.out;
    let cases = every(context, &args)?;
    if let ([_], [Case::Analysed(only)]) = (&args.ct[..], &cases[..]) {
        return context.answer(only, || sentence(only, &out.join("report.html")));
    }
    let analysed = || cases.iter().filter_map(Case::analysis);
    // What was done is told even where a part of the work failed.
    if analysed().next().is_some() || context.json {
        context.answer(&cases, || {
            let report = |a: &Analysis| sentence(a, &out.join(&a.case_id).join("report.html"));
            analysed().map(report).collect::<Vec<_>>().join("\n")
        })?;
    }
    let (all, done, summary) = (cases.len(), analysed().count(), out.join(SUMMARY));
    match all - done {
        0 => Ok(()),
        _ if done == 0 => {
            bail!("none of the {all} CTs could be analysed; the reasons are in {}", summary.display())
        }
        failed => bail!(
            "{failed} of {all} CTs could not be analysed; the others are in {}, the reasons in {}",
            out.display(),
            summary.display()
        ),
    }
}

/// Analyses every CT and gives those of several that could be; one alone that cannot is an error. `quickstart` calls it
/// too.
pub(crate) fn analyze(context: &Context, args: &AnalyzeArgs) -> Result<Vec<Analysis>> {
    let analysis = |case| match case {
        Case::Analysed(analysis) => Some(*analysis),
        Case::Failed(_) => None,
    };
    Ok(every(context, args)?.into_iter().filter_map(analysis).collect())
}

impl Case {
    fn analysis(&self) -> Option<&Analysis> {
        match self {
            Self::Analysed(analysis) => Some(analysis),
            Self::Failed(_) => None,
        }
    }
}

fn every(context: &Context, args: &AnalyzeArgs) -> Result<Vec<Case>> {
    let cases = name_cases(args)?;
    output::check_apart(&args.out.out, &args.ct)?;
    let processor = context.processor(args.precision)?;
    // A name typed wrongly is told before a long CT is read beside the models.
    for missing in args.model.iter().filter(|path| !path.is_file()) {
        model_file::read_named(missing)?;
    }
    let open = || {
        let mut models = Models::open(&args.model, processor, args.precision.is_none())?;
        builtin::fill(&mut models)?;
        Ok(models)
    };
    match &cases[..] {
        [(case_id, ct)] => {
            let place = Place::enter(&args.out.out, args)?;
            let step = context.console.step("analysing slices", 0);
            let told = |done, of| step.set_of(done, of);
            let start = Instant::now();
            let (models, read): (Result<Models>, _) = rayon::join(open, || read(args, ct));
            let (mut models, read) = (models?, read?);
            let analysis = one(context, &mut models, args, case_id, (start, ct, read), place, &told)?;
            step.finish();
            Ok(vec![Case::Analysed(Box::new(analysis))])
        }
        _ => many(context, &mut open()?, args, &cases),
    }
}

fn read(args: &AnalyzeArgs, ct: &Path) -> Result<Warned<Scan>> {
    data::read_ct(ct, &args.read.options())
}

/// Where the result of a CT goes.
enum Place<'a> {
    /// A new folder, or one that is replaced when the result is whole.
    New(Staged),
    /// A result lies there, which `--resume` keeps if it is the same.
    Taken(&'a Path),
}

impl<'a> Place<'a> {
    fn enter(dir: &'a Path, args: &AnalyzeArgs) -> Result<Self> {
        if args.resume && dir.join(ANALYSIS).is_file() {
            return Ok(Self::Taken(dir));
        }
        Ok(Self::New(Staged::begin(dir, args.out.force, ANALYSIS)?))
    }
}

/// Each result takes its place when it is whole, so that a batch that is stopped has lost nothing of an earlier one.
fn many(
    context: &Context,
    models: &mut Models,
    args: &AnalyzeArgs,
    named: &[(String, PathBuf)],
) -> Result<Vec<Case>> {
    let out = &args.out.out;
    let _held = output::share(out, args.out.force || args.resume, &[SUMMARY])?;
    let step = context.console.step("analysing", named.len() as u64);
    let mut cases = Vec::new();
    for (case_id, ct) in named {
        step.note(case_id.clone());
        let result = Place::enter(&out.join(case_id), args).and_then(|place| {
            let told = |done, of| step.note(format!("{case_id}: slice {done} of {of}"));
            let start = Instant::now();
            let read = read(args, ct)?;
            one(context, models, args, case_id, (start, ct, read), place, &told)
        });
        match result {
            Ok(analysis) => cases.push(Case::Analysed(Box::new(analysis))),
            Err(error) if error.is::<Interrupted>() => {
                let unreached = named[cases.len()..].iter().map(|(case_id, _)| case_id.clone()).collect();
                write_summary(out, &cases, unreached)?;
                let done = format!("{} of {} CTs were done; --resume goes on", cases.len(), named.len());
                return Err(Interrupted(done).into());
            }
            Err(error) => {
                step.error(format!("{case_id}: {}", failure::sentence(&error)));
                // The sentence names the path on stderr only: outputs carry none.
                let left = error.is::<Taken>();
                cases.push(Case::Failed(Failed { case_id: case_id.clone(), error: reason(&error), left }));
            }
        }
        step.inc();
    }
    step.finish();
    write_summary(out, &cases, BTreeSet::new())?;
    Ok(cases)
}

fn one(
    context: &Context,
    models: &mut Models,
    args: &AnalyzeArgs,
    case_id: &str,
    (start, ct, read): (Instant, &Path, Warned<Scan>),
    place: Place<'_>,
    told: &(dyn Fn(usize, usize) + Sync),
) -> Result<Analysis> {
    let mut warnings = Vec::new();
    let mut scan = read.drain_into(&mut warnings);
    scan.ct = scan.ct.into_hu();
    context.interrupt.check()?;
    data::say_left_out(context, &scan.skipped);
    // Only a name that the user gave can be a patient's.
    let patient = (!args.case_id.is_empty()).then(|| case_id.to_owned());
    let asked = Asked { patient, scan: scan.sha256.clone() };
    warnings.extend(seen::warnings(&seen::trainings(models), &[asked]));
    warnings.extend(builtin::beside_others(models));
    let read_secs = start.elapsed().as_secs_f64();
    let said = Said { orientation: args.orientation, every_slice: args.every_slice };
    let staged = match place {
        Place::New(staged) => staged,
        Place::Taken(dir) => {
            if let Some(kept) = analysis::kept(dir, models, &scan, case_id, said.orientation) {
                context.console.say(format!("{case_id}: kept, as it was analysed before"));
                return Ok(kept);
            }
            if !args.out.force {
                return Err(Taken.into());
            }
            Staged::begin(dir, true, ANALYSIS)?
        }
    };
    let dir = staged.path();
    let refused =
        |e: anyhow::Error| if e.is::<Interrupted>() { e } else { e.context(ct.display().to_string()) };
    let mut outcome = analysis::analyse(models, &scan, case_id, said, warnings, told, &context.interrupt)
        .map_err(refused)?;
    for warning in &outcome.analysis.warnings {
        context.console.warn(format!("{case_id}: {}", warning.message));
    }
    let analysed = start.elapsed().as_secs_f64();
    context.interrupt.check()?;
    // The CT is given back to the system beside the writing: for a large one that takes its time too.
    let (grid, ct) = (scan.ct.grid, scan.ct.voxels);
    let (written, ()) = rayon::join(|| analysis::write(&mut outcome, &grid, dir), || drop(ct));
    written?;
    let total_secs = start.elapsed().as_secs_f64();
    let RunSecs { prepare, predict, clean } = outcome.secs;
    let timings = Timings {
        read_secs,
        prepare_secs: prepare,
        predict_secs: predict,
        clean_secs: clean,
        measure_secs: analysed - read_secs - prepare - predict - clean,
        write_secs: total_secs - analysed,
        total_secs,
    };
    output::write_json(&dir.join("timings.json"), &timings)?;
    staged.commit()?;
    Ok(outcome.analysis)
}

/// Each CT with the name of its case.
fn name_cases(args: &AnalyzeArgs) -> Result<Vec<(String, PathBuf)>> {
    let names: Vec<String> = if args.case_id.is_empty() {
        (1..=args.ct.len()).map(|i| format!("case-{i:03}")).collect()
    } else {
        args.case_id.clone()
    };
    if names.len() != args.ct.len() {
        return Err(Usage(format!(
            "{} case ids for {} CTs; right would be one --case-id for each, or none",
            names.len(),
            args.ct.len()
        ))
        .into());
    }
    for name in &names {
        let fits = !name.is_empty()
            && name.len() <= LONGEST_CASE_ID
            && name.to_lowercase() != SUMMARY
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !fits {
            return Err(Usage(format!(
                "the case id `{name}` cannot name a folder; at most {LONGEST_CASE_ID} letters, digits, `-`, `_` \
                 and `.` can, not first a `.`"
            ))
            .into());
        }
    }
    // Some file systems do not tell capital letters apart.
    if names.iter().map(|n| n.to_lowercase()).collect::<BTreeSet<_>>().len() != names.len() {
        return Err(Usage("two CTs have the same case id".into()).into());
    }
    Ok(names.into_iter().zip(args.ct.iter().cloned()).collect())
}

/// The innermost cause, which names no file.
fn reason(error: &anyhow::Error) -> String {
    error.chain().last().map_or(String::new(), |cause| {
        cause.downcast_ref::<std::io::Error>().map_or_else(|| cause.to_string(), gg_io::io_words)
    })
}

/// Folders of cases that this run did not analyse, by name.
fn earlier(dir: &Path, cases: &[Case]) -> Result<BTreeSet<String>> {
    let failed = || format!("opening {}", dir.display());
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let folder = entry.path();
        let new = cases.iter().filter_map(Case::analysis).any(|a| a.case_id == name);
        if !new && output::is_ours(&folder) && folder.join(ANALYSIS).is_file() {
            found.insert(name);
        }
    }
    Ok(found)
}

/// `unreached`: CTs that the run was stopped before.
fn write_summary(dir: &Path, cases: &[Case], unreached: BTreeSet<String>) -> Result<()> {
    let mut earlier = earlier(dir, cases)?;
    let row_of =
        |case_id: &str, error| Row::earlier(case_id, error, analysis::earlier(&dir.join(case_id)).as_ref());
    let mut rows: Vec<Row> = cases
        .iter()
        .map(|case| match case {
            Case::Analysed(analysis) => Row::analysed(analysis),
            Case::Failed(Failed { case_id, error, left: true }) => {
                earlier.remove(case_id);
                row_of(case_id, error.clone())
            }
            Case::Failed(Failed { case_id, error, .. }) => {
                let kept = earlier.remove(case_id);
                let kept = if kept { "; its folder holds the result of an earlier run" } else { "" };
                Row::without(case_id, "failed", format!("{error}{kept}"))
            }
        })
        .collect();
    let others: BTreeSet<&String> = unreached.iter().chain(&earlier).collect();
    rows.extend(others.into_iter().map(|case_id| match earlier.contains(case_id) {
        true => row_of(case_id, String::new()),
        false => Row::without(case_id, "unreached", String::new()),
    }));
    summary::write(&dir.join(SUMMARY), &rows)
}

fn sentence(a: &Analysis, report: &Path) -> String {
    // How sure a number is says nothing where the CT or the masks may not be what they are taken for.
    let interval = a.infection.percent_of_lung_interval.filter(|_| a.doubts.is_empty());
    let interval = interval.map_or(String::new(), |[low, high]| format!(" ({low:.1} to {high:.1})"));
    let percent = a
        .infection
        .whole
        .percent_of_lung
        .map_or("no percentage".to_owned(), |p| format!("{p:.1} %{interval}"));
    let severity =
        a.severity.score.map_or(String::new(), |s| format!(", severity {s} of {}", a.severity.max));
    let doubts = match &a.doubts[..] {
        [] => String::new(),
        doubts => format!(", IN DOUBT ({}): look at the CT and the masks first", doubts.join(", ")),
    };
    format!("{}: {percent} of the lung infected{severity}{doubts}; report: {}", a.case_id, report.display())
}
