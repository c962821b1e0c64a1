//! The project's own tasks: `cargo xtask test`, `check`, `ci`, `quickstart` and `sanitize`.
//!
//! `ci` is all that CI runs: formatting, lints, documentation and every test. It closes on one line, `N passed, N
//! failed`, that counts tests and the other checks alike.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command-line tool speaks on its streams

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const USAGE: &str = "usage: cargo xtask <test|ci|check|quickstart|sanitize>\n\n  \
    test   every test of the workspace\n  \
    check  formatting, lints (also with the feature wgpu) and documentation\n  \
    ci     check and test; what CI runs\n  \
    quickstart  the README's first command, into a folder that is thrown away\n    \
    sanitize  the kernels' tests under AddressSanitizer, and the portable ones under Miri where it is installed; \
               needs a nightly toolchain";

/// What one step found.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let start = Instant::now();
    let mut tally = Tally::default();
    match task.as_str() {
        "test" => tally.add(test()),
        "check" => check(&mut tally),
        "ci" => {
            check(&mut tally);
            tally.add(test());
        }
        "quickstart" => tally.add(quickstart()),
        "sanitize" => sanitize(&mut tally),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    println!("\n{task} took {} s", start.elapsed().as_secs());
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 && tally.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(tally: &mut Tally) {
    tally.add(step("formatting", &["fmt", "--all", "--check"], &[]));
    let lints = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    tally.add(step("lints", &lints, &[]));
    // The same packages with one more feature: what does not depend on it is shared with the step before.
    let with_gpu = [&lints[..4], &["--features", "groundglass/wgpu"], &lints[4..]].concat();
    tally.add(step("lints with wgpu", &with_gpu, &[]));
    let docs = ["doc", "--release", "--workspace", "--no-deps"];
    tally.add(step("documentation", &docs, &[("RUSTDOCFLAGS", "-D warnings")]));
}

/// Runs one cargo command; passed when it exits with 0.
fn step(name: &str, args: &[&str], env: &[(&str, &str)]) -> Tally {
    run(name, cargo(args, &[]), args, env)
}

fn run(name: &str, mut command: Command, args: &[&str], env: &[(&str, &str)]) -> Tally {
    println!("== {name}: cargo {}", args.join(" "));
    let start = Instant::now();
    let ok = command.envs(env.iter().copied()).status().is_ok_and(|s| s.success());
    println!("== {name}: {} in {} s", if ok { "passed" } else { "FAILED" }, start.elapsed().as_secs());
    Tally { passed: usize::from(ok), failed: usize::from(!ok) }
}

/// Runs every test and adds up what the test programs say.
fn test() -> Tally {
    let args = ["test", "--release", "--workspace", "--no-fail-fast"];
    println!("== tests: cargo {}", args.join(" "));
    let mut tally = Tally::default();
    let child = cargo(&args, &[]).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        return Tally { passed: 0, failed: 1 };
    };
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            if let Some(counts) = parse_test_result(&line) {
                tally.add(counts);
            }
        }
    }
    let ok = child.wait().is_ok_and(|s| s.success());
    // A test program that dies, or does not build, prints no result: it must not pass unseen.
    if !ok && tally.failed == 0 {
        tally.failed = 1;
    }
    tally
}

/// Counts in a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
fn parse_test_result(line: &str) -> Option<Tally> {
    let rest = line.strip_prefix("test result: ")?;
    let count = |word: &str| {
        let before = rest.split(word).next()?;
        before.split_whitespace().next_back()?.parse().ok()
    };
    Some(Tally { passed: count(" passed")?, failed: count(" failed")? })
}

/// The README's first command, into a folder that is thrown away.
fn quickstart() -> Tally {
    let out = std::env::temp_dir().join(format!("groundglass-quickstart-{}", std::process::id()));
    let out_text = out.to_string_lossy().into_owned();
    let tally = step("quick start", &["run", "--release", "--", "quickstart", "--out", &out_text], &[]);
    let _ = std::fs::remove_dir_all(out);
    tally
}

/// The kernels, which alone have `unsafe`, under AddressSanitizer: every instruction set that this processor has. Miri,
/// which knows no AVX-512, runs the tests of the portable set's pieces.
fn sanitize(tally: &mut Tally) {
    if !nightly(&["--version"]).stdout(Stdio::null()).status().is_ok_and(|s| s.success()) {
        println!("== sanitize: needs a nightly toolchain: rustup toolchain install nightly");
        tally.failed += 1;
        return;
    }
    // A target of its own, so that build scripts and macros stay as they are. Leaks are not looked for: threads of pools
    // live until the process ends.
    let Some(target) = host() else {
        println!("== sanitize: rustc does not tell its host");
        tally.failed += 1;
        return;
    };
    let args =
        ["test", "--release", "-p", "gg-kernels", "--target", &target, "--target-dir", "target/sanitize"];
    let env = [
        ("RUSTFLAGS", "-Zsanitizer=address -Cdebug-assertions"),
        ("ASAN_OPTIONS", "detect_leaks=0"),
        ("PROPTEST_CASES", "8"),
    ];
    tally.add(run("AddressSanitizer", nightly(&args), &args, &env));
    if nightly(&["miri", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
    {
        // The pool's threads never end, and all tests of the other sizes would take hours.
        let env = [("MIRIFLAGS", "-Zmiri-ignore-leaks -Zmiri-tree-borrows"), ("RAYON_NUM_THREADS", "2")];
        for tests in [&["--lib"][..], &["--test", "conv", "--", "small"]] {
            let args = [&["miri", "test", "-p", "gg-kernels", "--target-dir", "target/miri"], tests].concat();
            tally.add(run("Miri", nightly(&args), &args, &env));
        }
    } else {
        println!("== Miri: left out, not installed: rustup +nightly component add miri rust-src");
    }
}

/// Cargo of the nightly toolchain.
fn nightly(args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(args);
    // Set by the cargo that runs this task, for its own toolchain.
    command.env_remove("RUSTC").env_remove("RUSTDOC").env_remove("CARGO");
    command
}

/// The target that rustc builds for.
fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().find_map(|l| l.strip_prefix("host: "))?.to_owned())
}

fn cargo(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).envs(env.iter().copied());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        let tally = parse_test_result(line).unwrap();
        assert_eq!((tally.passed, tally.failed), (12, 3));
        assert!(parse_test_result("running 3 tests").is_none());
    }
}
