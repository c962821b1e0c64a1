//! `phantom`: a set of synthetic CT with exact truth, in the Kaggle layout.

use super::Context;
use crate::args::PhantomArgs;
use crate::output::{self, Staged};
use anyhow::{Context as _, Result};
use gg_phantom::{Phantom, PhantomSpec};
use gg_volume::{Grid, LabelVolume};
use serde::Serialize;
use std::path::Path;

/// One row of `metadata.csv`: the Kaggle columns, then which patient the case belongs to.
#[derive(Serialize)]
struct Row {
    ct_scan: String,
    lung_mask: String,
    infection_mask: String,
    lung_and_infection_mask: String,
    patient: String,
}

/// What is true of one phantom, beside its files.
#[derive(Serialize)]
pub(crate) struct Truth {
    pub(crate) case_id: String,
    pub(crate) patient: String,
    pub(crate) truth: gg_phantom::PhantomTruth,
}

pub(super) fn run(context: &Context, args: PhantomArgs) -> Result<()> {
    let staged = Staged::begin(&args.out.out, args.out.force, "truth.json")?;
    let specs = gg_phantom::cohort(args.seed, args.count, args.size);
    let step = context.console.step("making phantoms", specs.len() as u64);
    let truths = write_set(staged.path(), &specs, args.dicom, || {
        step.inc();
        Ok(context.interrupt.check()?)
    })?;
    step.finish();
    staged.commit()?;
    context.answer(&truths, || {
        let infected = truths.iter().filter(|t| t.truth.percent_of_lung > 0.0).count();
        format!("{}: {} phantoms, {infected} with infection", args.out.out.display(), truths.len())
    })
}

/// Writes phantoms, one after the other, as a data set in the Kaggle layout with `truth.json` beside it.
pub(crate) fn write_set(
    dir: &Path,
    specs: &[PhantomSpec],
    dicom: bool,
    mut done: impl FnMut() -> Result<()>,
) -> Result<Vec<Truth>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut truths = Vec::new();
    let mut patients: Vec<u64> = Vec::new();
    for (i, spec) in specs.iter().enumerate() {
        let case_id = format!("phantom-{:03}", i + 1);
        if !patients.contains(&spec.patient) {
            patients.push(spec.patient);
        }
        let number = patients.iter().position(|&p| p == spec.patient).unwrap_or(0) + 1;
        let patient = format!("patient-{number:03}");
        let phantom = gg_phantom::phantom(spec);
        let row = write_case(dir, &case_id, &patient, &phantom, dicom)?;
        table.serialize(row)?;
        truths.push(Truth { case_id, patient, truth: phantom.truth });
        done()?;
    }
    let text = String::from_utf8(table.into_inner().context("building metadata.csv")?)?;
    output::write_text(&dir.join("metadata.csv"), &text)?;
    output::write_json(&dir.join("truth.json"), &truths)?;
    Ok(truths)
}

fn write_case(dir: &Path, case_id: &str, patient: &str, phantom: &Phantom, dicom: bool) -> Result<Row> {
    let grid = &phantom.ct.grid;
    let ct_scan = if dicom { format!("ct_scans/{case_id}") } else { format!("ct_scans/{case_id}.nii.gz") };
    let ct_path = dir.join(&ct_scan);
    std::fs::create_dir_all(dir.join("ct_scans"))?;
    if dicom {
        gg_io::write_dicom_series(&ct_path, &phantom.ct, &gg_io::DicomText::default())
    } else {
        gg_io::write_ct_nifti(&ct_path, &phantom.ct)
    }
    .with_context(|| format!("writing {}", ct_path.display()))?;
    let mask = |folder: &str, labels: &LabelVolume| write_mask(dir, folder, case_id, labels, grid);
    Ok(Row {
        lung_mask: mask("lung_mask", &phantom.lung)?,
        infection_mask: mask("infection_mask", &phantom.infection)?,
        lung_and_infection_mask: mask("lung_and_infection_mask", &combined(phantom)?)?,
        patient: patient.to_owned(),
        ct_scan,
    })
}

fn write_mask(dir: &Path, folder: &str, case_id: &str, labels: &LabelVolume, grid: &Grid) -> Result<String> {
    std::fs::create_dir_all(dir.join(folder))?;
    let name = format!("{folder}/{case_id}.nii.gz");
    let path = dir.join(&name);
    gg_io::write_labels_nifti(&path, labels, grid).with_context(|| format!("writing {}", path.display()))?;
    Ok(name)
}

/// Lungs as 1 and 2, infection as 3, as the combined masks of the Kaggle layout.
fn combined(phantom: &Phantom) -> Result<LabelVolume> {
    let lung = phantom.lung.data().iter();
    let values = lung.zip(phantom.infection.data()).map(|(&l, &i)| if i != 0 { 3 } else { l }).collect();
    Ok(LabelVolume::from_vec(phantom.lung.shape(), values)?)
}
