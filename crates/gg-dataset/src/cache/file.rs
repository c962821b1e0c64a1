//! One case of the prepared cache as a file.
//!
//! `GGCASE01`, length of the header (u32, little endian), header (JSON), one record per slice, SHA-256 of all before it.
//! A record is the picture (`size * size` bytes), then the lung mask and the infection mask where the case has them, one
//! bit per pixel, lowest bit first. A file that is not exactly this is rebuilt.

use crate::CacheError;
use crate::sample::{Sample, SampleInfo};
use gg_imaging::{DropReason, SliceWay};
use gg_volume::{IntensityKind, Warning};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

const MAGIC: &[u8; 8] = b"GGCASE01";
/// Bytes before the header.
const PREFIX: usize = 12;
/// Bytes of the checksum.
const CHECKSUM: usize = 32;

/// What a file of the cache says before its pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Hash of everything that the content follows from.
    pub(crate) key: String,
    /// The same without the program.
    pub(crate) content: String,
    /// SHA-256 of the CT's files.
    pub(crate) scan: String,
    /// Side of the pictures.
    pub(crate) size: usize,
    /// Whether there is a lung mask.
    pub(crate) lung: bool,
    /// Whether there is an infection mask.
    pub(crate) infection: bool,
    /// What the grey values of the input were.
    pub(crate) intensity: IntensityKind,
    /// Shape of the input `[z, y, x]`, as seen canonically.
    pub(crate) canonical_shape: [usize; 3],
    /// The way of each kept slice, by rising z.
    pub(crate) ways: Vec<SliceWay>,
    /// What is known about each kept slice.
    pub(crate) slices: Vec<SliceInfo>,
    /// Whether each canonical slice shows infection, dropped ones included.
    pub(crate) slice_infected: Option<Vec<Option<bool>>>,
    /// Canonical slices that were left out, and why.
    pub(crate) dropped: Vec<(usize, DropReason)>,
    /// Remarks.
    pub(crate) warnings: Vec<Warning>,
}

/// What is known about a slice without its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SliceInfo {
    pub(crate) infected: Option<bool>,
    pub(crate) lung_pixels: Option<u32>,
    pub(crate) infection_pixels: Option<u32>,
}

impl Header {
    /// Bytes of one record.
    pub(crate) fn stride(&self) -> usize {
        let plane = self.size * self.size;
        plane + (usize::from(self.lung) + usize::from(self.infection)) * plane.div_ceil(8)
    }

    /// Bytes of all records.
    pub(crate) fn payload(&self) -> usize {
        self.stride() * self.ways.len()
    }

    /// The sample of a record.
    pub(crate) fn sample(&self, record: &[u8], case: usize, slice: usize) -> Sample {
        let plane = self.size * self.size;
        let (image, mut rest) = record.split_at(plane);
        let mut mask = |present: bool| {
            present.then(|| {
                let (bits, others) = rest.split_at(plane.div_ceil(8));
                rest = others;
                unpack(bits, plane)
            })
        };
        let lung = mask(self.lung);
        let infection = mask(self.infection);
        let infected = self.slices[slice].infected;
        Sample { image: image.to_vec(), lung, infection, infected, case, z: self.ways[slice].z }
    }

    /// What the source of samples says about a slice.
    pub(crate) fn info(&self, case: usize, slice: usize) -> SampleInfo {
        let SliceInfo { infected, lung_pixels, infection_pixels } = self.slices[slice];
        SampleInfo { case, z: self.ways[slice].z, infected, lung_pixels, infection_pixels }
    }
}

/// Adds one record to a payload; masks are non-zero inside.
pub(crate) fn push_record(payload: &mut Vec<u8>, image: &[u8], masks: &[Option<&[u8]>]) {
    payload.extend_from_slice(image);
    for mask in masks.iter().flatten() {
        payload.extend(
            mask.chunks(8).map(|eight| {
                eight.iter().enumerate().fold(0u8, |byte, (i, &v)| byte | (u8::from(v != 0) << i))
            }),
        );
    }
}

fn unpack(bits: &[u8], n: usize) -> Vec<u8> {
    let mut out = vec![0; n];
    for (eight, byte) in out.chunks_mut(8).zip(bits) {
        eight.iter_mut().enumerate().for_each(|(i, v)| *v = (byte >> i) & 1);
    }
    out
}

/// Writes a case beside its place and renames it.
pub(crate) fn write(path: &Path, header: &Header, payload: &[u8]) -> Result<(), CacheError> {
    let json = serde_json::to_vec(header).map_err(|e| CacheError::Io("written", e.into()))?;
    let mut start = MAGIC.to_vec();
    start.extend((json.len() as u32).to_le_bytes());
    start.extend(&json);
    let mut hash = Sha256::new();
    hash.update(&start);
    hash.update(payload);
    let sum = hash.finalize();
    gg_io::atomic_write(path, |out: &mut dyn Write| {
        out.write_all(&start)?;
        out.write_all(payload)?;
        out.write_all(&sum)
    })?;
    Ok(())
}

/// Reads a case as a whole; `None` where the file is missing, damaged or of another key: it is to be rebuilt.
pub(crate) fn read(path: &Path, key: &str) -> Option<(Header, Vec<u8>)> {
    let mut bytes = std::fs::read(path).ok()?;
    let body = bytes.len().checked_sub(CHECKSUM)?;
    if bytes.get(..8)? != MAGIC || Sha256::digest(&bytes[..body])[..] != bytes[body..] {
        return None;
    }
    let length = u32::from_le_bytes(bytes.get(8..PREFIX)?.try_into().ok()?) as usize;
    let start = PREFIX.checked_add(length)?;
    let header: Header = serde_json::from_slice(bytes.get(PREFIX..start)?).ok()?;
    let whole = header.key == key && header.slices.len() == header.ways.len();
    if !whole || start.checked_add(header.payload())? != body {
        return None;
    }
    bytes.truncate(body);
    bytes.drain(..start);
    Some((header, bytes))
}

/// Reads one record of a file that was found valid before.
pub(crate) fn read_record(path: &Path, header: &Header, slice: usize) -> Result<Vec<u8>, CacheError> {
    let io = |e| CacheError::Io("read", e);
    let mut file = std::fs::File::open(path).map_err(io)?;
    let from_end = (header.payload() - slice * header.stride() + CHECKSUM) as i64;
    file.seek(SeekFrom::End(-from_end)).map_err(|_| CacheError::Changed)?;
    let mut record = vec![0; header.stride()];
    file.read_exact(&mut record).map_err(|_| CacheError::Changed)?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(size: usize, n: usize) -> Header {
        let way = |z| SliceWay {
            z,
            canonical: [9, 8],
            quarter_turns: 0,
            crop: gg_imaging::Rect::whole(9, 8),
            size,
            roi_found: true,
        };
        let info = SliceInfo { infected: Some(true), lung_pixels: Some(3), infection_pixels: None };
        Header {
            key: "k".into(),
            content: "c".into(),
            scan: "s".into(),
            size,
            lung: true,
            infection: false,
            intensity: IntensityKind::Hu,
            canonical_shape: [n, 9, 8],
            ways: (0..n).map(way).collect(),
            slices: vec![info; n],
            slice_infected: None,
            dropped: vec![(7, DropReason::Trimmed)],
            warnings: vec![Warning::new("a", "b")],
        }
    }

    #[test]
    fn a_damaged_shortened_or_foreign_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let head = header(5, 2);
        let mut payload = Vec::new();
        for v in [1u8, 2] {
            push_record(&mut payload, &[v; 25], &[Some(&[v - 1; 25]), None]);
        }
        write(&path, &head, &payload).unwrap();
        assert_eq!(read(&path, "k"), Some((head.clone(), payload.clone())));
        assert_eq!(read(&path, "other"), None);
        let sample = head.sample(&read_record(&path, &head, 1).unwrap(), 4, 1);
        assert_eq!((sample.image, sample.lung, sample.z), (vec![2; 25], Some(vec![1; 25]), 1));
        let good = std::fs::read(&path).unwrap();
        for cut in [0, 1, 11, 12, 40, good.len() - 1] {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert_eq!(read(&path, "k"), None, "cut at {cut}");
        }
        for at in [0, 9, 20, good.len() - 40, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(read(&path, "k"), None, "changed at {at}");
        }
    }

    proptest! {
        #[test]
        fn packed_masks_come_back(mask in proptest::collection::vec(0u8..2, 1..70)) {
            let mut packed = Vec::new();
            push_record(&mut packed, &[], &[Some(&mask)]);
            prop_assert_eq!(unpack(&packed, mask.len()), mask);
        }
    }
}
