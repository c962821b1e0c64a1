//! `inspect`: what a file, folder or data set is, and everything odd about it.

use super::{Context, data};
use crate::args::InspectArgs;
use crate::words::kind_in_words;
use anyhow::{Context as _, Result};
use gg_dataset::{Dataset, DatasetError, DatasetSummary};
use gg_io::{Inspection, ReadError, VolumeFacts};
use gg_volume::{Intensity, SpacingTrust, Warning};
use serde::Serialize;
use std::fmt::Write as _;

/// Cases of a data set that are read whole; the tables tell of the others.
const CASES_READ: usize = 8;

/// What `inspect` says of a data set.
#[derive(Serialize)]
struct DatasetAnswer {
    #[serde(flatten)]
    summary: DatasetSummary,
    cases_read: Vec<CaseAnswer>,
    oddities: Vec<Warning>,
}

#[derive(Serialize)]
struct CaseAnswer {
    case_id: String,
    shape: [usize; 3],
    spacing_mm: Option<[f64; 3]>,
    spacing: SpacingTrust,
    orientation: Option<gg_volume::Orientation>,
    intensity: Intensity,
    lung_mask: bool,
    infection_mask: bool,
    oddities: Vec<Warning>,
}

/// What `inspect` says of a folder of NIfTI files; they have numbers, for their names may be a patient's.
#[derive(Serialize)]
struct FilesAnswer {
    nifti_files: usize,
    files: Vec<Inspection>,
}

pub(super) fn run(context: &Context, args: InspectArgs) -> Result<()> {
    match Dataset::open(&args.path) {
        Ok(opened) => dataset(context, &args, opened.value, opened.warnings),
        Err(DatasetError::NotRecognised | DatasetError::NoFolder) => scans(context, &args),
        // The masks in it would pass for scans.
        Err(error @ DatasetError::Analysis) => Err(error).with_context(|| args.path.display().to_string()),
        // A table that only looks like a data set's may lie beside a CT.
        Err(error) => match gg_io::inspect(&args.path, &args.read.options()) {
            Ok(found) => scan(context, &found),
            Err(_) => Err(error).with_context(|| args.path.display().to_string()),
        },
    }
}

/// One scan, or each NIfTI file of a folder.
fn scans(context: &Context, args: &InspectArgs) -> Result<()> {
    let options = args.read.options();
    match gg_io::inspect(&args.path, &options) {
        Ok(found) => scan(context, &found),
        Err(ReadError::SeveralNifti(paths)) => {
            let shown = paths.len().min(CASES_READ);
            let step = context.console.step("reading files", shown as u64);
            let mut files = Vec::new();
            for (i, path) in paths.iter().take(shown).enumerate() {
                step.say(format!("file {}: {}", i + 1, path.display()));
                files.push(gg_io::inspect(path, &options).with_context(|| path.display().to_string())?);
                step.inc();
            }
            step.finish();
            let answer = FilesAnswer { nifti_files: paths.len(), files };
            context.answer(&answer, || files_text(&answer))
        }
        Err(error) => Err(data::refused(&args.path, error)),
    }
}

fn scan(context: &Context, found: &Inspection) -> Result<()> {
    data::say_left_out(context, &found.skipped);
    if found.series.len() > 1 {
        for (series, folder) in found.series.iter().zip(&found.series_folders) {
            context.console.say(format!("series {}: {}", series.id, folder.display()));
        }
    }
    context.answer(found, || scan_text(found))
}

fn dataset(context: &Context, args: &InspectArgs, set: Dataset, oddities: Vec<Warning>) -> Result<()> {
    let n = set.cases.len();
    let read = n.min(CASES_READ);
    let step = context.console.step("reading cases", read as u64);
    let mut cases_read = Vec::new();
    for i in 0..read {
        let case = &set.cases[i * n / read];
        let loaded = data::load(&set, case, &args.read)?;
        let grid = &loaded.scan.ct.grid;
        let mut oddities = loaded.warnings;
        if let (Some(lung), Some(_)) = (&loaded.lung, &grid.affine) {
            oddities.extend(gg_eval::check_apex(lung, &grid.axis_map()));
        }
        cases_read.push(CaseAnswer {
            case_id: case.case_id.clone(),
            shape: grid.shape,
            spacing_mm: grid.spacing_mm,
            spacing: grid.trust.clone(),
            orientation: grid.orientation(),
            intensity: loaded.scan.ct.intensity.clone(),
            lung_mask: loaded.lung.is_some(),
            infection_mask: loaded.infection.is_some(),
            oddities,
        });
        step.inc();
    }
    step.finish();
    let answer = DatasetAnswer { summary: set.summary(), cases_read, oddities };
    context.answer(&answer, || dataset_text(&answer))
}

fn files_text(answer: &FilesAnswer) -> String {
    let mut text = format!("folder of     {} NIfTI files\n", answer.nifti_files);
    for (i, file) in answer.files.iter().enumerate() {
        let _ = writeln!(text, "\nfile          {}\n{}", i + 1, scan_text(file));
    }
    if answer.files.len() < answer.nifti_files {
        let _ = writeln!(text, "\n({} of {} files were read)", answer.files.len(), answer.nifti_files);
    }
    text.trim_end().to_owned()
}

fn scan_text(found: &Inspection) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "format        {}", format_name(found.format));
    if let Some(stored) = &found.stored {
        let _ = writeln!(text, "stored as     {stored}");
    }
    if found.series.len() > 1 {
        let _ = writeln!(text, "series        {} (choose with --series)", found.series.len());
        for s in &found.series {
            let mm = |v: Option<f64>| v.map_or("unknown".to_owned(), |v| format!("{v:.3} mm"));
            let _ = writeln!(
                text,
                "  {:>2}  {} slice{} of {} x {}, pixels {}, slices every {}, {}",
                s.id,
                s.slices,
                plural(s.slices),
                s.size[0],
                s.size[1],
                mm(s.pixel_spacing_mm.map(|p| p[0])),
                mm(s.slice_spacing_mm),
                s.transfer_syntax
            );
        }
    }
    if let Some(volume) = &found.volume {
        volume_text(&mut text, volume);
    }
    if found.skipped_files > 0 {
        let n = found.skipped_files;
        let _ = writeln!(text, "left out      {n} file{} (or frames of one)", plural(n));
    }
    oddities_text(&mut text, &found.oddities);
    text.trim_end().to_owned()
}

fn volume_text(text: &mut String, v: &VolumeFacts) {
    geometry_text(text, v.shape, v.spacing_mm, &v.spacing, v.orientation);
    let _ = writeln!(text, "values        {} to {}", v.range[0], v.range[1]);
    if let Some(labels) = &v.labels {
        let _ = writeln!(text, "labels        {}", label_list(labels));
    }
    intensity_text(text, &v.intensity);
    let _ = writeln!(text, "sha256        {}", v.sha256);
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// The labels, runs of consecutive ones as `3-17`.
fn label_list(labels: &[u16]) -> String {
    let runs = labels.chunk_by(|a, b| a + 1 == *b);
    let runs: Vec<String> = runs
        .map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            run => run.iter().map(u16::to_string).collect(),
        })
        .collect();
    format!("{} values: {}", labels.len(), runs.join(", "))
}

fn geometry_text(
    text: &mut String,
    shape: [usize; 3],
    spacing_mm: Option<[f64; 3]>,
    trust: &SpacingTrust,
    orientation: Option<gg_volume::Orientation>,
) {
    let [z, y, x] = shape;
    let _ = writeln!(text, "shape         {x} columns x {y} rows x {z} slice{}", plural(z));
    let spacing = spacing_mm.map_or("unknown".to_owned(), |[z, y, x]| format!("{x:.4} x {y:.4} x {z:.4} mm"));
    let trust = match trust {
        SpacingTrust::Trusted => "trusted".to_owned(),
        SpacingTrust::Untrusted(reason) => format!("not trusted: {reason}"),
    };
    let _ = writeln!(text, "spacing       {spacing} ({trust})");
    let orientation = orientation.map_or("unknown".to_owned(), |o| o.to_string());
    let _ = writeln!(text, "orientation   {orientation}");
}

fn intensity_text(text: &mut String, intensity: &Intensity) {
    let _ = writeln!(
        text,
        "grey values   {} (confidence {:.2}): {}",
        kind_in_words(intensity.kind),
        intensity.confidence,
        intensity.reasons.join("; ")
    );
}

fn oddities_text(text: &mut String, oddities: &[Warning]) {
    for oddity in oddities {
        let _ = writeln!(text, "odd           {}", oddity.message);
    }
}

fn dataset_text(answer: &DatasetAnswer) -> String {
    let s = &answer.summary;
    let mut text = String::new();
    let _ = writeln!(text, "data set      {}", s.layout.name());
    let patients = s.patients.map_or("unknown".to_owned(), |p| p.to_string());
    let slices = s.slices.map_or("not in the table".to_owned(), |n| n.to_string());
    let _ = writeln!(text, "cases         {} (patients: {patients}; slices: {slices})", s.cases);
    let _ =
        writeln!(text, "masks         lung in {}, infection in {}", s.with_lung_mask, s.with_infection_mask);
    if let Some([positive, negative, unknown]) = s.slice_labels {
        let _ =
            writeln!(text, "slice labels  {positive} with infection, {negative} without, {unknown} unknown");
    }
    for (class, n) in &s.classes {
        let _ = writeln!(text, "class         {class}: {n} case{}", plural(*n));
    }
    for (fold, n) in &s.folds {
        let _ = writeln!(text, "fold {fold}        {n} case{}", plural(*n));
    }
    for (part, n) in &s.parts {
        let _ = writeln!(text, "part          {part:?}: {n} case{}", plural(*n));
    }
    oddities_text(&mut text, &answer.oddities);
    for case in &answer.cases_read {
        let _ = writeln!(text, "\ncase          {}", case.case_id);
        geometry_text(&mut text, case.shape, case.spacing_mm, &case.spacing, case.orientation);
        intensity_text(&mut text, &case.intensity);
        oddities_text(&mut text, &case.oddities);
    }
    if answer.cases_read.len() < s.cases {
        let _ = writeln!(text, "\n({} of {} cases were read)", answer.cases_read.len(), s.cases);
    }
    text.trim_end().to_owned()
}

fn format_name(format: gg_io::Format) -> &'static str {
    match format {
        gg_io::Format::Nifti => "NIfTI",
        gg_io::Format::DicomSeries => "DICOM CT series",
        gg_io::Format::SlicePictures => "slice pictures",
    }
}
