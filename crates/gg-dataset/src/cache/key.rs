//! Names of cache files: hashes of everything that their content follows from.

use crate::CacheError;
use crate::cache::CacheOptions;
use crate::case::{Case, CtSource};
use gg_imaging::PrepareConfig;
use gg_io::{hex, sha256_of_file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Raised where the content of cache files changes in meaning.
const FORMAT: u32 = 2;
/// File that remembers hashes of unchanged inputs.
const MEMO: &str = "inputs.json";

/// What a case's samples follow from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Settings, how files are read, meaning of labels, and the bytes of all files in their order.
    pub(crate) content: String,
    /// The same and the program: the name of the file.
    pub(crate) file: String,
}

/// Hashes of input files; those that look as they did last time ([`Known`]) are not read again.
pub(crate) struct Hashes {
    file: PathBuf,
    known: BTreeMap<String, Known>,
    used: Mutex<BTreeMap<String, Known>>,
}

/// An input as it was; the path stands there as a hash, because caches may be shared and paths may name patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    bytes: u64,
    changed_ns: u128,
    /// See [`touched`].
    #[serde(default)]
    touched: Option<(u64, i64, i64)>,
    sha256: String,
}

/// Number of the file, and when its content or anything about it was last changed: unlike the time of change of the
/// content alone, which copies and archives carry along, nobody sets these. `None` where the system keeps neither.
fn touched(meta: &Metadata) -> Option<(u64, i64, i64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((meta.ino(), meta.ctime(), meta.ctime_nsec()))
    }
    #[cfg(not(unix))]
    {
        let _ = meta;
        None
    }
}

impl Hashes {
    /// Remembers what stands in a cache folder.
    pub(crate) fn open(dir: &Path) -> Self {
        let file = dir.join(MEMO);
        let known =
            std::fs::read(&file).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        Self { file, known, used: Mutex::default() }
    }

    /// Writes what was used for the next time.
    pub(crate) fn save(self) -> Result<(), CacheError> {
        let mut all = self.known;
        all.append(&mut self.used.into_inner().unwrap_or_else(PoisonError::into_inner));
        let json = serde_json::to_vec(&all).map_err(|e| CacheError::Io("written", e.into()))?;
        gg_io::atomic_write(&self.file, |out| out.write_all(&json))?;
        Ok(())
    }

    fn hash(&self, path: &Path) -> Result<String, CacheError> {
        let io = |e| CacheError::Io("keyed, because an input cannot be read", e);
        let meta = std::fs::metadata(path).map_err(io)?;
        let changed = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let name = hex(&Sha256::digest(path.as_os_str().as_encoded_bytes()));
        let (bytes, changed_ns) = (meta.len(), changed.map_or(0, |t| t.as_nanos()));
        let touched = touched(&meta);
        let same = |k: &&Known| {
            (k.bytes, k.changed_ns, k.touched) == (bytes, changed_ns, touched) && changed_ns != 0
        };
        let known = match self.known.get(&name).filter(same) {
            Some(known) => known.clone(),
            None => Known { bytes, changed_ns, touched, sha256: sha256_of_file(path).map_err(io)? },
        };
        let sha256 = known.sha256.clone();
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(name, known);
        Ok(sha256)
    }

    /// The key of a case.
    pub(crate) fn key(
        &self,
        case: &Case,
        prepare: &PrepareConfig,
        options: &CacheOptions,
    ) -> Result<Key, CacheError> {
        let settings = serde_json::to_string(prepare).map_err(|e| CacheError::Io("keyed", e.into()))?;
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        add(&settings);
        add(&format!("{:?}", options.read));
        let meanings = [&case.lung, &case.infection, &case.combined].map(|m| m.as_ref().map(|m| &m.labels));
        add(&format!("{meanings:?} {:?}", case.slice_labels));
        for source in case.sources() {
            for path in files(source) {
                add(&self.hash(&path)?);
            }
            add("end of source");
        }
        let content = hex(&hash.finalize());
        let program = format!("{FORMAT} {} {}", env!("CARGO_PKG_VERSION"), options.program);
        let file = hex(&Sha256::digest(format!("{program} {content}")));
        Ok(Key { content, file })
    }
}

/// All files of a source; those of a folder as its reader finds them, without what it cannot enter, which it tells of.
fn files(source: &CtSource) -> Vec<PathBuf> {
    match source {
        CtSource::Slices(paths) => paths.clone(),
        CtSource::File(path) if path.is_dir() => gg_io::visible_files(path).flatten().collect(),
        CtSource::File(path) => vec![path.clone()],
    }
}
