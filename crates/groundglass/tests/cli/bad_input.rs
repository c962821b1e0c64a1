//! Refused input: one clear sentence, the right exit code, nothing half-written.

use crate::dicom_edit::{self, FRAME, IMAGE_TYPE, PATIENT_ID, POSITION, SOP_CLASS, TRANSFER_SYNTAX};
use crate::nifti_edit;
use crate::run::{Fixture, Ran, arg, groundglass, png};
use std::fs;
use std::path::{Path, PathBuf};

/// `analyze` refuses it with exit 1 and these words, and leaves no output.
#[track_caller]
fn refused(ct: &Path, words: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ran = Fixture::get().analyze(ct, &out, &[]).refused(1, words);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something was left behind");
    ran
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn a_truncated_gzip_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = fs::read(Fixture::get().ct()).unwrap();
    let path = dir.path().join("ct.nii.gz");
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refused(&path, &["ct.nii.gz: the file is truncated: ", "right would be all of the file"]);
    fs::write(&path, &bytes[..20]).unwrap();
    refused(&path, &["ct.nii.gz: the gzip data is damaged: the file ends early; right would be all of it"]);
}

#[test]
fn a_file_that_is_only_called_gz_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.nii.gz");
    fs::write(&path, b"not gzip at all, and no NIfTI either").unwrap();
    refused(&path, &["gz"]);
}

#[test]
fn headers_that_lie_are_refused_without_a_giant_allocation() {
    // offsets of the NIfTI-1 header: dim 40, datatype 70, bitpix 72, pixdim 76
    type Lie = (&'static [&'static str], Box<dyn FnOnce(&mut Vec<u8>)>);
    let lies: Vec<Lie> = vec![
        (&["truncated", "2000000000"], Box::new(|b| put(b, 42, &[0xe8, 0x03, 0xe8, 0x03, 0xe8, 0x03]))),
        (&["17178820624 voxels", "at most"], Box::new(|b| put(b, 42, &[0xff, 0x7f, 0xff, 0x7f, 0x10, 0x00]))),
        (&["contradicts"], Box::new(|b| put(b, 72, &[64, 0]))),
        (&["spacing"], Box::new(|b| put(b, 80, &0f32.to_le_bytes()))),
        (&["spacing"], Box::new(|b| put(b, 84, &(-1f32).to_le_bytes()))),
        (&["spacing"], Box::new(|b| put(b, 88, &f32::NAN.to_le_bytes()))),
        (&["affine"], Box::new(|b| (280..328).for_each(|i| b[i] = 0))),
        (
            &["4-D"],
            Box::new(|b| {
                put(b, 40, &[4, 0]);
                put(b, 46, &[10, 0, 2, 0]);
            }),
        ),
        (
            &["data type"],
            Box::new(|b| {
                put(b, 70, &[128, 0]);
                put(b, 72, &[24, 0]);
            }),
        ),
    ];
    for (words, lie) in lies {
        let dir = tempfile::tempdir().unwrap();
        let path = nifti_edit::changed(dir.path(), lie);
        refused(&path, words);
    }
}

#[test]
fn a_decompression_bomb_is_refused() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let plain = fs::read(nifti_edit::changed(dir.path(), |_| {})).unwrap();
    let path = dir.path().join("bomb.nii.gz");
    let mut gz = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::best());
    gz.write_all(&plain).unwrap();
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..256 {
        gz.write_all(&zeros).unwrap();
    }
    gz.finish().unwrap();
    refused(&path, &["bomb"]);
}

#[test]
fn empty_folders_and_missing_paths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    refused(&empty, &["empty: the folder is empty; a CT is a NIfTI file, a folder of DICOM files"]);
    fs::write(empty.join("ct.nii.gz"), "").unwrap();
    refused(&empty, &["empty (`ct.nii.gz`): the file is empty; groundglass reads NIfTI"]);
    refused(&dir.path().join("nowhere"), &["nowhere"]);
}

#[test]
fn a_mask_in_the_place_of_a_ct_is_refused() {
    let mask = Fixture::get().set().join("lung_mask/phantom-001.nii.gz");
    let ran = refused(&mask, &["only the values 0, 1, 2, mostly 0, as a mask does", "--intensity"]);
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "one sentence: {}", ran.stderr);
    let dir = tempfile::tempdir().unwrap();
    let converted = dir.path().join("converted.nii.gz");
    groundglass(&["convert", arg(&mask), arg(&converted)]).refused(1, &["as a mask does"]);
    groundglass(&["convert", arg(&mask), arg(&converted), "--intensity", "unknown"]).ok();
}

#[test]
fn a_map_of_many_labels_in_the_place_of_a_ct_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    // Blocks of 8 x 8 pixels with the labels 0 to 30, as another program writes organs.
    let path = nifti_edit::changed(dir.path(), |b| {
        for (i, voxel) in b[352..].as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let (z, y, x) = (i / 4096, i / 64 % 64, i % 64);
            *voxel = ((((z / 5) * 7 + (y / 8) * 3 + x / 8) % 31) as i16).to_le_bytes();
        }
    });
    refused(&path, &["31 different whole numbers in flat regions", "map of labels"]);
    let ran = groundglass(&["inspect", arg(&path), "--json"]).ok();
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["volume"]["intensity"]["kind"], "unknown");
    assert_eq!(found["volume"]["labels"].as_array().unwrap().len(), 31);
}

#[test]
fn half_a_nifti_2_pair_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.nii");
    let mut header = vec![0u8; 544];
    put(&mut header, 0, &540i32.to_le_bytes());
    put(&mut header, 4, b"ni2\0\r\n\x1a\n");
    fs::write(&path, header).unwrap();
    refused(&path, &["NIfTI-2 pair", "(.nii or .nii.gz)"]);
}

#[test]
fn a_dicom_folder_with_a_gap_needs_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    fs::remove_file(&files[8]).unwrap();
    refused(&series, &["gap", "--allow-gaps"]);
    let out = dir.path().join("out");
    Fixture::get().analyze(&series, &out, &["--allow-gaps"]).ok();
}

#[test]
fn two_different_slices_at_one_position_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    dicom_edit::set(&files[6], POSITION, &dicom_edit::get(&files[5], POSITION));
    refused(&series, &["two different slices", "one position"]);
}

#[test]
fn slices_of_two_patients_in_one_series_are_refused_without_their_ids() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    files.iter().enumerate().for_each(|(i, f)| dicom_edit::set(f, PATIENT_ID, ["ALPHA", "OMEGA"][i / 8]));
    let ran = refused(&series, &["2 different patient ids", "sort the files apart"]);
    assert!(!ran.stderr.contains("ALPHA") && !ran.stderr.contains("OMEGA"), "{}", ran.stderr);
}

#[test]
fn slices_of_several_frames_of_reference_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    files[8..].iter().for_each(|f| dicom_edit::set(f, FRAME, "2.25.99"));
    let ran = refused(&series, &["phantom-001: ", "lie in 2 frames of reference", "sort the files apart"]);
    assert!(!ran.stderr.contains("2.25."), "{}", ran.stderr);
}

#[test]
fn projections_in_the_place_of_slices_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    files.iter().for_each(|f| dicom_edit::set(f, IMAGE_TYPE, "DERIVED\\SECONDARY\\AXIAL\\MIP"));
    refused(&series, &["no CT slice: 16 projections", "maximum intensity projection (MIP)"]);
}

#[test]
fn dicom_without_an_image_of_a_ct_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    files.iter().for_each(|f| dicom_edit::set(f, IMAGE_TYPE, "ORIGINAL\\PRIMARY\\LOCALIZER"));
    refused(&series, &["no CT image in 16 DICOM objects", "a localizer, not a slice"]);
}

#[test]
fn dicom_that_is_not_decoded_is_refused_by_name() {
    // tag, value, what the sentence says
    for (tag, uid, words) in [
        (TRANSFER_SYNTAX, "1.2.840.10008.1.2.4.110", ["JPEG XL", "convert"]),
        (TRANSFER_SYNTAX, "1.2.840.10008.1.2.4.102", ["MPEG video", "convert"]),
        (SOP_CLASS, "1.2.840.10008.5.1.4.1.1.2.1", ["many frames", "functional groups"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (series, files) = dicom_edit::series(dir.path());
        files.iter().for_each(|f| dicom_edit::set(f, tag, uid));
        refused(&series, &words);
    }
}

#[test]
fn a_folder_with_two_series_needs_a_choice() {
    let dir = tempfile::tempdir().unwrap();
    let both = dir.path().join("both");
    fs::create_dir(&both).unwrap();
    for seed in ["1", "2"] {
        let set = dir.path().join(format!("set{seed}"));
        groundglass(&[
            "phantom",
            "--out",
            arg(&set),
            "--count",
            "1",
            "--size",
            "48x48x16",
            "--dicom",
            "--seed",
            seed,
        ])
        .ok();
        fs::rename(set.join("ct_scans/phantom-001"), both.join(seed)).unwrap();
    }
    refused(&both, &["2 CT series", "--series"]);
    let out = dir.path().join("out");
    Fixture::get().analyze(&both, &out, &["--series", "2"]).ok();
}

#[test]
fn a_mask_of_another_shape_than_its_ct_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    groundglass(&["phantom", "--out", arg(&other), "--count", "1", "--size", "48x48x20"]).ok();
    let pred = dir.path().join("pred/phantom-001");
    fs::create_dir_all(&pred).unwrap();
    fs::copy(other.join("lung_mask/phantom-001.nii.gz"), pred.join("lung_mask.nii.gz")).unwrap();
    let out = dir.path().join("out");
    let set = Fixture::get().set();
    let folder = dir.path().join("pred");
    groundglass(&["evaluate", arg(&set), "--pred", arg(&folder), "--out", arg(&out)])
        .refused(1, &["48 x 48 x 20", "64 x 64 x 20"]);
    assert!(!out.exists());
}

/// A data set of one phantom whose lung mask was replaced.
fn set_with_lung_mask(
    dir: &Path,
    change: impl FnOnce(&mut gg_volume::LabelVolume, &mut gg_volume::Grid),
) -> PathBuf {
    let set = dir.join("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "1", "--size", "48x48x16"]).ok();
    let mask = set.join("lung_mask/phantom-001.nii.gz");
    let (mut labels, mut grid) = gg_io::read_labels(&mask, &gg_io::ReadOptions::default()).unwrap().value;
    change(&mut labels, &mut grid);
    fs::remove_file(&mask).unwrap();
    gg_io::write_labels_nifti(&mask, &labels, &grid).unwrap();
    set
}

#[test]
fn a_data_set_whose_mask_has_another_shape_than_its_ct_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let set = set_with_lung_mask(dir.path(), |labels, grid| {
        grid.shape = [15, 48, 48];
        *labels = gg_volume::Volume::filled(grid.shape, 0);
    });
    let out = dir.path().join("out");
    groundglass(&["prepare", arg(&set), "--out", arg(&out)])
        .refused(1, &["lung mask", "[15, 48, 48]", "[16, 48, 48]"]);
    assert!(!out.exists());
}

#[test]
fn labels_that_the_layout_does_not_know_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let set = set_with_lung_mask(dir.path(), |labels, _| labels.data_mut()[77] = 7);
    let out = dir.path().join("out");
    groundglass(&["prepare", arg(&set), "--out", arg(&out)]).refused(1, &["lung mask", "the label 7"]);
    assert!(!out.exists());
    let model = Fixture::get().bundle("lung");
    groundglass(&["evaluate", arg(&set), "--model", arg(&model), "--part", "all", "--out", arg(&out)])
        .refused(1, &["the label 7"]);
    assert!(!out.exists());
}

#[test]
fn a_data_set_too_small_to_split_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "1", "--size", "48x48x16"]).ok();
    let file = dir.path().join("split.toml");
    groundglass(&["split", arg(&set), "--out", arg(&file)]).refused(1, &["too small", "at least 5"]);
    assert!(!file.exists());
}

#[test]
fn bundles_that_cannot_be_used_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let good = fs::read(f.bundle("lung")).unwrap();
    let swap = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at =
            good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap_or_else(|| panic!("{from}"));
        let mut bytes = good.clone();
        put(&mut bytes, at, to.as_bytes());
        bytes
    };
    let cases: [(Vec<u8>, &str); 4] = [
        (good[..good.len() / 2].to_vec(), "whole"),
        (b"no bundle".to_vec(), "whole"),
        (swap("\\\"format_version\\\":6", "\\\"format_version\\\":9"), "newer"),
        (swap("\\\"base\\\":4", "\\\"base\\\":8"), "damaged or changed"),
    ];
    for (bytes, word) in cases {
        let path = dir.path().join("model.safetensors");
        fs::write(&path, bytes).unwrap();
        let out = dir.path().join("out");
        groundglass(&["analyze", arg(&f.ct()), "--model", arg(&path), "--out", arg(&out)])
            .refused(1, &["model.safetensors", word]);
        assert!(!out.exists());
    }
}

#[test]
fn what_stands_beside_a_model_is_refused_with_the_file_that_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let run = f.bundle("lung").parent().unwrap().to_owned();
    let unfinished = dir.path().join("unfinished");
    fs::create_dir(&unfinished).unwrap();
    fs::copy(run.join("checkpoint.safetensors"), unfinished.join("checkpoint.safetensors")).unwrap();
    let garbled = dir.path().join("garbled");
    fs::create_dir(&garbled).unwrap();
    fs::write(garbled.join("model.safetensors"), "no bundle").unwrap();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let out = dir.path().join("out");
    for (model, words) in [
        (run.join("checkpoint.safetensors"), ["a checkpoint of a training", "model.safetensors beside it"]),
        (run.join("best.safetensors"), ["the best weights so far", "model.safetensors beside it"]),
        (run, ["it is a folder", "the file model.safetensors in it"]),
        (unfinished.join("checkpoint.safetensors"), ["no finished model", "`train --resume`"]),
        (unfinished, ["has not ended", "`train --resume`"]),
        (garbled.join("model.safetensors"), ["model.safetensors: ", "not a whole safetensors file"]),
        (garbled, ["it is a folder", "the file model.safetensors in it"]),
        (empty, ["a folder without model.safetensors", "CTs and data sets stand before it"]),
    ] {
        let ran = groundglass(&["analyze", arg(&f.ct()), "--model", arg(&model), "--out", arg(&out)])
            .refused(1, &words);
        assert_eq!(ran.stderr.trim_end().lines().count(), 1, "one sentence: {}", ran.stderr);
        groundglass(&["models", "show", arg(&model)]).refused(1, &words[..1]);
    }
    assert!(!out.exists());
}

#[test]
fn a_training_that_cannot_be_is_refused_before_anything_is_prepared() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let unmasked = dir.path().join("unmasked");
    for folder in ["ct", "lung_mask"] {
        let source = if folder == "ct" { "ct_scans" } else { folder };
        fs::create_dir_all(unmasked.join(folder)).unwrap();
        for i in 1..=3 {
            let name = format!("phantom-00{i}.nii.gz");
            fs::copy(set.join(source).join(&name), unmasked.join(folder).join(name)).unwrap();
        }
    }
    let [taken, foreign, out] = ["taken", "foreign", "out"].map(|n| dir.path().join(n));
    groundglass(&["phantom", "--out", arg(&taken), "--count", "1", "--size", "32x32x16"]).ok();
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "years").unwrap();
    let (set, unmasked) = (arg(&set), arg(&unmasked));
    for (code, args, words) in [
        (1, vec!["infection", unmasked, "--out", arg(&out)], ["infection", "needs infection masks"]),
        (1, vec!["classify", unmasked, "--out", arg(&out)], ["classify", "labels of slices"]),
        (2, vec!["lung", set, "--out", arg(&taken)], ["already holds results", "--force"]),
        (1, vec!["lung", set, "--out", arg(&foreign), "--force"], ["did not write", "left alone"]),
        (1, vec!["lung", set, "--out", arg(&foreign), "--resume"], ["no run folder", "resume"]),
    ] {
        groundglass(&[&["train"][..], &args].concat()).refused(code, &words);
        assert!(!dir.path().join("cache").exists(), "slices were prepared first");
    }
    let thesis = foreign.join("thesis.txt");
    let init = ["train", "lung", set, "--out", arg(&out), "--set", "prepare.size=16", "--init", arg(&thesis)];
    groundglass(&init).refused(1, &["thesis.txt"]);
    assert!(!out.exists(), "a folder stands in the way of the next try");
}

#[test]
fn wrong_usage_exits_with_2() {
    let f = Fixture::get();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (ct, out, set) = (f.ct(), arg(&out), f.set());
    let (ct, set) = (arg(&ct), arg(&set));
    let nifti = dir.path().join("x.nii");
    let nifti = arg(&nifti);
    for args in [
        &["analyze"][..],
        &["frobnicate"],
        &["analyze", ct, "--out", out, "--case-id", "../x"],
        &["analyze", ct, "--out", out, "--case-id", "a", "--case-id", "b"],
        &["train", "lung", set, "--out", out, "--set", "lung.train.epoch=3"],
        &["train", "lung", set, "--out", out, "--set", "prepare.size=0"],
        &["train", "lung", set, "--out", out, "--fold", "77"],
        &["split", set, "--by-slice", "--out", out],
        &["split", set, "--folds", "0", "--out", out],
        &["split", set, "--folds", "1", "--out", out],
        &["inspect", ct, "--intensity", "hounsfield"],
        &["inspect", ct, "--series", "1"],
        &["convert", ct, nifti, "--series", "1"],
        &["analyze", ct, "--out", out, "--series", "1"],
    ] {
        groundglass(args).refused(2, &["error"]);
    }
    for (args, word) in [
        (&["phantom", "--count", "99999999999"][..], "1 to 10000"),
        (&["evaluate", set, "--pred", set, "--resamples", "99999999999"], "10 to 100000"),
        (&["evaluate", set, "--pred", set, "--resamples", "1"], "10 to 100000"),
        (&["explain", ct, "--slice", "3", "--outcome", "died"], "cannot be used with"),
        (&["explain", "--table", ct, "--outcome", "died", "--slice", "3"], "cannot be used with"),
        (&["explain", "--table", ct, "--outcome", "died", "--penalty", "0"], "above 0"),
    ] {
        groundglass(&[args, &["--out", out]].concat()).refused(2, &[word]);
    }
    assert!(!dir.path().join("out").exists());
}

#[test]
fn a_data_set_in_the_place_of_a_ct_is_refused_with_what_takes_it() {
    let set = Fixture::get().set();
    refused(&set, &["it is a data set (Kaggle, cases: 6)", "`evaluate`", "`train`"]);
}

#[test]
fn a_result_in_the_place_of_a_ct_is_told_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let result = dir.path().join("result");
    f.analyze(&f.ct(), &result, &[]).ok();
    refused(&result, &["result (", "it is a result of groundglass, right would be the CT that it is of"]);
    groundglass(&["inspect", arg(&result)]).refused(1, &["it is a result of `analyze`"]);
}

#[test]
fn several_nifti_files_are_named_on_stderr_and_listed_by_inspect() {
    let set = Fixture::get().set();
    let folder = set.join("ct_scans");
    refused(&folder, &["the folder holds 6 NIfTI files", "`phantom-001.nii.gz`", "1 more"]);
    let ran = groundglass(&["inspect", arg(&folder)]).ok();
    assert!(ran.stdout.contains("6 NIfTI files") && !ran.stdout.contains("phantom-"), "{}", ran.stdout);
    assert!(ran.stderr.contains("file 6: "), "{}", ran.stderr);
}

#[test]
fn the_system_is_quoted_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let f = Fixture::get();
    for args in [
        &["inspect", arg(&nowhere)][..],
        &["convert", arg(&nowhere), arg(&dir.path().join("x.nii"))],
        &["analyze", arg(&f.ct()), "--model", arg(&nowhere), "--out", arg(&dir.path().join("out"))],
        &["config", "check", arg(&nowhere)],
        &["split", arg(&f.set()), "--out", "/proc/nowhere/split.toml"],
    ] {
        let ran = groundglass(args);
        assert!(matches!(ran.code, 1 | 2), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("os error"), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.matches("nowhere").count(), 1, "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn strips_that_no_body_fills_are_refused_or_looked_at_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let strip = |name: &str, size: [usize; 2]| {
        let path = dir.path().join(name);
        fs::write(&path, png(size, |x, y| ((x * 7 + y * 31) % 251) as u8)).unwrap();
        path
    };
    let words =
        ["long.png: found 1 slices of 2 x 40000 pixels, right would be at most 32767 along each axis"];
    refused(&strip("long.png", [2, 40_000]), &words);
    // No square of 256 million pixels is made of it.
    let flat = strip("flat.png", [4, 16_000]);
    let out = dir.path().join("out");
    Fixture::get().analyze(&flat, &out, &[]).ok();
}
