//! Commands on single CTs.

use super::options::{OutArgs, PrecisionName, ReadArgs};
use super::parse::parse_orientation;
use clap::Args;
use gg_volume::Orientation;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  groundglass inspect scans/patient7/")]
pub(crate) struct InspectArgs {
    /// A CT file, a folder of DICOM or pictures, or a data set
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  groundglass convert scans/patient7/ patient7.nii.gz")]
pub(crate) struct ConvertArgs {
    /// DICOM file or folder, slice pictures or NIfTI
    pub(crate) ct: PathBuf,
    /// NIfTI file to write, .nii or .nii.gz
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Replace an existing NIfTI that groundglass wrote; any other file is left alone
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass analyze ct.nii.gz --out result\n  groundglass analyze dicom/ --out \
    result --model runs/infection/model.safetensors\n  groundglass analyze a.nii.gz b.nii.gz --case-id a --case-id b \
    --out batch\n  groundglass analyze cohort/*.nii.gz --out batch --resume\n  groundglass analyze ct.nii.gz --out result --device gpu\n\nOf several CTs each result is replaced by itself when --force is given; summary.csv says which are of this run."
)]
pub(crate) struct AnalyzeArgs {
    /// CTs: NIfTI files, DICOM files or folders, folders of slices
    #[arg(required = true)]
    pub(crate) ct: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Model bundles, one per task, instead of those in the program
    #[arg(long, value_name = "BUNDLE", num_args = 1..)]
    pub(crate) model: Vec<PathBuf>,
    /// What the networks multiply (default: int8 where the processor has VNNI and the bundle a calibration, else bf16
    /// where the processor can, else fp32; fp32 on a GPU)
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionName>,
    /// Name of the case in all outputs, once per CT (default: case-001, case-002, ...)
    #[arg(long, value_name = "ID")]
    pub(crate) case_id: Vec<String>,
    /// Directions in which the stored axes grow, for files that do not say, e.g. LPS
    #[arg(long, value_name = "AXES", value_parser = parse_orientation)]
    pub(crate) orientation: Option<Orientation>,
    /// Let the infection network see slices without lung too, as a benchmark does; nothing that it finds there counts, so
    /// that the results are the same and only the time is longer
    #[arg(long)]
    pub(crate) every_slice: bool,
    /// Go on with what is there: a CT whose result lies in its place, whole and of the same files, program, models and
    /// settings, is read and not analysed again. Another result in its place is an error, or replaced with --force
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}
