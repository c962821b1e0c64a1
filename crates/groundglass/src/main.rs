//! The command line: arguments, settings, commands, progress and exit codes.
//!
//! Exit codes: 0 done, 1 the input or the work failed, 2 wrong usage (arguments or settings), 130 interrupted.

mod args;
mod commands;
mod failure;
mod interrupt;
mod manifest;
mod output;
mod progress;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
