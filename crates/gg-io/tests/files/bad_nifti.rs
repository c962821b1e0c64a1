//! NIfTI files that must be refused, each with one clear sentence.

use crate::raw::{Raw, gzip, nifti2, read, read_as};
use gg_io::{ReadOptions, read_labels};
use std::time::Instant;

#[track_caller]
fn refused(bytes: &[u8], message: &str) {
    refused_as("ct.nii", bytes, message);
}

#[track_caller]
fn refused_as(name: &str, bytes: &[u8], message: &str) {
    let error = read_as(name, bytes, &ReadOptions::default()).expect_err("should be refused").to_string();
    assert!(error.contains(message), "`{error}` does not say `{message}`");
    assert!(!error.contains('/') || error.contains("NIfTI"), "no path in `{error}`");
}

#[track_caller]
fn header(edit: impl FnOnce(&mut Raw), message: &str) {
    let mut raw = Raw::new();
    edit(&mut raw);
    refused(&raw.bytes(), message);
}

#[test]
fn the_header_of_these_tests_is_sound() {
    let read = read(&Raw::new().bytes()).unwrap().value.ct;
    assert_eq!(read.voxels.shape(), [2, 3, 4]);
    assert_eq!(read.grid.orientation().unwrap().to_string(), "LPS");
}

#[test]
fn other_members_of_the_family_are_refused_by_name() {
    let mut pair = nifti2();
    pair[4..8].copy_from_slice(b"ni2\0");
    refused(&pair, "NIfTI-2 pair");
    header(|r| r.header[344..348].fill(0), "Analyze 7.5");
    header(|r| r.header[344..348].copy_from_slice(b"ni1\0"), "NIfTI pair");
}

#[test]
fn what_a_nifti_2_header_gets_wrong_is_refused_in_its_own_numbers() {
    let sound = read(&nifti2()).unwrap().value;
    assert_eq!(sound.ct.voxels.shape(), [2, 3, 4]);
    let mut unmarked = nifti2();
    unmarked[8..12].fill(0);
    assert_eq!(read(&unmarked).unwrap().value.ct, sound.ct, "as nibabel reads it");
    let edited = |at: usize, value: &[u8], message: &str| {
        let mut bytes = nifti2();
        bytes[at..at + value.len()].copy_from_slice(value);
        refused(&bytes, message);
    };
    edited(8, b"\n\n\x1a\n", "transferred as text");
    edited(4, b"n+1\0", "its magic string is not");
    edited(14, &8i16.to_le_bytes(), "bitpix is 8 for data of type int16");
    edited(16, &0i64.to_le_bytes(), "dim[0] is 0");
    edited(24, &(-4i64).to_le_bytes(), "dim[1] is -4");
    edited(24, &i64::MAX.to_le_bytes(), "voxels; at most");
    let largest = [i64::MAX; 3].map(i64::to_le_bytes).concat();
    edited(24, &largest, "voxels; at most");
    edited(168, &352i64.to_le_bytes(), "a whole number from 544");
    edited(168, &i64::MIN.to_le_bytes(), "a whole number from 544");
    edited(112, &f64::NAN.to_le_bytes(), "spacing along x is NaN mm");
    let [whole, mut several] = [nifti2(), nifti2()];
    several[16..24].copy_from_slice(&4i64.to_le_bytes());
    several[48..56].copy_from_slice(&5i64.to_le_bytes());
    refused(&several, "5 volumes");
    for length in [4, 347, 348, 539] {
        refused(&whole[..length], "the header alone has 540");
    }
    refused(&whole[..540], "the file is truncated");
}

#[test]
fn types_that_are_no_real_scalars_are_refused_by_name() {
    for (code, bits, name) in [
        (1, 1, "1-bit"),
        (32, 64, "complex64"),
        (128, 24, "RGB24"),
        (1536, 128, "float128"),
        (1792, 128, "complex128"),
        (2304, 32, "RGBA32"),
        (77, 16, "code 77"),
        (0, 0, "code 0"),
    ] {
        header(
            |r| {
                r.i16(70, code).i16(72, bits);
            },
            name,
        );
    }
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    header(
        |r| {
            r.i16(72, 8);
        },
        "bitpix is 8 for data of type int16",
    );
    header(
        |r| {
            r.i16(40, 0);
        },
        "dim[0] is 0",
    );
    header(
        |r| {
            r.i16(40, 9);
        },
        "dim[0]",
    );
    header(
        |r| {
            r.i16(40, 1);
        },
        "dim[0] is 1",
    );
    header(
        |r| {
            r.i16(42, 0);
        },
        "dim[1] is 0",
    );
    header(
        |r| {
            r.i16(44, -5);
        },
        "dim[2] is -5",
    );
    header(
        |r| {
            r.f32(108, 0.0);
        },
        "vox_offset is 0",
    );
    header(
        |r| {
            r.f32(108, 352.5);
        },
        "vox_offset is 352.5",
    );
    header(
        |r| {
            r.f32(108, f32::NAN);
        },
        "vox_offset is NaN",
    );
    header(
        |r| {
            r.f32(108, f32::INFINITY);
        },
        "vox_offset is inf",
    );
    header(
        |r| {
            r.f32(112, 2.0).f32(116, f32::NAN);
        },
        "scl_inter is NaN",
    );
    // The size of the header in one byte order, dim[0] in the other.
    header(
        |r| {
            r.i16(40, 3i16.swap_bytes());
        },
        "byte order",
    );
}

#[test]
fn several_volumes_are_refused() {
    header(
        |r| {
            r.i16(40, 4).i16(48, 5);
        },
        "5 volumes",
    );
    header(
        |r| {
            r.i16(40, 5).i16(48, 2).i16(50, 3);
        },
        "6 volumes",
    );
}

#[test]
fn impossible_spacing_is_refused() {
    header(
        |r| {
            r.f32(80, 0.0);
        },
        "spacing along x is 0 mm",
    );
    header(
        |r| {
            r.f32(84, -0.75);
        },
        "spacing along y is -0.75 mm",
    );
    header(
        |r| {
            r.f32(88, f32::NAN);
        },
        "spacing along z is NaN mm",
    );
    header(
        |r| {
            r.f32(88, f32::INFINITY);
        },
        "spacing along z is inf mm",
    );
}

#[test]
fn a_singular_or_infinite_affine_is_refused() {
    header(
        |r| {
            r.f32(280, 0.0);
        },
        "affine is singular",
    );
    header(
        |r| {
            r.f32(280 + 4, f32::NAN);
        },
        "not a finite number",
    );
    // Two axes that point the same way.
    header(
        |r| {
            r.f32(280 + 4, -0.5).f32(280 + 16 + 4, 0.0);
        },
        "affine is singular",
    );
}

#[test]
fn a_quaternion_longer_than_one_is_refused_where_it_is_the_only_form() {
    header(
        |r| {
            r.i16(254, 0).i16(252, 1).f32(256, 0.9).f32(260, 0.9);
        },
        "longer than 1",
    );
}

#[test]
fn truncated_files_are_refused() {
    let bytes = Raw::new().bytes();
    refused(&bytes[..bytes.len() - 1], "truncated: 47 bytes of image data, and the header promises 48");
    refused(&bytes[..352], "truncated: 0 bytes");
    refused(&bytes[..347], "347 bytes, and the header alone has 348");
    refused(&bytes[..4], "4 bytes, and the header alone has 348");
    let packed = gzip(&bytes);
    for keep in [packed.len() - 1, packed.len() - 8, packed.len() / 2, 20, 10, 3, 2] {
        let error = read_as("ct.nii.gz", &packed[..keep], &ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("ends early") || error.contains("truncated"), "{keep} bytes: {error}");
    }
    // What was inflated before the end counts.
    let mut large = Raw::new();
    large.i16(42, 64).i16(44, 64).i16(46, 16);
    large.data = (0..64 * 64 * 16)
        .flat_map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes())
        .take(131_072)
        .collect();
    let packed = gzip(&large.bytes());
    let error =
        read_as("ct.nii.gz", &packed[..packed.len() / 2], &ReadOptions::default()).unwrap_err().to_string();
    let found =
        error.split_once("truncated: ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(
        found.is_some_and(|n| (30_000..100_000).contains(&n))
            && error.ends_with("right would be all of the file"),
        "{error}"
    );
    // Complete gzip around an incomplete file.
    refused_as("ct.nii.gz", &gzip(&bytes[..bytes.len() - 10]), "truncated: 38 bytes");
}

#[test]
fn a_damaged_gzip_stream_is_refused() {
    let packed = gzip(&Raw::new().bytes());
    let mut flipped = packed.clone();
    let crc = packed.len() - 8;
    flipped[crc] ^= 1;
    refused_as("ct.nii.gz", &flipped, "gzip data is damaged");
}

#[test]
fn a_plain_file_named_gz_is_refused() {
    refused_as("ct.nii.gz", &Raw::new().bytes(), "name ends in .gz, but the content is not gzip");
}

#[test]
fn something_else_named_nii_is_refused() {
    refused("hello, this is no image at all".as_bytes(), "not a NIfTI file");
    refused_as("scan.bin", b"hello", "of no known kind");
    refused_as(
        "ct.zip",
        b"PK\x03\x04....",
        "the file is a ZIP archive: unpack it and name what lies in it; groundglass reads",
    );
    refused_as(
        "ct.nrrd",
        b"NRRD0004\ntype: short\n",
        "the file is an NRRD: convert it to NIfTI; groundglass reads",
    );
    refused_as("ct.mhd", b"ObjectType = Image\nNDims = 3\n", "a MetaImage header: convert it to NIfTI");
    let tar = [vec![b'x'; 257], b"ustar\x0000".to_vec(), vec![0; 250]].concat();
    refused_as("ct.tar", &tar, "the file is a tar archive: unpack it");
}

#[test]
fn an_empty_file_is_said_to_be_empty_whatever_its_name() {
    for name in ["ct.nii", "ct.nii.gz", "ct.dcm", "ct.png", "scan"] {
        refused_as(name, b"", "the file is empty; groundglass reads NIfTI");
    }
    let dir = tempfile::tempdir().unwrap();
    let refused = || gg_io::read_ct(dir.path(), &ReadOptions::default()).unwrap_err().to_string();
    for name in ["a", "b"] {
        std::fs::write(dir.path().join(name), b"").unwrap();
    }
    assert!(refused().starts_with("none of the folder's 2 files is a CT (all are empty)"), "{}", refused());
    std::fs::write(dir.path().join("notes"), b"hello").unwrap();
    assert!(refused().starts_with("none of the folder's 3 files is a CT (2 are empty)"), "{}", refused());
    std::fs::write(dir.path().join("ct.nii.gz"), b"").unwrap();
    assert!(refused().starts_with("the file is empty"), "{}", refused());
}

#[test]
fn a_header_that_claims_more_than_the_file_can_hold_costs_no_memory() {
    let mut raw = Raw::new();
    raw.i16(42, 32_000).i16(44, 32_000).i16(46, 2); // 2 billion voxels, 4 GB
    let start = Instant::now();
    refused(&raw.bytes(), "truncated");
    refused_as("ct.nii.gz", &gzip(&raw.bytes()), "cannot hold more than");
    raw.i16(46, 32_000);
    refused(&raw.bytes(), "at most 2147483648 are read");
    assert!(start.elapsed().as_secs() < 2, "nothing was reserved");
}

#[test]
fn a_decompression_bomb_is_refused_before_it_has_gone_off() {
    let mut raw = Raw::new();
    raw.data.resize(64 << 20, 0);
    let packed = gzip(&raw.bytes());
    assert!(packed.len() < 1 << 20);
    refused_as("ct.nii.gz", &packed, "decompression bomb");
    refused(&raw.bytes(), "the header accounts for 400");
}

#[test]
fn a_claim_that_no_scan_compresses_to_is_refused_before_it_is_read() {
    let mut raw = Raw::new();
    for (at, n) in [(42, 2048), (44, 2048), (46, 160)] {
        raw.i16(at, n);
    }
    let mut packed = gzip(&raw.bytes());
    packed.resize(2 << 20, 7); // 1.34 GB claimed in 2 MB
    refused_as("ct.nii.gz", &packed, "no scan compresses so well");
}

#[test]
fn more_voxels_than_allowed_are_refused() {
    let options = ReadOptions { max_voxels: 23, ..ReadOptions::default() };
    let error = read_as("ct.nii", &Raw::new().bytes(), &options).unwrap_err().to_string();
    assert!(error.contains("claims 24 voxels; at most 23"), "{error}");
}

#[test]
fn a_volume_of_nothing_but_nan_is_refused() {
    let mut raw = Raw::new();
    raw.i16(70, 16).i16(72, 32);
    raw.data = [f32::NAN; 24].iter().flat_map(|v| v.to_le_bytes()).collect();
    refused(&raw.bytes(), "no voxel holds a finite number");
}

#[test]
fn masks_hold_whole_numbers_from_0_to_255() {
    let check = |values: [f32; 24], message: &str| {
        let mut raw = Raw::new();
        raw.i16(70, 16).i16(72, 32);
        raw.data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mask.nii");
        std::fs::write(&path, raw.bytes()).unwrap();
        match read_labels(&path, &ReadOptions::default()) {
            Ok(read) => {
                assert_eq!(message, "");
                assert_eq!(read.value.0.data()[..2], [values[0] as u8, 0]);
            }
            Err(e) => assert!(!message.is_empty() && e.to_string().contains(message), "{e}"),
        }
    };
    let with = |v: f32| {
        let mut values = [0.0; 24];
        values[0] = v;
        values
    };
    check(with(255.0), "");
    check(with(-1.0), "the value -1;");
    check(with(256.0), "the value 256;");
    check(with(0.5), "the value 0.5;");
    check(with(f32::NAN), "the value NaN;");
}
