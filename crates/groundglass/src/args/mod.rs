//! What was typed: the command line as clap reads it, by groups of commands. What it means is decided in `commands`.

mod data;
mod device;
mod explain;
mod options;
mod paper;
mod parse;
mod program;
mod scans;
mod training;

use clap::{Args, Parser, Subcommand};
pub(crate) use data::{AuditArgs, PhantomArgs, PrepareArgs, SplitArgs};
use device::parse_device;
pub(crate) use device::{DeviceName, asks_for_devices};
pub(crate) use explain::ExplainArgs;
pub(crate) use options::{
    BundleArgs, CacheArgs, FoldArgs, OutArgs, PrecisionName, ProfileName, ReadArgs, SettingsArgs, StoreName,
    TaskName,
};
pub(crate) use paper::PaperArgs;
pub(crate) use program::{
    BenchArgs, BenchPart, ConfigAction, ConfigArgs, ModelsAction, ModelsArgs, ModelsCalibrateArgs,
    ModelsJoinArgs, ModelsSetAreaArgs, ModelsSetIntervalArgs, ModelsSetPredictionArgs,
    ModelsSetThresholdArgs, ModelsShowArgs, OutBundle, QuickstartArgs,
};
pub(crate) use scans::{AnalyzeArgs, ConvertArgs, InspectArgs};
pub(crate) use training::{CrossvalArgs, EvaluateArgs, PartName, TrainArgs};

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
    /// What networks run on: cpu (the default), gpu (the first one), gpu:N (the Nth of `--device list`), or cuda,
    /// vulkan, metal or dx12, also with :N. On a GPU, results may differ from run to run in their last digits.
    #[arg(long, global = true, value_name = "DEVICE", value_parser = parse_device)]
    pub(crate) device: Option<DeviceName>,
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
    /// Show where the classifier looks in a slice, or how attributes of a cohort move the prediction of an outcome
    Explain(ExplainArgs),
    /// List the models in the box, show what a bundle says about itself, write a changed copy of it, or join several
    Models(ModelsArgs),
    /// Reproduce the paper from data to figures, with its faults measured one at a time
    Paper(PaperArgs),
    /// Make synthetic chest CT with exact truth
    Phantom(PhantomArgs),
    /// See the whole pipeline at work on phantoms, from nothing to a report
    Quickstart(QuickstartArgs),
    /// Measure this machine: training step, prediction, memory, and every kernel against the processor's peak
    Bench(BenchArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command below this one, with the words that lead to it.
    fn walk(command: &clap::Command, words: &str, tell: &mut dyn FnMut(&clap::Command, &str)) {
        for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
            let words = format!("{words} {}", below.get_name());
            tell(below, &words);
            walk(below, &words, tell);
        }
    }

    #[test]
    fn the_help_of_every_command_shows_an_example_of_it() {
        let mut seen = 0;
        walk(&Cli::command(), "groundglass", &mut |command, words| {
            seen += 1;
            let help = command.clone().render_long_help().to_string();
            let example = help.split_once("Example").map_or("", |(_, after)| after);
            assert!(example.contains(words), "`{words} --help` shows no example:\n{help}");
        });
        assert!(seen > 15, "{seen} commands");
    }
}
