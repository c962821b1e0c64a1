//! Commands that train and score networks.

use super::options::{
    BundleArgs, CacheArgs, FoldArgs, OutArgs, PrecisionName, ReadArgs, SettingsArgs, TaskName,
};
use super::parse::{parse_name, parse_resamples};
use clap::{ArgGroup, Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass train infection data/covid --split split.toml --fold 0 --out runs/infection\n  \
    groundglass train infection data/covid --out runs/infection --device gpu"
)]
pub(crate) struct TrainArgs {
    /// What the network is to learn
    pub(crate) task: TaskName,
    /// Data set folders
    #[arg(required = true)]
    pub(crate) dataset: Vec<PathBuf>,
    /// Run folder: checkpoints, metrics, curves, and the model bundle
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Go on from the last checkpoint in the run folder
    #[arg(long)]
    pub(crate) resume: bool,
    /// Seed of weights, order and augmentation (default: the settings' seed)
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Name of the model in all outputs (default: task, fold and seed)
    #[arg(long, value_parser = parse_name)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    /// What the convolutions multiply; the weights stay fp32
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) precision: PrecisionName,
    /// Begin with a trained model's weights wherever they fit by name and shape, e.g. with an infection model's for a
    /// classifier of kind `encoder` with the same base and block; `lung`, `infection` or `classify` is the model in the
    /// box. It must not have been trained on a patient who is held out here
    #[arg(long, value_name = "TASK|BUNDLE")]
    pub(crate) init: Option<PathBuf>,
    /// Learn from a trained model too: a share of the truth, the setting `teacher_share` of the task's `train`, is what
    /// it says about the same pictures. May be given several times, the mean counts. It must prepare slices as this
    /// training does, and must not have been trained on a patient who is held out here
    #[arg(long, value_name = "TASK|BUNDLE")]
    pub(crate) teacher: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) fold: FoldArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  groundglass evaluate data/covid --model runs/lung/model.safetensors --model \
    runs/infection/model.safetensors --split split.toml --fold 0 --out scores\n  groundglass evaluate data/covid \
    --pred masks-of-another-program --out scores",
    group = ArgGroup::new("predictions").args(["model", "pred"]).required(true)
)]
pub(crate) struct EvaluateArgs {
    /// Data set folders
    #[arg(required = true)]
    pub(crate) dataset: Vec<PathBuf>,
    /// Model bundles, one per task; `lung`, `infection` and `classify` are those in the program
    #[arg(long, value_name = "TASK|BUNDLE", num_args = 1..)]
    pub(crate) model: Vec<PathBuf>,
    /// Folder with masks of any program, as .nii.gz or .nii: CASE_ID/lung_mask and CASE_ID/infection_mask (what
    /// `analyze` writes), lung_mask/CASE_ID and infection_mask/CASE_ID, or CASE_ID with both structures (what nnU-Net
    /// writes). Headers say how they lie on the CT, also those of a part of it; without a place in both headers voxels
    /// are matched by their indices. Of masks in several layouts the first named here counts
    #[arg(long, value_name = "DIR")]
    pub(crate) pred: Option<PathBuf>,
    /// Which part to score
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) part: PartName,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) fold: FoldArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What the networks multiply (default: int8 where the processor has VNNI and the bundle a calibration, else bf16
    /// where the processor can, else fp32; fp32 on a GPU)
    #[arg(long, value_enum, conflicts_with = "pred")]
    pub(crate) precision: Option<PrecisionName>,
    /// Number of bootstrap resamples behind each interval, 10 to 100000
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = parse_resamples)]
    pub(crate) resamples: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartName {
    /// The test part where a split or fold is given, else all cases
    Auto,
    Test,
    Val,
    Train,
    All,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass crossval lung data/covid --folds 5 --out cv/lung\n  groundglass crossval infection \
    data/covid --folds 5 --lung cv/lung --out cv/infection\n\nScored again, predicting in another way, without training:\n  \
    for k in 0 1 2 3 4; do groundglass models set-prediction cv/infection/fold-$k/run/model.safetensors \
    infection_reach=0.03 --out other/fold-$k/run/model.safetensors; done\n  groundglass crossval infection data/covid --split \
    cv/infection/split.toml --trained other --lung cv/lung --out cv/other"
)]
pub(crate) struct CrossvalArgs {
    /// What the networks are to learn
    pub(crate) task: TaskName,
    /// Data set folders
    #[arg(required = true)]
    pub(crate) dataset: Vec<PathBuf>,
    /// Folder for the folds' runs and scores, and for the scores of all together
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Number of folds by patient, drawn unless the data set's own table has as many (default: the table's, else 5)
    #[arg(long, value_name = "N")]
    pub(crate) folds: Option<usize>,
    /// Split file, as `split` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) split: Option<PathBuf>,
    /// Folder of a finished `crossval lung` under the same split: each fold's lung network, which saw none of its
    /// patients either, limits the infection to the lungs and gives the percentage
    #[arg(long, value_name = "DIR")]
    pub(crate) lung: Option<PathBuf>,
    /// Folder of a finished `crossval` under the same split: each fold begins with the weights of its network there,
    /// wherever they fit by name and shape
    #[arg(long, value_name = "DIR")]
    pub(crate) init: Option<PathBuf>,
    /// Folder of a finished `crossval` of the same task: each fold learns from its network there too, which must not
    /// know the fold's patients, as under the same split. May be given several times, the mean counts
    #[arg(long, value_name = "DIR")]
    pub(crate) teacher: Vec<PathBuf>,
    /// Folder of a finished `crossval` of the same task: its networks are scored again and nothing is trained, e.g.
    /// inside other lungs or after `models set-prediction`; none may know its fold's patients. Of it
    /// `fold-K/run/model.safetensors` is needed; its split and what was remarked beside its scores are taken where they
    /// are there
    #[arg(
        long, value_name = "DIR",
        conflicts_with_all = ["init", "teacher", "resume", "profile", "config", "set", "precision", "licence", "store"]
    )]
    pub(crate) trained: Option<PathBuf>,
    /// Go on with the fold and the step where an earlier run was stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Seed of the folds, of weights, order and augmentation (default: the settings' seed)
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    /// Number of bootstrap resamples behind each interval, 10 to 100000
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = parse_resamples)]
    pub(crate) resamples: usize,
    /// Precision of training; weights are kept in fp32 in any case
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) precision: PrecisionName,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}
