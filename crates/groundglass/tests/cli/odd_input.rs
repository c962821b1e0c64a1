//! Input that can be lived with: analysed, and every output that has words says what is odd.

use crate::dicom_edit;
use crate::nifti_edit;
use crate::run::{Fixture, arg, groundglass, json};
use gg_io::DicomText;
use gg_phantom::{PhantomSpec, phantom};
use gg_volume::Affine;
use std::fs;
use std::path::{Path, PathBuf};

/// `analyze` works, and the warning stands in the JSON, as its message in the page and on stderr, and as its code in
/// the summary of several CTs.
#[track_caller]
fn warned(ct: &Path, more: &[&str], code: &str) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ran = Fixture::get().analyze(ct, &out, &[&[arg(ct)][..], more].concat()).ok();
    let analysis = json(&out.join("case-001/analysis.json"));
    let warnings = analysis["warnings"].as_array().unwrap();
    let found = warnings.iter().find(|w| w["code"] == code);
    let message = found.unwrap_or_else(|| panic!("no {code} in {warnings:?}"))["message"].as_str().unwrap();
    assert!(ran.stderr.contains(message), "stderr does not say: {message}\n{}", ran.stderr);
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    assert_eq!(summary.lines().skip(1).filter(|line| line.contains(code)).count(), 2, "{summary}");
    let page = fs::read_to_string(out.join("case-001/report.html")).unwrap();
    let escaped = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    assert!(page.contains(&escaped) || page.contains(message), "the page does not say: {message}");
    analysis
}

#[test]
fn no_lung_gives_null_percentages() {
    let dir = tempfile::tempdir().unwrap();
    // Water everywhere: there is no lung to find.
    let path = nifti_edit::changed(dir.path(), |b| b[352..].fill(0));
    let analysis = warned(&path, &["--intensity", "hu"], "no_lung_found");
    assert!(analysis["infection"]["percent_of_lung"].is_null());
    assert!(analysis["patient"].is_null(), "nothing was seen that could show infection");
    assert!(analysis["doubts"].as_array().unwrap().contains(&"no_lung_found".into()));
}

#[test]
fn what_holds_of_hu_is_asked_of_hu_with_1024_added() {
    let dir = tempfile::tempdir().unwrap();
    let analysed = |name: &str, added: f32| {
        let path = nifti_edit::changed(dir.path(), |b| {
            let slope = f32::from_le_bytes(b[112..116].try_into().unwrap());
            assert!(slope == 0.0 || slope == 1.0, "the phantom is stored in HU");
            b[112..116].copy_from_slice(&1f32.to_le_bytes());
            b[116..120].copy_from_slice(&added.to_le_bytes());
        });
        let out = dir.path().join(name);
        Fixture::get().analyze(&path, &out, &[]).ok();
        json(&out.join("analysis.json"))
    };
    let (plain, shifted) = (analysed("plain", 0.0), analysed("shifted", 1024.0));
    assert_eq!(shifted["input"]["intensity"]["kind"], "hu");
    let reasons = shifted["input"]["intensity"]["reasons"].to_string();
    assert!(reasons.contains("1024 was added to HU, and taken off here"), "{reasons}");
    assert!(!plain["attenuation"].is_null());
    for part in ["attenuation", "doubts", "infection", "lung", "patient"] {
        assert_eq!(shifted[part], plain[part], "{part}");
    }
}

#[test]
fn one_slice_is_analysed() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    for file in &files[1..] {
        fs::remove_file(file).unwrap();
    }
    warned(&series, &[], "one_slice");
}

#[test]
fn a_tilted_gantry_is_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut ct = phantom(&PhantomSpec::new(3, [16, 48, 48], 10.0)).ct;
    let affine = ct.grid.affine.unwrap();
    let [x, y, z] = affine.columns();
    // Each slice lies a little further to the back than the one below it, as where the gantry leans by 15 degrees.
    let leant = [z[0], z[1] + z[2] * 15f64.to_radians().tan(), z[2]];
    ct.grid.affine = Some(Affine::new([x, y, leant], affine.origin()).unwrap());
    let series = dir.path().join("series");
    gg_io::write_dicom_series(&series, &ct, &DicomText::default()).unwrap();
    let analysis = warned(&series, &[], "tilted_gantry");
    // The distance between slices is along the normal, so that the volume of a voxel stays that of the phantom.
    let voxels = analysis["lung"]["voxels"].as_f64().unwrap();
    if let Some(ml) = analysis["lung"]["ml"].as_f64() {
        let right = voxels * affine.voxel_mm3() / 1000.0;
        assert!((ml - right).abs() < 1e-3 * right.max(1.0), "{ml} ml for {right} ml");
    }
}

#[test]
fn the_same_slice_twice_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    fs::copy(&files[5], series.join("again.dcm")).unwrap();
    let analysis = warned(&series, &[], "same_slice_twice");
    assert_eq!(analysis["input"]["shape"][0], 16);
}

#[test]
fn one_unreadable_file_among_many_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    let bytes = fs::read(&files[15]).unwrap();
    fs::write(&files[15], &bytes[..bytes.len() / 3]).unwrap();
    warned(&series, &[], "unreadable_files");
}

#[test]
fn an_unreadable_file_inside_the_series_names_the_hole_and_takes_the_millilitres() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    let bytes = fs::read(&files[7]).unwrap();
    fs::write(&files[7], &bytes[..bytes.len() - 100]).unwrap();
    warned(&series, &[], "unreadable_files");
    let analysis = warned(&series, &[], "gap_in_z");
    let text = analysis["warnings"].to_string();
    assert!(text.contains("its slice belongs between slices 6 and 7 (counted from 0)"), "{text}");
    assert!(analysis["lung"]["ml"].is_null() && analysis["infection"]["ml"].is_null());
}

#[test]
fn sform_and_qform_that_disagree_are_remarked() {
    let dir = tempfile::tempdir().unwrap();
    // the quaternion's offset, qoffset_x at byte 268
    let path = nifti_edit::changed(dir.path(), |b| b[268..272].copy_from_slice(&512f32.to_le_bytes()));
    warned(&path, &[], "sform_qform_disagree");
}

#[test]
fn forms_that_contradict_each_other_give_no_sides_and_keep_the_millilitres() {
    let dir = tempfile::tempdir().unwrap();
    // x mirrored in the sform alone, srow_x at 280: left and right are exchanged
    let path = nifti_edit::changed(dir.path(), |b| {
        let step = f32::from_le_bytes(b[280..284].try_into().unwrap());
        b[280..284].copy_from_slice(&(-step).to_le_bytes());
    });
    let analysis = warned(&path, &[], "sform_qform_disagree");
    assert!(analysis["lung"]["right"].is_null() && analysis["infection"]["zones"].is_null());
    assert!(analysis["lung"]["ml"].is_number() && analysis["input"]["orientation"].is_null());
}

/// The phantom's CT as 32-bit floats, each changed.
fn as_floats(dir: &Path, change: impl Fn(usize, f32) -> f32) -> PathBuf {
    nifti_edit::changed(dir, |b| {
        b[70..74].copy_from_slice(&[16, 0, 32, 0]); // datatype and bitpix
        let values = b.split_off(352);
        for (i, value) in values.as_chunks::<2>().0.iter().enumerate() {
            b.extend(change(i, f32::from(i16::from_le_bytes(*value))).to_le_bytes());
        }
    })
}

/// Where the phantom has lung.
fn lung_of_the_phantom() -> Vec<u8> {
    let mask = Fixture::get().set().join("lung_mask/phantom-001.nii.gz");
    nifti_edit::unzipped(&fs::read(mask).unwrap()).split_off(352)
}

#[test]
fn voxels_without_a_number_in_the_lungs_are_counted_and_many_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lung = lung_of_the_phantom();
    let inside: Vec<usize> = (0..lung.len()).filter(|&i| lung[i] != 0).collect();
    let with = |every: usize| {
        let holes: Vec<usize> = inside.iter().copied().step_by(every).collect();
        as_floats(dir.path(), |i, v| if holes.contains(&i) { f32::NAN } else { v })
    };
    let analysis = warned(&with(400), &[], "non_finite_in_lungs");
    let text = analysis["warnings"].to_string();
    assert!(text.contains("hold no number; they count as air"), "{text}");
    let out = dir.path().join("out");
    Fixture::get()
        .analyze(&with(10), &out, &[])
        .refused(1, &["ct.nii: ", "voxels in the lungs", "hold no number; at most 1 % is measured"]);
    assert!(!out.exists());
    // Whole slices of nothing amid the lungs, in which no network finds any.
    let size = 64 * 64;
    let slices = as_floats(dir.path(), |i, v| if (9..11).contains(&(i / size)) { f32::NAN } else { v });
    Fixture::get()
        .analyze(&slices, &out, &[])
        .refused(1, &["voxels in the lungs", "at most 1 % is measured"]);
    // The same of a copy: what held no number holds none there.
    let (holes, copy) = (with(10), dir.path().join("copy.nii.gz"));
    groundglass(&["convert", arg(&holes), arg(&copy)]).ok();
    Fixture::get().analyze(&copy, &out, &[]).refused(1, &["hold no number; at most 1 % is measured"]);
    // Slices that were lost and filled with something.
    let blank = as_floats(dir.path(), |i, v| if (9..11).contains(&(i / size)) { -1024.0 } else { v });
    Fixture::get().analyze(&blank, &out, &[]).refused(
        1,
        &[
            "slices 9 to 10 hold one value alone amid or beside the lungs",
            "right would be a CT with every slice",
        ],
    );
    assert!(!out.exists());
    // Outside of them it is padding.
    let corner = as_floats(dir.path(), |i, v| if i % 64 == 0 { f32::NAN } else { v });
    let analysis = warned(&corner, &[], "non_finite_values");
    assert!(!analysis["warnings"].to_string().contains("non_finite_in_lungs"));
}

#[test]
fn hounsfield_units_of_a_wrong_slope_or_intercept_are_doubted() {
    let dir = tempfile::tempdir().unwrap();
    for shift in [-200.0, 200.0] {
        warned(&as_floats(dir.path(), |_, hu| hu + shift), &[], "hu_doubtful");
    }
    let analysis = warned(&as_floats(dir.path(), |_, hu| (hu / 2.0).trunc()), &[], "hu_doubtful");
    assert!(analysis["warnings"].to_string().contains("rescale slope"), "{}", analysis["warnings"]);
}

#[test]
fn a_picture_turned_by_a_quarter_has_no_sides() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "1", "--size", "96x96x32", "--seed", "5"]).ok();
    let ct = gg_io::read_ct(&set.join("ct_scans/phantom-001.nii.gz"), &Default::default()).unwrap().value.ct;
    let [slices, side, _] = ct.voxels.shape();
    let voxels = ct.voxels.data();
    let turned = |i: usize| voxels[i / (side * side) * side * side + i % side * side + i / side % side];
    let turned =
        gg_volume::Volume::from_vec([slices, side, side], (0..voxels.len()).map(turned).collect()).unwrap();
    let path = dir.path().join("turned.nii.gz");
    gg_io::write_ct_nifti(&path, &gg_volume::CtVolume { voxels: turned, ..ct }).unwrap();
    let out = dir.path().join("out");
    // By the models in the box: those of the tests are too small to find lungs that lie otherwise.
    groundglass(&["analyze", arg(&path), "--out", arg(&out)]).ok();
    let analysis = json(&out.join("analysis.json"));
    assert!(analysis["warnings"].to_string().contains("lungs_not_side_by_side"), "{}", analysis["warnings"]);
    assert!(analysis["infection"]["sides_reason"].as_str().unwrap().contains("in front of the other"));
    let mask = gg_io::read_labels(&out.join("lung_mask.nii.gz"), &Default::default()).unwrap().value.0;
    assert!(mask.data().contains(&1) && !mask.data().contains(&2), "a label tells a side");
}

#[test]
fn attenuation_is_not_taken_for_grey() {
    let dir = tempfile::tempdir().unwrap();
    let path = as_floats(dir.path(), |_, hu| 0.19 * (1.0 + hu / 1000.0));
    let analysis = warned(&path, &[], "unknown_intensity");
    assert!(analysis["warnings"].to_string().contains("attenuation in 1/cm"), "{}", analysis["warnings"]);
}

#[test]
fn a_spine_at_the_front_takes_the_sides_away() {
    // A bright bone at the back of the lungs, in the middle; the phantom's own is mostly marrow.
    let dir = tempfile::tempdir().unwrap();
    let (lung, side) = (lung_of_the_phantom(), 64);
    let back = (0..lung.len()).filter(|&i| lung[i] != 0).map(|i| i / side % side).max().unwrap();
    let bone = |i: usize| (back - 2..back + 4).contains(&(i / side % side)) && (28..36).contains(&(i % side));
    let ct = as_floats(dir.path(), |i, hu| if bone(i) { 700.0 } else { hu });
    let analysis = warned(&ct, &["--orientation", "RAS"], "spine_at_the_front");
    let words = "the spine lies where the orientation of the CT has the front";
    assert_eq!(analysis["infection"]["sides_reason"], words);
    assert_eq!(analysis["infection"]["zones_reason"], words);
    assert_eq!(analysis["severity"]["reason"], words);
    for gone in
        [&analysis["infection"]["right"], &analysis["infection"]["zones"], &analysis["severity"]["score"]]
    {
        assert!(gone.is_null(), "{analysis}");
    }
    assert!(analysis["doubts"].as_array().unwrap().iter().any(|code| code == "spine_at_the_front"));
}

#[test]
fn a_slice_with_another_intercept_is_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    dicom_edit::set(&files[7], dicom_edit::INTERCEPT, "0");
    warned(&series, &[], "rescale_jump");
}

#[test]
fn averages_over_slabs_are_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    let kind = "DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE";
    files.iter().for_each(|f| dicom_edit::set(f, dicom_edit::IMAGE_TYPE, kind));
    warned(&series, &[], "averaged_slices");
}

#[test]
fn grey_values_of_unknown_kind_are_said_to_be() {
    for code in ["unknown_intensity", "not_hu"] {
        warned(&Fixture::get().ct(), &["--intensity", "unknown"], code);
    }
}

#[test]
fn a_statement_about_grey_values_that_they_contradict_is_remarked_on() {
    warned(&Fixture::get().ct(), &["--intensity", "lung_window_8bit"], "intensity_contradicted");
}

#[test]
fn a_distance_that_no_ct_has_is_remarked_on_and_takes_the_millilitres() {
    let dir = tempfile::tempdir().unwrap();
    // the sform's columns of z, bytes 288, 304 and 320, and qform_code at 252
    let path = nifti_edit::changed(dir.path(), |b| {
        b[252..254].fill(0);
        b[320..324].copy_from_slice(&200f32.to_le_bytes());
    });
    let analysis = warned(&path, &[], "absurd_spacing");
    assert!(analysis["lung"]["ml"].is_null() && analysis["infection"]["ml"].is_null());
    let reason = analysis["lung"].to_string();
    assert!(reason.contains("cannot be that of a chest CT"), "{reason}");
}

#[test]
fn a_slope_that_is_no_number_is_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = nifti_edit::changed(dir.path(), |b| b[112..116].copy_from_slice(&f32::NAN.to_le_bytes()));
    warned(&path, &[], "no_scaling");
}

#[test]
fn slices_of_other_series_in_the_folder_are_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    let (series, files) = dicom_edit::series(dir.path());
    files[..8].iter().for_each(|f| dicom_edit::set(f, dicom_edit::SERIES, "2.25.77"));
    let analysis = warned(&series, &["--series", "1"], "other_series");
    assert!(analysis["warnings"].to_string().contains("8 slices of the others were not"));
}

#[test]
fn without_orientation_there_are_no_sides_unless_stated() {
    let dir = tempfile::tempdir().unwrap();
    // qform_code at 252, sform_code at 254
    let path = nifti_edit::changed(dir.path(), |b| b[252..256].fill(0));
    let analysis = warned(&path, &[], "orientation_unknown");
    assert!(analysis["lung"]["right"].is_null() && analysis["infection"]["zones"].is_null());
    assert!(analysis["lung"]["ml"].is_null(), "no millilitres without a coded affine");
    let out = dir.path().join("out");
    Fixture::get().analyze(&path, &out, &["--orientation", "LPS"]).ok();
    let analysis = json(&out.join("analysis.json"));
    assert_eq!(analysis["input"]["orientation"], "LPS");
}

#[test]
fn slices_from_head_to_feet_give_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let plain = nifti_edit::changed(dir.path(), |_| {});
    let turned = dir.path().join("turned");
    fs::create_dir(&turned).unwrap();
    // Turn the slices and the third axis of both forms: the same body, stored the other way round.
    let [nx, ny, nz] = [64usize, 64, 20];
    let path = nifti_edit::changed(&turned, |b| {
        let slice = nx * ny * 2;
        let data = b[352..].to_vec();
        for z in 0..nz {
            b[352 + z * slice..352 + (z + 1) * slice].copy_from_slice(&data[(nz - 1 - z) * slice..][..slice]);
        }
        let float = |b: &[u8], at: usize| f32::from_le_bytes(b[at..at + 4].try_into().unwrap());
        for row in [280, 296, 312] {
            let (step, origin) = (float(b, row + 8), float(b, row + 12));
            b[row + 8..row + 12].copy_from_slice(&(-step).to_le_bytes());
            b[row + 12..row + 16].copy_from_slice(&(origin + step * (nz - 1) as f32).to_le_bytes());
        }
        b[252..254].fill(0); // the sform alone says it now
    });
    warned(&path, &[], "reversed_z");
    let numbers = |ct: &Path, name: &str| {
        let out = dir.path().join(name);
        f.analyze(ct, &out, &[]).ok();
        let mut analysis = json(&out.join("analysis.json"));
        let object = analysis.as_object_mut().unwrap();
        // The files differ: the masks lie as the CT does.
        for own in ["input", "warnings", "outputs", "numbers_sha256"] {
            object.remove(own).unwrap();
        }
        analysis
    };
    assert_eq!(numbers(&plain, "a"), numbers(&path, "b"));
}

#[test]
fn a_mask_that_the_user_calls_a_ct_is_remarked() {
    let mask = Fixture::get().set().join("lung_mask/phantom-001.nii.gz");
    warned(&mask, &["--intensity", "hu"], "looks_like_mask");
}

#[test]
fn lungs_as_dense_as_tissue_are_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    // Every value of a phantom raised by 570 HU: shapes stay, lungs become tissue.
    let path = nifti_edit::changed(dir.path(), |b| {
        for value in b[352..].chunks_exact_mut(2) {
            let raised = i16::from_le_bytes([value[0], value[1]]).saturating_add(570);
            value.copy_from_slice(&raised.to_le_bytes());
        }
    });
    warned(&path, &["--intensity", "hu"], "lung_too_dense");
}

#[test]
fn a_sheared_affine_is_a_tilted_gantry_as_in_dicom() {
    let dir = tempfile::tempdir().unwrap();
    let path = nifti_edit::changed(dir.path(), |b| {
        let z_in_y = 4 * (4 + 2); // row y, column z of the sform
        b[280 + z_in_y..284 + z_in_y].copy_from_slice(&1.5f32.to_le_bytes());
    });
    warned(&path, &[], "tilted_gantry");
}

#[test]
fn a_case_that_lies_in_the_output_folder_is_not_replaced_by_its_results() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("set");
    groundglass(&["phantom", "--count", "2", "--size", "32x32x16", "--out", arg(&out)]).ok();
    let ct = out.join("ct_scans/phantom-001.nii.gz");
    groundglass(&["analyze", arg(&ct), "--force", "--out", arg(&out)])
        .refused(2, &["lies in the output folder"]);
    assert!(ct.is_file());
}
