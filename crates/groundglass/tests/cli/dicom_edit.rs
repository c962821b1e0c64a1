//! Changes elements of DICOM files as bytes, so that broken files need no library that would mend them.
//!
//! For what `gg_io` writes: explicit VR little endian, no nested sequences (PS3.5 chapter 7.1.2).

use crate::run::{arg, groundglass};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const TRANSFER_SYNTAX: [u16; 2] = [0x0002, 0x0010];
pub(crate) const IMAGE_TYPE: [u16; 2] = [0x0008, 0x0008];
pub(crate) const PATIENT_ID: [u16; 2] = [0x0010, 0x0020];
pub(crate) const SOP_CLASS: [u16; 2] = [0x0008, 0x0016];
pub(crate) const SERIES: [u16; 2] = [0x0020, 0x000e];
pub(crate) const FRAME: [u16; 2] = [0x0020, 0x0052];
pub(crate) const INTERCEPT: [u16; 2] = [0x0028, 0x1052];
pub(crate) const POSITION: [u16; 2] = [0x0020, 0x0032];

/// Bytes before the first element: the preamble and `DICM`.
const HEAD: usize = 132;
/// Length of the elements of group 2 that follow.
const GROUP_LENGTH: [u16; 2] = [0x0002, 0x0000];

/// A phantom of 16 slices as a DICOM series; gives its files in the order of their positions.
pub(crate) fn series(dir: &Path) -> (PathBuf, Vec<PathBuf>) {
    let set = dir.join("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "1", "--size", "48x48x16", "--dicom"]).ok();
    let series = set.join("ct_scans/phantom-001");
    let mut files: Vec<PathBuf> = fs::read_dir(&series).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    (series, files)
}

/// The value of an element, as text.
pub(crate) fn get(file: &Path, tag: [u16; 2]) -> String {
    let bytes = fs::read(file).unwrap();
    let (_, value) = find(&bytes, tag);
    String::from_utf8(bytes[value].to_vec()).unwrap().trim_end_matches(['\0', ' ']).to_owned()
}

/// Puts another text into an element with a short length field.
pub(crate) fn set(file: &Path, tag: [u16; 2], text: &str) {
    let mut bytes = fs::read(file).unwrap();
    let (start, old) = find(&bytes, tag);
    let mut new = text.as_bytes().to_vec();
    if new.len() % 2 == 1 {
        new.push(if &bytes[start + 4..start + 6] == b"UI" { 0 } else { b' ' });
    }
    let length = u16::try_from(new.len()).unwrap();
    bytes[start + 6..start + 8].copy_from_slice(&length.to_le_bytes());
    let (before, after) = (old.len(), new.len());
    bytes.splice(old, new);
    if tag[0] == 2 {
        let (_, group) = find(&bytes, GROUP_LENGTH);
        let length = u32::from_le_bytes(bytes[group.clone()].try_into().unwrap());
        let length = length - u32::try_from(before).unwrap() + u32::try_from(after).unwrap();
        bytes[group].copy_from_slice(&length.to_le_bytes());
    }
    fs::write(file, bytes).unwrap();
}

/// Where an element starts, and where its value lies.
fn find(bytes: &[u8], tag: [u16; 2]) -> (usize, std::ops::Range<usize>) {
    let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let mut at = HEAD;
    while at + 8 <= bytes.len() {
        let long = matches!(&bytes[at + 4..at + 6], b"OB" | b"OW" | b"SQ" | b"UN" | b"UT");
        let (value, length) = if long {
            (at + 12, u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize)
        } else {
            (at + 8, usize::from(short(at + 6)))
        };
        if [short(at), short(at + 2)] == tag {
            return (at, value..value + length);
        }
        at = value + length;
    }
    panic!("the file holds no element {tag:04x?}");
}
