//! The rules of ARCHITECTURE.md that a machine can hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail loudly too

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates each crate may use. A crate that is not named here does not exist.
const MAY_USE: &[(&str, &[&str])] = &[
    ("gg-volume", &[]),
    ("gg-io", &["gg-volume"]),
    ("gg-imaging", &["gg-volume"]),
    ("gg-eval", &["gg-volume", "gg-imaging"]),
    ("gg-phantom", &["gg-volume"]),
    ("gg-dataset", &["gg-volume", "gg-io", "gg-imaging"]),
    ("gg-kernels", &[]),
    ("gg-nn", &["gg-io", "gg-imaging", "gg-dataset", "gg-eval", "gg-kernels"]),
    ("gg-report", &[]),
    ("gg-testkit", &[]),
    (
        "groundglass",
        &[
            "gg-volume",
            "gg-io",
            "gg-imaging",
            "gg-eval",
            "gg-phantom",
            "gg-dataset",
            "gg-kernels",
            "gg-nn",
            "gg-report",
        ],
    ),
];

/// Longest file that still reads well; above it, it is two files.
const MAX_LINES: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn crates() -> BTreeMap<String, toml::Table> {
    fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|dir| dir.join("Cargo.toml").is_file())
        .map(|dir| {
            let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
            (name, manifest(&dir))
        })
        .collect()
}

fn manifest(dir: &Path) -> toml::Table {
    fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse().unwrap()
}

fn keys(manifest: &toml::Table, table: &str) -> Vec<String> {
    manifest.get(table).and_then(|d| d.as_table()).map_or(Vec::new(), |t| t.keys().cloned().collect())
}

fn dependencies(manifest: &toml::Table) -> Vec<String> {
    keys(manifest, "dependencies")
}

/// What the tests of a crate may use besides: what makes input for them, and the crates before it.
const TESTS_MAY_USE: &[(&str, &[&str])] = &[
    ("gg-imaging", &["gg-io"]),
    ("gg-eval", &["gg-phantom"]),
    ("gg-report", &["gg-volume", "gg-imaging", "gg-phantom"]),
];

/// The crate whose manifest repeats the workspace's lints with changes of its own, because it may use `unsafe`.
const OWN_LINTS: &str = "gg-kernels";

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 20, "the walk over the sources found only {}", found.len());
    found
}

#[test]
fn a_crate_uses_only_the_crates_before_it() {
    let crates = crates();
    let named: Vec<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for (name, manifest) in &crates {
        let position = named.iter().position(|n| n == name);
        let allowed = position.map(|p| MAY_USE[p].1).unwrap_or_else(|| panic!("{name} is not in the list"));
        for dependency in dependencies(manifest).iter().filter(|d| crates.contains_key(*d)) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not use {dependency}");
        }
        let besides = TESTS_MAY_USE.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, more)| more);
        for dependency in keys(manifest, "dev-dependencies").iter().filter(|d| crates.contains_key(*d)) {
            let known = [allowed, besides, &["gg-testkit"]].concat();
            assert!(known.contains(&dependency.as_str()), "tests of {name} must not use {dependency}");
        }
    }
    assert_eq!(crates.len(), MAY_USE.len());
}

#[test]
fn burn_is_known_to_gg_nn_alone() {
    for (name, manifest) in crates() {
        let uses = dependencies(&manifest).iter().any(|d| d == "burn" || d.starts_with("burn-"));
        assert_eq!(uses, name == "gg-nn", "{name}");
    }
}

#[test]
fn gg_nn_takes_of_gg_io_how_a_file_is_written_and_no_format() {
    let mut uses = 0;
    for path in sources().iter().filter(|p| p.starts_with(root().join("crates/gg-nn/src"))) {
        let text = fs::read_to_string(path).unwrap();
        for after in text.split("gg_io").skip(1) {
            let writes = ["::atomic_write", "::WriteError"].iter().any(|item| after.starts_with(item));
            assert!(writes, "{} uses more of gg_io", path.display());
            uses += 1;
        }
    }
    assert!(uses > 0);
}

#[test]
fn no_server_and_no_async_runtime_in_the_libraries() {
    for (name, manifest) in crates() {
        let found = dependencies(&manifest).into_iter().find(|d| d == "axum" || d == "tokio");
        assert_eq!(found, None, "{name}");
    }
}

#[test]
fn unsafe_code_lives_in_gg_kernels_alone() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let ours = path.components().any(|c| c.as_os_str() == "gg-kernels");
        let word = ["allow(unsafe", "_code)"].concat();
        assert!(ours || !text.contains(&word), "{}", path.display());
    }
}

#[test]
fn every_manifest_has_the_lints_of_the_workspace() {
    let mut manifests: Vec<(String, toml::Table)> = crates().into_iter().collect();
    manifests.push(("xtask".to_owned(), manifest(&root().join("xtask"))));
    for (name, manifest) in manifests {
        let lints = manifest.get("lints").unwrap_or_else(|| panic!("{name} has no lints"));
        let shared = lints.get("workspace").and_then(|w| w.as_bool()) == Some(true);
        assert_eq!(shared, name != OWN_LINTS, "{name} should have `[lints]` with `workspace = true`");
    }
}

/// Its manifest cannot take the workspace's table and change a line of it.
#[test]
fn the_crate_with_lints_of_its_own_misses_none_of_the_workspace() {
    let all = manifest(&root());
    let own = manifest(&root().join("crates").join(OWN_LINTS));
    for tool in ["rust", "clippy"] {
        let shared = all["workspace"]["lints"][tool].as_table().unwrap();
        for (lint, level) in shared.iter().filter(|(lint, _)| *lint != "unsafe_code") {
            assert_eq!(own["lints"][tool].get(lint), Some(level), "{OWN_LINTS}: {lint}");
        }
    }
}

#[test]
fn no_module_is_a_junk_drawer() {
    for path in sources() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        for name in ["util", "utils", "common", "helpers", "helper", "misc"] {
            assert!(stem != name && folder != name, "{}", path.display());
        }
    }
}

#[test]
fn no_source_file_is_too_long_to_read() {
    for path in sources() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
    }
}

/// A code that is renamed where its remark is made would drop out of the list in silence.
#[test]
fn every_remark_that_puts_numbers_in_doubt_is_made_somewhere() {
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let own = sources().into_iter().filter(|path| path.components().any(|part| part.as_os_str() == "src"));
    let texts: Vec<String> = own.map(|path| text(&path)).collect();
    let doubts = text(&root().join("crates/groundglass/src/analysis/doubts.rs"));
    let list = doubts
        .split_once("pub(crate) const DOUBTS")
        .unwrap()
        .1
        .split_once('=')
        .unwrap()
        .1
        .split_once(';')
        .unwrap()
        .0;
    let codes: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(codes.len() > 10, "{codes:?}");
    for code in codes {
        let quoted = format!("\"{code}\"");
        let made = texts.iter().map(|text| text.matches(&quoted).count()).sum::<usize>();
        assert!(made > 1, "no remark has the code {code}");
    }
}

#[test]
fn every_dependency_is_declared_once_in_the_workspace() {
    for (name, manifest) in crates() {
        for table in ["dependencies", "dev-dependencies"] {
            for (dependency, value) in manifest.get(table).and_then(|d| d.as_table()).into_iter().flatten() {
                let shared = value.get("workspace").and_then(|w| w.as_bool());
                assert_eq!(shared, Some(true), "{name}: {dependency} should be `workspace = true`");
            }
        }
    }
}
