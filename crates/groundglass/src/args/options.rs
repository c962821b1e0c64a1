//! Options that several commands share: how CT is read, where outputs go, which settings and which fold.

use super::parse::parse_intensity;
use clap::{Args, ValueEnum};
use gg_dataset::Task;
use gg_volume::IntensityKind;
use std::path::PathBuf;

/// How CT is read.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReadArgs {
    /// Kind of the grey values, instead of detecting it: hu, lung_window_8bit, contrast_8bit, hu_plus_1024,
    /// unit_range or unknown
    #[arg(long, value_name = "KIND", value_parser = parse_intensity)]
    pub(crate) intensity: Option<IntensityKind>,
    /// Which series of a DICOM folder to take, by its number in the table that `inspect` prints
    #[arg(long, value_name = "N")]
    pub(crate) series: Option<String>,
    /// Accept a DICOM series in which slices are missing
    #[arg(long)]
    pub(crate) allow_gaps: bool,
    /// Believe the spacing of files whose header does not earn it, so that millilitres are reported
    #[arg(long)]
    pub(crate) trust_spacing: bool,
}

/// Which folder to write to.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutArgs {
    /// Folder for the outputs; it must be new, empty, or one that groundglass wrote
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Replace an existing output folder that this command wrote; one that holds other files, results of another
    /// command, or several results in the place of one is left alone
    #[arg(long)]
    pub(crate) force: bool,
}

/// Where prepared slices are kept.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CacheArgs {
    /// Folder that keeps prepared slices for `prepare`, `train` and `evaluate`; what is missing there is made and
    /// added (default: `cache` beside the output folder; `crossval` and `paper` keep it inside theirs)
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
}

/// Which settings to use.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Where unset settings come from: the paper's values, or this program's repaired defaults
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileName>,
    /// Settings file (TOML); `config print` shows every key
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, as in `--set lung.train.epochs=20`; may be repeated, wins over the file
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// How trained weights are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct BundleArgs {
    /// Licence of the weights, kept in the bundle; the data's terms decide what it may be
    #[arg(long, value_name = "TEXT", default_value = "as the licence of the training data allows")]
    pub(crate) licence: String,
    /// How the bundle stores its weights: half the size costs a little precision
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) store: StoreName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    Groundglass,
    Paper,
}

/// Which part of a data set to hold out.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FoldArgs {
    /// Split file, as `split` writes it (default: the data set's own folds, else a split by patient)
    #[arg(long, value_name = "FILE")]
    pub(crate) split: Option<PathBuf>,
    /// Fold that is held out for testing
    #[arg(long, value_name = "K")]
    pub(crate) fold: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskName {
    /// Does a slice show infection?
    Classify,
    /// Where are the lungs?
    Lung,
    /// Where is the infection?
    Infection,
}

impl TaskName {
    /// The task of this name.
    pub(crate) fn task(self) -> Task {
        match self {
            Self::Classify => Task::Classify,
            Self::Lung => Task::Lung,
            Self::Infection => Task::Infection,
        }
    }
}

impl From<Task> for TaskName {
    fn from(task: Task) -> Self {
        match task {
            Task::Classify => Self::Classify,
            Task::Lung => Self::Lung,
            Task::Infection => Self::Infection,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreName {
    F32,
    F16,
    Bf16,
}

/// What convolutions multiply; sums are fp32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionName {
    /// 32 bits
    Fp32,
    /// 16 bits, rounded; needs a processor with AVX512-BF16, or a GPU that has it
    Bf16,
    /// 8 bits, for prediction on the CPU with bundles that have a calibration
    Int8,
}
