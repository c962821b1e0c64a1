//! `analyze`: the main job, for one CT or many. Weights are loaded once; one CT that fails does not stop the others.

use super::{Context, data};
use crate::analysis::{self, Analysis, Outcome};
use crate::args::AnalyzeArgs;
use crate::builtin;
use crate::failure::{Interrupted, Usage};
use crate::output::{self, Staged};
use crate::pipeline::Models;
use crate::seen::{self, Asked};
use anyhow::{Result, bail};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Longer names make folders that some systems refuse.
const LONGEST_CASE_ID: usize = 64;
/// The table of all cases, beside their folders.
const SUMMARY: &str = "summary.csv";

/// `timings.json`: the only output that differs from run to run.
#[derive(Serialize)]
struct Timings {
    read_secs: f64,
    analyse_secs: f64,
    write_secs: f64,
}

/// One row of `summary.csv`.
#[derive(Serialize)]
struct SummaryRow {
    case_id: String,
    status: &'static str,
    error: String,
    lung_ml: Option<f64>,
    infection_ml: Option<f64>,
    percent_of_lung: Option<f64>,
    percent_right: Option<f64>,
    percent_left: Option<f64>,
    severity: Option<u8>,
    positive_slices: Option<usize>,
    slices: Option<usize>,
    warnings: String,
}

pub(super) fn run(context: &Context, args: AnalyzeArgs) -> Result<()> {
    let out = &args.out.out;
    let analyses = analyze(context, &args)?;
    if let ([_], [only]) = (&args.ct[..], &analyses[..]) {
        return context.answer(only, || sentence(only, &out.join("report.html")));
    }
    // What was done is told even where a part of the work failed.
    if !analyses.is_empty() || context.json {
        context.answer(&analyses, || {
            let report = |a: &Analysis| sentence(a, &out.join(&a.case_id).join("report.html"));
            analyses.iter().map(report).collect::<Vec<_>>().join("\n")
        })?;
    }
    let (failed, all, summary) = (args.ct.len() - analyses.len(), args.ct.len(), out.join(SUMMARY));
    match failed {
        0 => Ok(()),
        _ if analyses.is_empty() => {
            bail!("none of the {all} CTs could be analysed; the reasons are in {}", summary.display())
        }
        _ => bail!(
            "{failed} of {all} CTs could not be analysed; the others are in {}, the reasons in {}",
            out.display(),
            summary.display()
        ),
    }
}

/// Analyses every CT and gives those of several that could be; one alone that cannot is an error. `quickstart` calls it
/// too.
pub(crate) fn analyze(context: &Context, args: &AnalyzeArgs) -> Result<Vec<Analysis>> {
    let cases = name_cases(args)?;
    output::check_apart(&args.out.out, &args.ct)?;
    let mut models = Models::open(&args.model, context.arithmetic(args.precision)?)?;
    builtin::fill(&mut models)?;
    match &cases[..] {
        [(case_id, ct)] => {
            let staged = Staged::begin(&args.out.out, args.out.force)?;
            let step = context.console.step("analysing slices", 0);
            let told = |done, of| step.set_of(done, of);
            let outcome = one(context, &mut models, args, (case_id, ct), staged.path(), &told)?;
            step.finish();
            staged.commit()?;
            Ok(vec![outcome.analysis])
        }
        _ => many(context, &mut models, args, &cases),
    }
}

fn many(
    context: &Context,
    models: &mut Models,
    args: &AnalyzeArgs,
    cases: &[(String, PathBuf)],
) -> Result<Vec<Analysis>> {
    output::claim(&args.out.out, args.out.force, &[SUMMARY])?;
    let step = context.console.step("analysing", cases.len() as u64);
    let mut rows = Vec::new();
    let mut analyses = Vec::new();
    for (case_id, ct) in cases {
        step.note(case_id.clone());
        let result = Staged::begin(&args.out.out.join(case_id), false).and_then(|staged| {
            let told = |done, of| step.note(format!("{case_id}: slice {done} of {of}"));
            let outcome = one(context, models, args, (case_id, ct), staged.path(), &told)?;
            staged.commit()?;
            Ok(outcome.analysis)
        });
        match result {
            Ok(analysis) => {
                rows.push(summary_row(&analysis));
                analyses.push(analysis);
            }
            Err(error) if error.is::<Interrupted>() => {
                write_summary(&args.out.out, &rows)?;
                let done = rows.len();
                return Err(Interrupted(format!("{done} of {} CTs were done", cases.len())).into());
            }
            Err(error) => {
                step.error(format!("{case_id}: {error:#}"));
                // The sentence names the path on stderr only: outputs carry none.
                rows.push(failed_row(case_id, &error));
            }
        }
        step.inc();
    }
    step.finish();
    write_summary(&args.out.out, &rows)?;
    Ok(analyses)
}

fn one(
    context: &Context,
    models: &mut Models,
    args: &AnalyzeArgs,
    (case_id, ct): (&str, &Path),
    dir: &Path,
    told: &dyn Fn(usize, usize),
) -> Result<Outcome> {
    let start = Instant::now();
    let mut warnings = Vec::new();
    let scan = data::read_ct(ct, &args.read.options())?.drain_into(&mut warnings);
    context.interrupt.check()?;
    data::say_left_out(context, &scan.skipped);
    // Only a name that the user gave can be a patient's.
    let patient = (!args.case_id.is_empty()).then(|| case_id.to_owned());
    let asked = Asked { patient, scan: scan.sha256.clone() };
    warnings.extend(seen::warnings(&seen::trainings(models), &[asked]));
    let read_secs = start.elapsed().as_secs_f64();
    let outcome =
        analysis::analyse(models, &scan, case_id, args.orientation, warnings, told, &context.interrupt)?;
    for warning in &outcome.analysis.warnings {
        context.console.warn(format!("{case_id}: {}", warning.message));
    }
    let analyse_secs = start.elapsed().as_secs_f64() - read_secs;
    context.interrupt.check()?;
    analysis::write(&outcome, &scan, dir)?;
    let write_secs = start.elapsed().as_secs_f64() - read_secs - analyse_secs;
    output::write_json(&dir.join("timings.json"), &Timings { read_secs, analyse_secs, write_secs })?;
    Ok(outcome)
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

fn summary_row(a: &Analysis) -> SummaryRow {
    let percent = |side: &Option<gg_eval::Infected>| side.as_ref().and_then(|s| s.percent_of_lung);
    let codes: Vec<&str> = a.warnings.iter().map(|w| w.code.as_str()).collect();
    SummaryRow {
        case_id: a.case_id.clone(),
        status: "analysed",
        error: String::new(),
        lung_ml: a.lung.whole.ml,
        infection_ml: a.infection.whole.amount.ml,
        percent_of_lung: a.infection.whole.percent_of_lung,
        percent_right: percent(&a.infection.right),
        percent_left: percent(&a.infection.left),
        severity: a.severity.score,
        positive_slices: a.classification.as_ref().map(|c| c.positive_slices),
        slices: Some(a.slices.kept),
        warnings: codes.join(" "),
    }
}

fn failed_row(case_id: &str, error: &anyhow::Error) -> SummaryRow {
    let reason = error.chain().last().map_or(String::new(), |cause| {
        cause.downcast_ref::<std::io::Error>().map_or_else(|| cause.to_string(), gg_io::io_words)
    });
    SummaryRow {
        case_id: case_id.to_owned(),
        status: "failed",
        error: reason,
        lung_ml: None,
        infection_ml: None,
        percent_of_lung: None,
        percent_right: None,
        percent_left: None,
        severity: None,
        positive_slices: None,
        slices: None,
        warnings: String::new(),
    }
}

fn write_summary(dir: &Path, rows: &[SummaryRow]) -> Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    for row in rows {
        table.serialize(row)?;
    }
    output::write_text(&dir.join(SUMMARY), &String::from_utf8(table.into_inner()?)?)
}

fn sentence(a: &Analysis, report: &Path) -> String {
    let percent =
        a.infection.whole.percent_of_lung.map_or("no percentage".to_owned(), |p| format!("{p:.1} %"));
    let severity =
        a.severity.score.map_or(String::new(), |s| format!(", severity {s} of {}", a.severity.max));
    format!("{}: {percent} of the lung infected{severity}; report: {}", a.case_id, report.display())
}
