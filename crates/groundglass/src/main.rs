//! The command line: arguments, settings, commands, progress and exit codes.
//!
//! Exit codes: 0 done, 1 the input or the work failed, 2 wrong usage (arguments or settings), 130 interrupted.

mod analysis;
mod analysis_page;
mod args;
mod builtin;
mod commands;
mod evaluation_page;
mod failure;
mod interrupt;
mod manifest;
mod model_file;
mod output;
mod pictures;
mod pipeline;
mod progress;
mod readers;
mod scoring;
mod scoring_table;
mod seen;
mod settings;
mod summary;
mod training_page;
mod words;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A decoder that panics on damaged bytes is caught and reported as a damaged file: that is enough said.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !gg_io::panic_is_guarded() {
            told(panic);
        }
    }));
    let typed: Vec<_> = std::env::args_os().collect();
    let done = if args::asks_for_devices(&typed) {
        commands::list_devices(typed.iter().any(|a| a == "--json"))
    } else {
        commands::run(args::Cli::parse_from(typed))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
