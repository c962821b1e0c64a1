//! Records the commit the program was built from, so that every result can name it, and whether the tree differed from it.

use std::process::Command;

/// What goes into the program, from here.
const SOURCES: [&str; 4] = ["../../Cargo.toml", "../../Cargo.lock", "../../crates", "../../models"];
/// What lies there and does not.
const BESIDE: [&str; 3] = [":(exclude,top)*.md", ":(exclude,top)*.png", ":(exclude,top)crates/*/tests/*"];

fn main() {
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    println!("cargo:rerun-if-changed=../../.git/logs/HEAD");
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed =
        git(&[&["--no-optional-locks", "status", "--porcelain", "--"], &SOURCES[..], &BESIDE].concat());
    let mark = if changed.is_some_and(|files| !files.is_empty()) { "-modified" } else { "" };
    println!("cargo:rustc-env=GROUNDGLASS_COMMIT={commit}{mark}");
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
