//! The fuzz target, replayed: seeds, what the seeds become under a repeatable mutator, and past crashes.

use crate::raw::{Raw, gzip, nifti2};
use gg_io::fuzzing::{fuzz_nifti, fuzz_picture};
use gg_testkit::{Random, bend};
use std::path::Path;

/// Fields of the header that mean something: offset and width in bytes.
const FIELDS: [(usize, usize); 37] = [
    (0, 4),
    (40, 2),
    (42, 2),
    (44, 2),
    (46, 2),
    (48, 2),
    (50, 2),
    (52, 2),
    (54, 2),
    (70, 2),
    (72, 2),
    (76, 4),
    (80, 4),
    (84, 4),
    (88, 4),
    (92, 4),
    (108, 4),
    (112, 4),
    (116, 4),
    (123, 1),
    (252, 2),
    (254, 2),
    (256, 4),
    (260, 4),
    (264, 4),
    (268, 4),
    (272, 4),
    (276, 4),
    (280, 4),
    (284, 4),
    (300, 4),
    (320, 4),
    (292, 4),
    (324, 4),
    (344, 2),
    (346, 2),
    (348, 4),
];

/// Extreme values of 16-bit and 32-bit fields and of halves of 64-bit ones, as bits.
const EXTREMES: [u32; 22] = [
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    64,
    127,
    255,
    512,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7f80_0000, // infinity
    0x7fc0_0000, // NaN
    0x7ff0_0000, // the upper half of infinity in 64 bits
    0x7ff8_0000, // .. and of NaN
    0x0000_0001, // the smallest number
];

fn seeds() -> Vec<Vec<u8>> {
    let small = Raw::new();
    let mut float = Raw::new();
    float.i16(70, 64).i16(72, 64).f32(112, 0.5).f32(116, -10.0);
    float.data = (0..24).flat_map(|v| (f64::from(v) * 1e3 - 1e4).to_le_bytes()).collect();
    let mut quaternion = Raw::new();
    quaternion.i16(252, 1).i16(254, 0).f32(256, 0.5).f32(260, 0.5).f32(264, 0.5).f32(76, -1.0);
    let mut swapped = small.bytes();
    for (at, width) in FIELDS {
        swapped[at..at + width].reverse();
    }
    swapped[344..348].copy_from_slice(b"n+1\0");
    let mut seeds = vec![small.bytes(), float.bytes(), quaternion.bytes(), swapped];
    seeds.push(gzip(&seeds[0]));
    seeds.push(nifti2());
    seeds.push(Vec::new());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_seeds/nifti");
    seeds.extend(gg_testkit::seeds(&folder).into_iter().map(|(_, bytes)| bytes));
    seeds
}

#[test]
fn seeds_and_past_crashes_replay() {
    for seed in seeds() {
        fuzz_nifti(&seed);
    }
}

#[test]
fn every_field_at_every_extreme_is_survived() {
    for seed in seeds().iter().filter(|s| s.len() > 352) {
        for (at, width) in FIELDS {
            for extreme in EXTREMES {
                for reversed in [false, true] {
                    let mut bytes = seed.clone();
                    let mut value = extreme.to_le_bytes()[..width].to_vec();
                    if reversed {
                        value.reverse();
                    }
                    bytes[at..at + width].copy_from_slice(&value);
                    fuzz_nifti(&bytes);
                }
            }
        }
    }
}

#[test]
fn every_field_of_nifti_2_at_every_extreme_is_survived() {
    let mut read = 0;
    for at in (4..544).step_by(4) {
        for extreme in EXTREMES {
            let mut bytes = nifti2();
            bytes[at..at + 4].copy_from_slice(&extreme.to_le_bytes());
            read += usize::from(fuzz_nifti(&bytes));
        }
    }
    // Many fields mean nothing here.
    assert!(read > 1000, "{read} were read");
}

#[test]
fn thousands_of_mutated_files_are_survived() {
    let mut random = Random(42);
    let (mut read, mut all) = (0, 0);
    for seed in seeds().iter().filter(|s| !s.is_empty()) {
        for _ in 0..1500 {
            let mut bytes = seed.clone();
            for _ in 0..=random.below(4) {
                match random.below(6) {
                    0 => bytes.truncate(random.below(bytes.len() + 1)),
                    1 if bytes.len() > 352 => {
                        let (at, width) = FIELDS[random.below(FIELDS.len())];
                        let value = EXTREMES[random.below(EXTREMES.len())].to_le_bytes();
                        bytes[at..at + width].copy_from_slice(&value[..width]);
                    }
                    2 => bytes.extend((0..random.below(64)).map(|i| i as u8)),
                    _ if !bytes.is_empty() => {
                        let at = random.below(bytes.len());
                        bytes[at] ^= 1 << random.below(8);
                    }
                    _ => {}
                }
            }
            read += usize::from(fuzz_nifti(&bytes)) + usize::from(fuzz_nifti(&gzip(&bytes)));
            all += 2;
        }
    }
    // Otherwise the way back is not tested at all.
    assert!(read > all / 10, "only {read} of {all} mutated files were read");
}

#[test]
fn pictures_and_what_becomes_of_them_are_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_seeds/picture");
    let seeds = gg_testkit::seeds(&folder);
    let mut random = Random(7);
    let (mut read, mut all) = (0, 0);
    for (name, seed) in &seeds {
        assert_eq!(fuzz_picture(seed), !name.starts_with("bad"), "{name}");
        for _ in 0..1000 {
            let mut bytes = seed.clone();
            bend(&mut bytes, &mut random);
            read += usize::from(fuzz_picture(&bytes));
            all += 1;
        }
    }
    assert!(read > all / 20 && read < all, "{read} of {all} mutated pictures were read");
}
