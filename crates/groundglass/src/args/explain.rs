//! What `explain` takes.

use super::options::{OutArgs, ReadArgs};
use super::parse::{parse_orientation, parse_penalty, parse_resamples};
use clap::{ArgGroup, Args};
use gg_volume::Orientation;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass explain ct.nii.gz --slice 42 --out why\n  groundglass explain --table \
    result/summary.csv --join outcomes.csv --outcome died --out why\n\nThe first shows where the classifier looks in one slice; \
    the second how each number of a cohort's analyses moves the prediction of an outcome that you name.",
    group = ArgGroup::new("what").args(["ct", "table"]).required(true)
)]
pub(crate) struct ExplainArgs {
    /// CT: NIfTI file, DICOM file or folder, folder of slices
    #[arg(requires = "slice")]
    pub(crate) ct: Option<PathBuf>,
    /// Slice to explain, counted from 0 at the feet as in slices.csv
    #[arg(long, value_name = "N", requires = "ct", conflicts_with = "table")]
    pub(crate) slice: Option<usize>,
    /// Bundle of the classifier, instead of the one in the program
    #[arg(long, value_name = "BUNDLE", requires = "ct", conflicts_with = "table")]
    pub(crate) model: Option<PathBuf>,
    /// Side of the square that hides a part of the slice, in percent of the picture's side
    #[arg(long, value_name = "PERCENT", default_value_t = 12, conflicts_with = "table", value_parser = clap::value_parser!(u8).range(2..=50))]
    pub(crate) patch: u8,
    /// Directions in which the stored axes grow, for files that do not say, e.g. LPS
    #[arg(long, value_name = "AXES", value_parser = parse_orientation, requires = "ct", conflicts_with = "table")]
    pub(crate) orientation: Option<Orientation>,
    /// Table of analyses (CSV in UTF-8, commas between columns), such as the summary.csv of `analyze`: one row per
    /// case_id, its numbers as attributes
    #[arg(long, value_name = "CSV", requires = "outcome")]
    pub(crate) table: Option<PathBuf>,
    /// Column of the outcome, of two values (0 and 1, no and yes, or any two words, in capitals or not)
    #[arg(long, value_name = "COLUMN", requires = "table", conflicts_with = "ct")]
    pub(crate) outcome: Option<String>,
    /// Second table (CSV) with further columns such as the outcome or the age, joined by case_id
    #[arg(long, value_name = "CSV", requires = "table", conflicts_with = "ct")]
    pub(crate) join: Option<PathBuf>,
    /// Attributes to use, all of numbers (default: every column of numbers)
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',', requires = "table", conflicts_with = "ct")]
    pub(crate) attributes: Vec<String>,
    /// Column that names the patient of a case (default: `patient` where there is one, else each case is one)
    #[arg(long, value_name = "COLUMN", requires = "table", conflicts_with = "ct")]
    pub(crate) patient: Option<String>,
    /// Leave out cases whose remarks in the column `warnings` say to look before any number is used; they are counted
    /// either way
    #[arg(long, requires = "table", conflicts_with = "ct")]
    pub(crate) skip_doubtful: bool,
    /// Penalty of large coefficients (L2, of standardised attributes); odds ratios are of a fit without
    #[arg(long, value_name = "L", default_value_t = 1.0, value_parser = parse_penalty, requires = "table", conflicts_with = "ct")]
    pub(crate) penalty: f64,
    /// Seed of folds, deals and resamples
    #[arg(long, default_value_t = 1, requires = "table", conflicts_with = "ct")]
    pub(crate) seed: u64,
    /// Number of bootstrap resamples behind the interval of the AUROC, 10 to 100000
    #[arg(long, default_value_t = 2000, value_name = "N", conflicts_with = "ct", value_parser = parse_resamples)]
    pub(crate) resamples: usize,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}
