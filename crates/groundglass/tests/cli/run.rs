//! Runs the program, and makes what most tests need once: phantoms and three tiny models.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// What one run left behind.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Failed with this code, in one sentence that holds these words.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_groundglass"));
    command.args(args);
    command
}

pub(crate) fn groundglass(args: &[&str]) -> Ran {
    Ran::from(command(args).output().expect("the program starts"))
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

pub(crate) fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Phantoms in the Kaggle layout and one tiny model per task, trained on them.
pub(crate) struct Fixture {
    dir: TempDir,
}

/// Settings that train in seconds; the models are poor on purpose.
pub(crate) const TINY: [&str; 18] = [
    "--set",
    "prepare.size=32",
    "--set",
    "classify.network.widths=[4, 4]",
    "--set",
    "classify.network.dense=8",
    "--set",
    "classify.train.epochs=2",
    "--set",
    "lung.network={kind=\"unet\", base=4, levels=3, dropout=0.1}",
    "--set",
    "lung.train.epochs=3",
    "--set",
    "infection.network={kind=\"unet\", base=4, levels=3, dropout=0.1}",
    "--set",
    "infection.train.epochs=3",
    "--set",
    "lung.train.adam.lr=0.01",
];

impl Fixture {
    pub(crate) fn get() -> &'static Self {
        static FIXTURE: OnceLock<Fixture> = OnceLock::new();
        FIXTURE.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let set = dir.path().join("set");
            groundglass(&[
                "phantom",
                "--out",
                arg(&set),
                "--count",
                "6",
                "--size",
                "64x64x20",
                "--seed",
                "5",
            ])
            .ok();
            for task in ["classify", "lung", "infection"] {
                let run = dir.path().join(task);
                let mut args = vec!["train", task, arg(&set), "--out", arg(&run)];
                args.extend(TINY);
                groundglass(&args).ok();
            }
            Self { dir }
        })
    }

    pub(crate) fn set(&self) -> PathBuf {
        self.dir.path().join("set")
    }

    /// A phantom's CT.
    pub(crate) fn ct(&self) -> PathBuf {
        self.set().join("ct_scans/phantom-001.nii.gz")
    }

    pub(crate) fn bundle(&self, task: &str) -> PathBuf {
        self.dir.path().join(task).join("model.safetensors")
    }

    /// `analyze CT --out OUT` with the tiny models.
    pub(crate) fn analyze(&self, ct: &Path, out: &Path, more: &[&str]) -> Ran {
        let bundles = ["lung", "infection", "classify"].map(|t| self.bundle(t));
        let mut args = vec!["analyze", arg(ct)];
        args.extend(more);
        args.extend(["--out", arg(out), "--model"]);
        args.extend(bundles.iter().map(|b| arg(b)));
        groundglass(&args)
    }
}

/// Every file below a folder with its bytes, by relative name.
pub(crate) fn files(dir: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// An 8-bit grey PNG of so many rows and columns, stored row by row.
pub(crate) fn png([rows, columns]: [usize; 2], pixel: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(kind);
        file.extend(data);
        file.extend(crc.sum().to_be_bytes());
    };
    let mut header = Vec::new();
    header.extend((columns as u32).to_be_bytes());
    header.extend((rows as u32).to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);
    chunk(b"IHDR", &header);
    let mut pixels = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    for y in 0..rows {
        let row: Vec<u8> = std::iter::once(0).chain((0..columns).map(|x| pixel(x, y))).collect();
        pixels.write_all(&row).unwrap();
    }
    chunk(b"IDAT", &pixels.finish().unwrap());
    chunk(b"IEND", &[]);
    file
}
