//! How each attribute of a cohort moves the prediction of an outcome that the user names.

use super::outcome::{Asked, Read};
use super::table::Table;
use crate::args::ExplainArgs;
use crate::commands::Context;
use crate::manifest::Program;
use crate::output::{self, Staged, write_drawing};
use crate::summary::WARNINGS;
use crate::words::{cases, number};
use anyhow::{Context as _, Result};
use gg_eval::{AttributeEffect, CohortConfig, CohortReport, LeftOut, explain_cohort};
use gg_report::{EffectRow, Fact, Figure, ODDS_EDGE, Provenance, Section, StudyReport, TextTable};
use serde::Serialize;
use std::path::Path;

/// Attributes whose dependence is drawn.
const DRAWN: usize = 12;
/// Cases in doubt that are named.
const NAMED: usize = 5;
/// Which regression the odds ratios are of.
const ODDS_OF: &str = "logistic regression without a penalty; 95 % Wald intervals, by the larger of the model's standard errors and \
                       those clustered by patient";

/// `cohort.json`.
#[derive(Serialize)]
struct Answer {
    schema_version: u32,
    research_use_only: bool,
    outcome: String,
    /// The value that counts as the outcome, and the other one.
    positive: String,
    negative: String,
    /// Column that named the patients; null where each case was taken for one.
    patient_column: Option<String>,
    rows_without_outcome: usize,
    rows_not_analysed: usize,
    /// Rows with an outcome whose remarks put their numbers in doubt, and whether they were left out; null where the
    /// table has no remarks.
    rows_doubtful: Option<usize>,
    doubtful_left_out: bool,
    /// Which regression each number is of.
    odds_ratios_of: &'static str,
    other_numbers_of: String,
    #[serde(flatten)]
    report: CohortReport,
    program: Program,
}

pub(super) fn run(context: &Context, args: &ExplainArgs, table: &Path, outcome: &str) -> Result<()> {
    let inputs: Vec<_> = std::iter::once(table.to_owned()).chain(args.join.clone()).collect();
    output::check_apart(&args.out.out, &inputs)?;
    let mut warnings = Vec::new();
    let mut rows = Table::read(table)?;
    if let Some(path) = &args.join {
        let (joined, alone) = rows.join(&Table::read(path)?)?;
        rows = joined;
        if alone > 0 {
            warnings.push(format!("{alone} cases of the first table do not stand in the second"));
        }
    }
    let asked = Asked {
        outcome,
        patient: args.patient.as_deref(),
        attributes: &args.attributes,
        skip_doubtful: args.skip_doubtful,
    };
    let read = rows.cohort(&asked).with_context(|| rows.name.clone())?;
    warnings.extend(remarks(&read));
    warnings.extend(read.spoilt.iter().cloned());
    let config = CohortConfig {
        penalty: args.penalty,
        resamples: args.resamples,
        seed: args.seed,
        ..CohortConfig::default()
    };
    let mut report =
        explain_cohort(&read.cohort, config).with_context(|| format!("the outcome `{outcome}`"))?;
    report.left_out.splice(0..0, read.left_out);
    report.warnings.extend(warnings);
    for warning in &report.warnings {
        context.console.warn(warning);
    }
    let doubtful = read.doubtful.as_deref().unwrap_or_default();
    if !doubtful.is_empty() {
        // The console names cases, the report and its numbers none: they may be shown to others.
        context.console.warn(doubt(&named(doubtful), args.skip_doubtful));
        report.warnings.push(doubt(&cases(doubtful.len()), args.skip_doubtful));
    }
    let answer = Answer {
        schema_version: 1,
        research_use_only: true,
        outcome: outcome.to_owned(),
        positive: read.positive,
        negative: read.negative,
        patient_column: read.patient,
        rows_without_outcome: read.without_outcome,
        rows_not_analysed: read.not_analysed,
        rows_doubtful: read.doubtful.as_ref().map(Vec::len),
        doubtful_left_out: args.skip_doubtful,
        odds_ratios_of: ODDS_OF,
        other_numbers_of: format!("{}: coefficients, AUROC, importance and dependence", penalised(&report)),
        report,
        program: Program::this(),
    };
    let staged = Staged::begin(&args.out.out, args.out.force, "cohort.json")?;
    write(staged.path(), &answer)?;
    staged.commit()?;
    context.answer(&answer, || text(&answer, &args.out.out))
}

fn remarks(read: &Read) -> Vec<String> {
    let mut remarks = Vec::new();
    if read.without_outcome > 0 {
        remarks.push(format!("{} cases have no outcome and are left out", read.without_outcome));
    }
    if read.not_analysed > 0 {
        remarks.push(format!(
            "{} rows are left out: their CT was not analysed in that run (status failed, unreached or earlier)",
            read.not_analysed
        ));
    }
    if read.patient.is_none() {
        remarks.push(
            "no column names the patients: each case is taken for another patient; several scans of one would make the \
             intervals too narrow"
                .to_owned(),
        );
    }
    if read.same_ct > 0 {
        remarks.push(format!(
            "{} rows are of the same CT as another row, under another patient's name (column `sha256`): right would be each CT once, or \
             one name for its patient",
            read.same_ct
        ));
    }
    if read.with_both > 0 {
        remarks.push(format!(
            "{} with both outcomes in different rows: an outcome such as death belongs to a patient, and right would be the same one in \
             all of a patient's rows",
            if read.with_both == 1 { "1 patient".to_owned() } else { format!("{} patients", read.with_both) }
        ));
    }
    remarks
}

/// The remark on cases in doubt.
fn doubt(which: &str, left_out: bool) -> String {
    match left_out {
        true => format!("{which} left out for remarks that put the numbers in doubt (column `{WARNINGS}`)"),
        false => format!(
            "{which} with remarks that put the numbers in doubt (column `{WARNINGS}`): look at the CT and at the masks before any \
             number is used, or leave these cases out with --skip-doubtful"
        ),
    }
}

/// How many cases there are, and the names of the first.
fn named(doubtful: &[String]) -> String {
    let names: Vec<&str> =
        doubtful.iter().take(NAMED).map(String::as_str).filter(|n| !n.is_empty()).collect();
    let more = match doubtful.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    match names.is_empty() {
        true => cases(doubtful.len()),
        false => format!("{} ({}{more})", cases(doubtful.len()), names.join(", ")),
    }
}

/// The regression with the penalty.
fn penalised(report: &CohortReport) -> String {
    format!("logistic regression with an L2 penalty of {} on standardised attributes", report.config.penalty)
}

fn effect(name: &str, value: f64, ends: Option<(f64, f64)>) -> EffectRow {
    EffectRow { name: name.to_owned(), value, ends }
}

fn write(dir: &Path, answer: &Answer) -> Result<()> {
    let r = &answer.report;
    output::write_json(&dir.join("cohort.json"), answer)?;
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "attribute",
        "importance",
        "importance_sd",
        "penalised_coefficient_per_sd",
        "odds_ratio_per_sd",
        "odds_ratio_low",
        "odds_ratio_high",
        "auroc_alone",
        "mean",
        "sd",
        "missing",
    ])?;
    for a in &r.attributes {
        let plain = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        table.write_record([
            a.name.clone(),
            plain(a.importance.map(|i| i.mean)),
            plain(a.importance.map(|i| i.sd)),
            a.penalised_coefficient.to_string(),
            plain(a.odds_ratio),
            plain(a.odds_ratio_interval.map(|i| i.0)),
            plain(a.odds_ratio_interval.map(|i| i.1)),
            plain(a.auroc_alone),
            a.mean.to_string(),
            a.sd.to_string(),
            a.missing.to_string(),
        ])?;
    }
    output::write_text(&dir.join("attributes.csv"), &String::from_utf8(table.into_inner()?)?)?;

    let figures = dir.join("figures");
    std::fs::create_dir_all(&figures).context("making the folder of figures")?;
    let odds: Vec<EffectRow> = r
        .attributes
        .iter()
        .filter_map(|a| Some(effect(&a.name, a.odds_ratio?, a.odds_ratio_interval)))
        .collect();
    let odds = gg_report::odds_figure(&odds, &odds_note(&odds));
    let importance: Vec<EffectRow> = r
        .attributes
        .iter()
        .filter_map(|a| {
            let i = a.importance?;
            Some(effect(&a.name, i.mean, Some((i.mean - i.sd, i.mean + i.sd))))
        })
        .collect();
    let importance = gg_report::importance_figure(
        &importance,
        "on patients that the regression never saw; lines: one sd over the deals",
    );
    write_drawing(&figures, "odds_ratios", &odds)?;
    write_drawing(&figures, "importance", &importance)?;
    let prevalence = r.positive_cases as f64 / r.cases.max(1) as f64;
    let mut dependence = Vec::new();
    for (i, a) in r.attributes.iter().take(DRAWN).enumerate() {
        let scene = gg_report::dependence_figure(&a.name, &a.dependence, prevalence);
        write_drawing(&figures, &format!("dependence_{:02}", i + 1), &scene)?;
        dependence.push(scene);
    }
    let page = page(answer, odds, importance, dependence);
    output::write_text(&dir.join("report.html"), &gg_report::study_report(&page))
}

/// What the drawing of odds ratios shows.
fn odds_note(rows: &[EffectRow]) -> String {
    let beyond = |v: f64| !(1.0 / ODDS_EDGE..=ODDS_EDGE).contains(&v);
    let edge =
        rows.iter().any(|row| beyond(row.value) || row.ends.is_some_and(|(l, h)| beyond(l) || beyond(h)));
    let edge = if edge { format!("; from {ODDS_EDGE} on at the edge") } else { String::new() };
    format!("no penalty; 95 % intervals over patients; right of 1 the outcome is likelier{edge}")
}

/// A ratio with two decimals; with a power of ten where these would say nothing or go on for long.
fn ratio(v: f64) -> String {
    if (0.01..10_000.0).contains(&v) { format!("{v:.2}") } else { format!("{v:.1e}") }
}

fn table(attributes: &[AttributeEffect]) -> TextTable {
    let columns =
        ["Attribute", "Importance", "Odds ratio per sd", "95 % interval", "One sd", "AUROC alone", "Missing"];
    let none = || "none".to_owned();
    TextTable {
        caption: "The most important first. Importance: what the AUROC on unseen patients loses where the attribute's values are \
                  dealt anew, of the regression with the penalty. Odds ratio and interval: of the regression without a penalty; \
                  none where it has none, which a remark explains. AUROC alone: below 0.5, low values go with the outcome."
            .to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: attributes
            .iter()
            .map(|a| {
                vec![
                    a.name.clone(),
                    number(a.importance.map(|i| i.mean), 3),
                    a.odds_ratio.map_or_else(none, ratio),
                    a.odds_ratio_interval.map_or_else(none, |(l, h)| format!("{} to {}", ratio(l), ratio(h))),
                    significant(a.sd),
                    number(a.auroc_alone, 2),
                    a.missing.to_string(),
                ]
            })
            .collect(),
        text: vec![],
    }
}

/// Which value of the column counts as the outcome.
fn outcome_words(answer: &Answer) -> String {
    format!("{} = {} (else {})", answer.outcome, answer.positive, answer.negative)
}

/// How many cases were in doubt and what became of them.
fn doubtful_words(answer: &Answer) -> String {
    match (answer.rows_doubtful, answer.doubtful_left_out) {
        (None, _) => format!("not known: no column `{WARNINGS}`"),
        (Some(0), _) => "0".to_owned(),
        (Some(n), true) => format!("{n}, left out"),
        (Some(n), false) => format!("{n}, not left out"),
    }
}

/// One line on the columns that take no part; the report says why each of them does not.
fn left_out_words(left_out: &[LeftOut]) -> Option<String> {
    let names: Vec<&str> = left_out.iter().take(DRAWN).map(|l| l.name.as_str()).collect();
    let more = if left_out.len() > DRAWN { ", .." } else { "" };
    (!names.is_empty())
        .then(|| format!("columns that take no part: {}{more} (the report says why)", names.join(", ")))
}

/// Three significant digits.
fn significant(v: f64) -> String {
    let digits = if v == 0.0 { 0 } else { (2 - v.abs().log10().floor() as i32).clamp(0, 6) as usize };
    format!("{v:.digits$}")
}

fn auroc(r: &CohortReport) -> String {
    let a = &r.auroc;
    let [mean, low, high] = [a.mean, a.low, a.high].map(|v| number(v, 3));
    format!("{mean} (95 % interval {low} to {high}), over {} pairs of cases of the same fold", r.auroc_pairs)
}

fn page(
    answer: &Answer,
    odds: gg_report::Scene,
    importance: gg_report::Scene,
    dependence: Vec<gg_report::Scene>,
) -> StudyReport {
    let r = &answer.report;
    let figure = |title: &str, scene| Figure { title: title.to_owned(), caption: String::new(), scene };
    let mut sections = vec![Section {
        title: "Attributes".to_owned(),
        notes: vec![
            "An attribute says how the prediction moves with it while the others stand still; it does not say what causes the \
             outcome."
                .to_owned(),
            "Two regressions stand behind the numbers. The AUROC, importance and partial dependence are of one with a penalty \
             that keeps coefficients small. Odds ratios and their intervals are of one without a penalty, which would draw \
             them to 1."
                .to_owned(),
        ],
        tables: vec![table(&r.attributes)],
        figures: vec![
            figure("Importance", importance),
            figure("Odds ratios", odds),
        ],
        ..Section::default()
    }];
    sections.push(Section {
        title: "Partial dependence".to_owned(),
        notes: vec![
            "Mean predicted probability over all cases where one attribute is set to each value from its 5th to its 95th \
             percentile, of the regression with the penalty."
                .to_owned(),
        ],
        charts: dependence,
        ..Section::default()
    });
    if !r.left_out.is_empty() {
        sections.push(Section {
            title: "Columns that take no part".to_owned(),
            tables: vec![TextTable {
                columns: vec!["Column".to_owned(), "Why".to_owned()],
                rows: r.left_out.iter().map(|l| vec![l.name.clone(), l.reason.clone()]).collect(),
                text: vec![1],
                ..TextTable::default()
            }],
            ..Section::default()
        });
    }
    StudyReport {
        kind: "cohort".to_owned(),
        title: format!("What goes with the outcome {}", answer.outcome),
        summary: format!(
            "AUROC on patients that the regression never saw: {}; {} cases of {} patients, {} cases with the outcome.",
            auroc(r),
            r.cases,
            r.patients,
            r.positive_cases
        ),
        sections,
        provenance: Provenance {
            leaking: false,
            warnings: r.warnings.clone(),
            facts: vec![
                Fact::new("Outcome", outcome_words(answer)),
                Fact::new("AUROC, importance and partial dependence", penalised(r)),
                Fact::new("Odds ratios", ODDS_OF.to_owned()),
                Fact::new(
                    "Validation",
                    format!(
                        "{} folds of patients, seed {}; the AUROC compares cases of the same fold alone",
                        r.folds, r.config.seed
                    ),
                ),
                Fact::new(
                    "Patients of the rarer class per attribute",
                    format!("{:.1}", r.patients_per_attribute),
                ),
                Fact::new("Cases without outcome", answer.rows_without_outcome.to_string()),
                Fact::new("Cases in doubt", doubtful_words(answer)),
                Fact::new(
                    "Interval of the AUROC",
                    format!(
                        "95 %, {} bootstrap resamples of patients; how regressions on other patients would differ is not in it",
                        r.config.resamples
                    ),
                ),
            ],
            models: Vec::new(),
            program: answer.program.to_string(),
        },
    }
}

fn text(answer: &Answer, out: &Path) -> String {
    let r = &answer.report;
    let mut lines = vec![
        format!("AUROC on unseen patients {}; {} cases of {} patients", auroc(r), r.cases, r.patients),
        format!("outcome: {}; {} cases have it", outcome_words(answer), r.positive_cases),
    ];
    for a in r.attributes.iter().take(DRAWN) {
        let ends =
            a.odds_ratio_interval.map_or(String::new(), |(l, h)| format!(" ({} to {})", ratio(l), ratio(h)));
        lines.push(format!(
            "{:<24} importance {:>6}  odds ratio per sd {}{ends}",
            a.name,
            number(a.importance.map(|i| i.mean), 3),
            a.odds_ratio.map_or_else(|| "none".to_owned(), ratio)
        ));
    }
    lines.push(format!("AUROC and importance: {}", penalised(r)));
    lines.push(format!("odds ratios: {ODDS_OF}"));
    lines.extend(left_out_words(&r.left_out));
    lines.push(format!("report: {}", out.join("report.html").display()));
    lines.join("\n")
}
