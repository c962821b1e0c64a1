//! NIfTI files made by hand, so that each field can be wrong.

use gg_io::{ReadError, ReadOptions, Scan, read_ct};
use gg_volume::Warned;
use std::io::Write;

/// A header, little-endian, that describes 4 x 3 x 2 voxels (x, y, z) of `int16` with an sform in mm.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) header: [u8; 352],
    pub(crate) data: Vec<u8>,
}

impl Raw {
    pub(crate) fn new() -> Self {
        let mut raw = Self { header: [0; 352], data: Vec::new() };
        raw.i32(0, 348);
        for (i, n) in [3, 4, 3, 2, 1, 1, 1, 1].into_iter().enumerate() {
            raw.i16(40 + 2 * i, n);
        }
        raw.i16(70, 4).i16(72, 16);
        for (i, v) in [1.0, 0.5, 0.75, 2.0, 1.0, 1.0, 1.0, 1.0].into_iter().enumerate() {
            raw.f32(76 + 4 * i, v);
        }
        raw.f32(108, 352.0);
        raw.header[123] = 2;
        raw.i16(254, 1);
        // LPS in NIfTI's RAS words: x and y run backwards.
        for (row, column, v) in [(0, 0, -0.5), (1, 1, -0.75), (2, 2, 2.0)] {
            raw.f32(280 + 16 * row + 4 * column, v);
        }
        raw.header[344..348].copy_from_slice(b"n+1\0");
        raw.data = (0..24i16).flat_map(|v| (v * 50 - 1000).to_le_bytes()).collect();
        raw
    }

    pub(crate) fn i16(&mut self, at: usize, v: i16) -> &mut Self {
        self.header[at..at + 2].copy_from_slice(&v.to_le_bytes());
        self
    }

    pub(crate) fn i32(&mut self, at: usize, v: i32) -> &mut Self {
        self.header[at..at + 4].copy_from_slice(&v.to_le_bytes());
        self
    }

    pub(crate) fn f32(&mut self, at: usize, v: f32) -> &mut Self {
        self.header[at..at + 4].copy_from_slice(&v.to_le_bytes());
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.data].concat()
    }
}

/// A sound NIfTI-2 file of 4 x 3 x 2 voxels, little-endian, without any form.
pub(crate) fn nifti2() -> Vec<u8> {
    let mut bytes = vec![0u8; 544 + 48];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &540i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &4i16.to_le_bytes());
    put(14, &16i16.to_le_bytes());
    for (i, n) in [3i64, 4, 3, 2, 1, 1, 1, 1].into_iter().enumerate() {
        put(16 + 8 * i, &n.to_le_bytes());
        put(104 + 8 * i, &1.5f64.to_le_bytes());
    }
    put(168, &544i64.to_le_bytes());
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn read_as(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read_ct(&path, options)
}

pub(crate) fn read(bytes: &[u8]) -> Result<Warned<Scan>, ReadError> {
    read_as("ct.nii", bytes, &ReadOptions::default())
}

pub(crate) fn codes(read: &Warned<Scan>) -> Vec<&str> {
    read.warnings.iter().map(|w| w.code.as_str()).collect()
}
