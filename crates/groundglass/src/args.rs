//! What was typed: the command line as clap reads it. What it means is decided in `commands`.

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use gg_volume::{IntensityKind, Orientation};
use std::path::PathBuf;

/// From a chest CT to a defensible COVID-19 (viral pneumonia) burden report.
///
/// Research use only, not a medical device. Nothing is sent over a network.
#[derive(Debug, Parser)]
#[command(name = "groundglass", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Number of threads (default: all cores). Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) threads: Option<u16>,
    /// No progress and no remarks on stderr; errors still appear.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print the answer as JSON on stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a file, folder or data set is: format, geometry, kind of grey values, oddities
    Inspect(InspectArgs),
    /// Turn a DICOM series or slice pictures into one NIfTI file, geometry kept
    Convert(ConvertArgs),
    /// Prepare a data set for the networks, and draw every step for one slice
    Prepare(PrepareArgs),
    /// Write a split file: which patient is in which fold
    Split(SplitArgs),
    /// Train a network on a data set
    Train(TrainArgs),
    /// Print all settings, or check a settings file
    Config(ConfigArgs),
    /// Score model bundles, or the masks of any other program, against the truth
    Evaluate(EvaluateArgs),
    /// The main job: from CT to masks, percentages, severity and a report
    Analyze(AnalyzeArgs),
    /// Test every patient once, by networks that never saw them
    Crossval(CrossvalArgs),
    /// Find what stands on both sides of a split: patients, near-duplicate slices, one scan in two data sets
    Audit(AuditArgs),
    /// List the models in the box, or show what a bundle says about itself
    Models(ModelsArgs),
    /// Make synthetic chest CT with exact truth
    Phantom(PhantomArgs),
    /// See the whole pipeline at work on phantoms, from nothing to a report
    Quickstart(QuickstartArgs),
    /// Measure this machine: training step, prediction, memory, and every kernel against the processor's peak
    Bench(BenchArgs),
}

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
    /// Replace an existing output folder that groundglass wrote
    #[arg(long)]
    pub(crate) force: bool,
}

/// Where prepared slices are kept.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CacheArgs {
    /// Folder that keeps prepared slices for `prepare`, `train` and `evaluate`; what is missing there is made and
    /// added (default: `cache` beside the output folder)
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
    /// DICOM folder, slice pictures or NIfTI
    pub(crate) ct: PathBuf,
    /// NIfTI file to write, .nii or .nii.gz
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
}

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
    /// Number of folds
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = parse_folds)]
    pub(crate) folds: usize,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskName {
    /// Does a slice show infection?
    Classify,
    /// Where are the lungs?
    Lung,
    /// Where is the infection?
    Infection,
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
    /// 16 bits, rounded; needs a processor with AVX512-BF16
    Bf16,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass train infection data/covid --split split.toml --fold 0 --out runs/infection"
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
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Licence of the weights, kept in the bundle; the data's terms decide what it may be
    #[arg(long, value_name = "TEXT", default_value = "as the licence of the training data allows")]
    pub(crate) licence: String,
    /// How the bundle stores its weights: half the size costs a little precision
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) store: StoreName,
    /// What the convolutions multiply; the weights stay fp32
    #[arg(long, value_enum, default_value = "fp32")]
    pub(crate) precision: PrecisionName,
    /// Begin with a trained model's weights wherever they fit by name and shape, e.g. with an infection model's for a
    /// classifier of kind `encoder`. It must not have been trained on a patient who is held out here
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) init: Option<PathBuf>,
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
#[command(after_help = "Example:\n  groundglass config print --profile paper > paper.toml")]
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
pub(crate) struct ConfigPrintArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigCheckArgs {
    /// Settings file (TOML)
    pub(crate) file: PathBuf,
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
    /// Model bundles, one per task
    #[arg(long, value_name = "BUNDLE", num_args = 1..)]
    pub(crate) model: Vec<PathBuf>,
    /// Folder with masks of any program, as .nii.gz or .nii: CASE_ID/lung_mask and CASE_ID/infection_mask (what
    /// `analyze` writes), lung_mask/CASE_ID and infection_mask/CASE_ID, or CASE_ID with both structures (what nnU-Net
    /// writes)
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
    /// What the networks multiply (default: bf16 where the processor can, else fp32)
    #[arg(long, value_enum, conflicts_with = "pred")]
    pub(crate) precision: Option<PrecisionName>,
    /// Number of bootstrap resamples behind each interval
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = parse_positive)]
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
    after_help = "Examples:\n  groundglass analyze ct.nii.gz --out result\n  groundglass analyze dicom/ --out \
    result --model runs/infection/model.safetensors"
)]
pub(crate) struct AnalyzeArgs {
    /// CTs: NIfTI files, DICOM folders, folders of slices
    #[arg(required = true)]
    pub(crate) ct: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Model bundles, one per task, instead of those in the program
    #[arg(long, value_name = "BUNDLE", num_args = 1..)]
    pub(crate) model: Vec<PathBuf>,
    /// What the networks multiply (default: bf16 where the processor can, else fp32)
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionName>,
    /// Name of the case in all outputs, once per CT (default: case-001, case-002, ...)
    #[arg(long, value_name = "ID")]
    pub(crate) case_id: Vec<String>,
    /// Directions in which the stored axes grow, for files that do not say, e.g. LPS
    #[arg(long, value_name = "AXES", value_parser = parse_orientation)]
    pub(crate) orientation: Option<Orientation>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass crossval lung data/covid --folds 5 --out cv/lung\n  groundglass crossval infection \
    data/covid --folds 5 --lung cv/lung --out cv/infection"
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
    /// Number of folds, drawn by patient (default: the data set's own folds, else 5)
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
    /// Go on with the fold and the step where an earlier run was stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Seed of the folds, of weights, order and augmentation (default: the settings' seed)
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Licence of the weights, kept in the bundles
    #[arg(long, value_name = "TEXT", default_value = "as the licence of the training data allows")]
    pub(crate) licence: String,
    /// How the bundles store their weights
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) store: StoreName,
    /// Number of bootstrap resamples behind each interval
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = parse_positive)]
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
    /// Train and score this network under a split by patient and under one by slice, and print how much too good the
    /// leaking one looks
    #[arg(long, value_enum, value_name = "TASK")]
    pub(crate) measure: Option<TaskName>,
    /// Fold that `--measure` holds out
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub(crate) fold: usize,
    /// Seed of the splits and of training
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of bootstrap resamples behind each interval of `--measure`
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = parse_positive)]
    pub(crate) resamples: usize,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
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
    List,
    /// How a model was trained, its threshold, labels, scores and licence
    Show(ModelsShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ModelsShowArgs {
    /// Task of a model in the box (classify, lung, infection), or a bundle file
    #[arg(value_name = "TASK|BUNDLE")]
    pub(crate) model: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  groundglass phantom --out phantoms --count 8 --seed 7 --size 192x192x48")]
pub(crate) struct PhantomArgs {
    #[command(flatten)]
    pub(crate) out: OutArgs,
    /// Number of phantoms
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = parse_positive)]
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

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  groundglass quickstart --out quickstart")]
pub(crate) struct QuickstartArgs {
    #[command(flatten)]
    pub(crate) out: OutQuickstart,
    /// Seed of phantoms and training
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  groundglass bench --threads 2\n\nRun it on an otherwise idle machine. Each precision is \
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
    /// Leave out the table of kernels
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

#[derive(Debug, Clone, Args)]
pub(crate) struct OutQuickstart {
    /// Folder for everything it makes
    #[arg(long, default_value = "groundglass-quickstart", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Replace an existing output folder that groundglass wrote
    #[arg(long)]
    pub(crate) force: bool,
}

fn parse_intensity(text: &str) -> Result<IntensityKind, String> {
    IntensityKind::from_name(&text.to_lowercase()).ok_or_else(|| {
        let names: Vec<_> = IntensityKind::ALL.iter().map(|k| k.name()).collect();
        format!("not one of {}", names.join(", "))
    })
}

fn parse_positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "a whole number of 1 or more".to_owned())
}

fn parse_correlation(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|c| (0.5..=1.0).contains(c)).ok_or_else(|| "a number from 0.5 to 1".to_owned())
}

fn parse_folds(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 1).ok_or_else(|| "a whole number of 2 or more".to_owned())
}

fn parse_orientation(text: &str) -> Result<Orientation, String> {
    Orientation::parse(text).ok_or_else(|| "one letter each of L/R, P/A and S/I, as in LPS".to_owned())
}

/// Columns x rows x slices, turned into `[z, y, x]`.
fn parse_size(text: &str) -> Result<[usize; 3], String> {
    let wrong = || "columns x rows x slices, as in 160x160x40, each from 16 to 1024".to_owned();
    let numbers: Vec<usize> =
        text.split('x').map(|t| t.trim().parse()).collect::<Result<_, _>>().map_err(|_| wrong())?;
    match numbers[..] {
        [x, y, z] if [x, y, z].iter().all(|n| (16..=1024).contains(n)) => Ok([z, y, x]),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_size_reads_as_columns_rows_slices() {
        assert_eq!(parse_size("160x120x40"), Ok([40, 120, 160]));
        assert!(parse_size("160x120").is_err());
        assert!(parse_size("0x1x1").is_err());
    }
}
