//! Files, and frames of files, that gave no slice, each with the reason.

use super::header::SliceHeader;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Why a file that is no DICOM object was left out.
pub(super) const NOT_DICOM: &str = "not DICOM";

/// In the order in which they were found.
#[derive(Debug, Clone, Default)]
pub(super) struct LeftOut(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    /// Place of the file in the list that was given.
    file: usize,
    /// Numbers of its frames, from 1; none where it is the file as a whole.
    frames: Vec<usize>,
    why: String,
}

impl LeftOut {
    /// Adds a file, or one of its frames; what is said of several frames of a file is said once.
    pub(super) fn add(&mut self, file: usize, frame: Option<usize>, why: &str) {
        let there = frame.and_then(|_| self.0.iter_mut().rev().find(|e| e.file == file && e.why == why));
        match there {
            Some(there) => there.frames.extend(frame),
            None => self.0.push(Entry { file, frames: frame.into_iter().collect(), why: why.to_owned() }),
        }
    }

    /// Adds a slice that was described and gave no pixels, or gave those of another.
    pub(super) fn add_slice(&mut self, slice: &SliceHeader, why: &str) {
        self.add(slice.file, slice.place.as_ref().map(|p| p.number), why);
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.0.first().map(|e| e.why.as_str())
    }

    /// How many of the files are DICOM objects.
    pub(super) fn objects(&self) -> usize {
        let objects = self.0.iter().filter(|e| e.why != NOT_DICOM).map(|e| e.file);
        objects.collect::<BTreeSet<_>>().len()
    }

    /// Each with the path of its file.
    pub(super) fn named(self, paths: &[PathBuf]) -> Vec<(PathBuf, String)> {
        let words = |e: &Entry| match &e.frames[..] {
            [] => e.why.clone(),
            [one] => format!("frame {one} of it: {}", e.why),
            many => format!("{} of its frames: {}", many.len(), e.why),
        };
        self.0.iter().map(|e| (paths[e.file].clone(), words(e))).collect()
    }
}
