//! What `paper` takes.

use super::options::{CacheArgs, OutArgs, PrecisionName, ReadArgs, SettingsArgs};
use super::parse::{parse_folds, parse_resamples};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass paper data/covid20 data/medseg --out paper\n  groundglass paper data/covid20 --quick --out \
    paper\n  groundglass paper data/covid20 --set lung.train.epochs=20 --resume --out paper\n\nTrains the three networks of the paper \
    under its own split by slice, in which patients leak, and under a split by patient; then each of the recipes with one fault \
    repaired. An interrupted run goes on with --resume."
)]
pub(crate) struct PaperArgs {
    /// Data set folders
    #[arg(required = true)]
    pub(crate) dataset: Vec<PathBuf>,
    /// Folder for the runs, the figures, report.html and paper.md
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Go on with the run and the step where an earlier `paper` was stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// A tenth of the epochs, smaller pictures and networks; every output says so
    #[arg(long)]
    pub(crate) quick: bool,
    /// Number of folds of both splits
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = parse_folds)]
    pub(crate) folds: usize,
    /// Fold that is held out for testing
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub(crate) fold: usize,
    /// Seed of the splits and of training (default: the settings' seed)
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Number of bootstrap resamples behind each interval, 10 to 100000
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = parse_resamples)]
    pub(crate) resamples: usize,
    /// What the convolutions multiply while training; the weights stay fp32, and so is what is predicted
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) precision: PrecisionName,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}
