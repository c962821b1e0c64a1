//! One analysed CT: `analysis.json`, `slices.csv`, the masks and the page.

mod blank;
pub(crate) mod doubts;
mod record;

use crate::interrupt::Interrupt;
use crate::manifest::{Program, sha256};
use crate::output;
use crate::pictures::Shown;
use crate::pipeline::{self, Models, RunSecs};
use crate::seen;
use anyhow::{Context as _, Result};
use blank::Blank;
use gg_dataset::{LEAK, PATIENTS_LEAK};
use gg_eval::{
    Burden, burden, check_apex, check_blur, check_field_of_view, check_noise, check_proportions, check_spine,
};
use gg_io::Scan;
use gg_report::SlicePicture;
use gg_volume::{AxisMap, CtVolume, Grid, IntensityKind, LabelVolume, Orientation, Warning};
use rayon::prelude::*;
pub(crate) use record::{Analysis, SliceRow};
use record::{Classification, Input};
use std::collections::BTreeMap;
use std::path::Path;

/// Version of `analysis.json`.
const SCHEMA_VERSION: u32 = 1;
/// What every folder of a case holds.
pub(crate) const ANALYSIS: &str = "analysis.json";
const LUNG_MASK: &str = "lung_mask.nii.gz";
const INFECTION_MASK: &str = "infection_mask.nii.gz";
const SLICES: &str = "slices.csv";
const REPORT: &str = "report.html";
/// What lies beside that.
const OUTPUTS: [&str; 4] = [LUNG_MASK, INFECTION_MASK, SLICES, REPORT];
/// Slices of the montage.
const MONTAGE: usize = 12;

/// Everything one CT gave.
pub(crate) struct Outcome {
    pub(crate) analysis: Analysis,
    pub(crate) lung: LabelVolume,
    pub(crate) infection: LabelVolume,
    pub(crate) rows: Vec<SliceRow>,
    pub(crate) montage: Vec<SlicePicture>,
    pub(crate) coronal: Option<SlicePicture>,
    pub(crate) secs: RunSecs,
}

/// What the user says besides the CT.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    /// The orientation, instead of what the file says.
    pub(crate) orientation: Option<Orientation>,
    /// Whether the infection network sees slices without lung too.
    pub(crate) every_slice: bool,
}

/// Analyses a CT that was read. `told` hears of the slices done and in all.
pub(crate) fn analyse(
    models: &mut Models,
    scan: &Scan,
    case_id: &str,
    Said { orientation: stated, every_slice }: Said,
    mut warnings: Vec<Warning>,
    told: &(dyn Fn(usize, usize) + Sync),
    stop: &Interrupt,
) -> Result<Outcome> {
    let ct = &scan.ct;
    let sides =
        stated.map(AxisMap::from_orientation).or_else(|| ct.grid.affine.as_ref().map(|_| ct.grid.axis_map()));
    warnings.extend(orientation_remark(sides.as_ref(), stated, ct));
    if seen::leaking(&seen::trainings(models)) {
        warnings.push(Warning::new(PATIENTS_LEAK, LEAK));
    }
    let map = sides.unwrap_or(AxisMap::IDENTITY);
    let run = pipeline::Run {
        sides,
        prepare: &mut |config, sizes| Ok(gg_imaging::prepare_sizes(ct, &map, config, sizes)),
        told,
        seen: None,
        every_slice,
        stop,
    };
    let mut found = pipeline::run(models, ct, run)?;
    add(&mut warnings, std::mem::take(&mut found.warnings));
    let mut lung = found.lung.take().context("a lung model is needed to analyse a CT")?;
    let infection = found.infection.take().context("an infection model is needed to analyse a CT")?;
    let mut measured = Vec::new();
    measured.extend(doubts::holes(scan.holes.as_ref(), &lung)?);
    let lung_voxels: Vec<usize> = found.slices.iter().map(|s| s.lung_voxels).collect();
    let blank = Blank::of(ct, &map);
    blank.refuse_amid(&lung_voxels)?;
    let spine = sides.as_ref().and_then(|map| check_spine(ct, &lung, map));
    let known = sides.filter(|_| spine.is_none());
    let mut burden =
        burden(&lung, &infection, &ct.grid, sides.as_ref(), blank.at_ends()).drain_into(&mut measured);
    if spine.is_some() {
        forget_sides(&mut burden, "the spine lies where the orientation of the CT has the front");
    }
    measured.extend(spine);
    if burden.sides.is_none() {
        // A label tells a side; where none is known, there is one.
        lung.data_mut().par_iter_mut().for_each(|l| *l = u8::from(*l != 0));
    }
    if let Some(map) = &sides {
        measured.extend(check_apex(&lung, map));
    }
    measured.extend(check_field_of_view(&lung, &map));
    let [slices, rows_of_slice, columns] = map.canonical_shape(ct.voxels.shape());
    measured.extend(doubts::crowded(&lung_voxels, rows_of_slice * columns));
    measured.extend(doubts::dense_lungs(ct, &lung, &infection));
    measured.extend(doubts::unlikely(&burden, slices));
    if !measured.iter().any(|w| w.code.starts_with("lungs_cut")) {
        measured.extend(check_proportions(&lung, &ct.grid, &map));
    }
    measured.extend(doubts::coarse(&ct.grid, &map));
    measured.extend(doubts::negative(ct, &lung, &map));
    measured.extend(check_noise(ct, &map, &lung_voxels));
    measured.extend(check_blur(ct, &lung, &map, &lung_voxels));
    add(&mut warnings, measured);
    let rows = record::rows(&found, models, sides, ct.voxels.shape());
    let classification = record::classification(&found, models);
    if let Some(classification) = &classification {
        warnings.extend(doubts::contradiction(classification, &burden));
    }
    let patient = record::patient(&found, models, &burden);
    let interval = record::interval(models, &burden);
    let shown = Shown { ct, map, oriented: known.is_some(), lung: Some(&lung), infection: Some(&infection) };
    let (montage, coronal) =
        rayon::join(|| montage(&shown, &rows), || coronal(&shown, &rows, &infection, &lung));
    let (montage, coronal) = (montage?, coronal?);
    let analysis = Analysis {
        schema_version: SCHEMA_VERSION,
        case_id: case_id.to_owned(),
        research_use_only: true,
        input: Input::of(scan, stated),
        classification,
        patient,
        slices: record::slices_part(&rows),
        lung: record::lung_part(&burden),
        attenuation: (ct.intensity.kind == IntensityKind::Hu)
            .then(|| gg_eval::attenuation(&ct.voxels, &lung, &infection, &map)),
        severity: burden.severity.clone(),
        infection: record::infection_part(burden, interval),
        doubts: warnings.iter().map(|w| w.code.to_string()).filter(|code| doubts::is_doubt(code)).collect(),
        warnings,
        models: models.used(),
        outputs: BTreeMap::new(),
        numbers_sha256: String::new(),
        interval_fit: models.infection.as_ref().and_then(|m| m.bundle.info.interval.clone()),
        program: Program::this(),
        compute: models.compute(),
    };
    Ok(Outcome { analysis, lung, infection, rows, montage, coronal, secs: found.secs })
}

/// What is to be said of how the CT is oriented, by its file or by the user.
fn orientation_remark(
    sides: Option<&AxisMap>,
    stated: Option<Orientation>,
    ct: &CtVolume,
) -> Option<Warning> {
    if sides.is_none() {
        return Some(Warning::new(
            "orientation_unknown",
            "it is not known how the CT is oriented: no right and left, no zones, no severity; --orientation states it",
        ));
    }
    let (stated, known) = stated.zip(ct.grid.orientation()).filter(|(stated, known)| stated != known)?;
    Some(Warning::new(
        "orientation_overridden",
        format!(
            "the file says {known}, the user {stated}: sides and zones follow the user, the masks lie as the file says"
        ),
    ))
}

/// Takes away all that hangs on knowing right from left.
fn forget_sides(burden: &mut Burden, why: &str) {
    (burden.sides, burden.zones, burden.severity.score) = (None, None, None);
    for reason in [&mut burden.sides_reason, &mut burden.zones_reason, &mut burden.severity.reason] {
        *reason = Some(why.to_owned());
    }
}

/// The result that lies in a folder, if it is whole and what [`analyse`] would give again: of the same CT, under the
/// same name, by the same program, models and arithmetic.
pub(crate) fn kept(
    dir: &Path,
    models: &Models,
    scan: &Scan,
    case_id: &str,
    stated: Option<Orientation>,
) -> Option<Analysis> {
    let found = earlier(dir).filter(|_| output::is_ours(dir))?;
    let same = found.schema_version == SCHEMA_VERSION
        && found.case_id == case_id
        && found.input == Input::of(scan, stated)
        && found.models == models.used()
        && found.program == Program::this()
        && found.compute == models.compute();
    let whole = || {
        hashes(dir).is_ok_and(|hashes| hashes == found.outputs)
            && own_hash(&found).is_ok_and(|hash| hash == found.numbers_sha256)
    };
    (same && whole()).then_some(found)
}

/// SHA-256 of all that `analysis.json` says but itself.
fn own_hash(analysis: &Analysis) -> Result<String> {
    let others = Analysis { numbers_sha256: String::new(), ..analysis.clone() };
    Ok(sha256(&serde_json::to_vec(&others)?))
}

/// SHA-256 of the files of a result, by their names, but for that which holds them.
fn hashes(dir: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let of = |name: &str| Ok((name.to_owned(), gg_io::sha256_of_file(&dir.join(name))?));
    OUTPUTS.into_iter().map(of).collect()
}

/// The result that lies in a folder, whatever it is of, where it can be read.
pub(crate) fn earlier(dir: &Path) -> Option<Analysis> {
    serde_json::from_str(&std::fs::read_to_string(dir.join(ANALYSIS)).ok()?).ok()
}

/// Writes all files of one case into a folder, the numbers last: they hold the hashes of the others.
pub(crate) fn write(outcome: &mut Outcome, grid: &Grid, dir: &Path) -> Result<()> {
    write_others(outcome, grid, dir)?;
    outcome.analysis.outputs = hashes(dir).with_context(|| format!("reading {} again", dir.display()))?;
    outcome.analysis.numbers_sha256 = own_hash(&outcome.analysis)?;
    output::write_json(&dir.join(ANALYSIS), &outcome.analysis)
}

fn write_others(outcome: &Outcome, grid: &Grid, dir: &Path) -> Result<()> {
    let mask = |name: &str, labels: &LabelVolume| {
        gg_io::write_labels_nifti(&dir.join(name), labels, grid).with_context(|| format!("writing {name}"))
    };
    let texts = || {
        let mut table = csv::Writer::from_writer(Vec::new());
        for row in &outcome.rows {
            table.serialize(row)?;
        }
        output::write_text(&dir.join(SLICES), &String::from_utf8(table.into_inner()?)?)?;
        output::write_text(&dir.join(REPORT), &crate::analysis_page::page(outcome))
    };
    // Each mask is compressed by one thread; the page is drawn beside that.
    let (lung, (texts, infection)) = rayon::join(
        || mask(LUNG_MASK, &outcome.lung),
        || rayon::join(texts, || mask(INFECTION_MASK, &outcome.infection)),
    );
    lung.and(infection).and(texts)
}

/// Appends remarks that were not made before.
fn add(warnings: &mut Vec<Warning>, more: Vec<Warning>) {
    for warning in more {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

fn montage(shown: &Shown<'_>, rows: &[SliceRow]) -> Result<Vec<SlicePicture>> {
    let lung: Vec<u64> = rows.iter().map(|r| r.lung_voxels as u64).collect();
    let infected: Vec<u64> = rows.iter().map(|r| r.infected_voxels as u64).collect();
    let pictures: Vec<SlicePicture> = gg_report::pick_slices(&lung, &infected, MONTAGE)
        .into_par_iter()
        .map(|z| {
            let percent = rows[z].percent_of_lung.map_or(String::new(), |p| format!(" · {p:.1} %"));
            shown.axial(z, format!("slice {z}{percent}"))
        })
        .collect::<Result<_>>()?;
    Ok(match gg_report::lung_box(&pictures) {
        Some(area) => pictures.iter().map(|p| p.cropped(area)).collect(),
        None => pictures,
    })
}

/// The coronal plane that shows most infection, else most lung.
fn coronal(
    shown: &Shown<'_>,
    rows: &[SliceRow],
    infection: &LabelVolume,
    lung: &LabelVolume,
) -> Result<Option<SlicePicture>> {
    const FEWEST_SLICES: usize = 8;
    if rows.len() < FEWEST_SLICES {
        return Ok(None);
    }
    let labels = if rows.iter().any(|r| r.infected_voxels > 0) { infection } else { lung };
    let [n, h, w] = shown.map.canonical_shape(labels.shape());
    let count = |mut counts: Vec<usize>, z: usize| {
        let mut slice = vec![0u8; h * w];
        shown.map.read_slice(labels, z, &mut slice);
        for (count, row) in counts.iter_mut().zip(slice.chunks_exact(w)) {
            *count += row.iter().filter(|&&v| v != 0).count();
        }
        counts
    };
    let none = || vec![0usize; h];
    let sum = |a: Vec<usize>, b: Vec<usize>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let counts = (0..n).into_par_iter().fold(none, count).reduce(none, sum);
    let Some(y) = (0..h).rev().max_by_key(|&y| counts[y]).filter(|&y| counts[y] > 0) else { return Ok(None) };
    Ok(Some(shown.coronal(y, format!("coronal, row {y}"))?))
}
