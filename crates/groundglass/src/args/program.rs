//! Commands about the program itself: its settings, its models, its speed, and the first look at it.

use super::options::{CacheArgs, PrecisionName, ReadArgs, SettingsArgs};
use super::parse::{parse_name, parse_positive};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass config print --profile paper > paper.toml\n  groundglass config check paper.toml"
)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print every setting with its value and meaning
    Print(ConfigPrintArgs),
    /// Check a settings file
    Check(ConfigCheckArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass config print --profile paper --set lung.train.epochs=40 > mine.toml"
)]
pub(crate) struct ConfigPrintArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  groundglass config check mine.toml")]
pub(crate) struct ConfigCheckArgs {
    /// Settings file (TOML)
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  groundglass models list\n  groundglass models show infection")]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) action: ModelsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsAction {
    /// List the models in the box
    #[command(after_help = "Example:\n  groundglass models list --json")]
    List,
    /// How a model was trained, its threshold, labels, scores and licence
    Show(ModelsShowArgs),
    /// Add what prediction in int8 needs to a bundle that lacks it
    Calibrate(ModelsCalibrateArgs),
    /// Write a copy of an infection bundle that puts an interval around its percentages
    SetInterval(ModelsSetIntervalArgs),
    /// Write a copy of a classifier that weighs the infected area of each slice too
    SetArea(ModelsSetAreaArgs),
    /// Write a copy of a bundle with the median threshold and temperature of a cross-validation's folds
    SetThreshold(ModelsSetThresholdArgs),
    /// Write a copy of a bundle that predicts in another way: other postures, another clean-up of masks
    SetPrediction(ModelsSetPredictionArgs),
    /// Write one bundle of several networks, whose mean answers
    Join(ModelsJoinArgs),
}

/// Where a command that copies a bundle writes the copy.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutBundle {
    /// Bundle to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass models calibrate old.safetensors data/covid --out new.safetensors"
)]
pub(crate) struct ModelsCalibrateArgs {
    /// The bundle
    pub(crate) model: PathBuf,
    /// Data set folders that it was trained on; slices of its training patients alone are used
    #[arg(required = true)]
    pub(crate) dataset: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) out: OutBundle,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass models set-interval runs/infection/model.safetensors cv/infection/scores/interval.json \
    --out infection.safetensors\n\nThe interval is that of the networks that were cross-validated: the bundle should be trained by the \
    same recipe."
)]
pub(crate) struct ModelsSetIntervalArgs {
    /// Task of a model in the box (infection), or a bundle file
    #[arg(value_name = "TASK|BUNDLE")]
    pub(crate) model: String,
    /// The fit that `crossval infection --lung` wrote: scores/interval.json
    #[arg(value_name = "FILE")]
    pub(crate) interval: PathBuf,
    #[command(flatten)]
    pub(crate) out: OutBundle,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass models set-area runs/classify/model.safetensors scores/fold-*/scores.json --out classify.safetensors\n\n\
    Each file is one that `evaluate` wrote with a classifier, an infection and a lung model together, of patients that none of them \
    was trained on: the folds of a cross-validation. The threshold becomes the one with the best sum of sensitivity and specificity there."
)]
pub(crate) struct ModelsSetAreaArgs {
    /// Task of a model in the box (classify), or a bundle file
    #[arg(value_name = "TASK|BUNDLE")]
    pub(crate) model: String,
    /// Scores that `evaluate` wrote: scores.json
    #[arg(value_name = "SCORES", required = true)]
    pub(crate) scores: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) out: OutBundle,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass models set-threshold runs/infection/model.safetensors cv/infection --out infection.safetensors\n\n\
    A network that is trained on nearly all patients leaves few to choose a threshold on; each fold of a cross-validation of the same recipe \
    chose its own on other patients."
)]
pub(crate) struct ModelsSetThresholdArgs {
    /// Task of a model in the box, or a bundle file
    #[arg(value_name = "TASK|BUNDLE")]
    pub(crate) model: String,
    /// Folder of a finished `crossval` of the same task
    #[arg(value_name = "DIR")]
    pub(crate) crossval: PathBuf,
    #[command(flatten)]
    pub(crate) out: OutBundle,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass models set-prediction infection.safetensors mirror=half_turn infection_reach=0.02 --out other.safetensors\n\n\
    The keys are `mirror` and, of the table `clean` in `groundglass config`, those that count for the task. No training is needed: they count when masks are made. An \
    interval was fitted on masks as they were, and is taken out; `crossval --trained` scores folds anew whose bundles were changed."
)]
pub(crate) struct ModelsSetPredictionArgs {
    /// Task of a model in the box, or a bundle file
    #[arg(value_name = "TASK|BUNDLE")]
    pub(crate) model: String,
    /// What is to be done when it predicts, e.g. infection_reach=0.02
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) set: Vec<String>,
    /// Name of the model in all outputs (default: as it was)
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) out: OutBundle,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass models join cv/infection/fold-*/run/model.safetensors --out five.safetensors\n\nThe logits of each \
    network, divided by its temperature, go into a mean; the threshold is the median of theirs. Each \
    network costs its own time. `explain`, `train --init`, `models calibrate` and `models set-threshold` want one network. On patients whom any of them was trained on, the mean is no score, and every result says so."
)]
pub(crate) struct ModelsJoinArgs {
    /// Bundles of one task, network and preparation, e.g. those of a cross-validation's folds; at least two
    #[arg(value_name = "BUNDLE", required = true, num_args = 2..)]
    pub(crate) models: Vec<PathBuf>,
    /// Name of the model in all outputs (default: task and number of networks)
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) out: OutBundle,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass models show infection\n  groundglass models show runs/lung/model.safetensors"
)]
pub(crate) struct ModelsShowArgs {
    /// Task of a model in the box (classify, lung, infection), or a bundle file
    #[arg(value_name = "TASK|BUNDLE")]
    pub(crate) model: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  groundglass quickstart --out quickstart")]
pub(crate) struct QuickstartArgs {
    #[command(flatten)]
    pub(crate) out: OutQuickstart,
    /// Seed of phantoms and training
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OutQuickstart {
    /// Folder for everything it makes
    #[arg(long, default_value = "groundglass-quickstart", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Replace an existing output folder that groundglass wrote
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass bench --threads 2\n  groundglass bench --device gpu\n\nRun it on an otherwise idle machine. Each precision is \
    measured in processes of its own."
)]
pub(crate) struct BenchArgs {
    /// Only this precision (default: all that the processor has)
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionName>,
    /// Training steps and predictions behind each median, after three to warm up
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = parse_positive)]
    pub(crate) repeats: usize,
    /// Channels of the network's first level
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = parse_positive)]
    pub(crate) base: usize,
    /// Leave out the table of kernels; on a GPU there is none
    #[arg(long)]
    pub(crate) no_kernels: bool,
    /// Measure Burn's CPU backend too
    #[arg(long)]
    pub(crate) burn: bool,
    /// What one of the processes measures
    #[arg(long, value_enum, hide = true)]
    pub(crate) part: Option<BenchPart>,
}

/// What one process of `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    Train,
    Predict,
    BurnTrain,
    BurnPredict,
    Kernels,
}
