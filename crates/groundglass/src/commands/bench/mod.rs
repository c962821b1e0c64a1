//! `bench`: what this machine does. The U-Net's training step and prediction in every precision, and every kernel
//! against the measured peak of the multiply-add units.
//!
//! Method: batches of random numbers, three rounds to warm up, then the median of `--repeats`. Training and prediction
//! of each precision run in processes of their own, so that each one's peak memory is its own.

mod accuracy;
mod kernels;
mod network;

use super::Context;
use crate::args::{BenchArgs, BenchPart, PrecisionName};
use crate::failure::Interrupted;
use crate::manifest::Program;
use accuracy::Accuracy;
use anyhow::{Context as _, Result, bail};
use gg_nn::engine::{Arithmetic, Precision};
use kernels::KernelSpeed;
use network::{Measured, Sizes};
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};

/// Everything that was measured.
#[derive(Serialize)]
struct Answer {
    program: Program,
    processor: Option<String>,
    instruction_set: String,
    threads: usize,
    repeats: usize,
    sizes: Sizes,
    peaks: Vec<Peak>,
    rows: Vec<Row>,
    kernels: Vec<KernelSpeed>,
    accuracy: Vec<Accuracy>,
}

/// The most that the multiply-add units do.
#[derive(Serialize, Deserialize)]
struct Peak {
    precision: String,
    gflops: f64,
    /// Of one thread, measured in the same process: what more threads can gain at most.
    one_thread_gflops: f64,
}

/// One engine in one precision.
#[derive(Serialize)]
struct Row {
    engine: String,
    precision: String,
    /// `None` in int8, which only predicts.
    train_step_ms: Option<f64>,
    predict_slice_ms: f64,
    /// The larger of the two below; memory is unknown where the system does not tell.
    peak_rss_mb: Option<u64>,
    train_peak_rss_mb: Option<u64>,
    predict_peak_rss_mb: Option<u64>,
}

/// What a process that measured kernels says.
#[derive(Serialize, Deserialize)]
struct KernelPart {
    peak: Peak,
    kernels: Vec<KernelSpeed>,
    accuracy: Vec<Accuracy>,
}

pub(super) fn run(context: &Context, args: BenchArgs) -> Result<()> {
    let threads = rayon::current_num_threads();
    if let Some(part) = args.part {
        return match part {
            BenchPart::Kernels => {
                let arithmetic = context.arithmetic(args.precision)?;
                let precision = arithmetic.precision.of_floats()?;
                let (peak, kernels) = kernels::measure(arithmetic.isa, precision, args.base, threads);
                let one_thread_gflops = kernels::peak(arithmetic.isa, precision, 1);
                let peak = Peak { precision: name(arithmetic), gflops: peak, one_thread_gflops };
                print(&KernelPart { peak, kernels, accuracy: accuracy::measure(arithmetic.isa, precision) })
            }
            _ => print(&network::measure(part, context.processor(args.precision)?, args.base, args.repeats)?),
        };
    }
    let answer = all(context, &args, threads)?;
    context.answer(&answer, || table(&answer))
}

fn name(arithmetic: Arithmetic) -> String {
    arithmetic.precision.name().to_owned()
}

/// A part's result for the process that asked for it.
fn print(part: &impl Serialize) -> Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(part)?)
        .context("writing the answer to stdout")
}

fn all(context: &Context, args: &BenchArgs, threads: usize) -> Result<Answer> {
    let precisions = match args.precision {
        Some(one) => vec![one],
        None => {
            let mut all = vec![PrecisionName::Fp32];
            all.extend(context.has(Precision::Bf16).then_some(PrecisionName::Bf16));
            all.extend((context.gpu.is_none() && context.isa.has_vnni()).then_some(PrecisionName::Int8));
            all
        }
    };
    // The kernels are the processor's.
    let with_kernels = !args.no_kernels && context.gpu.is_none();
    let of_floats = |p: &&PrecisionName| **p != PrecisionName::Int8;
    let measured = |p: &PrecisionName| if of_floats(&p) { 2 + usize::from(with_kernels) } else { 1 };
    let parts = precisions.iter().map(measured).sum::<usize>() + if args.burn { 2 } else { 0 };
    let step = context.console.step("measuring", parts as u64);
    let row = |train: BenchPart, predict: BenchPart, precision: PrecisionName| -> Result<Row> {
        let arithmetic = context.processor(Some(precision))?.arithmetic;
        let mut trained = None;
        if precision != PrecisionName::Int8 {
            step.note(format!("{} training", name(arithmetic)));
            trained = Some(child::<Measured>(context, args, threads, precision, train)?);
            step.inc();
        }
        let train_peak = trained.as_ref().and_then(|t| t.peak_rss_mb);
        step.note(format!("{} prediction", name(arithmetic)));
        let predict: Measured = child(context, args, threads, precision, predict)?;
        step.inc();
        Ok(Row {
            engine: predict.engine,
            precision: predict.precision,
            train_step_ms: trained.map(|t| t.ms),
            predict_slice_ms: predict.ms,
            peak_rss_mb: train_peak.max(predict.peak_rss_mb),
            train_peak_rss_mb: train_peak,
            predict_peak_rss_mb: predict.peak_rss_mb,
        })
    };
    let mut rows = Vec::new();
    for precision in &precisions {
        rows.push(row(BenchPart::Train, BenchPart::Predict, *precision)?);
    }
    if args.burn {
        rows.push(row(BenchPart::BurnTrain, BenchPart::BurnPredict, PrecisionName::Fp32)?);
    }
    let (mut peaks, mut kernels, mut accuracy) = (Vec::new(), Vec::new(), Vec::new());
    for precision in precisions.iter().filter(of_floats).filter(|_| with_kernels) {
        step.note("kernels".to_owned());
        let part: KernelPart = child(context, args, threads, *precision, BenchPart::Kernels)?;
        peaks.push(part.peak);
        kernels.extend(part.kernels);
        accuracy.extend(part.accuracy);
        step.inc();
    }
    step.finish();
    Ok(Answer {
        program: Program::this(),
        processor: processor(),
        instruction_set: context.isa.name().to_owned(),
        threads,
        repeats: args.repeats,
        sizes: Sizes::of(args.base),
        peaks,
        rows,
        kernels,
        accuracy,
    })
}

/// Measures one part in a process of its own.
fn child<T: for<'a> Deserialize<'a>>(
    context: &Context,
    args: &BenchArgs,
    threads: usize,
    precision: PrecisionName,
    part: BenchPart,
) -> Result<T> {
    let program = std::env::current_exe().context("finding this program")?;
    let word = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map_or(String::new(), |v| v.get_name().to_owned())
    };
    let output = Command::new(program)
        .args(["bench", "--quiet", "--threads", &threads.to_string()])
        .args(["--base", &args.base.to_string(), "--repeats", &args.repeats.to_string()])
        .args(["--device", &context.device.to_string()])
        .args(["--precision", &word(&|| clap::ValueEnum::to_possible_value(&precision))])
        .args(["--part", &word(&|| clap::ValueEnum::to_possible_value(&part))])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting a process to measure in")?;
    if context.interrupt.requested() {
        return Err(Interrupted("nothing was written".to_owned()).into());
    }
    if !output.status.success() {
        bail!("the process that measures one part ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("reading what one part measured")
}

/// The processor's name, where the system tells.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn table(a: &Answer) -> String {
    let memory = |mb: Option<u64>| mb.map_or("-".to_owned(), |mb| mb.to_string());
    let mut lines = vec![format!(
        "{}, {}, {} threads; U-Net of base {}: {:.1} GFLOP per training step of {}, {:.2} per predicted slice of {}",
        a.processor.as_deref().unwrap_or("unknown processor"),
        a.instruction_set,
        a.threads,
        a.sizes.base,
        a.sizes.train_gflop,
        a.sizes.train,
        a.sizes.predict_gflop_per_slice,
        a.sizes.predict
    )];
    lines.push(String::new());
    lines.push(format!(
        "{:<20} {:>9} {:>14} {:>17} {:>26}",
        "engine", "precision", "train step, ms", "predict slice, ms", "peak MB, train / predict"
    ));
    for r in &a.rows {
        lines.push(format!(
            "{:<20} {:>9} {:>14} {:>17.1} {:>26}",
            r.engine,
            r.precision,
            r.train_step_ms.map_or("-".to_owned(), |ms| format!("{ms:.1}")),
            r.predict_slice_ms,
            format!("{} / {}", memory(r.train_peak_rss_mb), memory(r.predict_peak_rss_mb))
        ));
    }
    for peak in &a.peaks {
        lines.push(String::new());
        lines.push(format!(
            "{}: peak {:.0} GFLOP/s ({:.2} times that of one thread); share of it and GFLOP/s of each kernel, packing of weights included; by Winograd with a quarter of the multiplications",
            peak.precision,
            peak.gflops,
            peak.gflops / peak.one_thread_gflops
        ));
        lines.push(format!(
            "{:<44} {:>14} {:>16} {:>16}",
            "layer", "forward", "backward data", "backward weights"
        ));
        let of = |layer: &str, kernel: &str| {
            let found = a
                .kernels
                .iter()
                .find(|k| k.precision == peak.precision && k.layer == layer && k.kernel == kernel);
            found.map_or("-".to_owned(), |k| format!("{:.0} % {:.0}", 100.0 * k.share_of_peak, k.gflops))
        };
        let mut seen: Vec<&str> = Vec::new();
        for k in a.kernels.iter().filter(|k| k.precision == peak.precision) {
            if !seen.contains(&k.layer.as_str()) {
                seen.push(&k.layer);
            }
        }
        for layer in seen {
            lines.push(format!(
                "{layer:<44} {:>14} {:>16} {:>16}",
                of(layer, kernels::FORWARD),
                of(layer, kernels::DATA),
                of(layer, kernels::WEIGHTS)
            ));
        }
        for error in a.accuracy.iter().filter(|e| e.precision == peak.precision) {
            lines.push(format!(
                "error of a 3x3 convolution over {} channels, {}: {:.1e} of the largest result, {:.1e} in the root mean square",
                accuracy::CHANNELS, error.way, error.largest, error.root_mean_square
            ));
        }
    }
    lines.join("\n")
}
