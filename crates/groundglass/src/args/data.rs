//! Commands on data sets: making, preparing, splitting and auditing them.

use super::options::{CacheArgs, OutArgs, ProfileName, ReadArgs, SettingsArgs, TaskName};
use super::parse::{parse_correlation, parse_count, parse_folds, parse_resamples, parse_size};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass prepare data/covid --out prepared --case case-003 --slice 42"
)]
pub(crate) struct PrepareArgs {
    /// Data set folders
    #[arg(required = true)]
    pub(crate) dataset: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Case to draw the figures for (default: the one with the largest infection)
    #[arg(long, value_name = "CASE_ID")]
    pub(crate) case: Option<String>,
    /// Slice to draw, counted from the feet (default: the one with the largest infection)
    #[arg(long, value_name = "N")]
    pub(crate) slice: Option<usize>,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  groundglass split data/covid --folds 5 --out split.toml")]
pub(crate) struct SplitArgs {
    /// Data set folders; a patient that stands in several is kept together
    #[arg(required = true)]
    pub(crate) dataset: Vec<PathBuf>,
    /// Number of folds (default: that of the data set's own table, else 5)
    #[arg(long, value_name = "N", value_parser = parse_folds)]
    pub(crate) folds: Option<usize>,
    /// Seed of the assignment
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Split file to write
    #[arg(long, default_value = "split.toml", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Split slices instead of patients, as the paper's lineage does; needs `--profile paper`, and every result
    /// is then labelled as leaking
    #[arg(long)]
    pub(crate) by_slice: bool,
    /// `paper` allows `--by-slice`
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileName>,
    /// Draw new folds even where the data set has a fold column
    #[arg(long)]
    pub(crate) ignore_table: bool,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass audit data/covid data/more --split split.toml --out audit\n  groundglass audit \
    data/covid --measure infection --set infection.train.epochs=10 --out audit\n\nThe exit code is 1 where the split leaks."
)]
pub(crate) struct AuditArgs {
    /// Data set folders
    #[arg(required = true)]
    pub(crate) dataset: Vec<PathBuf>,
    /// Split file to audit (default: the data set's own folds, else a split by patient)
    #[arg(long, value_name = "FILE")]
    pub(crate) split: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Correlation from which on two slices are taken for one picture
    #[arg(long, default_value_t = 0.8, value_name = "R", value_parser = parse_correlation)]
    pub(crate) similarity: f64,
    /// Train this network under a split by patient and under one by slice, score both on the slices that both splits test,
    /// and print by how much the one that the leaking split trained scores better, beside what each split reports of its own
    /// test slices
    #[arg(long, value_enum, value_name = "TASK")]
    pub(crate) measure: Option<TaskName>,
    /// Fold that `--measure` holds out
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub(crate) fold: usize,
    /// Seed of the splits and of training
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of bootstrap resamples behind each interval of `--measure`, 10 to 100000
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = parse_resamples)]
    pub(crate) resamples: usize,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  groundglass phantom --out phantoms --count 8 --seed 7 --size 192x192x48")]
pub(crate) struct PhantomArgs {
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Number of phantoms, at most 10000
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = parse_count)]
    pub(crate) count: usize,
    /// Seed of the set
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Columns x rows x slices, each from 16 to 1024
    #[arg(long, default_value = "160x160x40", value_name = "XxYxZ", value_parser = parse_size)]
    pub(crate) size: [usize; 3],
    /// Write DICOM series instead of NIfTI (the masks stay NIfTI)
    #[arg(long)]
    pub(crate) dicom: bool,
}
