//! Single cases of the cache, for predictions: those that are not there yet are made from the case as it was read.

use super::CacheOptions;
use super::build::prepare_loaded;
use super::file::{self, Header};
use super::key::Hashes;
use crate::CacheError;
use crate::case::Case;
use crate::load::LoadedCase;
use gg_imaging::{PrepareConfig, Prepared};
use gg_volume::Warned;
use std::path::{Path, PathBuf};

/// The folder of a [`super::Cache`], open for one case after the other.
pub struct PreparedCases {
    dir: PathBuf,
    options: CacheOptions,
    hashes: Hashes,
}

impl PreparedCases {
    /// Opens the folder, made where missing.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn open(dir: &Path, options: CacheOptions) -> Result<Self, CacheError> {
        std::fs::create_dir_all(dir).map_err(|e| CacheError::Io("written", e))?;
        Ok(Self { dir: dir.to_owned(), options, hashes: Hashes::open(dir) })
    }

    /// The prepared slices of a case and the remarks of its preparation, exactly as [`gg_imaging::prepare`] makes them.
    /// `loaded` is the case as read with the options of the cache; it is prepared, and the result kept, where the
    /// folder has no valid file of it.
    ///
    /// # Errors
    /// An input or a file of the cache that cannot be read or written.
    pub fn get(
        &self,
        case: &Case,
        loaded: &LoadedCase,
        prepare: &PrepareConfig,
    ) -> Result<Warned<Prepared>, CacheError> {
        let key = self.hashes.key(case, prepare, &self.options)?;
        let path = self.dir.join(format!("{}.ggcase", key.file));
        let (header, payload) = match file::read(&path, &key.file) {
            Some(found) => found,
            None => {
                let (header, payload) = prepare_loaded(loaded, prepare, key);
                file::write(&path, &header, &payload)?;
                (header, payload)
            }
        };
        Ok(unpack(header, &payload, loaded.warnings.len()))
    }

    /// Remembers the hashes of the inputs for the next time.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn close(self) -> Result<(), CacheError> {
        self.hashes.save()
    }
}

/// Pictures and ways of a file; the first `of_reading` remarks are not the preparation's.
fn unpack(header: Header, payload: &[u8], of_reading: usize) -> Warned<Prepared> {
    let plane = header.size * header.size;
    let records = payload.chunks_exact(header.stride());
    let images = records.map(|record| record[..plane].to_vec()).collect();
    let warnings = header.warnings.into_iter().skip(of_reading).collect();
    let Header { ways, dropped, canonical_shape, .. } = header;
    Warned::new(Prepared { ways, images, dropped, canonical_shape }, warnings)
}
