//! What `paper` says: `report.html`, `paper.md` with its plots, and the lines on stdout.

use super::faults::{All, Fault, Row, paper_dice, pooled};
use super::figures::{self, Drawn};
use super::plan::{QUICK, Recipe, SplitName};
use super::{PREDICTED_IN, Scored, folder};
use crate::args::PaperArgs;
use crate::evaluation_page::FEW_PATIENTS;
use crate::manifest::Program;
use crate::output::{self, write_picture};
use crate::settings::Settings;
use anyhow::{Context as _, Result};
use gg_dataset::{Datasets, LEAK, Task};
use gg_eval::Interval;
use gg_report::{EffectPair, Fact, Figure, Provenance, Section, StudyReport, TextTable};
use gg_volume::Warning;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// What all numbers stand on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Basis {
    /// Said of every number of the split by slice.
    pub(super) slice_split: &'static str,
    pub(super) quick: bool,
    /// Settings that differ from the paper's, as typed; each key once.
    pub(super) changed: Vec<String>,
    /// Whether a settings file was laid over the paper's values.
    pub(super) settings_file: bool,
    pub(super) cases: usize,
    pub(super) patients: usize,
    pub(super) layouts: Vec<&'static str>,
    pub(super) folds: usize,
    pub(super) fold: usize,
    pub(super) seed: u64,
    pub(super) epochs: [u64; 3],
    pub(super) size: usize,
    /// Precision of training, in which epochs and thresholds were chosen too; and of all that is reported.
    pub(super) trained_in: &'static str,
    pub(super) predicted_in: &'static str,
    pub(super) program: Program,
    pub(super) warnings: Vec<Warning>,
}

impl Basis {
    pub(super) fn new(
        args: &PaperArgs,
        settings: &Settings,
        sets: &Datasets,
        patients: &[String],
        changed: Vec<String>,
        warnings: Vec<Warning>,
    ) -> Self {
        let distinct: BTreeSet<&String> = patients.iter().collect();
        Self {
            slice_split: LEAK,
            quick: args.quick,
            changed,
            settings_file: args.settings.config.is_some(),
            cases: patients.len(),
            patients: distinct.len(),
            layouts: sets.sets.iter().map(|s| s.layout.name()).collect(),
            folds: args.folds,
            fold: args.fold,
            seed: settings.seed,
            epochs: [
                settings.classify.train.epochs,
                settings.lung.train.epochs,
                settings.infection.train.epochs,
            ],
            size: settings.prepare.size,
            trained_in: args.precision.meaning().name(),
            predicted_in: PREDICTED_IN.meaning().name(),
            program: Program::this(),
            warnings,
        }
    }

    /// How far the runs are from the paper's, as a sentence.
    fn fidelity(&self) -> String {
        let further = self.changed.iter().any(|c| !QUICK.contains(&c.as_str()));
        match (self.quick, self.changed.len(), self.settings_file) {
            (true, ..) if further => {
                "Small runs (--quick) with further settings changed: the networks are not trained out.".to_owned()
            }
            (true, ..) => "Small runs (--quick): a tenth of the epochs on smaller pictures and networks; not trained out.".to_owned(),
            (false, 0, false) => "All settings are those of the profile `paper`.".to_owned(),
            _ => "Settings differ from those of the profile `paper`; they stand below.".to_owned(),
        }
    }
}

/// One number of the paper beside ours.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ResultRow {
    pub(super) what: String,
    /// As published; null where the paper gives none.
    pub(super) paper: Option<f64>,
    /// Patients leak.
    pub(super) slice_split: Value,
    pub(super) patient_split: Value,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Value {
    value: Option<f64>,
    /// 95 % over patients, where there is one.
    interval: Option<(f64, f64)>,
    /// Whether that is of fewer than ten patients.
    few_patients: bool,
    /// Whether one patient alone decides the value, so that it has no interval.
    one_patient: bool,
}

impl Value {
    fn plain(value: Option<f64>) -> Self {
        Self { value, ..Self::default() }
    }

    fn with_interval(i: &Interval) -> Self {
        let interval = i.low.zip(i.high);
        Self {
            value: i.mean,
            interval,
            few_patients: interval.is_some() && i.few_groups,
            one_patient: i.mean.is_some() && interval.is_none(),
        }
    }

    fn text(&self) -> String {
        match (self.value, self.interval) {
            (None, _) => "-".to_owned(),
            (Some(v), None) if self.one_patient => format!("{v:.3}, of one patient: no interval"),
            (Some(v), None) => format!("{v:.3}"),
            (Some(v), Some((low, high))) => format!("{v:.3} ({low:.3} to {high:.3})"),
        }
    }
}

/// The paper's numbers; published lung Dice of the same data set: its authors' baseline.
const PAPER_LOSS: f64 = 0.3083;
const PAPER_ACCURACY: f64 = 0.93358;
const PAPER_PRECISION: f64 = 0.99;
const PAPER_RECALL: f64 = 0.9310;
const PAPER_F1: f64 = 0.9596;
const PUBLISHED_LUNG: f64 = 0.956;
const PAPER_INFECTION_TRAINING: f64 = 0.8217;
const PAPER_INFECTION_VALIDATION: f64 = 0.7821;

/// The paper's numbers beside those of both splits.
pub(super) fn results(out: &Path, scored: &[Scored], all: &All<'_>) -> Result<Vec<ResultRow>> {
    let of = |split, task| scored.iter().find(|s| s.run.split == split && s.run.task == task);
    let last = |split, task| -> Result<_> {
        let Some(s) = of(split, task) else { return Ok(None) };
        Ok(figures::epochs(&folder(out, s.run), task)?.last)
    };
    let row =
        |what: &str, paper: Option<f64>, value: &dyn Fn(SplitName) -> Result<Value>| -> Result<ResultRow> {
            Ok(ResultRow {
                what: what.to_owned(),
                paper,
                slice_split: value(SplitName::Slice)?,
                patient_split: value(SplitName::Patient)?,
            })
        };
    let class = |split, pick: fn(&crate::scoring::ClassIntervals) -> &Interval| {
        let c = of(split, Task::Classify).and_then(|s| s.scores.classification.as_ref());
        Ok(c.map_or(Value::default(), |c| Value::with_interval(pick(&c.intervals))))
    };
    let training = |split, task, pick: fn(&gg_nn::EpochRow) -> Option<f64>| {
        Ok(Value::plain(last(split, task)?.as_ref().and_then(pick)))
    };
    let dice = |split, task, test| {
        Ok(Value::plain(all.of(split, task, Recipe::Paper).and_then(|m| paper_dice(m, test))))
    };
    let volumes = |split, task| {
        let section = of(split, task).and_then(|s| match task {
            Task::Lung => s.scores.lung.as_ref(),
            _ => s.scores.infection.as_ref(),
        });
        Ok(section.map_or(Value::default(), |s| Value::with_interval(&s.summary.dice)))
    };
    let whole = |split| {
        let m = all.of(split, Task::Infection, Recipe::Paper);
        Ok(Value::plain(m.and_then(|m| pooled(m.slices.iter().filter(|s| s.test), |s| s.input))))
    };
    use Task::{Classify, Infection, Lung};
    Ok(vec![
        row("CNN: training loss, last epoch", Some(PAPER_LOSS), &|s| {
            training(s, Classify, |r| Some(r.train_loss))
        })?,
        row("CNN: training accuracy, last epoch", Some(PAPER_ACCURACY), &|s| {
            training(s, Classify, |r| r.train_metric)
        })?,
        row("CNN: precision", Some(PAPER_PRECISION), &|s| class(s, |i| &i.precision))?,
        row("CNN: recall", Some(PAPER_RECALL), &|s| class(s, |i| &i.recall))?,
        row("CNN: F1", Some(PAPER_F1), &|s| class(s, |i| &i.f1))?,
        row("CNN: specificity", None, &|s| class(s, |i| &i.specificity))?,
        row("CNN: AUROC", None, &|s| class(s, |i| &i.auroc))?,
        row("Lung: Dice in training, last epoch", None, &|s| training(s, Lung, |r| r.train_metric))?,
        row("Lung: Dice on test slices, pooled", Some(PUBLISHED_LUNG), &|s| dice(s, Lung, true))?,
        row("Lung: Dice per test volume, trimmed slices too, mean", None, &|s| volumes(s, Lung))?,
        row("Infection: Dice in training, last epoch", Some(PAPER_INFECTION_TRAINING), &|s| {
            training(s, Infection, |r| r.train_metric)
        })?,
        row(
            "Infection: Dice on positive validation slices, pooled",
            Some(PAPER_INFECTION_VALIDATION),
            &|s| dice(s, Infection, false),
        )?,
        row("Infection: Dice on positive test slices, pooled", None, &|s| dice(s, Infection, true))?,
        row("Infection: Dice on all test slices, blank and trimmed ones too, pooled", None, &whole)?,
        row("Infection: Dice per test volume, trimmed slices too, mean", None, &|s| volumes(s, Infection))?,
    ])
}

fn results_table(results: &[ResultRow]) -> TextTable {
    let few = results.iter().flat_map(|r| [r.slice_split, r.patient_split]).any(|v| v.few_patients);
    let caution = if few { format!(" {FEW_PATIENTS}") } else { String::new() };
    TextTable {
        caption: format!(
            "95 % intervals by bootstrap over patients where they stand.{caution} The lung figure is published for the data set, not \
             by the paper."
        ),
        columns: ["", "Paper", SplitName::Slice.heading(), SplitName::Patient.heading()]
            .map(str::to_owned)
            .to_vec(),
        rows: results
            .iter()
            .map(|r| {
                let paper = r.paper.map_or("-".to_owned(), |v| format!("{v:.4}"));
                vec![r.what.clone(), paper, r.slice_split.text(), r.patient_split.text()]
            })
            .collect(),
        text: vec![],
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |v| format!("{v:.3}"))
}

fn change(row: &Row) -> String {
    row.with_fault.zip(row.repaired).map_or("-".to_owned(), |(a, b)| format!("{:+.3}", b - a))
}

fn split_words(split: &str) -> String {
    match split == SplitName::Slice.name() {
        true => format!("{split} (leaks)"),
        false => split.to_owned(),
    }
}

fn faults_table(faults: &[Fault]) -> TextTable {
    let columns = ["Fault", "Measured", "Split by", "With the fault", "Repaired", "Change"];
    let mut rows = Vec::new();
    for (n, f) in faults.iter().enumerate() {
        for (i, row) in f.rows.iter().enumerate() {
            rows.push(vec![
                if i == 0 { format!("{}. {}", n + 1, f.fault) } else { String::new() },
                row.measure.clone(),
                split_words(row.split),
                number(row.with_fault),
                number(row.repaired),
                change(row),
            ]);
        }
        if f.rows.is_empty() {
            let name = format!("{}. {}", n + 1, f.fault);
            rows.push([&name, "not measured", "-", "-", "-", "-"].map(str::to_owned).to_vec());
        }
    }
    TextTable {
        caption: "One fault at a time; everything else is the paper's recipe.".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        text: vec![0, 1, 2],
    }
}

/// Dice and F1 with and without each fault; other measures have another scale.
fn faults_plot(faults: &[Fault]) -> gg_report::Scene {
    let mut rows = Vec::new();
    for (n, f) in faults.iter().enumerate() {
        for row in f.rows.iter().filter(|r| r.measure.contains("Dice") || r.measure.contains("F1")) {
            let (Some(before), Some(after)) = (row.with_fault, row.repaired) else { continue };
            let name = format!("{}. {} · {}", n + 1, row.measure, split_words(row.split));
            rows.push(EffectPair { name, before, after });
        }
    }
    gg_report::pairs_figure("Each fault, and the same without it", ["with the fault", "repaired"], &rows)
}

fn fault_notes(faults: &[Fault]) -> Vec<String> {
    let note = |(i, f): (usize, &Fault)| {
        format!("{}. Fault: {}. Instead: {}. {}", i + 1, f.fault, f.repair, f.notes.join(" "))
    };
    faults.iter().enumerate().map(note).collect()
}

fn facts(basis: &Basis) -> Vec<Fact> {
    let [classify, lung, infection] = basis.epochs;
    let mut facts = vec![
        Fact::new(
            "Data",
            format!("{} cases of {} patients ({})", basis.cases, basis.patients, basis.layouts.join(", ")),
        ),
        Fact::new("Splits", format!("fold {} of 0 to {}, seed {}", basis.fold, basis.folds - 1, basis.seed)),
        Fact::new("Epochs", format!("{classify} (CNN), {lung} (lung), {infection} (infection)")),
        Fact::new("Pictures", format!("{0} x {0}", basis.size)),
        Fact::new(
            "Arithmetic",
            format!("trained in {}, predicted in {}", basis.trained_in, basis.predicted_in),
        ),
    ];
    if !basis.changed.is_empty() {
        facts.push(Fact::new("Changed from the profile `paper`", basis.changed.join("; ")));
    }
    facts
}

const LEAD: &str = "The split by slice is the paper's: patients leak between training and test, and its figures say nothing \
                    about new patients. The split by patient is the same recipe on patients that no network saw.";

/// Writes the page, the figures, and `paper.md` with its plots.
pub(super) fn write(
    out: &Path,
    basis: &Basis,
    results: &[ResultRow],
    faults: &[Fault],
    mut drawn: Vec<Drawn>,
    scored: &[Scored],
) -> Result<()> {
    // By number; under one number the split by slice comes first, as it does everywhere.
    drawn.sort_by(|a, b| a.name.split('_').next().cmp(&b.name.split('_').next()));
    let folder = out.join("figures");
    std::fs::create_dir_all(&folder).context("making the folder of figures")?;
    for d in &drawn {
        write_picture(&folder, &d.name, &d.figure.scene)?;
    }
    let plot = faults_plot(faults);
    write_markdown(out, basis, results, faults, &plot, scored)?;
    let figure = Figure {
        title: "Dice and F1 with each fault and without it".to_owned(),
        caption: String::new(),
        scene: plot,
    };
    let mut warnings: Vec<String> = vec![LEAD.to_owned(), basis.fidelity()];
    warnings.extend(basis.warnings.iter().map(|w| w.message.clone()));
    let report = StudyReport {
        kind: "paper".to_owned(),
        title: "The paper, as it stands and on patients never seen".to_owned(),
        summary: "Lungs classification and segmentation for COVID-19 CT scans, DOI 10.48175/IJARSCT-9489."
            .to_owned(),
        sections: vec![
            Section {
                title: "Results".to_owned(),
                tables: vec![results_table(results)],
                ..Section::default()
            },
            Section {
                title: "Faults, one at a time".to_owned(),
                tables: vec![faults_table(faults)],
                figures: vec![figure],
                ..Section::default()
            },
            Section {
                title: "What the default profile does instead".to_owned(),
                notes: fault_notes(faults),
                ..Section::default()
            },
            Section {
                title: "Figures".to_owned(),
                figures: drawn.into_iter().map(|d| d.figure).collect(),
                ..Section::default()
            },
        ],
        provenance: Provenance {
            leaking: false,
            warnings,
            facts: facts(basis),
            models: Vec::new(),
            program: basis.program.to_string(),
        },
    };
    output::write_text(&out.join("report.html"), &gg_report::study_report(&report))
}

fn write_markdown(
    out: &Path,
    basis: &Basis,
    results: &[ResultRow],
    faults: &[Fault],
    plot: &gg_report::Scene,
    scored: &[Scored],
) -> Result<()> {
    let folder = out.join("paper");
    std::fs::create_dir_all(&folder).context("making the folder of plots")?;
    let mut text = format!(
        "# The paper, as it stands and on patients never seen\n\nLungs classification and segmentation for COVID-19 CT scans, \
         IJARSCT 3(7), 2023, DOI 10.48175/IJARSCT-9489, run by `groundglass paper`.\n\n**{LEAD}** {}\n\n",
        basis.fidelity()
    );
    for fact in facts(basis) {
        text += &format!("- {}: {}\n", fact.name, fact.value);
    }
    for warning in &basis.warnings {
        text += &format!("- Remark: {}\n", warning.message);
    }
    text += &format!("\n## Results\n\n{}\n", results_table(results).to_markdown());
    text += &format!("{}\n\n## Faults, one at a time\n\n", results_table(results).caption);
    text += &faults_table(faults).to_markdown();
    text += "\n![Dice and F1 with each fault and without it](paper/faults.svg)\n\n";
    output::write_text(&folder.join("faults.svg"), &plot.to_svg())?;
    for note in fault_notes(faults) {
        text += &format!("{note}\n");
    }
    text += "\n## Plots\n";
    for d in figures::plots(out, scored)? {
        output::write_text(&folder.join(format!("{}.svg", d.name)), &d.figure.scene.to_svg())?;
        text += &format!("\n{0}\n\n![{0}](paper/{1}.svg)\n", d.figure.title, d.name);
    }
    text += &format!("\n{}. Research use only.\n", basis.program);
    output::write_text(&out.join("paper.md"), &text)
}

/// The lines on stdout.
pub(super) fn text(results: &[ResultRow], faults: &[Fault], out: &Path) -> String {
    let mut lines =
        vec![format!("{:<72} {:>7} {:>34} {:>34}", "", "paper", "by slice (leaks)", "by patient")];
    for r in results {
        let paper = r.paper.map_or("-".to_owned(), |v| format!("{v:.3}"));
        lines.push(format!(
            "{:<72} {paper:>7} {:>34} {:>34}",
            r.what,
            r.slice_split.text(),
            r.patient_split.text()
        ));
    }
    lines.push("faults, with and repaired:".to_owned());
    for f in faults {
        for row in &f.rows {
            lines.push(format!(
                "  {}: {}, by {}: {} -> {}",
                f.fault,
                row.measure,
                split_words(row.split),
                number(row.with_fault),
                number(row.repaired)
            ));
        }
    }
    lines.push(format!("report: {}", out.join("report.html").display()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_patient_decides_is_told_in_place_of_an_interval() {
        let of = |low, n_groups| Interval {
            mean: Some(0.955),
            low,
            high: low,
            n_groups,
            n_values: 22,
            resamples: 100,
            undefined: 0,
            few_groups: n_groups < 10,
        };
        let one = Value::with_interval(&of(None, 1));
        assert_eq!(one.text(), "0.955, of one patient: no interval");
        assert!(!one.few_patients && Value::with_interval(&of(Some(0.9), 4)).few_patients);
        assert_eq!(Value::with_interval(&of(Some(0.9), 13)).text(), "0.955 (0.900 to 0.900)");
        assert_eq!(Value::plain(Some(0.955)).text(), "0.955");
    }
}
