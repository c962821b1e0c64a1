//! One file per command: what was typed becomes calls into the crates, and their answers become files and lines.

mod analyze;
mod audit;
mod bench;
mod calibrate;
mod config;
mod convert;
mod crossval;
mod data;
mod device;
mod evaluate;
mod explain;
mod inspect;
mod models;
mod paper;
mod phantom;
mod prepare;
mod quickstart;
mod split;
mod train;

use crate::args::{Cli, Command, DeviceName, PrecisionName, ReadArgs};
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::progress::Console;
use anyhow::{Context as _, Result};
pub(crate) use device::list as list_devices;
use gg_io::ReadOptions;
use gg_nn::engine::{Arithmetic, EngineError, Gpu, Isa, Precision, Processor};
use std::io::Write as _;

/// Forces an instruction set: `avx512`, `avx2` or `portable`.
const ISA: &str = "GROUNDGLASS_ISA";

/// What every command gets besides its own arguments.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) console: Console,
    pub(crate) interrupt: Interrupt,
    /// Whether the answer on stdout is JSON.
    pub(crate) json: bool,
    /// The instruction set that networks run on.
    pub(crate) isa: Isa,
    /// Trainings that come after the running one, as a multiple of its work; 0 for none.
    pub(crate) later: f64,
    /// The graphics card that networks run on, instead of the processor.
    pub(crate) gpu: Option<Gpu>,
    /// What was typed for it.
    pub(crate) device: DeviceName,
}

impl Context {
    /// For the steps of a command that goes on with `--resume` from what these have finished in its folder.
    pub(crate) fn resumed_in(&self, out: &std::path::Path) -> Self {
        let kept = format!("what is finished is kept in {}; --resume goes on from it", out.display());
        Self { interrupt: self.interrupt.keeping(kept), ..self.clone() }
    }

    /// For the steps of a command that begins anew in its folder.
    pub(crate) fn begun_anew_in(&self, out: &std::path::Path) -> Self {
        let kept = format!("what stands in {} is not whole; --force begins anew", out.display());
        Self { interrupt: self.interrupt.keeping(kept), ..self.clone() }
    }
}

/// Runs the command that was typed.
pub(crate) fn run(cli: Cli) -> Result<()> {
    start_threads(&cli).context("starting the threads")?;
    let device = cli.global.device.unwrap_or(DeviceName::Cpu);
    let context = Context {
        console: Console::new(cli.global.quiet),
        interrupt: Interrupt::listen(),
        json: cli.global.json,
        isa: instruction_set()?,
        later: 0.0,
        gpu: device::open(device)?,
        device,
    };
    match cli.command {
        Command::Inspect(args) => inspect::run(&context, args),
        Command::Convert(args) => convert::run(&context, args),
        Command::Prepare(args) => prepare::run(&context, args),
        Command::Split(args) => split::run(&context, args),
        Command::Train(args) => train::run(&context, args),
        Command::Config(args) => config::run(&context, args),
        Command::Evaluate(args) => evaluate::run(&context, args),
        Command::Analyze(args) => analyze::run(&context, args),
        Command::Crossval(args) => crossval::run(&context, args),
        Command::Audit(args) => audit::run(&context, args),
        Command::Explain(args) => explain::run(&context, args),
        Command::Models(args) => models::run(&context, args),
        Command::Paper(args) => paper::run(&context, &args),
        Command::Phantom(args) => phantom::run(&context, args),
        Command::Quickstart(args) => quickstart::run(&context, args),
        Command::Bench(args) => bench::run(&context, args),
    }
}

/// Starts the threads that do the work.
///
/// In `analyze` the thread that we are on is one of them: it works itself instead of handing over each layer of a
/// network and waiting. Commands that wait for threads of their own (to prepare slices ahead) must not do so: while a
/// worker waits like that, it does nothing for those who wait for it.
fn start_threads(cli: &Cli) -> Result<(), rayon::ThreadPoolBuildError> {
    let threads = cli.global.threads.map(usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)); // 0: as many as there are cores
    match (&cli.command, threads) {
        (Command::Analyze(_), _) => pool.use_current_thread().build_global(),
        (_, Some(_)) => pool.build_global(),
        (_, None) => Ok(()), // started when they are needed
    }
}

/// The fastest instruction set of this processor, or the one that the environment forces.
fn instruction_set() -> Result<Isa> {
    match std::env::var(ISA) {
        Ok(name) => Isa::force(&name).map_err(|error| Usage(format!("{ISA}: {error}")).into()),
        Err(std::env::VarError::NotPresent) => Ok(Isa::detect()),
        Err(error) => Err(Usage(format!("{ISA}: {error}")).into()),
    }
}

impl PrecisionName {
    fn meaning(self) -> Precision {
        match self {
            Self::Fp32 => Precision::Fp32,
            Self::Bf16 => Precision::Bf16,
            Self::Int8 => Precision::Int8,
        }
    }
}

impl Context {
    /// What networks run on, and how they compute: in this precision, or in the default one for prediction.
    pub(crate) fn processor(&self, precision: Option<PrecisionName>) -> Result<Processor> {
        let Some(gpu) = &self.gpu else { return Ok(self.arithmetic(precision)?.into()) };
        let precision = precision.map_or(Precision::Fp32, PrecisionName::meaning);
        Processor::gpu(gpu.clone(), Arithmetic { isa: self.isa, precision })
            .map_err(|error| Usage(format!("--precision: {error}")).into())
    }

    /// Whether networks can compute in a precision.
    pub(crate) fn has(&self, precision: Precision) -> bool {
        let arithmetic = Arithmetic { isa: self.isa, precision };
        self.gpu.as_ref().map_or_else(|| arithmetic.check().is_ok(), |gpu| gpu.has(precision))
    }

    /// How networks compute on the CPU: in this precision, or in the fastest one for prediction.
    pub(crate) fn arithmetic(&self, precision: Option<PrecisionName>) -> Result<Arithmetic> {
        let Some(precision) = precision.map(PrecisionName::meaning) else {
            return Ok(Arithmetic::fastest(self.isa));
        };
        let arithmetic = Arithmetic { isa: self.isa, precision };
        arithmetic.check().map_err(|error: EngineError| Usage(format!("--precision: {error}")))?;
        Ok(arithmetic)
    }

    /// Prints an answer: as JSON where that was asked for, else as the given text.
    pub(crate) fn answer(&self, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<()> {
        answer(self.json, value, text)
    }
}

/// Prints an answer: as JSON, or as the given text.
fn answer(json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<()> {
    let answer = if json { serde_json::to_string_pretty(value)? } else { text() };
    match writeln!(std::io::stdout().lock(), "{answer}") {
        // Who reads it has seen enough, as in `| head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing the answer to stdout"),
    }
}

impl ReadArgs {
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            series: self.series.clone(),
            allow_gaps: self.allow_gaps,
            intensity: self.intensity,
            trust_spacing: self.trust_spacing,
            ..ReadOptions::default()
        }
    }
}
